#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A card with an address answers ARP and pings, and what is wrong, too much or a lie does it no harm."""
import os
import re
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
from wire import ALL, ARP, HERE, IPV4, MAC, Wire, arp, checksum, echo, ethernet, ip, ipv4

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


class Machine:
    """A machine with a card whose other end is in `wire`. Left, it ends by itself, or the test fails."""

    def __init__(self, after=None, card="virtio-net-pci", options=(), last=None):
        self.folder = tempfile.TemporaryDirectory(prefix="bothy-wire-")
        self.wire = Wire(self.folder.name, card)
        start, stay = (put(self.folder.name, name, text) for name, text in (("start", START), ("stay", STAY)))
        words = [RUN, "--timeout", "300", *self.wire.options, *options, "--file", BUSYBOX + ":busybox",
                 "--file", start, "--file", stay]
        for command in ("/boot/files/busybox sh /boot/files/start", after, "/boot/files/busybox sh /boot/files/stay",
                        last):
            words += ["-c", command] if command else []
        words += ["--append", "ip=off"]  # the card is the commands' alone, not netd's
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        stdin=subprocess.DEVNULL)
        self.mac = None

    def __enter__(self):
        question = ethernet(ALL, ARP, arp(1, HERE, THERE))
        end = time.monotonic() + 60
        while not self.mac and time.monotonic() < end and self.process.poll() is None:
            answer = self.wire.ask(question, self.is_arp(2), 0.5)
            self.mac = answer and answer[6:12]
            time.sleep(0 if answer else 0.05)
        if not self.mac:
            self.process.terminate()
            raise AssertionError(f"no answer to ARP: {self.process.communicate(timeout=20)}")
        return self

    def __exit__(self, kind, *rest):
        if kind:
            self.process.terminate()  # and with it the emulator
        self.process.communicate(timeout=20)
        self.wire.socket.close()
        self.folder.cleanup()

    def is_arp(self, operation, target=None):
        return lambda f: f[12:14] == b"\x08\x06" and f[20:22] == bytes([0, operation]) and (
            target is None or f[38:42] == ip(target))

    def frame(self, packet, **how):
        return ethernet(how.pop("to", self.mac), IPV4, packet, **how)

    def ping(self, number, payload=b"", source=HERE, seconds=20.0, **how):
        """The answer's frame to a ping that is as it should be, or None."""
        return self.wire.ask(self.frame(ipv4(source, THERE, echo(number, payload), **how)), self.is_echo(number),
                             seconds)

    def is_echo(self, number):
        return lambda f: f[12:14] == b"\x08\x00" and f[23] == 1 and f[34] == 0 and f[40:42] == struct.pack(">H", number)

    def finish(self):
        """What the machine printed."""
        end = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < end:
            self.wire.send(ethernet(ALL, ARP, arp(1, DONE, THERE)))
            self.wire.receive(0.1)
        out, err = self.process.communicate(timeout=30)
        expect((self.process.returncode, err), (0, ""))
        return out


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
            m.frame(ipv4(HERE, THERE, good, protocol=200)),
            m.frame(ipv4(HERE, "10.0.0.3", good)),
            m.frame(ipv4(HERE, "127.0.0.1", good)),
            m.frame(ipv4("127.0.0.1", THERE, good)),
            m.frame(ipv4("224.0.0.1", THERE, good)),
            m.frame(ipv4("255.255.255.255", THERE, good)),
            m.frame(ipv4(THERE, THERE, good)),
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
        answer = m.wire.ask(m.frame(ipv4(HERE, THERE, echo(2, b"alive"))), lambda f: f[12:14] != b"\x86\xdd")
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
        times = 0
        while m.wire.wait(m.is_arp(1, "10.0.0.8"), 4):
            times += 1
        expect(times, 3, "questions for a host that is silent")
        # From another network: by way of the gateway.
        m.wire.send(m.frame(ipv4("192.168.5.5", THERE, echo(7))))
        expect(m.wire.wait(m.is_arp(1, "10.0.0.254")) is not None, True, "a question for the gateway")
        gate = bytes.fromhex("5254009900fe")
        answer = m.wire.ask(ethernet(m.mac, ARP, arp(2, "10.0.0.254", THERE, gate, m.mac), source=gate), m.is_echo(7))
        expect((answer[:6], answer[30:34]), (gate, ip("192.168.5.5")))
        m.finish()


def test_a_flood_leaves_the_machine_to_its_work():
    with Machine(after="run --rm hello") as m:
        flood = [m.frame(ipv4(HERE, THERE, echo(n, b"f" * (n % 1400)))) for n in range(100, 400)]
        answered = sent = 0
        for _ in range(8):
            for frame in flood:
                sent += m.wire.send(frame)
                answered += m.wire.receive(0.001) is not None
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
