#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The console's engine dies, again and again: init starts it anew, and what ran still does. test_engine_killed.py says
more of that, here and on Linux."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import suite
from bothy import Batch, busybox_image
from suite import expect, expect_in

DEATHS = 6

FUNCTIONS = """
B=/boot/files/busybox
pids() { for p in /proc/[0-9]*; do { read c < $p/comm; } 2>/dev/null && [ "$c" = "$1" ] && echo ${p#/proc/}; done; }
up() { until bothy version >/dev/null 2>&1; do $B usleep 20000; done; }
of() { bothy inspect -f "{{.State.$2}}" $1; }
"""

BATCH = Batch(timeout=1500)


def image():
    BATCH.options += ["--image", busybox_image(BATCH.folder.name)]


image()
BATCH.case("deaths", FUNCTIONS + f"""
bothy run -d --name lives busybox sh -c 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done' >/dev/null
bothy run -d --name deep --privileged busybox sh -c 'sleep 1001 & sleep 1002' >/dev/null
pid=$(of lives Pid)
i=0
while [ $i -lt {DEATHS} ]; do
    $B usleep 700000
    $B kill -9 $(pids engine); up
    [ "$(of lives Pid) $(of lives Status) $(of deep Status)" = "$pid running running" ] && echo found
    bothy exec lives echo inside; bothy run --rm busybox echo again
    i=$((i+1))
done
bothy logs lives | $B awk '$1 != NR - 1 {{ print "gap", NR, $0; exit }} END {{ print "lines", NR }}'
bothy rm -f lives deep""")
BATCH.case("keeper", FUNCTIONS + """
bothy run -d --name dies busybox sleep 1000 >/dev/null
$B kill -9 $(pids keeper)
until [ "$(of dies Status)" = exited ]; do $B usleep 20000; done
of dies ExitCode
until [ -z "$(pids sleep)" ]; do $B usleep 20000; done # killed, and on their way
bothy run --rm busybox echo again; bothy rm dies""")
BATCH.case("nothing_stays", """
/boot/files/busybox ls /sys/fs/cgroup/bothy | /boot/files/busybox grep -v '[.]'
/boot/files/busybox ls /var/lib/bothy/containers /var/lib/bothy/tmp""")


def test_containers_live_on_however_often_the_engine_dies():
    status, out = BATCH.result("deaths")
    expect(status, 0, out)
    for word in ("found\n", "inside\n", "again\n"):
        expect(out.count(word), DEATHS, f"times that it was so: {word} {out}")
    expect("gap" in out, False, out)
    expect_in("lines", out)


def test_containers_end_with_their_keeper():
    status, out = BATCH.result("keeper")
    said = [line for line in out.splitlines() if not line.startswith("engine: ")]
    expect((status, said), (0, ["255", "again", "dies"]), out)


def test_what_was_removed_leaves_nothing():
    _, out = BATCH.result("nothing_stays")
    expect([x for x in out.split() if not x.endswith(":")], [], "left")
    expect_in("containers", out)


if __name__ == "__main__":
    suite.main(sys.modules[__name__])
