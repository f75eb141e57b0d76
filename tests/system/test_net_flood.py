#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SYNs by the ten thousand: what is kept of them is bounded, and who asks meanwhile is served, by the service that
is flooded and by its neighbour."""
import os
import re
import struct
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import put
from suite import expect, main
from test_net_wire import THERE, Machine
from wire import HERE, IPV4, IPV6, MAC, Wire, checksum, ethernet, icmp6, ip, ipv4, ipv6, link_local

FLOODED, NEIGHBOUR = 80, 81
SYNS = 10000
GROWTH_KIB = 2048  # of all memory: half-open connections, at most 128 of them, and what caches take meanwhile
# Each says how much memory is free to whoever comes.
SERVE = f"""
b=/boot/files/busybox
$b mkdir -p /tmp/www/cgi-bin
$b printf '#!/boot/files/busybox sh\necho; echo; exec /boot/files/busybox grep MemFree /proc/meminfo\n' >/tmp/www/cgi-bin/free
$b chmod 755 /tmp/www/cgi-bin/free
$b httpd -p {FLOODED} -h /tmp/www && $b httpd -p {NEIGHBOUR} -h /tmp/www
"""
REQUEST = b"GET /cgi-bin/free HTTP/1.0\r\n\r\n"
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


class Answering(Wire):
    """The host answers neighbour discovery, too."""

    def receive(self, seconds):
        frame = super().receive(seconds)
        mine = link_local(MAC)
        if not frame or frame[12:14] != b"\x86\xdd" or frame[20] != 58 or frame[54] != 135 or frame[62:78] != mine:
            return frame
        asker = frame[22:38]
        self.send(ethernet(frame[6:12], IPV6, ipv6(mine, asker, icmp6(
            mine, asker, 136, 0, b"\x60\0\0\0" + mine + b"\2\1" + MAC), hops=255)))
        return None


class Host:
    """A host of the wire, of one family."""

    def __init__(self, machine, six):
        self.machine, self.six, self.port = machine, six, 20000
        self.ends = (link_local(MAC), link_local(machine.mac)) if six else (ip(HERE), ip(THERE))

    def frame(self, source, target, seq, ack, flags, payload=b""):
        head = struct.pack(">HHIIBBHHH", source, target, seq, ack, 5 << 4, flags, 65535, 0, 0)
        total = checksum(b"".join(self.ends) + struct.pack(">HH", 6, len(head + payload)) + head + payload)
        head = head[:16] + struct.pack(">H", total) + head[18:] + payload
        if self.six:
            return ethernet(self.machine.mac, IPV6, ipv6(*self.ends, head, 6))
        return ethernet(self.machine.mac, IPV4, ipv4(HERE, THERE, head, 6))

    def parse(self, frame, port):
        """(sequence number, acknowledgment, flags, payload) of a segment for the port, or None."""
        kind, at = frame[12:14], 54 if self.six else 34
        if kind != struct.pack(">H", IPV6 if self.six else IPV4) or frame[20 if self.six else 23] != 6:
            return None
        end = 54 + struct.unpack(">H", frame[18:20])[0] if self.six else 14 + struct.unpack(">H", frame[16:18])[0]
        body = frame[at:end]
        if struct.unpack(">H", body[2:4])[0] != port:
            return None
        seq, ack, head, flags = struct.unpack(">IIBB", body[4:14])
        return seq, ack, flags, body[(head >> 4) * 4:]

    def free_kib(self, target):
        """What a service says: a whole connection."""
        wire, self.port = self.machine.wire, self.port + 1
        port, got = self.port, b""
        answer = wire.ask(self.frame(port, target, 1000, 0, SYN),
                          lambda f: (self.parse(f, port) or (0, 0, 0, 0))[2] == SYN | ACK, again=2)
        expect(answer is not None, True, f"an answer of port {target} to {port}, six {self.six}")
        number, sent = (self.parse(answer, port)[0] + 1) % 2**32, 1001 + len(REQUEST)
        ask = self.frame(port, target, 1001, number, ACK | PSH, REQUEST)
        flags = 0
        while not flags & FIN:
            frame = wire.ask(ask, lambda f: self.parse(f, port), again=2)
            expect(frame is not None, True, f"port {target} goes on: {got}")
            seq, _, flags, payload = self.parse(frame, port)
            expect(flags & RST, 0, f"port {target} resets: {got}")
            if seq == number:
                got, number = got + payload, (number + len(payload)) % 2**32
                ask = self.frame(port, target, sent, number, ACK)
        wire.send(self.frame(port, target, sent, number + 1, FIN | ACK))
        return int(re.search(rb"MemFree: +(\d+)", got)[1])

    def answered(self, frame):
        """The port whose SYN it answers, or None."""
        port = struct.unpack(">H", frame[56:58] if self.six else frame[36:38])[0]
        return port if (self.parse(frame, port) or (0, 0, 0))[2] == SYN | ACK else None

    def flood(self, count, first):
        """That many connections begin; how many were answered."""
        ports = set()
        for n in range(count):
            self.machine.wire.send(self.frame(30000 + (first + n) % 30000, FLOODED, n * 7919 + first, 0, SYN))
            ports.add(self.answered(self.machine.wire.receive(0.0005) or bytes(80)))
        while frame := self.machine.wire.receive(0.2 if len(ports) > count // 4 else 20):
            ports.add(self.answered(frame))
        return len(ports - {None})


def test_floods_of_syns_harm_no_service():
    with tempfile.TemporaryDirectory() as folder:
        serve = put(folder, "serve", SERVE)
        with Machine(after="/boot/files/busybox sh /boot/files/serve", options=("--file", serve), wire=Answering) as m:
            m.probe()
            for six in (False, True):
                host = Host(m, six)
                before = host.free_kib(FLOODED), host.free_kib(NEIGHBOUR)
                answered = 0
                for part in range(4):
                    answered += host.flood(SYNS // 4, part * SYNS // 4)
                    after = host.free_kib(NEIGHBOUR), host.free_kib(FLOODED)
                    expect(min(before) - min(after) < GROWTH_KIB, True, f"memory that is free: {before}, {after}")
                expect(answered > SYNS // 4, True, f"{answered} of {SYNS} SYNs answered")
            m.finish()


if __name__ == "__main__":
    main(sys.modules[__name__])
