#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Datagrams between a machine and a host on its wire: what comes is told as it was sent, what goes is as UDP says,
what is wrong is not heard, and errors come back."""
import os
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import ROOT
from suite import expect, expect_in, main
from test_net_wire import THERE, Machine
from wire import ALL, HERE, checksum, ip, ipv4

FOLDER = tempfile.TemporaryDirectory(prefix="bothy-udp-")
ECHO = os.path.join(FOLDER.name, "datagrams_echo")
subprocess.run(["gcc", "-static", "-O1", "-Wall", "-Werror", "-o", ECHO, os.path.join(ROOT, "tests/system/datagrams_echo.c")],
               check=True)
GROUP = "239.1.2.3"


def udp(payload, source=5000, target=7, here=HERE, there=THERE, length=None, total=None):
    """A datagram; total: its checksum as it stands, else the right one."""
    length = 8 + len(payload) if length is None else length
    head = struct.pack(">HHHH", source, target, length, 0)
    pseudo = ip(here) + ip(there) + struct.pack(">BBH", 0, 17, 8 + len(payload))
    total = (checksum(pseudo + head + payload) or 0xffff) if total is None else total
    return head[:6] + struct.pack(">H", total) + payload


def icmp(kind, code, quoted):
    message = struct.pack(">BBHI", kind, code, 0, 0) + quoted
    return message[:2] + struct.pack(">H", checksum(message)) + message[4:]


class Echo(Machine):
    def __init__(self):
        super().__init__(after="/boot/files/datagrams_echo", options=("--file", ECHO))

    def tell(self, payload, to=THERE, link=None, ttl=64, **how):
        how = {"to": link} if link else {}
        self.wire.send(self.frame(ipv4(HERE, to, udp(payload, there=to), 17, ttl=ttl), **how))

    def asked(self, payload, port=5000, seconds=120.0):
        """The UDP bytes of what comes back, whose IP header and checksum are right."""
        frame = self.wire.ask(self.frame(ipv4(HERE, THERE, udp(payload, port), 17)),
                              lambda f: f[12:14] == b"\x08\x00" and f[23] == 17 and f[36:38] == struct.pack(">H", port),
                              seconds)
        expect(frame is not None, True, f"an answer to {payload[:20]}")
        packet = frame[14:14 + struct.unpack(">H", frame[16:18])[0]]
        expect((checksum(packet[:20]), packet[12:20]), (0, ip(THERE) + ip(HERE)))
        datagram = packet[20:]
        pseudo = packet[12:20] + struct.pack(">BBH", 0, 17, len(datagram))
        expect((checksum(pseudo + datagram), datagram[:2], len(datagram)),
               (0, struct.pack(">H", 7), struct.unpack(">H", datagram[4:6])[0]))
        return datagram[8:]

    def up(self):
        """The server is there: it answers. Once, however often it was asked."""
        return self.asked(b"echo 0", 4999)


def test_datagrams_of_all_sizes_come_back():
    with Echo() as m:
        m.up()
        for size in (4, 5, 87, 88, 89, 90, 1000, 1471, 1472):
            payload = (b"echo" + bytes(i * 7 % 256 for i in range(size)))[:size]
            expect(m.asked(payload, 5000 + size), payload)
        expect(len(m.asked(b"size 1472", 9001)), 1472)
        m.tell(b"end")
        out = m.finish()
    expect_in(f"1472 bytes, {HERE}:6472, to {THERE}, device 2, ttl 64, tos 0", out)


def test_what_is_wrong_is_not_heard():
    with Echo() as m:
        m.up()
        for bad in (udp(b"wrong sum", total=0x1234), udp(b"long", length=13), udp(b"short", length=7), udp(b"x")[:7],
                    udp(b"no length", length=0), udp(b"no port", target=0), udp(b"other", target=8)):
            m.wire.send(m.frame(ipv4(HERE, THERE, bad, 17)))
        m.wire.send(m.frame(ipv4(HERE, THERE, udp(b"unsummed", total=0), 17)))
        m.wire.send(m.frame(ipv4(HERE, THERE, udp(b"cut here, and no more", length=16, total=0), 17)))
        expect(m.asked(b"echo still there"), b"echo still there")
        m.tell(b"end")
        out = m.finish()
    heard = [line.split(" bytes")[0] for line in out.splitlines() if " bytes, " in line and ":4999" not in line]
    expect(heard, ["8", "8", "16", "3"])


def test_groups_and_broadcasts_are_heard_where_they_were_joined():
    with Echo() as m:
        m.up()
        m.tell(b"a group", GROUP, bytes.fromhex("01005e010203"), ttl=1)
        m.tell(b"a group of others", "239.1.2.4", bytes.fromhex("01005e010204"), ttl=1)
        m.tell(b"a broadcast", "10.0.0.255", ALL)
        m.tell(b"to all the world", "255.255.255.255", ALL)
        expect(m.asked(b"echo done"), b"echo done")
        m.tell(b"end")
        out = m.finish()
    expect_in(f"7 bytes, {HERE}:5000, to {GROUP}, device 2, ttl 1, tos 0", out)
    expect_in(f"11 bytes, {HERE}:5000, to 10.0.0.255, device 2", out)
    expect_in(f"16 bytes, {HERE}:5000, to 255.255.255.255, device 2", out)
    expect("17 bytes, " in out, False, out)


def test_one_call_makes_several_datagrams():
    with Echo() as m:
        m.up()
        m.wire.send(m.frame(ipv4(HERE, THERE, udp(b"parts", 6000), 17)))
        parts = [m.wire.wait(lambda f: f[12:14] == b"\x08\x00" and f[23] == 17 and f[36:38] == struct.pack(">H", 6000), 120.0)
                 for _ in range(3)]
        expect([struct.unpack(">H", f[38:40])[0] for f in parts], [1008, 1008, 508])
        expect(b"".join(f[42:42 + size] for f, size in zip(parts, (1000, 1000, 500))),
               bytes(i // 10 % 256 for i in range(2500)))
        m.tell(b"end")
        m.finish()


def test_a_datagram_longer_than_a_frame_goes_in_fragments():
    with Echo() as m:
        m.up()
        m.tell(b"size 4000")
        parts = [m.wire.wait(lambda f: f[12:14] == b"\x08\x00" and f[23] == 17, 120.0) for _ in range(3)]
        whole = bytearray(4008)
        for f in parts:
            length, place = struct.unpack(">H", f[16:18])[0] - 20, (struct.unpack(">H", f[20:22])[0] & 0x1fff) * 8
            whole[place:place + length] = f[34:34 + length]
        expect((whole[2:6], whole[8:]), (struct.pack(">HH", 5000, 4008), bytes(i % 256 for i in range(4000))))
        sent = udp(b"end" + b"x" * 1997)
        for at, flags in ((1480, 185), (0, 0x2000)):  # the last one first
            m.wire.send(m.frame(ipv4(HERE, THERE, sent[at:at + 1480], 17, flags=flags)))
        out = m.finish()
    expect_in("2000 bytes, ", out)


def is_unreachable(quoted_port):
    """An ICMP error for a datagram to that port."""
    return lambda f: f[12:14] == b"\x08\x00" and f[23] == 1 and f[34] == 3 and f[64:66] == struct.pack(">H", quoted_port)


def test_a_port_without_a_receiver_is_told_to_who_asks_it_alone():
    with Echo() as m:
        m.up()
        sent = udp(b"no one there", target=8)
        answer = m.wire.ask(m.frame(ipv4(HERE, THERE, sent, 17)), is_unreachable(8))
        expect(answer is not None, True, "an error comes back")
        packet = answer[14:14 + struct.unpack(">H", answer[16:18])[0]]
        expect((packet[20:22], checksum(packet[20:]), packet[12:20]), (b"\x03\x03", 0, ip(THERE) + ip(HERE)))
        expect((packet[28 + 12:28 + 20], packet[48:56]), (ip(HERE) + ip(THERE), sent[:8]))
        m.wire.send(m.frame(ipv4(HERE, "10.0.0.255", udp(b"all", target=10, there="10.0.0.255"), 17), to=ALL))
        m.wire.send(m.frame(ipv4(HERE, GROUP, udp(b"group", target=10, there=GROUP), 17), to=bytes.fromhex("01005e010203")))
        m.tell(b"echo done")
        seen = []
        m.wire.wait(lambda f: seen.append(f) or (f[23] == 17 and f[36:38] == struct.pack(">H", 5000)), 120.0)
        expect(any(is_unreachable(10)(f) for f in seen), False, "an error for a broadcast or a group")
        m.tell(b"end")
        m.finish()


def test_an_error_from_another_host_is_told_with_what_was_sent():
    with Echo() as m:
        m.up()
        m.tell(b"refused")
        sent = m.wire.wait(lambda f: f[12:14] == b"\x08\x00" and f[23] == 17 and f[36:38] == b"\0\x09", 120.0)
        expect(sent is not None, True, "a datagram to a port where nothing listens")
        packet = sent[14:14 + struct.unpack(">H", sent[16:18])[0]]
        lie = bytearray(packet)
        lie[20:22] = b"\0\x01"  # the port of no socket
        for quoted in (packet[:20], packet[:24], bytes(lie), packet):
            m.wire.send(m.frame(ipv4(HERE, THERE, icmp(3, 3, quoted))))
        m.tell(b"end")
        out = m.finish()
    expect_in(f"error Connection refused origin 2 type 3 code 3 info 0 from {HERE}\n6 bytes, {HERE}:9, to ?", out)


if __name__ == "__main__":
    main(sys.modules[__name__])
