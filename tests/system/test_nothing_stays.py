#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A hundred containers and eight VMs start, run and stop in one boot; then, with the caches
emptied, the machine has the pages, threads and open files of before the image was loaded.

What may differ is bounded: the engine's own heap, slabs that a few objects hold half empty (of none
is there one more for each start), and what the processors keep for VMs once there was one."""
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import BUSYBOX, ROOT, busybox_layer, docker_archive

CPU_AREAS_KIB = 16  # a page for the host's state, one for its VMCB, on each of two processors
SPOOL_KIB = 4  # the page in which the engine notes how far a pipe has been logged
OBJECTS_MORE = 30  # of one kind; the starts are 108
SLABS_MORE_KIB = 256
ENGINE_GROWTH_KIB = 384  # 256 events of half a KiB, and what malloc keeps; with the keeper

SCRIPT = r"""
B=/boot/files/busybox
export PATH=/bin
engine() {
    for p in /proc/[0-9]*; do
        { read comm < $p/comm; } 2>/dev/null && case $comm in engine|keeper) $B grep VmRSS $p/status;; esac
    done
}
state() {
    echo "state $1"
    bothy ps -a | $B wc -l
    $B ls /sys/fs/cgroup/bothy | $B grep -vc '\.' 
    $B cat /proc/sys/fs/file-nr /proc/mounts
    engine
}
# NUMBER OPTIONS...: containers of every kind, in turn
some() {
    n=$1; shift
    i=0
    while [ $i -lt $n ]; do
        bothy run --rm "$@" busybox sh -c 'echo x > /tmp/x; cat /tmp/x; exit 3' >/dev/null
        bothy run --name a$i "$@" busybox nosuch >/dev/null 2>&1
        bothy run -d --name b$i "$@" busybox sleep 1000 >/dev/null
        bothy run -d --name c$i -t "$@" busybox sh -c 'trap "exit 0" TERM; while :; do sleep 0.05; done' >/dev/null
        echo data | bothy run -i --name d$i "$@" busybox wc -c >/dev/null
        bothy kill b$i >/dev/null
        bothy stop -t 3 c$i >/dev/null
        bothy rm a$i b$i c$i d$i >/dev/null
        i=$((i+1))
    done
}
case $1 in
state) state ;;
work)
    bothy load -i /boot/files/busybox.tar
    some 20
    bothy run -d --name ee busybox sleep 1000 >/dev/null
    bothy exec ee echo executed
    bothy rm -f ee >/dev/null
    some 1 --runtime vm
    bothy run --rm --runtime vm busybox echo once
    bothy run --rm --runtime vm -m 48m --read-only busybox echo twice
    bothy run -d --rm --name ff --runtime vm busybox sleep 1000 >/dev/null
    bothy rm -f ff >/dev/null
    bothy rmi busybox >/dev/null ;;
esac
"""

# What ends in the background (an exit, a grace period on the other processor) gets a moment.
MEASURE = ["/boot/files/busybox sleep 0.3", "debug drop-caches", "/boot/files/busybox sleep 0.2",
           "/boot/files/busybox sh /boot/files/script state", "debug drop-caches", "debug mem",
           "debug threads", "debug slab"]


def boot(tmp):
    tar, script = os.path.join(tmp, "busybox.tar"), os.path.join(tmp, "script")
    with open(tar, "wb") as f:
        f.write(docker_archive("busybox:latest", [busybox_layer()]))
    with open(script, "w") as f:
        f.write(SCRIPT)
    commands = MEASURE + ["/boot/files/busybox sh /boot/files/script work"] + MEASURE
    return subprocess.run(
        [os.path.join(ROOT, "tools/run"), "--timeout", "600", "--file", f"{BUSYBOX}:busybox",
         "--file", tar, "--file", script, *sum((["-c", c] for c in commands), []), *sys.argv[1:]],
        capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False)


def states(output):
    """The two states: counts of containers, groups, files, mounts, threads, KiB of pages."""
    found = []
    for part in output.split("state \n")[1:]:
        lines = part.splitlines()
        mem = re.search(r"^total \d+ KiB, free (\d+) KiB, slab (\d+) KiB, page tables (\d+) KiB", part, re.M)
        rss = re.findall(r"^VmRSS:\s+(\d+) kB", part, re.M)
        threads = re.findall(r"^(\S+)\s+0xffff\w+", part, re.M)
        objects = {name: int(n) for name, n in re.findall(
            r"^(\S+)\s+size\s+\d+\s+slabs.*objects (\d+)", part, re.M)}
        found.append({"lines": lines, "free": int(mem.group(1)), "engine": sum(map(int, rss)),
                      "threads": sorted(threads), "objects": objects,
                      "slab": int(mem.group(2)), "tables": int(mem.group(3)),
                      "files": lines[2].split()[0],
                      "things": [lines[0], lines[1]],
                      "mounts": [x for x in lines if re.match(r"\S+ /", x)]})
    return found


def judge(before, after):
    """(promise, what is wrong or None) pairs."""
    yield "no_container_stays", None if before["things"] == after["things"] == ["1", "0"] else (
        f"containers' header and groups: {before['things']}, then {after['things']}")
    for what in ("threads", "files", "mounts"):
        yield f"no_{what}_stay", None if before[what] == after[what] else (
            f"{before[what]}, then {after[what]}")
    grown = after["engine"] - before["engine"]
    yield "the_engine_stays_small", None if grown <= ENGINE_GROWTH_KIB else f"{grown} KiB more"
    slabs = after["slab"] - before["slab"]
    tables = after["tables"] - before["tables"]  # of the engine's heap
    lost = before["free"] - after["free"] - max(grown, 0) - max(slabs, 0) - max(tables, 0)
    yield "no_pages_stay", None if lost <= CPU_AREAS_KIB + SPOOL_KIB and tables <= 16 else (
        f"{lost} KiB less are free, page tables {tables} KiB more")
    more = {k: n - before["objects"].get(k, 0) for k, n in after["objects"].items()}
    more = {k: n for k, n in more.items() if n > OBJECTS_MORE}
    yield "no_objects_stay", None if not more else f"more objects: {more}"
    yield "slabs_are_given_back", None if slabs <= SLABS_MORE_KIB else f"{slabs} KiB more"


def main():
    with tempfile.TemporaryDirectory(prefix="stays-") as tmp:
        p = boot(tmp)
    found = states(p.stdout)
    if p.returncode or len(found) != 2:
        print(f"FAIL boot: status {p.returncode}: {p.stdout[-1000:]} {p.stderr[-2000:]}")
        return 1
    if os.environ.get("VERBOSE"):
        print(p.stdout)
    verdicts = list(judge(*found))
    for name, why in verdicts:
        print(f"FAIL {name}: {why}" if why else f"ok {name}")
    for line in ("executed", "once", "twice"):
        if line not in p.stdout.splitlines():
            print(f"FAIL the_work_was_done: no {line!r}")
            return 1
    return 1 if any(why for _, why in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
