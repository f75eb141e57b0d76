#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A VM's start takes its time, the first one of an image above all: others do not wait for it, and
it can be given up. On Bothy."""
import os
import subprocess
import sys
import tarfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import suite
from bothy import Batch, put
from engine_fixture import ROOT, busybox_layer, docker_archive, tar
from suite import expect, expect_in

BATCH = Batch(timeout=1500)
# Enough files that the first packing takes a while.
MANY = tar([("many", tarfile.DIRTYPE, None)] +
           [("many/%d" % i, tarfile.REGTYPE, "x" * 4000) for i in range(1000)])
for tag in ("big:1", "big:2", "big:3"):
    layers = [busybox_layer(), MANY, tar([("tag", tarfile.REGTYPE, tag)])]
    BATCH.options += ["--image", put(BATCH.folder.name, tag.replace(":", "") + ".tar",
                                     docker_archive(tag, layers))]
PROGRAM = os.path.join(BATCH.folder.name, "attach_and_leave")
subprocess.run(["cc", "-static", "-O1", "-Wall", "-Werror", "-o", PROGRAM,
                os.path.join(ROOT, "tests/system/attach_and_leave.c")], check=True)
BATCH.options += ["--file", PROGRAM]

BATCH.case("others", """
bothy run --rm --runtime vm -m 128m big:1 echo from the guest > /tmp/vm &
n=0
while [ ! -s /tmp/vm ] && bothy version >/dev/null; do n=$((n+1)); done
wait; /boot/files/busybox cat /tmp/vm; [ $n -gt 2 ] && echo answered meanwhile""")
BATCH.case("removal", """
bothy create --name g1 --runtime vm big:2 sleep 100 >/dev/null
bothy start g1 >/tmp/out 2>&1 &
until bothy top g1 >/dev/null 2>&1 || ! /boot/files/busybox true; do
    /boot/files/busybox ls /sys/fs/cgroup/bothy | /boot/files/busybox grep -q job && break
done
bothy rm -f g1; wait; bothy ps -aq
groups() { /boot/files/busybox ls /sys/fs/cgroup/bothy | /boot/files/busybox grep -v '[.]'; }
n=0 # a worker's group goes when its processes have ended: 10 s at most
while [ -n "$(groups)" ] && [ $n -lt 100 ]; do n=$((n+1)); /boot/files/busybox usleep 100000; done
groups
bothy run --rm --runtime vm -m 128m big:2 echo packed after all""")
BATCH.case("input", """
bothy create -i --name i1 --runtime vm -m 128m big:3 cat >/dev/null
/boot/files/attach_and_leave i1 'what was sent' || echo did not leave
bothy wait i1; bothy logs i1; bothy rm -f i1""")
BATCH.case("pause", """
bothy run -d --name p1 --runtime vm -m 128m big:2 sh -c 'while :; do echo tick; done' >/dev/null
bothy pause p1; bothy inspect -f '{{.State.Status}}' p1
a=$(bothy logs p1 | /boot/files/busybox wc -l); /boot/files/busybox usleep 300000
b=$(bothy logs p1 | /boot/files/busybox wc -l); [ $a = $b ] && echo stands still
bothy unpause p1; bothy rm -f p1""")


def test_others_are_served_while_a_vm_starts():
    status, out = BATCH.result("others")
    expect((status, out), (0, "from the guest\nanswered meanwhile\n"))


def test_vm_that_starts_can_be_removed():
    status, out = BATCH.result("removal")
    expect(status, 0, out)
    expect(out, "g1\npacked after all\n")


def test_input_of_a_client_that_leaves_while_a_vm_starts_is_kept():
    status, out = BATCH.result("input")
    expect((status, out), (0, "0\nwhat was senti1\n"))


def test_vm_can_be_paused():
    status, out = BATCH.result("pause")
    expect(status, 0, out)
    expect(out, "p1\npaused\nstands still\np1\np1\n")


if __name__ == "__main__":
    suite.main(sys.modules[__name__])
