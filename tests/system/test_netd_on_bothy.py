#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""netd on Bothy, with a card of QEMU's whose other end is QEMU's own network: 10.0.2.2, a DHCP server and a router."""
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import RUN, put
from engine_fixture import BUSYBOX
from suite import Skip, expect, expect_in, main

CARD = [f"--qemu={word}" for word in ("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net")]
HEAD = """
b=/boot/files/busybox
bothy net >/dev/null 2>&1 || { echo LACKS rtnetlink; exit 0; }
shows() { n=0; until bothy net | $b grep -q "$1"; do n=$((n + 1)); [ $n = 600 ] && { bothy net; $b dmesg | $b grep netd; exit 1; }; $b usleep 20000; done; }
"""


def boot(script, *options):
    """What the script prints."""
    with tempfile.TemporaryDirectory() as folder:
        words = [RUN, "--timeout", "200", *CARD, *options, "--file", BUSYBOX + ":busybox", "--file", put(folder, "script", HEAD + script),
                 "-c", "/boot/files/busybox sh /boot/files/script"]
        p = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    if "LACKS" in p.stdout:
        raise Skip("the kernel has no " + p.stdout.split("LACKS ")[1].strip())
    if p.returncode and "a socket for DHCP: Address family not supported" in p.stdout:
        raise Skip("the kernel has no packet sockets")
    expect((p.returncode, p.stderr), (0, ""), f"of {p.stdout!r}: status and errors")
    return p.stdout


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
