#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Containers through the `bothy` client: statuses, streams, terminals, signals, confinement."""
import json
import os
import pty
import select
import signal
import subprocess
import sys
import tarfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import BUSYBOX, SANITIZED, USER, Skip, expect, expect_in, main

CLI = os.path.join(USER, "cli")

with open(BUSYBOX, "rb") as f:
    BUSYBOX_ALONE = [("bin", tarfile.DIRTYPE, None), ("bin/busybox", tarfile.REGTYPE, f.read())]


def sh(engine, script, *options, **kw):
    return engine.run("run", "--rm", *options, "busybox", "sh", "-c", script, **kw)


def clean(engine):
    expect(engine.idle(), [], "leftovers")


def spawn(engine, *args, **kw):
    return subprocess.Popen([CLI, *args], env=engine.env, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **kw)


def until(condition, what, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.01)


def test_run_output_streams_and_status(engine):
    p = sh(engine, "echo out; echo err >&2; exit 3")
    expect((p.returncode, p.stdout, p.stderr), (3, "out\n", "err\n"))
    clean(engine)


def test_run_exit_statuses(engine):
    for command, status, words in (
            (["nosuch"], 127, 'exec: "nosuch": executable file not found in $PATH'),
            (["/nosuch"], 127, "no such file or directory"),
            (["/etc/passwd"], 126, "permission denied"),
            (["/etc"], 126, "is a directory")):
        p = engine.run("run", "--rm", "busybox", *command)
        expect(p.returncode, status, f"status of {command}")
        expect_in(words, p.stderr)
        expect(p.stderr.count("\n"), 1, "lines")
    clean(engine)


def test_run_bad_requests(engine):
    for args, words in (
            (["--nosuch", "busybox"], "unknown flag: --nosuch"),
            (["nosuchimage"], "No such image: nosuchimage:latest"),
            (["--runtime", "x", "busybox"], "unknown or invalid runtime name: x"),
            (["--memory", "many", "busybox"], "invalid size: 'many'"),
            (["--memory", "1m", "busybox"], "Minimum memory limit"),
            (["--cpus", "x", "busybox"], "--cpus"),
            (["--network", "foo", "busybox"], 'network mode "foo" is not supported'),
            (["-p", "80:80", "busybox"], "port publishing (-p) is not supported"),
            (["--name", "bad/name", "busybox"], "Invalid container name (bad/name)"),
            (["-w", "rel", "busybox"], "needs to be an absolute path"),
            (["--cap-add", "FLY", "busybox"], 'unknown capability: "FLY"'),
            (["-v", "a:b:c:d", "busybox"], "invalid volume specification: 'a:b:c:d'"),
            (["--device", "/dev/nosuch", "busybox"], "/dev/nosuch"),
            (["--network", "host", "--sysctl", "net.core.somaxconn=1", "busybox"],
             "not allowed in host network namespace"),
            (["--sysctl", "vm.overcommit_memory=1", "busybox"], "not in a separate kernel namespace"),
            (["-u", "nobodyhere", "busybox"], "unable to find user nobodyhere"),
            ([], "requires at least 1 argument")):
        p = engine.run("run", "--rm", *args, "true") if args else engine.run("run")
        expect(p.returncode, 125, f"status of {args}")
        expect_in(words, p.stderr)
        expect(p.stderr.count("\n"), 1, f"lines of {p.stderr!r}")
    clean(engine)


def test_unknown_container_is_one_line(engine):
    for args in (["logs", "x1"], ["stop", "x1"], ["kill", "x1"], ["rm", "x1"], ["wait", "x1"],
                 ["start", "x1"], ["exec", "x1", "true"], ["top", "x1"]):
        p = engine.run(*args)
        expect((p.returncode, p.stderr), (1, "Error response from daemon: No such container: x1\n"),
               str(args))
    p = engine.run("inspect", "x1")
    expect((p.returncode, p.stdout, p.stderr), (1, "[]\n", "Error: No such object: x1\n"))
    p = engine.run("frobnicate")
    expect((p.returncode, p.stderr.count("\n")), (1, 1))


def test_environment_user_directory_hostname(engine):
    p = sh(engine, 'id; echo "$A|$HOME|$HOSTNAME|$(hostname)|$PWD|$B"', "-e", "A=x y", "-e", "B",
           "--hostname", "box", "-w", "/a/b", "-u", "app")
    expect(p.stdout, "uid=1000(app) gid=1000(app) groups=10(wheel),1000(app)\nx y|/home/app|box|box|/a/b|\n")
    expect(sh(engine, "id -u; id -g", "-u", "12:34").stdout, "12\n34\n")


def test_stdin_reaches_and_ends(engine):
    p = engine.run("run", "--rm", "-i", "busybox", "cat", input="one\ntwo")
    expect(p.stdout, "one\ntwo")
    big = "x" * 3000000
    p = engine.run("run", "--rm", "-i", "busybox", "wc", "-c", input=big)
    expect(p.stdout, "3000000\n")
    p = engine.run("run", "--rm", "-i", "busybox", "true", input=big)
    expect(p.returncode, 0)


def test_large_output_is_whole(engine):
    p = sh(engine, "dd if=/dev/zero bs=64k count=200 2>/dev/null | tr '\\0' a")
    expect((len(p.stdout), set(p.stdout)), (200 * 65536, {"a"}))
    clean(engine)


def test_slow_client_slows_the_program(engine):
    p = spawn(engine, "run", "--rm", "--name", "slow", "busybox", "dd", "if=/dev/zero",
              "bs=64k", "count=800")
    time.sleep(0.5)
    with open(f"/proc/{engine.process.pid}/status") as f:
        rss = int(f.read().split("VmRSS:")[1].split()[0])
    if rss > 30000:
        raise AssertionError(f"the engine holds {rss} KiB for a client that does not read")
    out = p.stdout.buffer.read()
    p.wait(20)
    expect(len(out), 800 * 65536)


def test_terminal(engine):
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(CLI, ["bothy", "run", "--rm", "-it", "busybox", "sh"], engine.env)
    out = b""

    def read_until(text):
        nonlocal out
        end = time.monotonic() + 10
        while text not in out:
            if not select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"no {text!r} in {out!r}")
            out += os.read(fd, 4096)
    read_until(b"# ")
    os.write(fd, b"tty; test -t 0 && echo is''tty\n")
    read_until(b"istty")
    expect_in(b"/dev/pts/0", out)
    os.write(fd, b"cat\n")
    time.sleep(0.5)  # until cat reads: the shell edits lines itself
    os.write(fd, b"ab\x7fc\n")
    read_until(b"\nac")
    os.write(fd, b"\x03")
    time.sleep(0.2)
    os.write(fd, b"echo st''ill; exit 4\n")
    read_until(b"still")
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    expect(os.waitstatus_to_exitcode(status), 4)
    clean(engine)


def test_terminal_is_needed_for_it(engine):
    p = engine.run("run", "-it", "busybox", "true")
    expect((p.returncode, p.stderr), (1, "the input device is not a TTY\n"))


def test_signals_are_proxied(engine):
    p = spawn(engine, "run", "--rm", "--name", "sig", "busybox", "sh", "-c",
              "trap 'echo got; exit 9' INT; echo up; while :; do sleep 0.1; done")
    expect(p.stdout.readline(), "up\n")
    p.send_signal(signal.SIGINT)
    # its end first: reading what a container says that did not get the signal would never end
    expect((p.wait(10), p.stdout.read()), (9, "got\n"))
    clean(engine)


def test_third_signal_lets_go_of_a_deaf_container(engine):
    p = spawn(engine, "run", "--name", "deaf3", "busybox", "sh", "-c",
              "trap '' INT; echo up; exec sleep 100")
    expect(p.stdout.readline(), "up\n")
    for _ in range(3):
        expect(p.poll(), None)
        p.send_signal(signal.SIGINT)
        time.sleep(0.3)  # signals of a kind do not queue
    expect(p.wait(10), 1)
    expect_in("got 3 SIGTERM/SIGINTs, forcefully exiting", p.stderr.read())
    expect_in("Up ", engine.run("ps").stdout)
    engine.run("rm", "-f", "deaf3")
    clean(engine)


def test_signals_that_the_engine_ignores_are_whole_in_a_container(engine):
    # the first process of a container has every signal at its default
    engine.stop()
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        engine.start()
    finally:
        signal.signal(signal.SIGINT, old)
    p = engine.run("run", "--rm", "busybox", "grep", "SigIgn", "/proc/self/status")
    expect(p.stdout, "SigIgn:\t0000000000000000\n")


def test_detached_life(engine):
    p = engine.run("run", "-d", "--name", "life", "busybox", "sh", "-c",
                   "trap 'echo bye; exit 0' TERM; echo hi; while :; do sleep 0.05; done")
    ident = p.stdout.strip()
    expect((p.returncode, len(ident)), (0, 64))
    ps = engine.run("ps").stdout.splitlines()
    expect(ps[0].split()[:2], ["CONTAINER", "ID"])
    expect_in("Up ", ps[1])
    expect(ps[1].split()[0], ident[:12])
    expect(engine.run("ps", "-q").stdout, ident[:12] + "\n")
    p = engine.run("rm", "life")
    expect(p.returncode, 1)
    expect_in('cannot remove container "/life": container is running', p.stderr)
    p = engine.run("run", "--name", "life", "busybox")
    expect(p.returncode, 125)
    expect_in('Conflict. The container name "/life" is already in use', p.stderr)
    until(lambda: engine.run("logs", "life").stdout == "hi\n", "the log")
    expect(engine.run("stop", "life").stdout, "life\n")
    expect(engine.run("logs", "life").stdout, "hi\nbye\n")
    expect(engine.run("wait", "life").stdout, "0\n")
    expect_in("Exited (0)", engine.run("ps", "-a").stdout)
    expect(engine.run("rm", ident[:7]).stdout, ident[:7] + "\n")
    clean(engine)


def test_stop_kills_after_the_timeout(engine):
    engine.run("run", "-d", "--name", "deaf", "busybox", "sh", "-c", "trap '' TERM; sleep 100 & wait; sleep 100")
    begun = time.monotonic()
    expect(engine.run("stop", "-t", "1", "deaf").returncode, 0)
    took = time.monotonic() - begun
    expect(0.9 < took < 5, True, f"in time ({took:.1f} s)")
    expect(engine.run("wait", "deaf").stdout, "137\n")
    engine.run("rm", "deaf")
    clean(engine)


def test_kill_wait_and_restart(engine):
    engine.run("run", "-d", "--name", "kw", "busybox", "sleep", "100")
    waiter = spawn(engine, "wait", "kw")
    time.sleep(0.2)
    expect(engine.run("kill", "-s", "TERM", "kw").returncode, 0)
    time.sleep(0.2)
    expect_in("Up ", engine.run("ps").stdout)  # sleep as PID 1 ignores it
    p = engine.run("kill", "-s", "NOPE", "kw")
    expect((p.returncode, p.stderr), (1, "Error response from daemon: Invalid signal: NOPE\n"))
    expect(engine.run("kill", "kw").stdout, "kw\n")
    expect(waiter.communicate(timeout=10)[0], "137\n")
    p = engine.run("kill", "kw")
    expect_in("is not running", p.stderr)
    expect(engine.run("start", "kw").returncode, 0)
    expect_in("Up ", engine.run("ps").stdout)
    expect(engine.run("rm", "-f", "kw").stdout, "kw\n")
    clean(engine)


def test_logs(engine):
    engine.run("run", "--name", "lg", "busybox", "sh", "-c",
               "for i in 1 2 3; do echo o$i; echo e$i >&2; done; printf part")
    p = engine.run("logs", "lg")
    expect((p.stdout, p.stderr), ("o1\no2\no3\npart", "e1\ne2\ne3\n"))
    p = engine.run("logs", "--tail", "1", "-t", "lg")
    expect_in("T", p.stdout.split()[0])
    expect(p.stdout.split()[1], "part")
    engine.run("rm", "lg")
    f = engine.run("run", "-d", "--name", "lf", "busybox", "sh", "-c",
                   "for i in 1 2 3 4; do echo $i; sleep 0.1; done")
    expect(engine.run("logs", "-f", "lf").stdout, "1\n2\n3\n4\n", f.stderr)
    engine.run("rm", "lf")
    clean(engine)


def test_logs_are_bounded(engine):
    sh_cmd = "i=0; while [ $i -lt 3000 ]; do echo line $i xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; i=$((i+1)); done"
    body = {"Image": "busybox", "Cmd": ["sh", "-c", sh_cmd],
            "HostConfig": {"LogConfig": {"Type": "json-file", "Config": {"max-size": "64k"}}}}
    from http_unix import request
    ident = request(engine.socket, "POST", "/containers/create?name=lb", body)[1]["Id"]
    expect(request(engine.socket, "POST", "/containers/lb/start")[0], 204)
    engine.run("wait", "lb")
    folder = os.path.join(engine.root, "containers", ident)
    size = sum(os.path.getsize(os.path.join(folder, n)) for n in os.listdir(folder)
               if n.startswith("log"))
    expect(size <= 65536, True, f"{size} bytes within the limit")
    expect_in("line 2999", engine.run("logs", "lb").stdout)
    engine.run("rm", "lb")


def test_logs_cost_the_engine_no_memory(engine):
    if SANITIZED:
        raise Skip("a sanitizer's memory is measured")
    def resident():
        with open(f"/proc/{engine.process.pid}/status") as f:
            return int(f.read().split("VmRSS:")[1].split()[0])
    before = resident()
    sh(engine, "seq 20000; dd if=/dev/zero bs=16k count=100")
    expect(resident() - before < 2048, True, "less than 2 MiB")


def test_exec(engine):
    engine.run("run", "-d", "--name", "ex", "-e", "A=1", "busybox", "sleep", "100")
    p = engine.run("exec", "ex", "sh", "-c", "echo $A; echo e >&2; exit 6")
    expect((p.returncode, p.stdout, p.stderr), (6, "1\n", "e\n"))
    expect(engine.run("exec", "-i", "ex", "cat", input="data").stdout, "data")
    p = engine.run("exec", "-u", "app", "-w", "/tmp", "-e", "B=2", "ex", "sh", "-c",
                   "id -un; pwd; echo $B")
    expect(p.stdout, "app\n/tmp\n2\n")
    p = engine.run("exec", "ex", "nosuch")
    expect(p.returncode, 127)
    expect_in("executable file not found", p.stdout + p.stderr)
    expect(engine.run("exec", "ex", "ps", "-o", "comm").stdout.split()[1:], ["sleep", "ps"])
    expect(engine.run("exec", "-d", "ex", "sh", "-c", "echo done > /tmp/f").returncode, 0)
    until(lambda: engine.run("exec", "ex", "cat", "/tmp/f").stdout == "done\n", "the exec")
    expect_in("sleep 100", engine.run("top", "ex").stdout)
    engine.run("kill", "ex")
    p = engine.run("exec", "ex", "true")
    expect(p.returncode, 1)
    expect_in("is not running", p.stderr)
    engine.run("rm", "ex")
    clean(engine)


def test_exec_ends_though_a_child_keeps_its_output(engine):
    engine.run("run", "-d", "--name", "eb", "busybox", "sleep", "100")
    begun = time.monotonic()
    p = engine.run("exec", "eb", "sh", "-c", "sleep 20 & echo started")
    expect((p.stdout, time.monotonic() - begun < 5), ("started\n", True))
    engine.run("rm", "-f", "eb")


def test_exec_where_process_one_has_made_groups(engine):
    """A group whose children have controllers takes no processes; an exec joins process 1."""
    engine.run("run", "-d", "--name", "eg", "--privileged", "busybox", "sh", "-c",
               "cd /sys/fs/cgroup && mkdir one two && echo 1 > one/cgroup.procs && "
               "sleep 98 & echo $! > /sys/fs/cgroup/two/cgroup.procs; cd /sys/fs/cgroup; "
               "for c in $(cat cgroup.controllers); do echo +$c > cgroup.subtree_control; done; "
               "exec sleep 99")
    until(lambda: "sleep 99" in engine.run("top", "eg").stdout, "process 1 in a group of its own")
    expect_in("sleep 98", engine.run("top", "eg").stdout)
    p = engine.run("exec", "eg", "sh", "-c", "echo $(cat /sys/fs/cgroup/cgroup.subtree_control); "
                   "grep ^0:: /proc/self/cgroup")
    expect(p.returncode, 0, p.stdout + p.stderr)
    enabled, group = p.stdout.splitlines()
    expect(group, "0::/one" if enabled else "0::/")
    engine.run("rm", "-f", "eg")
    until(lambda: not engine.idle(), "a worker removes its groups")


def test_confinement(engine):
    p = sh(engine, "grep -E '^(Cap(Prm|Eff|Bnd)|Seccomp:)' /proc/self/status; ls /dev; "
                   "unshare -m true; mount -t tmpfs x /mnt; echo x > /proc/sys/kernel/hostname; "
                   "cat /proc/timer_list /proc/keys; mknod /dev/sda b 8 0 && cat /dev/sda; "
                   "echo $(ip -o link | wc -l)")
    for part in ("CapPrm:\t00000000a80425fb", "CapEff:\t00000000a80425fb",
                 "CapBnd:\t00000000a80425fb", "Seccomp:\t2"):
        expect_in(part, p.stdout)
    devices = set(p.stdout.split("Seccomp:\t2\n")[1].split("\n")[:-2])
    expect(devices - {"core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm",
                      "stderr", "stdin", "stdout", "tty", "urandom", "zero"}, set(), "devices")
    for part in ("unshare: unshare", "Operation not permitted"):
        expect_in(part, p.stderr)
    p = sh(engine, "grep -E '^(CapEff|Seccomp:)' /proc/self/status; mount -t tmpfs x /tmp && echo m",
           "--privileged")
    expect_in("Seccomp:\t0\nm\n", p.stdout)
    p = sh(engine, "grep CapEff /proc/self/status", "--cap-drop", "ALL", "--cap-add", "CHOWN")
    expect(p.stdout, "CapEff:\t0000000000000001\n")
    p = sh(engine, "grep NoNewPrivs /proc/self/status", "--security-opt", "no-new-privileges")
    expect(p.stdout, "NoNewPrivs:\t1\n")
    p = sh(engine, "grep CapEff /proc/self/status", "-u", "app")
    expect(p.stdout, "CapEff:\t0000000000000000\n")


def test_loopback_is_up(engine):
    p = sh(engine, "ifconfig lo; nc -l -p 80 -e echo heard & "
                   "until cat /proc/net/tcp* | grep -q :0050; do :; done; nc 127.0.0.1 80 < /dev/null")
    for part in ("UP LOOPBACK RUNNING", "heard"):
        expect_in(part, p.stdout)


def test_read_only_volumes_and_tmpfs(engine):
    p = sh(engine, "touch /x", "--read-only")
    expect_in("Read-only file system", p.stderr)
    source = engine.path("vol")
    p = sh(engine, "echo data > /v/f; ls /v", "-v", source + ":/v")
    expect((p.stdout, open(source + "/f").read()), ("f\n", "data\n"))
    p = sh(engine, "cat /v/f; echo no > /v/f", "-v", source + ":/v:ro")
    expect(p.stdout, "data\n")
    expect_in("Read-only file system", p.stderr)
    p = sh(engine, "grep ' /t ' /proc/mounts | cut -d' ' -f1", "--tmpfs", "/t")
    expect(p.stdout, "tmpfs\n")
    p = sh(engine, "ls -l /dev/zero2 | cut -c1", "--device", "/dev/zero:/dev/zero2")
    expect(p.stdout, "c\n")
    p = sh(engine, "ulimit -n", "--ulimit", "nofile=99:100")
    expect(p.stdout, "99\n")


def test_mounts_go_where_links_lead_inside_the_root(engine):
    from engine_fixture import busybox_layer, docker_archive, tar
    import tarfile
    DIR, SYM = tarfile.DIRTYPE, tarfile.SYMTYPE
    layer = tar([("run", DIR, None), ("var", DIR, None), ("var/run", SYM, "/run"), ("usr", DIR, None),
                 ("usr/lib", DIR, None), ("lib", SYM, "usr/lib"), ("out", SYM, "../../../../tmp/made"),
                 ("wd", SYM, "var/w2")])
    outer = engine.path("shared")
    os.makedirs(outer + "/sub")
    os.symlink("/tmp", outer + "/link")
    engine.load(docker_archive("links:1", [busybox_layer(), layer]))
    for options, script, want in (
            (["-v", outer + ":/var/run/docker"], "ls /run/docker", "link\nsub\n"),
            (["-v", outer + ":/lib"], "ls /usr/lib; readlink /lib", "link\nsub\nusr/lib\n"),
            (["--tmpfs", "/var/run"], "grep -c ' /run tmpfs' /proc/mounts", "1\n"),
            (["-v", outer + ":/out/x"], "ls /tmp/made/x", "link\nsub\n"),
            (["-w", "/wd/deep"], "pwd -P", "/var/w2/deep\n"),
            (["-v", outer + ":/v", "-v", outer + "/sub:/v/link/in:ro"], "touch /tmp/in/x", None)):
        p = engine.run("run", "--rm", *options, "links:1", "sh", "-c", script)
        if want is None:
            expect_in("Read-only file system", p.stderr)
        else:
            expect((p.stdout, p.stderr), (want, ""), str(options))
    expect(os.path.exists("/tmp/made"), False, "a directory of the host's")
    engine.run("rmi", "links:1")
    clean(engine)


def test_what_stands_in_the_way_of_the_set_up_gives_way(engine):
    from engine_fixture import busybox_layer, docker_archive, tar
    import tarfile
    REG, SYM = tarfile.REGTYPE, tarfile.SYMTYPE
    layer = tar([("proc", SYM, "/tmp"), ("sys", REG, "x"), ("dev", SYM, "../../dev"),
                 ("etc/resolv.conf", SYM, "../run/systemd/resolve/stub-resolv.conf"),
                 ("etc/hosts", SYM, "/run/hosts"), ("etc/hostname", SYM, "/etc/passwd"),
                 ("etc/mtab", REG, "old")])
    engine.load(docker_archive("evil:1", [busybox_layer(), layer]))
    p = engine.run("run", "--rm", "-h", "me", "evil:1", "sh", "-c",
                   "stat -c %F /proc /sys /dev; for f in hosts hostname resolv.conf; do test -f /etc/$f -a ! -L /etc/$f && echo file; done; hostname; "
                   "grep -c me /etc/hosts; head -c 5 /etc/passwd; readlink /etc/mtab; stat -c %a /.dockerenv")
    expect((p.stdout, p.stderr), ("directory\n" * 3 + "file\n" * 3 + "me\n1\nroot:/proc/mounts\n755\n", ""))
    engine.run("rmi", "evil:1")
    etc = tar([("etc", REG, "file"), ("lib", SYM, "x")])
    engine.load(docker_archive("evil:2", [busybox_layer(), etc]))
    expect(engine.run("run", "--rm", "evil:2", "ls", "/etc").stdout, "hostname\nhosts\nmtab\nresolv.conf\n")
    engine.run("rmi", "evil:2")
    clean(engine)


def test_what_lies_between_image_and_container_is_there_whatever_the_image_hides(engine):
    from engine_fixture import busybox_layer, docker_archive, tar
    import tarfile
    REG, DIR, SYM = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE
    names = [".dockerenv", "dev", "etc", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf", "proc", "sys"]
    look = "cd /; for n in " + " ".join(names) + "; do test -e $n && echo $n; done; readlink etc/mtab"
    lower = tar([("etc/hosts", REG, "old"), (".dockerenv", REG, ""), ("sys", DIR, None), ("etc/mtab", REG, "old")])
    hiding = {"nothing": [("x", REG, "")], "file": [("etc/.wh.hosts", REG, "")], "env": [(".wh..dockerenv", REG, "")],
              "folder": [(".wh.sys", REG, "")], "etc": [("etc", DIR, None), ("etc/.wh..wh..opq", REG, "")],
              "mtab": [("etc/.wh.mtab", REG, "")], "root": [(".wh..wh..opq", REG, ""), *BUSYBOX_ALONE]}
    for what, entries in hiding.items():
        engine.load(docker_archive("hiding:1", [lower, busybox_layer(), tar(entries)]))
        p = engine.run("run", "--rm", "hiding:1", "/bin/busybox", "sh", "-c", look)
        expect((p.stdout, p.stderr), ("\n".join(names) + "\n/proc/mounts\n", ""), what)
        engine.run("rmi", "hiding:1")
    engine.load(docker_archive("plain:1", [tar([("lib", SYM, "x"), *BUSYBOX_ALONE])]))
    cid = engine.run("run", "-d", "plain:1", "/bin/busybox", "sleep", "1000").stdout.strip()
    expect(os.listdir(os.path.join(engine.root, "containers", cid, "upper")), [], "made for this container alone")
    p = engine.run("exec", cid, "/bin/busybox", "sh", "-c", look + "; busybox chmod 700 etc; busybox rm .dockerenv")
    expect(p.stdout, "\n".join(names) + "\n/proc/mounts\n")
    expect(engine.run("run", "--rm", "plain:1", "/bin/busybox", "stat", "-c", "%a", "/.dockerenv", "/etc").stdout,
           "755\n755\n", "what another container does is its own")
    engine.run("rm", "-f", cid)
    engine.run("rmi", "plain:1")
    clean(engine)


def test_what_a_container_changes_of_the_set_up_stays(engine):
    engine.run("run", "--name", "again", "busybox", "sh", "-c",
               "if [ -e /.dockerenv ]; then rm /.dockerenv /etc/mtab; chmod 700 /; else stat -c %a /; ls /etc/mtab; fi")
    engine.run("start", "-a", "again")
    expect(engine.run("logs", "again").stdout, "700\n")
    engine.run("rm", "again")


def test_mounts_are_made_from_the_root_down(engine):
    x, etc = engine.path("deep"), engine.path("etc")
    os.makedirs(x)
    open(x + "/f", "w").close()
    p = sh(engine, "ls /x/y; ls -A /x; cat /etc/hosts", "-v", x + ":/x/y", "--tmpfs", "/x", "-v", etc + ":/etc/")
    expect(p.stdout.startswith("f\ny\n127.0.0.1"), True, p.stdout + p.stderr)
    own = engine.path("hosts", b"mine\n")
    expect(sh(engine, "cat /etc/hosts", "-v", own + ":/etc/hosts").stdout, "mine\n")
    for options in (["-v", x + ":/x", "-v", x + ":/x/"], ["-v", x + ":/x", "--tmpfs", "/y/../x"]):
        p = sh(engine, "true", *options)
        expect_in("Duplicate mount point: /x", p.stderr)
    for target in ("/proc", "/proc/sys", "/proc/self/attr"):
        p = sh(engine, "true", "-v", x + ":" + target)
        expect_in("inside /proc", p.stderr)
    clean(engine)


def test_mount_words(engine):
    x = engine.path("words")
    os.makedirs(x)
    for words, want in (("", "rw,nosuid,nodev,noexec"), ("exec,dev,suid", "rw"), ("ro", "ro,nosuid,nodev,noexec"),
                        ("rw,noexec,nosuid,size=65536k", "rw,nosuid,nodev,noexec|size=65536k"),
                        ("defaults,size=1m,mode=1770,uid=7", "mode=1770|uid=7|size=1024k"),
                        ("noatime,nodiratime,relatime", "relatime"), ("sync", "sync")):
        line = sh(engine, "grep ' /t ' /proc/mounts", "--tmpfs", "/t:" + words).stdout
        for part in want.split("|"):
            expect_in(part, line, f"mount of {words!r}")
    for words in ("nosuch", "size=", "shared", "bind", "remount", "rro"):
        p = sh(engine, "true", "--tmpfs", "/t:" + words)
        expect_in(f'invalid tmpfs option ["{words}"]', p.stderr)
    for mode in ("z,ro", "ro,Z", "rprivate,ro,cached", "nocopy,ro"):
        expect_in("Read-only", sh(engine, "touch /x/f", "-v", f"{x}:/x:{mode}").stderr, mode)
    for mode in ("rx", "ro,rw", "z,Z", "RO", "ro,", ",", "shared", "rslave", "noexec", "size=1"):
        expect_in(f"invalid mode: {mode}\n", sh(engine, "true", "-v", f"{x}:/x:{mode}").stderr)
    for spec in (":/x", f"{x}:", f"{x}:/x:ro:rw", f"{x}:ro", ""):
        expect_in("invalid", sh(engine, "true", "-v", spec).stderr, spec)
    expect_in("must be absolute", sh(engine, "true", "-v", x + ":x/y").stderr)
    expect_in("can't be '/'", sh(engine, "true", "-v", x + ":/a/..").stderr)
    clean(engine)


def test_volumes_begin_as_what_the_image_has(engine):
    from engine_fixture import busybox_layer, config, docker_archive, tar
    import tarfile
    info = tarfile.TarInfo("data")
    info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, 0o750, 33, 34
    layer = tar([info, ("data/a", tarfile.REGTYPE, "A", 0o4711), ("data/b", tarfile.LNKTYPE, "data/a"),
                 ("data/l", tarfile.SYMTYPE, "/etc"), ("data/.h", tarfile.REGTYPE, "")])
    layers = [busybox_layer(), layer]
    engine.load(docker_archive("vol:1", layers, conf=config(layers, Volumes={"/data": {}})))
    look = "stat -c %a:%u:%g /data; stat -c %a:%h /data/b; readlink /data/l; ls -A /data; grep -c ' /data ' /proc/mounts"
    whole = "750:33:34\n4711:2\n/etc\n.h\na\nb\nl\n1\n"
    for options in ([], ["-v", "/data"], ["-v", "named:/data"], ["--read-only"],
                    ["--mount", "type=volume,src=other,dst=/data"]):
        p = engine.run("run", "--rm", *options, "vol:1", "sh", "-c", look + "; echo x >/data/new; cat /data/new")
        expect((p.stdout, p.stderr), (whole + "x\n", ""), str(options))
    expect(engine.run("run", "--rm", "-v", "named:/data", "vol:1", "cat", "/data/new").stdout, "x\n")
    expect(engine.run("run", "--rm", "-v", "fresh:/data:nocopy", "vol:1", "ls", "-A", "/data").stdout, "")
    expect(engine.run("create", "--name", "vol", "vol:1").stderr, "")
    j = json.loads(engine.run("inspect", "vol").stdout)[0]
    expect([(m["Type"], m["Destination"], m["RW"]) for m in j["Mounts"]], [("volume", "/data", True)])
    engine.run("rm", "vol")
    engine.run("rmi", "vol:1")
    clean(engine)


def test_ids_are_numbers_first(engine):
    from engine_fixture import busybox_layer, docker_archive, tar
    import tarfile
    layer = tar([("etc/passwd", tarfile.REGTYPE, "root:x:0:0::/root:/bin/sh\n1003:x:0:0::/:/bin/sh\n"
                  "x:x:1004:44::/x:/bin/sh\n", 0o644),
                 ("etc/group", tarfile.REGTYPE, "root:x:0:\n77:x:5:\nextra:x:66:x\n", 0o644)])
    engine.load(docker_archive("ids:1", [busybox_layer(), layer]))
    for user, options, want in (("1003", [], "1003 0 0"), ("1004", [], "1004 44 44 66"), ("x", [], "1004 44 44 66"),
                                ("x:77", [], "1004 77 77"), ("2147483647:2147483647", [], "2147483647 2147483647 2147483647"),
                                ("1003", ["--group-add", "extra", "--group-add", "77"], "1003 0 0 66 77")):
        p = engine.run("run", "--rm", "-u", user, *options, "ids:1", "sh", "-c", "echo $(id -u) $(id -g) $(id -G)")
        expect((p.stdout, p.stderr), (want + "\n", ""), user)
    for user, options in (("4294967296", []), ("2147483648", []), ("-1", []), ("0:4294967296", []),
                          ("0", ["--group-add", "4294967296"])):
        p = engine.run("run", "--rm", "-u", user, *options, "ids:1", "true")
        expect_in("uids and gids must be in range 0-2147483647", p.stderr, user)
    expect_in("unable to find group none", engine.run("run", "--rm", "--group-add", "none", "ids:1", "true").stderr)
    engine.run("rmi", "ids:1")
    clean(engine)


def test_no_path_leads_to_what_the_engine_has_open(engine):
    engine.run("run", "-d", "--name", "keep", "busybox", "sleep", "1000")
    for fd in range(3, 28):
        path = f"/proc/self/fd/{fd}"
        for p in (sh(engine, "pwd -P", "-w", path),
                  engine.run("exec", "-w", path, "keep", "pwd", "-P"),
                  engine.run("exec", "keep", path + "/../../../../bin/true")):
            expect(p.returncode != 0, True, path + " led to " + p.stdout)
    engine.run("exec", "keep", "sh", "-c", "rm /dev/null; mkfifo /dev/null")
    p = engine.run("exec", "keep", "true")
    expect(p.returncode != 0, True)
    expect_in("/dev/null is not the null device", p.stdout + p.stderr)
    engine.run("rm", "-f", "keep")
    clean(engine)


def test_limits_bind_the_program_and_not_its_start(engine):
    p = sh(engine, "id -un; ulimit -n; stat -c %u /dev/null", "--ulimit", "nofile=4", "-u", "app")
    expect((p.stdout, p.stderr), ("app\n4\n0\n", ""))


def test_containers_of_an_image_are_apart(engine):
    sh(engine, "echo 1 > /etc/passwd")
    expect_in("root:x:0:0", sh(engine, "cat /etc/passwd").stdout)


def test_inspect(engine):
    engine.run("run", "-d", "--name", "ins", "--label", "a=b", "-m", "64m", "busybox", "sleep", "9")
    j = json.loads(engine.run("inspect", "ins").stdout)[0]
    expect((j["Name"], j["State"]["Running"], j["State"]["OOMKilled"], j["Config"]["Labels"],
            j["HostConfig"]["Memory"], j["Path"], j["Args"]),
           ("/ins", True, False, {"a": "b"}, 67108864, "sleep", ["9"]))
    expect(j["Image"].startswith("sha256:"), True)
    expect(engine.run("inspect", "-f", "{{.State.Status}} {{json .Args}}", "ins").stdout,
           'running ["9"]\n')
    engine.run("rm", "-f", "ins")


def test_runtime_vm_is_refused_without_kvm(engine):
    if os.path.exists("/dev/kvm"):
        return
    p = engine.run("run", "--rm", "--runtime", "vm", "busybox", "true")
    expect(p.returncode, 125)
    expect_in("--runtime vm needs VT-x or AMD-V", p.stderr)


def test_many_at_once(engine):
    results = []

    def one(i):
        results.append(sh(engine, f"echo {i}; exit {i}", timeout=60))
    threads = [threading.Thread(target=one, args=(i,)) for i in range(30)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    expect(sorted((p.returncode, p.stdout) for p in results),
           [(i, f"{i}\n") for i in range(30)])
    clean(engine)


def test_no_descriptors_are_left(engine):
    def fds():
        """The count once it holds still: the last client's end may still be on its way out."""
        count, same = -1, 0
        for _ in range(200):
            now = len(os.listdir(f"/proc/{engine.process.pid}/fd"))
            count, same = now, same + 1 if now == count else 0
            if same == 10:
                break
            time.sleep(0.02)
        return count
    sh(engine, "true")
    before = fds()
    for _ in range(10):
        sh(engine, "echo x")
        engine.run("run", "--rm", "busybox", "nosuch")
    expect(fds(), before, "open files")


def test_events(engine):
    now = str(int(time.time()))
    sh(engine, "true")
    p = engine.run("events", "--since", now, "--until", str(int(time.time()) + 1))
    actions = [json.loads(line)["Action"] for line in p.stdout.splitlines()]
    expect(actions[-4:], ["create", "start", "die", "destroy"])


def test_client_that_dies_harms_nobody(engine):
    p = spawn(engine, "run", "--name", "orph", "busybox", "sh", "-c", "while :; do echo x; done")
    p.stdout.readline()
    p.kill()
    p.wait()
    until(lambda: "Up" in engine.run("ps").stdout, "it runs on")
    expect(engine.run("rm", "-f", "orph").returncode, 0)
    clean(engine)


if __name__ == "__main__":
    main(sys.modules[__name__])
