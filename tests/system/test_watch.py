#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The watch: `tools/run --watch` fails where the kernel keeps a processor for too long, and only there."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import commands, run
from suite import expect, expect_in, main

WATCHED = 126


def watched(*lines):
    p = run("--watch", *commands(*lines))
    return p.returncode, p.stderr


def test_a_stretch_below_the_bound_passes():
    expect(watched("debug watch spin 400"), (0, ""))


def test_a_stretch_without_a_yield_fails_and_is_shown():
    status, said = watched("debug watch spin 700")
    expect(status, WATCHED, "status")
    expect_in("us without a yield", said)
    expect_in("cmd_watch", said)


def test_interrupts_off_for_too_long_fail_and_are_shown():
    status, said = watched("debug watch spin 150 off")
    expect(status, WATCHED, "status")
    expect_in("us with interrupts off", said)
    expect_in("cmd_watch", said)


def test_a_container_and_a_vm_are_within_the_bounds():
    expect(watched("run --rm hello", "run --rm --runtime vm hello"), (0, ""))


if __name__ == "__main__":
    main(sys.modules[__name__])
