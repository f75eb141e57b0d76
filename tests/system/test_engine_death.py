#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The console's engine dies, again and again: init starts it anew, and what ran has ended."""
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
pids() { for p in /proc/[0-9]*; do read c < $p/comm && [ "$c" = "$1" ] && echo ${p#/proc/}; done; }
up() { until bothy version >/dev/null 2>&1; do $B usleep 20000; done; }
"""

BATCH = Batch(timeout=100)


def image():
    BATCH.options += ["--image", busybox_image(BATCH.folder.name)]


image()
BATCH.case("deaths", FUNCTIONS + f"""
i=0
while [ $i -lt {DEATHS} ]; do
    bothy run -d busybox sleep 1000 >/dev/null
    bothy run -d --privileged busybox sh -c 'sleep 1001 & sleep 1002' >/dev/null
    $B sleep 1
    $B kill -9 $(pids engine); up
    echo "left: $(pids sleep)"; bothy ps -aq; bothy run --rm busybox echo again
    i=$((i+1))
done""")
BATCH.case("nothing_stays", """
/boot/files/busybox ls /sys/fs/cgroup/bothy | /boot/files/busybox grep -v '[.]'
/boot/files/busybox ls /var/lib/bothy/containers /var/lib/bothy/tmp""")


def test_engine_comes_back_however_often_it_dies():
    status, out = BATCH.result("deaths")
    expect(status, 0, out)
    expect(out.count("left: \n"), DEATHS, f"times that nothing was left: {out}")
    expect(out.count("again\n"), DEATHS, f"containers that ran: {out}")


def test_what_ran_under_a_dead_engine_leaves_nothing():
    _, out = BATCH.result("nothing_stays")
    expect([x for x in out.split() if not x.endswith(":")], [], "left")
    expect_in("containers", out)


if __name__ == "__main__":
    suite.main(sys.modules[__name__])
