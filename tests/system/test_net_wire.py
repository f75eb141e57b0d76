#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A card with an address answers ARP and pings, and what is wrong, too much or a lie does it no harm."""
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import RUN, put
from engine_fixture import BUSYBOX
from suite import expect, expect_in, main
from wire import (ALL, ARP, HERE, IPV4, IPV6, MAC, BochsWire, Wire, arp, checksum, echo, ethernet, icmp6, ip, ip6, ipv4,
                  ipv6, fragments4, fragments6, link_local, segment, solicit)

THERE, DONE = "10.0.0.2", "10.0.0.99"
# The machine has an address; it stays until it has heard of DONE.
START = f"""
b=/boot/files/busybox
n=0; until $b ifconfig eth0 >/dev/null 2>&1 || [ $n = 200 ]; do n=$((n + 1)); $b usleep 20000; done
$b ifconfig eth0 {THERE} netmask 255.255.255.0 up || exit 1
$b route add default gw 10.0.0.254 || exit 2
"""
STAY = f"""
b=/boot/files/busybox
until $b grep -q '^{DONE} ' /proc/net/arp; do $b usleep 20000; done
echo "neighbours $($b grep -c eth0 /proc/net/arp)"
$b ifconfig eth0
"""
# The card has a VLAN; then segments go over it, which tell that it has. Who has been heard of is pinged for a while.
CARD = """
b=/boot/files/busybox
$b ip link add link eth0 name eth0.5 type vlan id 5 && $b ifconfig eth0.5 10.0.5.2 netmask 255.255.255.0 up
echo selftest netdev_wire >/proc/bothy/console
{ until $b ip -6 neigh | $b grep -q fe80; do $b usleep 20000; done; $b ping6 -c 100 -I eth0 ff02::1; } >/dev/null 2>&1 &
"""
TAG, HERE_TAGGED, THERE_TAGGED = b"\x81\0\0\5", "10.0.5.1", "10.0.5.2"
# The debug build's card hears nothing of what it is to send, and is reset; then it does not come back.
DEAF = """
b=/boot/files/busybox
fail() { echo "fail $1 every $2" >/proc/bothy/console; }
until_told() { until $b dmesg | $b grep -q "eth0: $1"; do $b ping -c 1 -W 1 10.0.0.77 >/dev/null; done; }
fail netdev_watch_soon 1; fail netdev_deaf 1
until_told 'has sent nothing for a while: it is reset'
fail netdev_gone 1
until_told 'the device does not answer any more'
for p in netdev_watch_soon netdev_deaf netdev_gone; do fail $p 0; done
$b cat /sys/class/net/eth0/carrier
$b ping -c 1 -W 1 10.0.0.77
$b ifconfig eth0 down; $b ifconfig eth0 up || echo "gone, and stays so"
"""
# The driver is taken off the card that is up, and given back.
UNBIND = """
b=/boot/files/busybox
for d in /sys/bus/pci/devices/*; do
    [ $($b cat $d/class) = 0x020000 ] || continue
    driver=$($b readlink -f $d/driver)
    echo ${d##*/} >$driver/unbind
    $b ifconfig eth0 2>/dev/null && exit 1
    echo ${d##*/} >$driver/bind
done
$b ifconfig eth0 up && echo bound again
$b dmesg | $b grep eth0
"""


class Machine:
    """A machine with a card whose other end is in `wire`. Left, it ends by itself, or the test fails."""

    def __init__(self, after=None, card="virtio", options=(), last=None, unbind=False, deaf=False, wire=Wire):
        self.folder = tempfile.TemporaryDirectory(prefix="bothy-wire-")
        self.wire = wire(self.folder.name, card)
        start, stay = (put(self.folder.name, name, text) for name, text in (("start", START), ("stay", STAY)))
        words = [*self.wire.prefix, RUN, "--timeout", "300", *self.wire.options, *options, "--file", BUSYBOX + ":busybox",
                 "--file", start, "--file", stay]
        self.monitor = os.path.join(self.folder.name, "monitor")
        if wire is not BochsWire:
            words += ["--qemu=-qmp", f"--qemu=unix:{self.monitor},server=on,wait=off"]
        if unbind:
            words += ["--file", put(self.folder.name, "unbind", (DEAF if deaf else "") + UNBIND)]
            last = "/boot/files/busybox sh /boot/files/unbind"
        for command in ("/boot/files/busybox sh /boot/files/start", after, "/boot/files/busybox sh /boot/files/stay",
                        last):
            words += ["-c", command] if command else []
        words += ["--append", "ip=off"]  # the card is the commands' alone, not netd's
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        stdin=subprocess.DEVNULL)
        self.mac = None

    def __enter__(self):
        question = ethernet(ALL, ARP, arp(1, HERE, THERE))
        end = time.monotonic() + 300
        while not self.mac and time.monotonic() < end and self.process.poll() is None:
            answer = self.wire.ask(question, self.is_arp(2), 0.5)
            self.mac = answer and answer[6:12]
            time.sleep(0 if answer else 0.05)
        if not self.mac:
            self.process.terminate()
            raise AssertionError(f"no answer to ARP: {self.process.communicate(timeout=300)}")
        return self

    def __exit__(self, kind, *rest):
        if kind:
            self.process.terminate()  # and with it the emulator
        self.process.communicate(timeout=300)
        self.wire.close()
        self.folder.cleanup()

    def link(self, up):
        """Plugs the card's cable in, or out."""
        self.ask_monitor("set_link", name=self.wire.name, up=up)

    def ask_monitor(self, what, **arguments):
        """The answer of QEMU's monitor."""
        with socket.socket(socket.AF_UNIX) as s, s.makefile("rw") as f:
            s.settimeout(120)
            s.connect(self.monitor)
            for execute in ({"execute": "qmp_capabilities"},
                            {"execute": what, "arguments": arguments}):
                f.write(json.dumps(execute))
                f.flush()
                while "return" not in (answer := json.loads(f.readline())):
                    expect("error" in answer, False, f"an error of the monitor: {answer}")
        return answer["return"]

    def is_arp(self, operation, target=None):
        return lambda f: f[12:14] == b"\x08\x06" and f[20:22] == bytes([0, operation]) and (
            target is None or f[38:42] == ip(target))

    def frame(self, packet, **how):
        return ethernet(how.pop("to", self.mac), IPV4, packet, **how)

    def ping(self, number, payload=b"", source=HERE, seconds=120.0, **how):
        """The answer's frame to a ping that is as it should be, or None."""
        return self.wire.ask(self.frame(ipv4(source, THERE, echo(number, payload), **how)), self.is_echo(number),
                             seconds)

    def is_echo(self, number):
        return lambda f: f[12:14] == b"\x08\x00" and f[23] == 1 and f[34] == 0 and f[40:42] == struct.pack(">H", number)

    def probe(self):
        """The frame by which it asks for its own address of IPv6."""
        self.wire.wait(lambda f: self.wire.probes, 0.01 if self.wire.probes else 120)
        return self.wire.probes[0]

    def finish(self):
        """What the machine printed."""
        end = time.monotonic() + 300
        while self.process.poll() is None and time.monotonic() < end:
            self.wire.send(ethernet(ALL, ARP, arp(1, DONE, THERE)))
            self.wire.wait(lambda f: False, 0.1)
        out, err = self.process.communicate(timeout=300)
        expect((self.process.returncode, err), (0, ""))
        return out


def is_echo(frame):
    """Whether it is an answer to some ping."""
    return frame is not None and frame[12:14] == b"\x08\x00" and frame[23] == 1 and frame[34] == 0


def expect_answer(frame, number, payload):
    expect(frame is not None, True, f"an answer to ping {number} of {len(payload)} bytes")
    total = struct.unpack(">H", frame[16:18])[0]
    packet = frame[14:14 + total]
    expect((frame[:6], packet[0], total), (MAC, 0x45, 28 + len(payload)))
    expect((packet[12:16], packet[16:20], checksum(packet[:20])), (ip(THERE), ip(HERE), 0))
    expect((packet[20:22], packet[24:28], checksum(packet[20:])), (b"\0\0", struct.pack(">HH", 77, number), 0))
    expect(packet[28:] == payload, True, "the payload comes back")


def test_arp_and_pings_of_all_sizes_are_answered():
    with Machine() as m:
        answer = m.wire.ask(ethernet(ALL, ARP, arp(1, HERE, THERE)), m.is_arp(2))
        expect((answer[6:12], answer[22:28], answer[28:32], answer[32:38], answer[38:42]),
               (m.mac, m.mac, ip(THERE), MAC, ip(HERE)))
        probe = m.wire.ask(ethernet(ALL, ARP, arp(1, "0.0.0.0", THERE)), m.is_arp(2, "0.0.0.0"))
        expect(probe is not None, True, "an answer to a probe")
        for number, size in enumerate((0, 1, 2, 17, 18, 56, 57, 117, 118, 119, 1000, 1471, 1472)):
            payload = bytes((number * 31 + i) % 256 for i in range(size))
            expect_answer(m.ping(number, payload), number, payload)
        expect_answer(m.ping(50, b"\0" * 64, options=b"\x01" * 8), 50, b"\0" * 64)
        out = m.finish()
    expect_in("inet addr:10.0.0.2  Bcast:10.0.0.255  Mask:255.255.255.0", out)
    received = int(out.split("RX packets:")[1].split()[0])
    expect(received > 15, True, f"frames counted: {received}")


def test_trace_points_tell_of_packets():
    with Machine(options=("-c", "debug trace on net"), last="debug trace show net") as m:
        expect_answer(m.ping(1, b"x" * 200), 1, b"x" * 200)
        out = m.finish()
    for point in ("net_receive device 2, queue 0: 242 bytes", "net_transmit device 2, flow "):
        expect_in(point, out)
    expect(len(re.findall(r"net_transmit device 2, flow \w+: 242 bytes", out)), 1, "answers that were traced")


def test_what_is_wrong_is_not_answered_and_does_no_harm():
    good = echo(1, b"x" * 40)
    with Machine() as m:
        head = ipv4(HERE, THERE, good)
        wrong = [
            m.frame(ipv4(HERE, THERE, good, wrong=1)),
            m.frame(ipv4(HERE, THERE, echo(1, b"x" * 40, wrong=0x100))),
            m.frame(ipv4(HERE, THERE, good, total=19)),
            m.frame(ipv4(HERE, THERE, good, total=1500)),
            m.frame(ipv4(HERE, THERE, good, total=27)),
            m.frame(ipv4(HERE, THERE, good, version=6)),
            m.frame(ipv4(HERE, THERE, good, length=4)),
            m.frame(ipv4(HERE, THERE, good, length=15)),
            m.frame(ipv4(HERE, THERE, good, flags=0x2000)),        # a first fragment
            m.frame(ipv4(HERE, THERE, good, flags=100)),           # a later one
            m.frame(ipv4(HERE, THERE, good, flags=0x1fff)),        # beyond the largest packet
            m.frame(ipv4(HERE, THERE, ipv4(THERE, HERE, good), protocol=4, flags=100)),
            m.frame(ipv4(HERE, "10.0.0.3", good)),
            m.frame(ipv4(HERE, "127.0.0.1", good)),
            m.frame(ipv4("127.0.0.1", THERE, good)),
            m.frame(ipv4("224.0.0.1", THERE, good)),
            m.frame(ipv4("255.255.255.255", THERE, good)),
            m.frame(ipv4(THERE, THERE, good)),
            m.frame(ipv4("10.0.0.255", THERE, good)),              # from the net's broadcast
            m.frame(ipv4(HERE, "10.0.0.255", good), to=ALL),       # as Linux: no broadcast is answered
            m.frame(head, to=bytes.fromhex("525400999999")),       # another card's
            m.frame(head, source=bytes.fromhex("530000000001")),   # from a group
            m.frame(ipv4(HERE, THERE, echo(1, b"x" * 40, kind=8, code=1))),
            m.frame(ipv4(HERE, THERE, echo(1, b"x" * 40, kind=13))),
            m.frame(ipv4(HERE, THERE, echo(1, b"x" * 40, kind=0))),
            ethernet(ALL, ARP, arp(1, HERE, "10.0.0.77")),
            ethernet(ALL, ARP, arp(9, HERE, THERE)),
            ethernet(ALL, ARP, b"\0\1\x08\0\x06\x04\0"),
            ethernet(m.mac, 0x86dd, b"\x60" + b"\0" * 60),
            ethernet(m.mac, 46, head), ethernet(m.mac, 0x1234, head),
            ethernet(m.mac, 0x8100, b"\0\5\x08\0" + head),
        ]
        wrong += [m.frame(head)[:n] for n in (14, 15, 33, 34, 41)] + [m.mac, b"x", m.mac + MAC]
        wrong += [ethernet(m.mac, IPV4, b"\x45" * n) for n in (0, 19, 20, 60, 1500)]
        for frame in wrong:
            m.wire.send(frame)
        # Frames come in order: whatever those had for an answer would come before this one's.
        # (It may ask whether we are still there: a busy host is slow.)
        answer = m.wire.ask(m.frame(ipv4(HERE, THERE, echo(2, b"alive"))), lambda f: f[12:14] != b"\x86\xdd" and f[23] != 17 and
                            f[12:14] + f[20:22] != struct.pack(">HH", ARP, 1))
        expect_answer(answer, 2, b"alive")
        m.finish()


def test_neighbours_are_asked_for_and_the_gateway_has_the_rest():
    with Machine() as m:
        # From a host that the machine knows no link address of: it asks, and then its answer comes.
        m.wire.send(m.frame(ipv4("10.0.0.7", THERE, echo(5, b"who"))))
        question = m.wire.wait(m.is_arp(1, "10.0.0.7"))
        expect((question[:6], question[22:28], question[28:32]), (ALL, m.mac, ip(THERE)))
        seven = bytes.fromhex("525400990007")
        answer = m.wire.ask(ethernet(m.mac, ARP, arp(2, "10.0.0.7", THERE, seven, m.mac), source=seven), m.is_echo(5))
        expect((answer[:6], answer[30:34]), (seven, ip("10.0.0.7")))
        # One that does not answer is asked for three times.
        m.wire.send(m.frame(ipv4("10.0.0.8", THERE, echo(6))))
        for n in range(3):
            expect(m.wire.wait(m.is_arp(1, "10.0.0.8"), 60) is not None, True, f"question {n} for a host that is silent")
        expect(m.wire.wait(m.is_arp(1, "10.0.0.8"), 3), None, "a fourth question")
        # From another network: by way of the gateway.
        m.wire.send(m.frame(ipv4("192.168.5.5", THERE, echo(7))))
        expect(m.wire.wait(m.is_arp(1, "10.0.0.254")) is not None, True, "a question for the gateway")
        gate = bytes.fromhex("5254009900fe")
        answer = m.wire.ask(ethernet(m.mac, ARP, arp(2, "10.0.0.254", THERE, gate, m.mac), source=gate), m.is_echo(7))
        expect((answer[:6], answer[30:34]), (gate, ip("192.168.5.5")))
        m.finish()


def test_a_protocol_that_is_not_there_is_answered_within_limits():
    with Machine() as m:
        packet = ipv4(HERE, THERE, b"x" * 700, protocol=200)
        answer = m.wire.ask(m.frame(packet), lambda f: f[12:14] == b"\x08\0" and f[34:36] == b"\3\2")
        total = struct.unpack(">H", answer[16:18])[0]
        expect((total, answer[30:34], checksum(answer[34:14 + total])), (576, ip(HERE), 0))
        expect(answer[42:14 + total] == packet[:548], True, "the packet that it is about")
        for _ in range(60):
            m.wire.send(m.frame(packet))
        errors, echoes = 0, 0
        m.wire.send(m.frame(ipv4(HERE, THERE, echo(9, b"behind"))))
        while not echoes:
            f = m.wire.receive(60)
            expect(f is not None, True, "the answer that comes behind")
            errors += f[12:14] == b"\x08\0" and f[34:36] == b"\3\2"
            echoes += m.is_echo(9)(f)
        expect(0 < errors < 20, True, f"errors to one host: {errors}")
        # None is about an error, a group, a broadcast or a fragment behind the first.
        error = struct.pack(">BBHI", 3, 3, 0, 0) + ipv4(THERE, HERE, b"y" * 8, protocol=200)
        error = error[:2] + struct.pack(">H", checksum(error)) + error[4:]
        for n, quiet in enumerate((m.frame(ipv4("10.0.0.55", THERE, error)),
                                   m.frame(ipv4("10.0.0.56", "10.0.0.255", b"x" * 20, protocol=200), to=ALL),
                                   m.frame(ipv4("10.0.0.57", "224.0.0.1", b"x" * 20, protocol=200),
                                           to=bytes.fromhex("01005e000001")))):
            m.wire.send(quiet)
            expect_answer(m.wire.ask(m.frame(ipv4(HERE, THERE, echo(20 + n, b"z"))),
                                     lambda f: f[12:14] == b"\x08\0" and f[23] == 1), 20 + n, b"z")
        m.finish()


def is_icmp6(kind, source=None):
    return lambda f: f[12:14] == b"\x86\xdd" and f[20] == 58 and f[54] == kind and (source is None or f[22:38] == source)


def expect_sum6(frame):
    length = struct.unpack(">H", frame[18:20])[0]
    body = frame[54:54 + length]
    expect(checksum(frame[22:54] + struct.pack(">II", length, 58) + body), 0, "the checksum of ICMPv6")
    return body


def expect_pings6(m, link=None):
    """It tells its link address, and answers pings of all sizes with right sums, which not every card makes. `link`: where the
    question goes; None: to its group."""
    mine, there = link_local(MAC), link_local(m.mac)
    group = ip6("ff02::1:ff00:0")[:13] + there[13:]
    question = ethernet(link or b"\x33\x33\xff" + there[13:], IPV6,
                        ipv6(mine, group, icmp6(mine, group, 135, 0, solicit(there)), hops=255))
    answer = m.wire.ask(question, is_icmp6(136, there), again=1)
    expect((answer[:6], answer[38:54], answer[21], answer[58] & 0xe0, answer[62:78]), (MAC, mine, 255, 0x60, there))
    expect(expect_sum6(answer)[24:], b"\2\1" + m.mac, "its link address")
    for number, size in enumerate((0, 1, 57, 1000, 1452)):
        body = struct.pack(">HH", 7, number) + bytes(i % 256 for i in range(size))
        ask = ethernet(m.mac, IPV6, ipv6(mine, there, icmp6(mine, there, 128, 0, body)))
        answer = m.wire.ask(ask, is_icmp6(129, there))
        expect(expect_sum6(answer)[4:] == body, True, f"the payload of {size} bytes")


def test_neighbours_of_ipv6_are_found_and_pings_answered():
    mine = link_local(MAC)
    with Machine() as m:
        there = link_local(m.mac)
        group = ip6("ff02::1:ff00:0")[:13] + there[13:]
        ether = b"\x33\x33\xff" + there[13:]
        probe = m.probe()  # is its own address another's?
        expect((probe[:6], probe[38:54], probe[62:78], probe[21]), (ether, group, there, 255))
        expect(len(expect_sum6(probe)), 24, "a probe has no option")
        expect_pings6(m)
        # Behind extension headers, and for all nodes.
        body = struct.pack(">HH", 7, 50)
        chain = b"\x3c\0\1\4\0\0\0\0" + b"\x3a\0\1\4\0\0\0\0"
        ask = ethernet(m.mac, IPV6, ipv6(mine, there, chain + icmp6(mine, there, 128, 0, body), 0))
        expect(expect_sum6(m.wire.ask(ask, is_icmp6(129, there)))[4:], body)
        nodes = ip6("ff02::1")
        ask = ethernet(bytes.fromhex("333300000001"), IPV6, ipv6(mine, nodes, icmp6(mine, nodes, 128, 0, body)))
        expect(expect_sum6(m.wire.ask(ask, is_icmp6(129, there)))[4:], body)
        # Errors: a protocol that is not there, an option that must be known, a routing header.
        for wrong, said in ((ipv6(mine, there, b"x" * 20, 200), (4, 1, 6)),
                            (ipv6(mine, there, b"\x3a\0\x9e\4" + b"\0" * 4 + body, 60), (4, 2, 42)),
                            (ipv6(mine, there, b"\x3a\0\0\1" + b"\0" * 4 + body, 43), (4, 0, 42))):
            error = expect_sum6(m.wire.ask(ethernet(m.mac, IPV6, wrong), is_icmp6(4, there)))
            expect((error[0], error[1], struct.unpack(">I", error[4:8])[0], error[8:] == wrong), (*said, True))
        # What is wrong is not answered.
        good = icmp6(mine, there, 128, 0, body)
        solicit_far = icmp6(mine, group, 135, 0, solicit(there))
        for wrong in (ipv6(mine, there, good, length=2000), ipv6(mine, there, icmp6(mine, there, 128, 0, body, 1)),
                      ipv6("::ffff:10.0.0.1", there, good), ipv6("ff02::1", there, good), ipv6("::1", there, good),
                      ipv6(there, there, good), ipv6(mine, "fe80::77", good), ipv6(mine, "::1", good),
                      ipv6(mine, group, solicit_far, hops=254),
                      ipv6(mine, group, icmp6(mine, group, 135, 0, solicit(there)[:-8] + b"\1\0" + MAC), hops=255),
                      ipv6("::", group, icmp6("::", group, 135, 0, solicit(there)), hops=255),
                      ipv6(mine, there, (b"\x3c\0\1\4\0\0\0\0" * 40) + good, 60),
                      ipv6(mine, there, b"\x3a\x20\1\4\0\0\0\0" + good, 60),
                      ipv6(mine, there, b"\x3a\0" + b"\0" * 30 + good, 60), ipv6(mine, there, good, 59)):
            m.wire.send(ethernet(m.mac, IPV6, wrong))
        last = struct.pack(">HH", 7, 99)
        answer = m.wire.ask(ethernet(m.mac, IPV6, ipv6(mine, there, icmp6(mine, there, 128, 0, last))),
                            lambda f: f[12:14] == b"\x86\xdd" and f[20] == 58 and f[54] not in (135, 143))
        expect(expect_sum6(answer)[4:], last, "nothing but the last is answered")
        m.finish()


def joined4(m, number):
    """What the fragments of an answer are together."""
    parts, end = {}, None
    while end is None or sum(map(len, parts.values())) < end:
        f = m.wire.wait(lambda f: f[12:14] == b"\x08\0" and f[23] == 1, 60)
        expect(f is not None, True, f"all fragments of answer {number}")
        total, word = struct.unpack(">H", f[16:18])[0], struct.unpack(">H", f[20:22])[0]
        at = (word & 0x1fff) * 8
        expect((total <= 1500, checksum(f[14:34])), (True, 0))
        parts[at] = f[34:14 + total]
        if not word & 0x2000:
            end = at + total - 20
    return b"".join(parts[at] for at in sorted(parts))


def joined6(m, there):
    parts, end = {}, None
    while end is None or sum(map(len, parts.values())) < end:
        f = m.wire.wait(lambda f: f[12:14] == b"\x86\xdd" and f[20] == 44 and f[22:38] == there, 60)
        expect(f is not None, True, "all fragments of an answer")
        length, word = struct.unpack(">H", f[18:20])[0], struct.unpack(">H", f[56:58])[0]
        expect((f[54], length <= 1460), (58, True))
        parts[word & 0xfff8] = f[62:54 + length]
        if not word & 1:
            end = (word & 0xfff8) + length - 8
    return b"".join(parts[at] for at in sorted(parts))


def test_fragments_are_joined_and_made_and_what_is_wrong_with_them_is_dropped():
    mine = link_local(MAC)
    with Machine() as m:
        there = link_local(m.mac)
        m.probe()
        for number, size in ((1, 1473), (2, 3000), (3, 40000), (4, 65500)):
            payload = bytes((i * number) % 251 for i in range(size))
            packets = fragments4(HERE, THERE, echo(number, payload))
            for packet in (packets if number % 2 else packets[::-1]):
                m.wire.send(m.frame(packet))
            answer = joined4(m, number)
            expect((answer[:2], checksum(answer), answer[8:] == payload), (b"\0\0", 0, True))
        body = struct.pack(">HH", 7, 1) + bytes(i % 253 for i in range(4000))
        question = ethernet(b"\x33\x33\xff" + there[13:], IPV6,
                            ipv6(mine, m.wire.probes[0][38:54],
                                 icmp6(mine, m.wire.probes[0][38:54], 135, 0, solicit(there)), hops=255))
        expect(m.wire.ask(question, is_icmp6(136, there), again=1) is not None, True)  # its address is its own by now
        for packet in fragments6(mine, there, icmp6(mine, there, 128, 0, body))[::-1]:
            m.wire.send(ethernet(m.mac, IPV6, packet))
        answer = joined6(m, there)
        expect((answer[0], answer[4:] == body), (129, True))
        # A fragment that is all (RFC 6946) is a packet like any other.
        atomic = fragments6(mine, there, icmp6(mine, there, 128, 0, body[:50]), size=2000, ident=9)
        expect(m.wire.ask(ethernet(m.mac, IPV6, atomic[0]), is_icmp6(129, there)) is not None, True)
        # Fragments' headers in fragments, each whole at once: thousands, in a datagram that comes in fragments itself.
        options = bytes([44, 0, 1, 4, 0, 0, 0, 0])  # of the destination; behind them comes a fragment's header
        nest = options + b"".join(struct.pack(">BBHI", 60, 0, 0, n) + options for n in range(3500))
        for part in fragments6(mine, there, nest, 60, ident=10):
            m.wire.send(ethernet(m.mac, IPV6, part))
        answer = m.wire.ask(ethernet(m.mac, IPV6, ipv6(mine, there, icmp6(mine, there, 128, 0, body[:9]))), is_icmp6(129, there))
        expect(answer is not None, True, "an answer after fragments in fragments")
        # Overlapping, without an end, too long, tiny, too many: none is answered, all are forgotten.
        whole = echo(50, b"o" * 2000)
        parts = fragments4(HERE, THERE, whole)
        overlap = ipv4(HERE, THERE, whole[1000:1480], 1, 1000 // 8 | 0x2000)
        for packet in (parts[0], overlap, parts[1]):
            m.wire.send(m.frame(packet))
        m.wire.send(m.frame(ipv4(HERE, THERE, b"l" * 1000, 1, 65520 // 8)))
        m.wire.send(m.frame(ipv4(HERE, THERE, b"t", 1, 0x2000)))
        for n in range(3000):
            packet = bytearray(ipv4(f"10.0.0.{n % 90 + 100}", THERE, b"n" * (8 if n % 2 else 1400), 1, 0x2000))
            packet[4:6] = struct.pack(">H", n)
            packet[10:12] = b"\0\0"
            packet[10:12] = struct.pack(">H", checksum(bytes(packet[:20])))
            m.wire.send(m.frame(bytes(packet)))
        expect_answer(m.wire.ask(m.frame(ipv4(HERE, THERE, echo(60, b"alive"))), lambda f: f[12:14] == b"\x08\0" and f[23] == 1), 60,
                      b"alive")
        payload = b"again" * 500
        for packet in fragments4(HERE, THERE, echo(61, payload)):
            m.wire.send(m.frame(packet))
        expect(joined4(m, 61)[8:] == payload, True, "a datagram in fragments among the others")
        m.finish()


def test_an_address_that_another_has_is_not_taken():
    with Machine() as m:
        probe = m.probe()
        there, nodes, mine = probe[62:78], ip6("ff02::1"), link_local(MAC)
        claim = b"\x20\0\0\0" + there + b"\2\1" + MAC
        m.wire.send(ethernet(bytes.fromhex("333300000001"), IPV6,
                             ipv6(there, nodes, icmp6(there, nodes, 136, 0, claim), hops=255)))
        group = probe[38:54]
        question = ethernet(probe[:6], IPV6, ipv6(mine, group, icmp6(mine, group, 135, 0, solicit(there)), hops=255))
        end = time.monotonic() + 2.5  # it would be the machine's after one
        while time.monotonic() < end:
            m.wire.send(question)
            expect(m.wire.wait(is_icmp6(136), 0.25), None, "it answers for no address that is another's")
        m.finish()


def test_a_flood_leaves_the_machine_to_its_work():
    with Machine(after="run --rm hello") as m:
        flood = [m.frame(ipv4(HERE, THERE, echo(n, b"f" * (n % 1400)))) for n in range(100, 400)]
        answered = sent = 0
        for _ in range(8):
            for frame in flood:
                sent += m.wire.send(frame)
                answered += is_echo(m.wire.receive(0.001))
        while answered <= sent // 2 and (frame := m.wire.receive(20)):  # a machine that was held up has more to say
            answered += is_echo(frame)
        # Lies: two thousand hosts that ask, each for the first time.
        for n in range(2000):
            mac = b"\x52\x54\x01\0" + struct.pack(">H", n)
            m.wire.send(ethernet(ALL, ARP, arp(1, f"10.0.0.{n % 97 + 100}" if n % 2 else f"10.9.{n // 250}.{n % 250 + 1}",
                                               THERE, mac), source=mac))
            m.wire.receive(0.001)
        expect_answer(m.wire.ask(m.frame(ipv4(HERE, THERE, echo(9, b"still"))), m.is_echo(9)), 9, b"still")
        out = m.finish()
    expect_in("Hello from Bothy!", out)
    expect(answered > sent // 2, True, f"{answered} of {sent} pings of a flood answered")
    known = int(out.split("neighbours ")[1].split()[0])
    expect(known <= 512, True, f"{known} neighbours are remembered")


def expect_segments(machine, size=1400, whole=41234):
    """What `debug selftest netdev_wire` sends: one large packet of each kind, cut by the card or before it."""
    pattern = bytes((i * 13 + i // 256) % 256 for i in range(whole))
    for port in (5001, 5004, 5005):
        got = b""
        while len(got) < whole:
            end = time.monotonic() + 120
            while not machine.wire.segments and time.monotonic() < end:
                machine.wire.receive(1)
            expect(bool(machine.wire.segments), True, f"segments for {port}: {len(got)} bytes came")
            frame = machine.wire.segments.pop(0)
            found = segment(frame)
            expect(found is not None, True, f"sums of a segment at {len(got)}: {frame[:64].hex()}")
            expect((found[0], found[1] in (None, len(got)), len(found[2])), (port, True, min(size, whole - len(got))))
            flags = frame[47 if port == 5001 else 67]
            if found[1] is not None:
                expect(flags, 0x19 if len(got) + len(found[2]) == whole else 0x10, "TCP's flags")
            got += found[2]
        expect(got == pattern, True, f"the payload for {port}")


def ask_tagged(machine, frame, wanted, seconds):
    """As Wire.ask, over the VLAN."""
    answer = machine.wire.ask(frame[:12] + TAG + frame[12:], lambda f: f[12:16] == TAG and wanted(f[:12] + f[16:]), seconds)
    return answer and answer[:12] + answer[16:]


def expect_tagged_answer(machine, number, payload):
    """The VLAN's address answers a ping, its tags being on the wire."""
    end, answer = time.monotonic() + 120, None
    while not answer and time.monotonic() < end:
        question = ethernet(ALL, ARP, arp(1, HERE_TAGGED, THERE_TAGGED))
        if ask_tagged(machine, question, machine.is_arp(2), 10):
            ping = machine.frame(ipv4(HERE_TAGGED, THERE_TAGGED, echo(number, payload)))
            answer = ask_tagged(machine, ping, machine.is_echo(number), 10)
    expect(answer is not None, True, f"an answer of {len(payload)} bytes over the VLAN")
    expect(answer[42:42 + len(payload)] == payload, True, "the payload comes back, tagged")


def expect_asks6(m):
    """The machine's own pings, by a raw socket, have right sums as well."""
    asked = m.wire.wait(is_icmp6(128, link_local(m.mac)), 120)
    expect(asked is not None, True, "a ping of the machine's")
    expect_sum6(asked)


def hardware_answers(card, options=(), deaf=False):
    """Pings of all sizes, tagged ones, a burst, what is wrong, the link down and up; then unbound and bound again."""
    folder = tempfile.TemporaryDirectory(prefix="bothy-card-")
    options = (*options, "--file", put(folder.name, "card", CARD))
    with folder, Machine(after="/boot/files/busybox sh /boot/files/card", card=card, options=options, unbind=True,
                         deaf=deaf) as m:
        expect_segments(m)
        for number, size in ((90, 0), (91, 1472)):
            expect_tagged_answer(m, number, bytes((number * 31 + i) % 256 for i in range(size)))
        for number, size in enumerate((0, 17, 117, 118, 119, 1000, 1471, 1472)):
            payload = bytes((number * 31 + i) % 256 for i in range(size))
            expect_answer(m.ping(number, payload), number, payload)
        expect_pings6(m)
        expect_asks6(m)
        answered = 0
        for number in range(100, 1100):
            m.wire.send(m.frame(ipv4(HERE, THERE, echo(number, b"f" * (number % 1400)))))
            answered += is_echo(m.wire.receive(0.01))
        while answered <= 500 and (frame := m.wire.receive(20)):  # a machine that was held up has more to say
            answered += is_echo(frame)
        expect(answered > 500, True, f"{answered} of 1000 pings of a burst answered")
        for frame in [m.frame(ipv4(HERE, THERE, echo(1)))[:n] for n in (14, 15, 33, 41)]:
            m.wire.send(frame)
        m.wire.send(m.frame(ipv4(HERE, THERE, echo(2)), to=bytes.fromhex("525400999999")))
        expect_answer(m.ping(3, b"alive"), 3, b"alive")
        m.link(False)
        m.wire.drain()
        expect(m.ping(4, b"cut", seconds=1), None, "an answer over a link that is down")
        m.link(True)
        expect_answer(m.ping(5, b"again"), 5, b"again")
        out = m.finish()
    expect_in("errors:0 dropped:0", out)
    expect(int(out.split("TX packets:")[1].split()[0]) > 500, True, "frames counted")
    for line in ("eth0: link down", "eth0: link up", "bound again",
                 *(("eth0: the device does not answer any more", "gone, and stays so") if deaf else ())):
        expect_in(line, out)


def test_a_virtio_card_does_as_hardware():
    hardware_answers("virtio-net-pci", options=("--cpus", "2"))


def test_an_e1000_answers():
    hardware_answers("e1000")


def test_an_e1000e_answers():
    hardware_answers("e1000e", options=("--cpus", "2"))


def test_an_e1000_of_bochs_answers():
    with Machine(after="debug selftest netdev_wire", card="e1000", wire=BochsWire) as m:
        expect_segments(m)
        for number, size in enumerate((0, 17, 118, 1000, 1472)):
            payload = bytes((number * 31 + i) % 256 for i in range(size))
            expect_answer(m.ping(number, payload), number, payload)
        expect_pings6(m, link=m.mac)  # Bochs lets no groups through to its cards, listening to all or not
        out = m.finish()
    expect_in("errors:0 dropped:0", out)


def test_an_rtl8139_answers():
    hardware_answers("rtl8139")


def test_drivers_of_cards_keep_the_debug_builds_rules():
    for card in ("e1000", "e1000e", "rtl8139"):
        hardware_answers(card, options=("--debug", "--cpus", "2"), deaf=True)


def test_a_card_of_virtio_mmio_answers_as_well():
    with Machine(card="virtio-net-device", options=(
            "--qemu-machine", "microvm,pic=on,pit=on,rtc=on,acpi=off",
            "--qemu=-global", "--qemu=virtio-mmio.force-legacy=false")) as m:
        for number in range(5):
            payload = b"mmio" * 300
            expect_answer(m.ping(number, payload), number, payload)
        m.finish()


if __name__ == "__main__":
    main(sys.modules[__name__])
