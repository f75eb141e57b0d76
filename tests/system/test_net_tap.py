#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""virtio-net on a tap device in a network namespace of its own: what QEMU's other backends do not offer. Segments and
sums that are still to be made both ways, several queues, filters, a new address, jumbo frames, Linux's own ping."""
import contextlib
import ctypes
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import put
from engine_fixture import BUSYBOX
from suite import expect, expect_in, main
from test_net_wire import THERE, Machine, expect_answer
from wire import ALL, ARP, HERE, IPV4, MAC, Wire, arp, checksum, ethernet, ip, ipv4, segment

NEEDS_CSUM, TCP4, TCP6 = 1, 1, 4
OTHER = bytes.fromhex("020000000077")
HEADER = "<BBHHHH"  # virtio_net_hdr, as packet sockets have it
SOL_PACKET, PACKET_VNET_HDR, OUTGOING, ALL_PROTOCOLS = 263, 15, 4, 3
CLONE_NEWNET = 0x40000000


class Namespace:
    """Linux's network namespace, with a tap of `queues`. What this machine cannot do fails with that reason."""

    def __init__(self, queues):
        self.name = f"bothy-tap-{os.getpid()}-{queues}"
        self.ip("netns", "add", self.name)
        self.ip("-n", self.name, "tuntap", "add", "dev", "tap0", "mode", "tap", "vnet_hdr",
                *(["multi_queue"] if queues > 1 else []))
        self.ip("-n", self.name, "link", "set", "tap0", "address", MAC.hex(":"), "mtu", "9000", "up")
        self.ip("-n", self.name, "link", "set", "lo", "up")
        self.ip("-n", self.name, "address", "add", "10.0.0.3/24", "dev", "tap0")

    @staticmethod
    def ip(*words):
        p = subprocess.run(["ip", *words], capture_output=True, text=True)
        if p.returncode:
            raise AssertionError(f"this machine cannot: ip {' '.join(words)}: {p.stderr.strip()}")

    def run(self, *words):
        return subprocess.run(["ip", "netns", "exec", self.name, *words], capture_output=True, text=True, timeout=300)

    @contextlib.contextmanager
    def inside(self):
        """Sockets that are made meanwhile are of it."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net") as home, open(f"/run/netns/{self.name}") as there:
            if libc.setns(there.fileno(), CLONE_NEWNET):
                raise AssertionError(f"this machine cannot: setns: {os.strerror(ctypes.get_errno())}")
            try:
                yield
            finally:
                libc.setns(home.fileno(), CLONE_NEWNET)

    def socket(self):
        """A packet socket in it whose frames have a virtio_net_hdr."""
        with self.inside():
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
            s.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            s.bind(("tap0", 0))
        return s

    def serve(self, port, size):
        """Who asks there is given so many bytes, as a file."""
        with self.inside():
            listener = socket.create_server(("10.0.0.3", port))

        def answer():
            with listener, listener.accept()[0] as s:
                s.recv(4096)
                s.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b"f" * size)

        threading.Thread(target=answer, daemon=True).start()

    def close(self):
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)


class TapWire(Wire):
    """The machine's card on a tap. `heads` are the headers of the frames that came."""

    queues = 2

    def __init__(self, folder, card="virtio-net-pci"):
        card = "virtio-net-pci" if card == "virtio" else card
        self.segments, self.probes, self.heads, self.name = [], [], [], "wire"
        self.space = Namespace(self.queues)
        self.prefix = ["ip", "netns", "exec", self.space.name]
        self.socket = self.space.socket()
        words = ["-netdev", f"tap,id=wire,ifname=tap0,script=no,downscript=no,vhost=off,queues={self.queues}",
                 "-device", f"{card},netdev=wire" + (",mq=on,vectors=8" if self.queues > 1 else "")]
        self.options = [f"--qemu={word}" for word in words]

    def send(self, frame, head=(0, 0, 0, 0, 0, 0)):
        self.socket.send(struct.pack(HEADER, *head) + frame)
        return True

    def take(self):
        while True:
            data, source = self.socket.recvfrom(70000)
            if source[2] != OUTGOING:
                break
        head, frame = struct.unpack(HEADER, data[:10]), data[10:]
        if head[0] & NEEDS_CSUM:
            at = head[4] + head[5]
            frame = frame[:at] + struct.pack(">H", checksum(frame[head[4]:])) + frame[at + 2:]
        if b"\x1e\x61" in (frame[34:36], frame[54:56]):
            self.heads.append((head, len(frame)))
        return frame

    def close(self):
        self.socket.close()
        self.space.close()


class OneQueue(TapWire):
    queues = 1


def tcp_whole(mac, payload):
    """A frame of TCP that is still to be cut and summed."""
    tcp = struct.pack(">HHIIBBHHH", 4000, 4001, 1, 1, 5 << 4, 0x10, 1000, 0, 0)
    seed = checksum(ip(HERE) + ip(THERE) + struct.pack(">HH", 6, len(tcp) + len(payload))) ^ 0xffff
    return ethernet(mac, IPV4, ipv4(HERE, THERE, tcp[:16] + struct.pack(">H", seed) + tcp[18:] + payload, protocol=6))


def expect_whole_segments(wire):
    """What the machine sent as one packet came as one, but for UDP's, which this QEMU has no word for."""
    sizes = [(head[1], head[3], n) for head, n in wire.heads]
    expect(sizes[:2], [(TCP4, 1400, 14 + 40 + 41234), (TCP6, 1400, 14 + 60 + 41234)])
    expect([n for _, _, n in sizes[2:]], [14 + 28 + 1400] * 29 + [14 + 28 + 41234 - 29 * 1400])


def expect_payloads(wire):
    pattern = bytes((i * 13 + i // 256) % 256 for i in range(41234))
    found = [segment(frame) for frame in wire.segments]
    expect(None in found, False, "sums that are wrong")
    for port in (5001, 5004, 5005):
        expect(b"".join(f[2] for f in found if f[0] == port) == pattern, True, f"the payload for {port}")


# Another address and frames as long as the tap's; then a large packet of each kind.
SET = f"""
b=/boot/files/busybox
$b ifconfig eth0 down && $b ifconfig eth0 hw ether {OTHER.hex(":")} && $b ifconfig eth0 mtu 9000 && $b ifconfig eth0 up
$b grep virtio-net /proc/interrupts
echo selftest netdev_wire >/proc/bothy/console
"""


WHOLE = (2000, 20000, 40000, 65000)
SHOW = """
exec 3<>/proc/bothy/console
echo trace show net >&3
/boot/files/busybox grep -E ': [0-9]{4,} bytes' <&3
"""


# Two flows at a time, each the business of one processor.
FLOWS = """
b=/boot/files/busybox
echo two flows
echo trace off net >/proc/bothy/console; echo trace clear >/proc/bothy/console
echo trace on net_receive >/proc/bothy/console
$b taskset 1 $b wget -q -O - http://10.0.0.3:8001/ | $b wc -c &
$b taskset 2 $b wget -q -O - http://10.0.0.3:8002/ | $b wc -c &
wait
echo trace off net >/proc/bothy/console
"""
FLOW = 1 << 20


def expect_processors(out):
    """Each came by a queue of its own, since the tap answers where it is asked, and each queue's frames were received
    on its processor."""
    out = out.split("two flows")[1]
    expect(out.split("\n").count(str(FLOW)), 2, "files that came whole")
    came = re.findall(r"cpu(\d) .*device \d+, queue (\d): \d{4,} bytes", out)
    for cpu in "01":
        expect(sum(on == queue == cpu for on, queue in came) > 0, True, f"frames on processor {cpu}")
    expect(sum(on != queue for on, queue in came), 0, "frames that another processor received")


def has_other(machine):
    return lambda f: machine.is_arp(2)(f) and f[6:12] == OTHER and f[22:28] == OTHER


def offloads(wire, options, flows=False):
    folder = tempfile.TemporaryDirectory(prefix="bothy-tap-")
    options = ("--file", put(folder.name, "set", SET), "--file",
               put(folder.name, "show", SHOW + (FLOWS + SHOW if flows else "")), "-c", "debug trace on net", *options)
    with folder, Machine(after="/boot/files/busybox sh /boot/files/set", last="/boot/files/busybox sh /boot/files/show",
                         wire=wire, options=options) as m:
        answer = m.wire.ask(ethernet(ALL, ARP, arp(1, HERE, THERE)), has_other(m), again=1)
        expect(answer is not None, True, "an answer from the new address")
        m.mac = OTHER
        while len(m.wire.segments) < 32:
            expect(m.wire.receive(60) is not None or m.wire.segments != [], True, "segments come")
        expect_whole_segments(m.wire)
        expect_payloads(m.wire)
        for number, size in enumerate((0, 18, 119, 1472)):
            payload = bytes((number * 31 + i) % 256 for i in range(size))
            expect_answer(m.ping(number, payload), number, payload)
        for n in WHOLE:
            m.wire.send(tcp_whole(m.mac, b"w" * n), (NEEDS_CSUM, TCP4, 54, 1400, 34, 16))
        expect_answer(m.ping(9, b"alive"), 9, b"alive")
        for size in ("1400", "8900"):
            answer = m.wire.space.run(BUSYBOX, "ping", "-c", "3", "-s", size, THERE)
            expect_in("3 packets received", answer.stdout + answer.stderr)
        for port in (8001, 8002) if flows else ():
            m.wire.space.serve(port, FLOW)
        rules = m.ask_monitor("query-rx-filter")[0]
        expect((rules["promiscuous"], rules["multicast"], rules["main-mac"]), (False, "normal", OTHER.hex(":")))
        out = m.finish()
    for n in WHOLE:
        expect_in(f": {n + 54} bytes", out)  # each came as one packet
    return out


def test_segments_and_sums_are_left_to_the_other_end_both_ways():
    out = offloads(OneQueue, ())
    expect(out.count("virtio-net rx"), 1, "queues")


def test_the_debug_build_keeps_its_rules_with_several_queues():
    out = offloads(TapWire, ("--debug", "--cpus", "2"), flows=True)
    expect(out.count("virtio-net rx"), 2, "queues")
    expect_processors(out)


if __name__ == "__main__":
    main(sys.modules[__name__])
