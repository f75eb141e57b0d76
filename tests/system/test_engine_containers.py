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
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import BRIEF, SANITIZED, USER, Skip, clean, expect, expect_in, main, sh, until

CLI = os.path.join(USER, "cli")


def spawn(engine, *args, **kw):
    return subprocess.Popen([CLI, *args], env=engine.env, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **kw)


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
    p = engine.run("run", "--rm", "nosuchimage", "true")
    expect((p.returncode, p.stderr.splitlines()[0]), (125, "Unable to find image 'nosuchimage:latest' locally"), p.stderr)
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
    blocks, most = (200, 9000) if BRIEF else (800, 30000)
    p = spawn(engine, "run", "--rm", "--name", "slow", "busybox", "dd", "if=/dev/zero",
              "bs=64k", f"count={blocks}")
    time.sleep(0.5)
    with open(f"/proc/{engine.process.pid}/status") as f:
        rss = int(f.read().split("VmRSS:")[1].split()[0])
    if rss > most:
        raise AssertionError(f"the engine holds {rss} KiB for a client that does not read")
    out = p.stdout.buffer.read()
    p.wait(120)
    expect(len(out), blocks * 65536)


def test_terminal(engine):
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(CLI, ["bothy", "run", "--rm", "-it", "busybox", "sh"], engine.env)
    out = b""

    def read_until(text):
        nonlocal out
        end = time.monotonic() + 120
        while text not in out:
            if not select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"no {text!r} in {out!r}")
            out += os.read(fd, 4096)
    read_until(b"# ")
    os.write(fd, b"tty; test -t 0 && echo is''tty\n")
    read_until(b"istty")
    expect_in(b"/dev/pts/0", out)
    os.write(fd, b"echo u''p; cat\n")
    read_until(b"up\r\n")  # the shell, which edits lines itself, has left the terminal to what it runs
    os.write(fd, b"ab\x7fc\n")
    read_until(b"\nac")
    out = b""
    os.write(fd, b"\x03")
    read_until(b"# ")
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
    expect((p.wait(120), p.stdout.read()), (9, "got\n"))
    clean(engine)


def test_third_signal_lets_go_of_a_deaf_container(engine):
    p = spawn(engine, "run", "--name", "deaf3", "busybox", "sh", "-c",
              "trap '' INT; echo up; exec sleep 100")
    expect(p.stdout.readline(), "up\n")
    for _ in range(3):
        expect(p.poll(), None)
        p.send_signal(signal.SIGINT)
        time.sleep(0.3)  # signals of a kind do not queue

    def lets_go():
        if p.poll() is None:  # two of them may have been one
            p.send_signal(signal.SIGINT)
            time.sleep(0.3)
        return p.poll() is not None
    until(lets_go, "it lets go")
    expect(p.returncode, 1)
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
    expect(0.9 < took < 9.5, True, f"in time ({took:.1f} s)")
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
    expect(waiter.communicate(timeout=300)[0], "137\n")
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
    p = engine.run("exec", "eb", "sh", "-c", "sleep 1000 & echo started")
    expect(p.stdout, "started\n")
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


def test_limits_bind_the_program_and_not_its_start(engine):
    p = sh(engine, "id -un; ulimit -n; stat -c %u /dev/null", "--ulimit", "nofile=4", "-u", "app")
    expect((p.stdout, p.stderr), ("app\n4\n0\n", ""))


def test_limit_of_processes_counts_those_of_an_exec_alone(engine):
    """Not the process that makes the exec's."""
    user = "54321"  # the machine has no process of this one
    for limit, status in (("2", 0), ("1", 1))[:1 if "bothy" in os.uname().release else 2]:  # which counts them per group
        expect(engine.run("run", "-d", "--name", "few", "--ulimit", "nproc=" + limit, "-u", user, "busybox", "sleep",
                          "1000").returncode, 0)
        p = engine.run("exec", "few", "cat", "/proc/self/limits")
        expect(p.returncode != 0, status != 0, f"a failure within {limit}, {p.stderr}")
        expect([line.split()[2:4] for line in p.stdout.splitlines() if "processes" in line],
               [] if status else [[limit, limit]])
        engine.run("rm", "-f", "few")


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
        results.append(sh(engine, f"echo {i}; exit {i}", timeout=120))
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
            now = open_now()
            count, same = now, same + 1 if now == count else 0
            if same == 10:
                break
            time.sleep(0.02)
        return count

    def open_now():
        return len(os.listdir(f"/proc/{engine.process.pid}/fd"))
    sh(engine, "true")
    before = fds()
    for _ in range(10):
        sh(engine, "echo x")
        engine.run("run", "--rm", "busybox", "nosuch")
    until(lambda: open_now() <= before, "no more files are open than before")


def test_events(engine):
    now = str(int(time.time()))
    sh(engine, "true")
    p = engine.run("events", "--since", now, "--until", str(int(time.time()) + 1))
    actions = [json.loads(line)["Action"] for line in p.stdout.splitlines()]
    expect(actions[-5:], ["create", "attach", "start", "die", "destroy"])


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
