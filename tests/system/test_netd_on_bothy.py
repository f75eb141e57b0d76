#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""netd on Bothy, with a card of QEMU's whose other end is QEMU's own network: 10.0.2.2, a DHCP server and a router."""
import os
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import RUN, put, run
from engine_fixture import BUSYBOX, ROOT
from suite import Skip, expect, expect_in, main, until
from wire import Wire

sys.path.insert(0, os.path.join(ROOT, "tools"))
from qmp import Qmp


class Running:
    """What Qmp asks of a process."""

    def __init__(self, over):
        self.over = over

    def poll(self):
        return self.over() or None


CARD = [f"--qemu={word}" for word in ("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net")]
HEAD = """
b=/boot/files/busybox
bothy net >/dev/null 2>&1 || { echo LACKS rtnetlink; exit 0; }
shows() { n=0; until bothy net | $b grep -q "$1"; do n=$((n + 1)); [ $n = 600 ] && { bothy net; $b dmesg | $b grep netd; exit 1; }; $b usleep 20000; done; }
"""


def boot(script, *options, card=CARD, meanwhile=None):
    """What the script prints. `meanwhile(over)` is called as it runs, until over() is true."""
    with tempfile.TemporaryDirectory() as folder:
        words = [RUN, "--timeout", "200", *card, *options, "--file", BUSYBOX + ":busybox", "--file", put(folder, "script", HEAD + script),
                 "-c", "/boot/files/busybox sh /boot/files/script"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL) as p:
            if meanwhile:
                meanwhile(lambda: p.poll() is not None)
            out, err = p.communicate()
    if "LACKS" in out:
        raise Skip("the kernel has no " + out.split("LACKS ")[1].strip())
    if p.returncode and "a socket for DHCP: Address family not supported" in out:
        raise Skip("the kernel has no packet sockets")
    expect((p.returncode, err), (0, ""), f"of {out!r}: status and errors")
    return out


def test_a_static_address_comes_from_the_command_line():
    out = boot("""
shows 'static  *10.0.2.15/24'
bothy net
$b cat /etc/resolv.conf
$b hostname
$b ping -c 1 -W 10 10.0.2.2
""", "--append", "bothy.net=eth0,10.0.2.15/24,gw=10.0.2.2,dns=10.0.2.3,search=lab.example,hostname=box7,nora")
    expect_in("# of netd\nnameserver 10.0.2.3\nsearch lab.example\nbox7\n", out)
    line = next(line.split() for line in out.splitlines() if line.startswith("default"))
    expect(line, ["default", "10.0.2.2", "eth0", "100", "static"])
    expect_in("1 packets received", out)


def test_a_vlan_of_the_command_line_is_made_and_configured():
    out = boot("""
shows 'static  *10.9.0.2/24'
bothy net
$b ip link show eth0.5
$b ip -4 route
""", "--append", "bothy.net=eth0,vlan=5,10.9.0.2/24,gw=10.9.0.1,nora")
    expect_in("eth0.5@eth0: <BROADCAST,MULTICAST,UP,LOWER_UP>", out)
    expect_in("default via 10.9.0.1 dev eth0.5", out)


def test_rules_come_from_a_file_of_the_medium():
    with tempfile.TemporaryDirectory() as folder:
        rules = put(folder, "net", "# the lab\neth0 10.0.2.77/24 gw=10.0.2.2 nora\n")
        out = boot("shows 'static  *10.0.2.77/24'\nbothy net\n", "--file", rules)
    expect_in("10.0.2.77/24", out)


def test_without_a_word_there_is_a_lease():
    out = boot("""
shows 'dhcp from 10.0.2.2, .* left'
bothy net
$b ping -c 1 -W 10 10.0.2.2
""")
    expect_in("10.0.2.15/24", out)
    expect_in("nameserver 10.0.2.3", out)
    expect_in("1 packets received", out)


def test_an_advertisement_gives_an_address_and_a_router():
    """QEMU's router, fe80::2, has the prefix fec0::/64."""
    out = boot("""
shows 'ra from fe80::2'
shows 'fec0::5054:ff:fe12:3456/64$'
bothy net
$b ip -6 route
""", "--append", "bothy.net=eth0,10.0.2.15/24,ra")
    line = next(line.split() for line in out.splitlines() if line.startswith("default (IPv6)"))
    expect(line[2:], ["fe80::2", "eth0", "100", "ra"])


def test_a_link_that_goes_and_comes_has_its_lease_confirmed():
    """QEMU pulls the plug and puts it back, again and again, until the script has seen what it waits for."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "qmp")

        def plug(over):
            control = Qmp(path)
            until(lambda: over() or os.path.exists(path), "the emulator is there")
            expect(control.connect(Running(over)), True, "QMP")
            while not over():
                for way in ("off", "on"):
                    control.monitor(f"set_link net {way}")
                    for _ in range(20):
                        if not over():
                            time.sleep(0.1)
            control.close()
        out = boot("""
says() { n=0; until $b dmesg | $b grep -q "$1"; do n=$((n + 1)); [ $n = 900 ] && { $b dmesg | $b grep netd; exit 1; }; $b usleep 20000; done; }
shows 'dhcp from 10.0.2.2, .* left'
says 'eth0: the carrier is lost'
$b rm /run/net/state.json
shows 'dhcp from 10.0.2.2, .* left'
until $b ping -c 1 -W 1 10.0.2.2; do :; done
bothy net
""", "--qemu=-qmp", f"--qemu=unix:{path},server=on,wait=off", "--append", "bothy.net=eth0,dhcp,nora", meanwhile=plug)
    expect_in("1 packets received", out)
    expect_in("10.0.2.15/24", out)


def test_two_cards_have_a_lease_each():
    second = [f"--qemu={word}" for word in ("-netdev", "user,id=net2,net=10.0.3.0/24", "-device", "e1000,netdev=net2")]
    out = boot("""
shows 'dhcp from 10.0.2.2, .* left'
shows 'dhcp from 10.0.3.2, .* left'
bothy net
$b ping -c 1 -W 10 10.0.2.2
$b ping -c 1 -W 10 10.0.3.2
""", card=CARD + second)
    routes = [line.split() for line in out.splitlines() if line.startswith("default ")]
    metrics = sorted((words[1], words[3]) for words in routes if words[1].startswith("10."))
    expect([m for _, m in sorted(metrics, key=lambda x: x[1])], ["100", "110"], str(routes))
    for part in ("10.0.2.15/24", "10.0.3.15/24"):
        expect_in(part, out)
    expect(out.count("1 packets received"), 2)


def test_a_server_that_is_absent_costs_nothing_but_the_lease():
    """All but the network works meanwhile, and the asking goes on."""
    with tempfile.TemporaryDirectory() as folder:
        wire = Wire(folder)
        wire.path = os.path.join(folder, "link")
        wire.socket.close()
        wire.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        wire.socket.bind(wire.path + ".peer")
        asked = []

        def hear(over):
            while not over():
                frame = wire.receive(0.2)
                if frame and frame[12:14] == b"\x08\x00" and frame[36:38] == b"\x00\x43":
                    asked.append(frame)
        out = boot("""
shows 'eth0'
bothy run --rm hello >/dev/null && echo runs
n=0; until [ $n = 60 ]; do n=$((n + 1)); $b usleep 50000; done
bothy net
""", "--net", f"socket:{wire.path}", card=[], meanwhile=hear)
        wire.socket.close()
    expect_in("runs", out)
    expect(len(asked) >= 2, True, "asked at least twice")
    expect("10.0." in out, False, out)


def test_what_makes_no_sense_on_the_command_line_is_said_on_the_console():
    words = ["bothy.net=eth0,10.0.2.15/33,gw=hello", "ip=1:2:3", "bothy.api=unix:///tmp/x", "bothy.api=10.0.2.15:2375",
             "bothy.demo=0", "filler=" + "x" * 3000, "bothy.mirror=x"]  # of which nothing is lost
    p = run("--append", " ".join(words))
    expect(p.returncode, 0, p.stderr)
    for part in ("netd: configuration: not understood: 10.0.2.15/33 (and 2 more: bothy net)", "bothy.api=unix:///tmp/x: it is tcp://ADDRESS:PORT: left out",
                 "-H 10.0.2.15:2375: it is tcp://ADDRESS:PORT: left out", "bothy.mirror=x on the command line is ignored"):
        expect_in(part, p.stdout)


def test_one_that_dies_is_started_again():
    out = boot("""
shows 'static  *10.0.2.15/24'
first=$($b pidof netd)
$b rm /run/net/state.json
$b kill -9 $first
shows 'static  *10.0.2.15/24'
second=$($b pidof netd)
[ -n "$second" ] && [ "$first" != "$second" ] && echo another
""", "--append", "bothy.net=eth0,10.0.2.15/24,hostname=box,nora")
    expect_in("another", out)


if __name__ == "__main__":
    main(sys.modules[__name__])
