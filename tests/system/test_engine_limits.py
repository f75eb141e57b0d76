#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Limits, and the road to the VMM, on a kernel with a whole cgroup v2: Debian's in the peer.

    test_engine_limits.py [--on linux|bothy]

On Bothy the console's own engine does the same.
"""
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import BUSYBOX, ROOT, USER, busybox_layer, docker_archive

# (name, console commands, what their output must be, ended by the last one's status)
CASES = [
    ("memory_limit_kills_the_container_alone",
     ["run --name oom --memory 16m busybox dd if=/dev/zero of=/dev/null bs=64M count=1",
      "inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' oom", "rm oom"],
     "true 137\noom\n0\n"),
    ("memory_limit_is_seen", ["run --rm --memory 32m busybox cat /sys/fs/cgroup/memory.max"],
     "33554432\n0\n"),
    ("pids_limit_stops_a_fork_bomb",
     ["run --rm --pids-limit 10 busybox sh -c 'i=0; while [ $i -lt 30 ]; do sleep 1 & i=$((i+1)); "
      "done 2>/dev/null; true' ", "run --rm busybox echo fine"], "fine\n0\n"),
    ("cpu_limit_is_set", ["run --rm --cpus 0.5 busybox cat /sys/fs/cgroup/cpu.max"],
     "50000 100000\n0\n"),
    ("memory_reservation_is_set_below_the_sum_of_all",
     ["run --rm --memory-reservation 32m -v /sys/fs/cgroup:/host busybox "
      "sh -c 'cat /sys/fs/cgroup/memory.low /host/bothy/memory.low'",
      "run --rm -v /sys/fs/cgroup:/host busybox cat /host/bothy/memory.low"], "33554432\n33554432\n0\n0\n"),
    ("reservations_that_no_number_holds_are_all_there_is",
     [f"run -d --name r{i} --memory-reservation {1 << 60} busybox sleep 1000" for i in range(16)] +
     ["run --rm -v /sys/fs/cgroup:/host busybox cat /host/bothy/memory.low",
      "rm -f " + " ".join(f"r{i}" for i in range(16))], None),
    ("processors_are_set",
     ["run --rm --cpuset-cpus 0 --cpuset-mems 0 busybox sh -c "
      "'cat /sys/fs/cgroup/cpuset.cpus /sys/fs/cgroup/cpuset.mems; nproc'"], "0\n0\n1\n0\n"),
    ("pause_and_unpause",
     ["run -d --name frz busybox sleep 100", "pause frz", "inspect -f '{{.State.Status}}' frz",
      "unpause frz", "rm -f frz"], None),
]
LINUX_ONLY = [
    # the VMM of this test is `hello`, which says nothing to the engine
    ("vm_that_ends_before_its_program_runs_is_told",
     ["run --rm --runtime vm --memory 32m busybox x y"], None),
]

SETUP = """
cp /files/hello /bin/vmm; mkdir -p /boot; echo kernel > /boot/bothy.elf
cd /tmp && echo agent > /boot/agent
mkfifo /tmp/ready; /files/engine --root /tmp/b --socket /run/docker.sock --ready-fd 7 7<>/tmp/ready &
head -c1 /tmp/ready >/dev/null
/files/bothy load -q -i /files/busybox.tar
"""


def script(cases):
    out = [SETUP]
    for name, commands, _ in cases:
        out.append(f"echo BEGIN {name}; (")
        out += ["/files/bothy " + c for c in commands]
        out.append("echo $?) 2>&1; echo END")
    out.append("echo BEGIN packed_image_is_whole; mkdir /tmp/x; cd /tmp/x; "
               "f=$(ls /tmp/b/packed/*.cpio); cpio -id < $f 2>/dev/null; "
               # the agent's bytes are on a page; behind them the end of their archive, to a block
               "tail -c +$((4096 - 120 + 1)) $f | cpio -id 2>/dev/null; cat sbin/init; "
               "n=$(stat -c %s /boot/agent); "
               "tail -c +$(((4096 + (n + 3) / 4 * 4 + 124 + 511) / 512 * 512 + 1)) $f | cpio -id 2>/dev/null; "
               "ls -l rootfs/bin/sh | grep -o 'busybox$'; "
               "cmp rootfs/bin/busybox /bin/busybox && echo same; echo END")
    out.append("echo BEGIN nothing_is_left; sleep 0.2; ls /sys/fs/cgroup/bothy | grep -v '\\.'; "
               "ls /tmp/b/containers /tmp/b/tmp | grep -v -e : -e '^$' -e '^empty$'; echo END")
    return "\n".join(out)


def judge(name, want, got):
    if got is None:
        return "did not run"
    if name == "pause_and_unpause":
        lines = got.split("\n")
        return None if lines[1:] == ["frz", "paused", "frz", "frz", "0", ""] else repr(got)
    if name == "reservations_that_no_number_holds_are_all_there_is":
        lines = got.split("\n")  # first the ids
        return None if lines[16:] == ["max"] + [f"r{i}" for i in range(16)] + ["0", ""] else repr(got)
    if name == "vm_that_ends_before_its_program_runs_is_told":
        ok = got.endswith("the virtual machine ended before its program ran\n125\n")
        return None if ok and got.count("\n") == 2 else repr(got)
    return None if got == want else f"{got!r}, not {want!r}"


def on_linux(tmp):
    image, sh = os.path.join(tmp, "busybox.tar"), os.path.join(tmp, "script.sh")
    cases = CASES + LINUX_ONLY
    with open(image, "wb") as f:
        f.write(docker_archive("busybox:latest", [busybox_layer()]))
    with open(sh, "w") as f:
        f.write(script(cases))
    files = [image, sh, os.path.join(USER, "engine"), os.path.join(USER, "keeper"), os.path.join(USER, "hello"),
             os.path.join(USER, "cli") + ":bothy"]
    command = [os.path.join(ROOT, "tools/linux-peer"), "--kvm", "--memory", "1024", "--module",
               "fs/overlayfs/overlay.ko", "--timeout", "1500", "-c", "sh /files/script.sh"]
    for f in files:
        command += ["--file", f]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, errors="replace").stdout
    results, name = {}, None
    for line in out.replace("\r\n", "\n").splitlines(keepends=True):
        if line.startswith("BEGIN "):
            name = line.split()[1]
            results[name] = ""
        elif line == "END\n":
            name = None
        elif name:
            results[name] += line
    wanted = [(n, w) for n, _, w in cases] + [("packed_image_is_whole", "agent\nbusybox\nsame\n"),
                                              ("nothing_is_left", "")]
    return [(n, judge(n, w, results.get(n))) for n, w in wanted]


def on_bothy(tmp):
    image = os.path.join(tmp, "busybox.tar")
    with open(image, "wb") as f:
        f.write(docker_archive("busybox:latest", [busybox_layer()]))
    results = []
    for name, commands, want in CASES:
        argv = [os.path.join(ROOT, "tools/run"), "--image", image, "--timeout", "1500"]
        for c in commands:
            argv += ["-c", c]
        p = subprocess.run(argv, stdout=subprocess.PIPE, text=True, errors="replace")
        results.append((name, judge(name, want, p.stdout + f"{p.returncode}\n")))
    return results


def main():
    with tempfile.TemporaryDirectory(prefix="engine-limits-") as tmp:
        results = on_bothy(tmp) if sys.argv[1:] == ["--on", "bothy"] else on_linux(tmp)
    for name, why in results:
        print(f"FAIL {name}: {why}" if why else f"ok {name}")
    return 1 if any(why for _, why in results) else 0


if __name__ == "__main__":
    if not os.path.exists(BUSYBOX):
        sys.exit("busybox-static is not installed")
    sys.exit(main())
