#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/relay.py counts its clients by what it may have open, and knows who speaks for others."""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tree import ROOT, expect, main

TOOLS = os.path.join(ROOT, "tools")
LIMITED = """import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (%d, %d))
import relay
made = relay.Relay(None, None, 0)
print(made.places._value, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def served(soft, hard):
    """(connections that a relay with these limits serves, its limit then)."""
    p = subprocess.run([sys.executable, "-B", "-c", LIMITED % (soft, hard)], capture_output=True, text=True, cwd=TOOLS)
    return tuple(map(int, p.stdout.split())) or p.stderr


def test_connections_have_descriptors():
    expect(served(256, 1024), (448, 1024))
    expect(served(100, 100), (1, 100))


def test_programs_that_speak_for_machines_are_known():
    sys.path.insert(0, TOOLS)
    import relay
    speak = ("qemu-system-x86", "slirp4netns", "passt.avx2", "VBoxHeadless", "VirtualBoxVM", "vmnet-natd", "krunvm", "muvm", "crun-krun")
    expect([name for name in speak if not relay.SPEAKS.search(name)], [])
    expect([name for name in ("docker", "krunner", "VBoxManage", "python3") if relay.SPEAKS.search(name)], [])


if __name__ == "__main__":
    main(sys.modules[__name__])
