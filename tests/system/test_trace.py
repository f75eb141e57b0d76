#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trace points: each kind tells what happened, only while it is on, and costs nothing while it is off."""
import os
import re
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import ROOT, commands, run
from engine_fixture import BUSYBOX
from suite import expect, main

BOX = "/boot/files/busybox"
# (kind, what is done while it is on)
DONE = [
    ("signal", BOX + " sh -c 'trap : TERM; kill -TERM $$'"),
    ("block", BOX + " dd if=/dev/vda of=/dev/null bs=4096 skip=3 count=1"),
    ("fault", BOX + " true"),
    ("syscall", BOX + " usleep 1000"),
    ("sched", BOX + " usleep 1000"),
    ("vm", "run --rm --runtime vm hello"),
]
LINE = re.compile(r"^ *\d+\.\d{9} cpu\d+ (\S+) +((\w+?)_\w+) (.*)$")


def traced():
    """What was traced of each kind: (thread, point, what it says)."""
    lines = ["debug trace"]
    for kind, command in DONE:
        lines += ["debug trace clear", f"debug trace on {kind}", command, "debug trace off all", f"debug trace show {kind}"]
    with tempfile.TemporaryDirectory(prefix="bothy-trace-") as folder:
        p = run("--timeout", "600", "--disk", os.path.join(folder, "disk") + ",size=1M", "--file", BUSYBOX + ":busybox",
                *commands(*lines, "debug trace clear", BOX + " true", "debug trace show all", "debug trace"))
    expect(p.returncode, 0, p.stdout + p.stderr)
    found = {kind: [] for kind, _ in DONE}
    for m in filter(None, map(LINE.match, p.stdout.splitlines())):
        found[m[3]].append((m[1], m[2], m[4]))
    expect((p.stdout.count(" on\n"), p.stdout.count("sched_switch ") > 2), (0, True), "points that are on")
    return found


def expect_event(events, thread, point, what):
    if not any(e[:2] == (thread, point) and re.fullmatch(what, e[2]) for e in events):
        raise AssertionError(f"no {point} of {thread} like {what!r} in {events[:40]}")


def test_each_kind_tells_what_happened():
    found = traced()
    expect_event(found["signal"], "busybox", "signal_send", r"15 to process \d+: 0")
    expect_event(found["signal"], "busybox", "signal_take", r"15 by thread \d+, code 0")
    expect_event(found["block"], "busybox", "block_submit", r"op 0 at 24, \d+ sectors")
    expect(any(point == "block_done" and text.startswith("op 0 at 24: 0") for _, point, text in found["block"]), True,
           "the end of the request")
    expect_event(found["fault"], "busybox", "fault_page", r"at [0-9a-f]+ by [0-9a-f]+, error [0-9a-f]+")
    expect_event(found["syscall"], "busybox", "syscall_enter", r"nr (35|230) \([0-9a-f]+, [0-9a-f]+\)")  # a sleep
    expect_event(found["syscall"], "busybox", "syscall_exit", r"nr (35|230) = 0")
    expect_event(found["sched"], "busybox", "sched_switch", r"from [0-9a-f]+ to [0-9a-f]+, top of stack [0-9a-f]+")
    expect(any(point == "sched_wake" for _, point, _ in found["sched"]), True, "the wake-up of what slept")
    expect(len([e for e in found["vm"] if e[1] == "vm_exit"]) > 100, True, "exits of a guest")


def cost(text):
    return [float(n) for n in re.findall(r"^(?:getppid|pipe[ _]trip)\s+(\S+)", text, re.M)]


def test_a_point_that_is_off_costs_nothing():
    ubench = "/boot/files/ubench"
    rows = [f"{ubench} getppid", f"{ubench} pipe_trip"]
    p = run("--timeout", "600", "--icount", "--file", os.path.join(ROOT, "build/tests/ubench"),
            *commands(*rows, "debug trace on all", *rows, "debug trace off all", *rows))
    expect(p.returncode, 0, p.stdout + p.stderr)
    before, on, after = (cost(p.stdout)[i:i + 2] for i in (0, 2, 4))
    expect(len(after), 2, p.stdout)
    for i in range(2):
        expect(abs(after[i] - before[i]) <= before[i] / 500 and on[i] > before[i] + 100, True, f"{before} {on} {after}")


if __name__ == "__main__":
    main(sys.modules[__name__])
