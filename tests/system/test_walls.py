#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same commands behind both walls, in one boot of Bothy: a domain and a VM show the same bytes
on standard output and error and end with the same status, and both are what Docker gives."""
import os
import re
import subprocess
import sys
import tarfile
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import BUSYBOX, ROOT, busybox_layer, docker_archive, tar

WALLS = ("domain", "vm")
CAPABILITY = bytes([1, 0, 0, 2, 0, 4] + [0] * 14)  # of version 2: CAP_NET_BIND_SERVICE, effective

# name: options, command after the image, status, standard output (None: only the same), and a part
# of standard error ("" for nothing there).
RUNS = {
    "both_streams": ("", "sh -c 'echo out; echo err >&2; exit 3'", 3, "out\n", "err\n"),
    "a_program_that_is_not_there": ("", "nosuch", 127, "",
                                    'exec: "nosuch": executable file not found in $PATH'),
    "a_path_that_is_not_there": ("", "/nosuch", 127, "", "no such file or directory"),
    "a_file_that_is_no_program": ("", "/etc/passwd", 126, "", "permission denied"),
    "a_child_killed": ("", "sh -c '(kill -9 $(exec sh -c \"echo \\$PPID\")); echo $?'", 0, "137\n",
                       None),
    "process_one": ("", "sh -c 'echo $$; cat /proc/1/comm; ps -o pid,comm'", 0, None, ""),
    "environment": ("-e A=x -e B=y=z", "env", 0, None, ""),
    "working_directory": ("-w /a/b", "pwd", 0, "/a/b\n", ""),
    "user_by_name": ("-u app", "sh -c 'id; echo $HOME; grep Cap /proc/self/status'", 0, None, ""),
    "user_by_number": ("-u 12:34", "id", 0, "uid=12 gid=34 groups=34\n", ""),
    "user_that_is_not_there": ("-u nobodyhere", "id", 125, "", "unable to find user nobodyhere"),
    "names": ("--hostname box", "sh -c 'hostname; cat /etc/hostname /etc/hosts; uname -n'", 0, None,
              ""),
    "kernel": ("", "uname -srm", 0, "Linux 6.1.0-bothy x86_64\n", ""),
    "read_only": ("--read-only", "touch /x", 1, "", "touch: /x: Read-only file system\n"),
    "read_only_but_dev": ("--read-only --tmpfs /t:size=1m",
                          "sh -c 'touch /dev/shm/x /t/x && df -k /t | tail -n 1'", 0, None, ""),
    "capabilities": ("", "grep -E 'Cap|NoNew|Seccomp:' /proc/self/status", 0, None, ""),
    "capability_added": ("--cap-add NET_ADMIN --cap-drop CHOWN", "grep Cap /proc/self/status", 0,
                         None, ""),
    "no_capability": ("--cap-drop ALL", "sh -c 'grep CapEff /proc/self/status; chown 1 /tmp'", 1,
                      None, "Operation not permitted"),
    "privileged": ("--privileged",
                   "sh -c 'grep -E \"Cap|Seccomp:\" /proc/self/status; mount -t tmpfs x /tmp'", 0,
                   None, ""),
    "no_new_privileges": ("--security-opt no-new-privileges", "grep NoNew /proc/self/status", 0,
                          "NoNewPrivs:\t1\n", ""),
    "no_filter": ("--security-opt seccomp=unconfined", "grep Seccomp: /proc/self/status", 0,
                  "Seccomp:\t0\n", ""),
    "mount_is_refused": ("", "mount -t tmpfs x /tmp", 1, "", "mount: "),
    "masked_paths": ("", "sh -c 'ls /proc/bothy; echo x > /proc/sys/kernel/hostname'", 1, "",
                     "Read-only file system"),
    "devices": ("", "sh -c 'cd /dev; stat -c \"%n %F %a %t %T\" * ; ls pts'", 0, None, ""),
    "devices_that_are_made_stay_shut": (
        "", "sh -c 'mknod /tmp/n c 1 3; cat /tmp/n; mknod /tmp/k c 1 11; cat /tmp/k'", 1, "",
        "can't open '/tmp/k': Operation not permitted"),
    "operators_console_stays_shut": (
        "", "sh -c 'mknod /tmp/c c 5 1; mknod /tmp/s c 4 64; echo x >/tmp/c; echo x >/tmp/s'", 1,
        "", "can't create /tmp/c: Operation not permitted"),
    "console_of_a_terminal_is_its_own": (
        "-t", "sh -c 'test /dev/console -ef /dev/pts/0; echo $?; stat -c %t /dev/console; "
        "(echo told > /dev/console) | cat'", 0, "0\r\n88\r\ntold\r\n", ""),
    "privileged_devices": ("--privileged", "sh -c 'mknod /tmp/k c 1 11; head -c 1 /tmp/k | wc -c'",
                           0, "1\n", ""),
    "privileged_has_the_hosts_devices": (
        "--privileged", "sh -c 'stat -c \"%n %F %t %T\" /dev/kmsg; head -c 1 /dev/kmsg | wc -c; ls -l /dev/ptmx | cut -c1'",
        0, "/dev/kmsg character special file 1 b\n1\nl\n", ""),
    "limits_of_a_process": ("--ulimit nofile=100:200", "sh -c 'ulimit -n; ulimit -Hn'", 0,
                            "100\n200\n", ""),
    "all_limits": ("", "cat /proc/self/limits", 0, None, ""),
    "mask_and_signals": ("", "sh -c 'umask; grep Sig /proc/self/status'", 0, None, ""),
    "groups": ("", "sh -c 'cat /proc/self/cgroup /proc/self/oom_score_adj'", 0, "0::/\n0\n", ""),
    "mounts": ("", "sh -c 'cut -d\" \" -f2,3,4 /proc/mounts | grep -v \"^/ \"'", 0, None, ""),
    "pids_limit": ("--pids-limit 8",
                   "sh -c 'for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; echo here'", 2, "",
                   "can't fork"),
    "pids_limit_is_seen": ("--pids-limit 8", "cat /sys/fs/cgroup/pids.max", 0, "8\n", ""),
    "memory_limit_is_seen": ("-m 48m", "cat /sys/fs/cgroup/memory.max", 0, "50331648\n", ""),
    "cpus": ("--cpus 1.5", "true", 0, "", ""),
    "entry_point": ("--entrypoint echo", "a 'b c'", 0, "a b c\n", ""),
    "input": ("-i", "cat", 0, "one\ntwo", "", "printf 'one\\ntwo'"),
    "much_input": ("-i", "wc -c", 0, "1000000\n", "", "$B head -c 1000000 /dev/zero"),
    "input_not_asked_for": ("", "cat", 0, "", "", "echo lost"),
    "input_not_read": ("-i", "true", 0, "", "", "$B head -c 1000000 /dev/zero"),
    "much_output": ("", "sh -c 'yes | head -c 100000 | tee /dev/stderr'", 0, "y\n" * 50000, None),
    "terminal": ("-t", "sh -c 'test -t 0 && test -t 2 && tty; ls -l /dev/console | cut -c 1'", 0,
                 "/dev/pts/0\r\nc\r\n", ""),
    "terminal_input": ("-t -i", "cat", 1, "", "the input device is not a TTY", "echo x"),
    "image_is_what_was_packed": (
        "--oom-score-adj 5",
        "sh -c 'stat -c \"%a:%u:%g\" /; stat -c %h /more/f /more/h; stat -c \"%n %y\" /more/nano /more/late /more/dir; "
        "cat $(find /more/d -name end); readlink /more/long | wc -c; stat -c \"%F %t:%T %a\" /more/null; "
        "df / | tail -n 1 | wc -w; cat /proc/self/oom_score_adj; ls -a /'", 0,
        "711:7:8\n3\n3\n/more/nano 1970-01-01 00:00:12.345678901 +0000\n"
        "/more/late 2128-06-11 08:53:20.000000000 +0000\n/more/dir 1970-01-01 00:01:17.000000000 +0000\n"
        "deep1402\ncharacter special file 1:3 644\n6\n5\n"
        ".\n..\n.dockerenv\nbin\ndev\netc\nmore\nproc\nroot\nsys\ntmp\n", ""),
    "attributes_of_the_image_are_there_and_can_be_changed": (
        "", "sh -c 'cd /more; ./attributes x xd; ./attributes -s x user.b 2; chown 1 x; ./attributes x'", 0,
        f"x security.capability={CAPABILITY.hex()}\nx user.a=6f6e65\nxd user.dir=64\n"
        f"x security.capability={CAPABILITY.hex()}\nx user.a=6f6e65\nx user.b=32\n"
        "x user.a=6f6e65\nx user.b=32\n", ""),
    "command_line_of_the_machine": ("", "grep -c bothy.guest /proc/cmdline", 1, "0\n", ""),
    "cpu_limits_are_seen": ("--cpus 0.5 -c 512", "cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu.weight", 0,
                            "50000 100000\n20\n", ""),
    "space_without_a_limit": (
        "", "sh -c 'for f in /x /dev/shm/x; do dd if=/dev/zero of=$f bs=1M count=60 2>/dev/null; stat -c %s $f; done'",
        0, "62914560\n62914560\n", ""),
    "hosts_and_names": ("--add-host a:10.0.0.1 --dns 10.0.0.2 --dns-search x.org --group-add 77 -u 5",
                        "sh -c 'cat /etc/hosts /etc/resolv.conf; id -G; readlink /etc/mtab'", 0, None, ""),
    "volume_without_a_name": ("-v /more --read-only", "sh -c 'ls -A /more; touch /more/new && cat /more/f'", 0, None, ""),
    "tmpfs_words": ("--tmpfs /t:exec,size=64k,mode=700 --tmpfs /u:ro", "sh -c 'stat -c %a /t; touch /u/x'", 1, "700\n",
                    "Read-only file system"),
    "directory_of_a_file": ("-w /etc/passwd", "pwd", 125, "", "not a directory"),
}

# What a VM cannot do is refused by name when it is asked for.
REFUSED = {
    "--network host": "--runtime vm cannot be combined with --network host",
    "-v /tmp:/x": "--runtime vm does not support volumes",
    "--device /dev/null": "--runtime vm does not support --device",
    "-m 16m": "--runtime vm needs a memory limit of",
    "--cpus 65": "--runtime vm supports up to 64 CPUs",
    "-p 80:80": "port publishing (-p) is not supported",
    "--cgroupns host": "--runtime vm cannot be combined with --cgroupns host",
}

LIVE = r"""
handler='trap "echo got usr1" USR1; trap "echo bye; exit 7" TERM; echo ready; while :; do sleep 0.05; done'
until_log() { # CONTAINER TEXT
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        bothy logs $1 | $B grep -q "$2" && return
        $B sleep 0.05
    done
    echo "$1 never said $2"
}
status() { bothy inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Running}}' $1; }
live() { # WALL
    bothy run -d --name aa --runtime $1 busybox sh -c "$handler" | $B wc -c
    until_log aa ready
    bothy ps | $B tail -n 1 | $B sed 's/^[0-9a-f]* *//; s/ [0-9A-Z][a-z]* .* ago/ AGO/; s/Up .* second[s]*/UP/'
    status aa
    bothy exec aa true 2>/tmp/exec || $B grep -q 'not supported' /tmp/exec && echo exec
    bothy kill -s USR1 aa
    until_log aa usr1
    bothy kill -s WINCH aa
    bothy stop aa
    status aa
    bothy logs aa
    bothy logs --tail 1 aa
    bothy start aa; until_log aa ready
    bothy rm aa
    bothy rm -f aa
    bothy run -d --name bb --runtime $1 busybox sleep 1000 >/dev/null
    bothy stop -t 1 bb; status bb
    bothy rm bb
    bothy run -d --name cc --runtime $1 busybox sh -c 'trap "" TERM; while :; do sleep 1; done' >/dev/null
    bothy stop -t 1 cc; status cc; bothy rm cc
    bothy run -d --name dd --runtime $1 busybox sh -c 'sleep 0.3; echo done; exit 9' >/dev/null
    bothy logs -f dd; bothy wait dd; bothy wait dd
    bothy rm dd
    bothy run -d --name ee --runtime $1 busybox sleep 1000 >/dev/null
    bothy kill ee; status ee; bothy rm ee
    bothy run --name ff -m 48m --runtime $1 busybox dd if=/dev/zero of=/dev/null bs=200M count=1
    echo $?; status ff; bothy rm ff
    bothy run --name gg -m 48m --runtime $1 busybox sh -c 'dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null; echo $?; exit 4'
    echo $?; status gg; bothy rm gg
    bothy ps -a | $B wc -l
}
"""


def script():
    """The shell script of all rows: each prints a frame of status, output and errors."""
    lines = ["B=/boot/files/busybox; export PATH=/bin", LIVE,
             "frame() { printf '\\002%s %s %s\\n' $1 $2 $3; $B cat /tmp/out; printf '\\003'; "
             "$B cat /tmp/err; printf '\\004\\n'; }"]
    for name, row in RUNS.items():
        feed = f"{row[5]} | " if len(row) > 5 else ""
        for wall in WALLS:
            lines.append(f"{feed}bothy run --rm --runtime {wall} --hostname box {row[0]} busybox "
                         f"{row[1]} >/tmp/out 2>/tmp/err; frame {name} {wall} $?")
    for wall in WALLS:
        lines.append(f"live {wall} >/tmp/out 2>/tmp/err; frame live {wall} $?")
    lines.append("bothy run -d --name root --runtime vm busybox sleep 100 >/dev/null; "
                 "$B cut -d' ' -f5,6 /proc/$(bothy inspect -f '{{.State.Pid}}' root)/mountinfo "
                 ">/tmp/out 2>/tmp/err; frame root vm $?; bothy rm -f root >/dev/null")
    for i, option in enumerate(REFUSED):
        lines.append(f"bothy run --rm --runtime vm {option} busybox true >/tmp/out 2>/tmp/err; "
                     f"frame refused{i} vm $?")
    return "\n".join(lines) + "\n"


def awkward_layer(attributes):
    """What a simple archive has no space for, and the program `attributes`."""
    REG, DIR, SYM, LNK = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE

    def info(name, kind=REG, **fields):
        i = tarfile.TarInfo(name)
        i.type = kind
        for key, value in fields.items():
            setattr(i, key, value)
        return i
    return tar([info("./", DIR, mode=0o711, uid=7, gid=8), ("more", DIR, None), ("more/f", REG, "x"),
                ("more/g", LNK, "more/f"), ("more/h", LNK, "more/f"),
                info("more/nano", pax_headers={"mtime": "12.345678901"}),
                info("more/late", pax_headers={"mtime": "5000000000"}), ("more/long", SYM, "x/" * 700 + "y"),
                ("more/" + "d/" * 200 + "end", REG, "deep"), info("more/dir", DIR, mtime=77, mode=0o755),
                ("more/dir/a", REG, "1"), info("more/null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o644),
                ("more/attributes", REG, attributes),
                info("more/x", mode=0o755, pax_headers={"SCHILY.xattr.user.a": "one",
                                                        "SCHILY.xattr.security.capability": CAPABILITY.decode()}),
                info("more/xd", DIR, mode=0o755, pax_headers={"SCHILY.xattr.user.dir": "d"})])


def attributes_program(tmp):
    path = os.path.join(tmp, "attributes")
    source = os.path.join(ROOT, "tests/system/attributes.c")
    subprocess.run(["cc", "-static", "-O1", "-Wall", "-Werror", "-o", path, source], check=True)
    with open(path, "rb") as f:
        return f.read()


def boot(tmp):
    paths = {"image": os.path.join(tmp, "busybox.tar"), "script": os.path.join(tmp, "script")}
    with open(paths["image"], "wb") as f:
        f.write(docker_archive("busybox:latest", [busybox_layer(), awkward_layer(attributes_program(tmp))]))
    with open(paths["script"], "w") as f:
        f.write(script())
    return subprocess.run(
        [os.path.join(ROOT, "tools/run"), "--timeout", "880", "--image", paths["image"], "--file",
         f"{BUSYBOX}:busybox", "--file", f"{paths['script']}:script", "-c",
         "/boot/files/busybox sh /boot/files/script", *sys.argv[1:]],
        capture_output=True, stdin=subprocess.DEVNULL, check=False)


def frames(output):
    """{(name, wall): (status, out, err)}; ids are made the same."""
    found = {}
    for m in re.finditer(rb"\x02(\S+) (\S+) (\d+)\n(.*?)\x03(.*?)\x04\n", output, re.S):
        name, wall, status, out, err = m.groups()
        text = [re.sub(r"\b[0-9a-f]{64}\b", "ID", t.decode(errors="replace")) for t in (out, err)]
        found[name.decode(), wall.decode()] = (int(status), *text)
    return found


def judge_run(name, row, found):
    """What is wrong, or None."""
    got = [found.get((name, wall)) for wall in WALLS]
    if None in got:
        return "did not run"
    domain, vm = got
    if domain != vm:
        return "in a domain {!r:.500}, in a VM {!r:.500}".format(domain, vm)
    status, out, err = domain
    if status != row[2]:
        return f"status {status}, not {row[2]}: {err!r}"
    if row[3] is not None and out != row[3]:
        return f"output {out!r}, not {row[3]!r}"
    if row[4] is not None and (row[4] not in err or (row[4] == "" and err)):
        return f"errors {err!r} lack {row[4]!r}"
    return None


LIVE_OUTPUT = """\
65
busybox   "sh -c trap \\"echo go…"   AGO   UP             aa
running 0 false true
exec
aa
aa
aa
exited 7 false false
ready
got usr1
bye
bye
aa
aa
bb
exited 137 false false
bb
cc
exited 137 false false
cc
done
9
9
dd
ee
exited 137 false false
ee
137
exited 137 true false
ff
137
4
exited 4 true false
gg
1
"""


def judge_live(found):
    got = [found.get(("live", wall)) for wall in WALLS]
    if None in got:
        return "did not run"
    if got[0] != got[1]:
        return "\n".join(["differs:"] + [f"--- {w}\n{g[1]}--- errors\n{g[2]}" for w, g in
                                         zip(WALLS, got)])
    status, out, err = got[0]
    if out != LIVE_OUTPUT:
        return f"output {out!r}, not {LIVE_OUTPUT!r}"
    return None


def main():
    with tempfile.TemporaryDirectory(prefix="walls-") as tmp:
        p = boot(tmp)
    found = frames(p.stdout)
    verdicts = {name: judge_run(name, row, found) for name, row in RUNS.items()}
    verdicts["life_of_a_container"] = judge_live(found)
    root = found.get(("root", "vm"), (None, "did not run", ""))[1].splitlines()
    good = len(root) == 7 and all(re.search(r" ro(,|$)", line) for line in root)
    verdicts["a_vmm_can_write_to_no_file"] = None if good else repr(root)
    for i, (option, words) in enumerate(REFUSED.items()):
        status, _, err = found.get((f"refused{i}", "vm"), (None, "", "did not run"))
        good = status == 125 and words in err and err.count("\n") == 1
        verdicts["refused: " + option] = None if good else f"status {status}: {err!r}"
    for name, why in verdicts.items():
        print(f"FAIL {name}: {why[:2000]}" if why else f"ok {name}")
    if p.returncode:
        print(f"FAIL boot: status {p.returncode}: {p.stderr[-2000:].decode(errors='replace')}")
    return 1 if p.returncode or any(verdicts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
