# SPDX-License-Identifier: MIT
"""The other end of a machine's network card: frames as bytes, over a pair of datagram sockets that QEMU's card
sends to and hears from. What is built here is built by hand, so that it can be wrong."""
import os
import socket
import struct
import time

MAC = bytes.fromhex("525400990001")       # ours
ALL = b"\xff" * 6
HERE = "10.0.0.1"
CARDS = ("virtio", "e1000", "e1000e", "rtl8139")
ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86dd


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ip(text):
    return bytes(int(part) for part in text.split("."))


def ethernet(to, kind, payload, source=MAC):
    return (to + source + struct.pack(">H", kind) + payload).ljust(60, b"\0")


def arp(operation, source, target, source_mac=MAC, target_mac=b"\0" * 6):
    return struct.pack(">HHBBH", 1, IPV4, 6, 4, operation) + source_mac + ip(source) + target_mac + ip(target)


def echo(number, payload=b"", kind=8, code=0, ident=77, wrong=0):
    head = struct.pack(">BBHHH", kind, code, 0, ident, number)
    return head[:2] + struct.pack(">H", checksum(head + payload) ^ wrong) + head[4:] + payload


def ipv4(source, target, payload, protocol=1, flags=0, options=b"", wrong=0, total=None, version=4, length=None, ttl=64):
    length = 5 + len(options) // 4 if length is None else length
    total = 20 + len(options) + len(payload) if total is None else total
    head = struct.pack(">BBHHHBBH", version << 4 | length, 0, total, 1, flags, ttl, protocol, 0)
    head += ip(source) + ip(target) + options
    return head[:10] + struct.pack(">H", checksum(head) ^ wrong) + head[12:] + payload


def fragments4(source, target, payload, protocol=1, size=1480):
    """Its packets, in their order."""
    return [ipv4(source, target, payload[at:at + size], protocol, at // 8 | (0x2000 if at + size < len(payload) else 0))
            for at in range(0, len(payload), size)]


def fragments6(source, target, payload, next_header=58, size=1448, ident=7):
    return [ipv6(source, target, struct.pack(">BBHI", next_header, 0, at | (at + size < len(payload)), ident) +
                 payload[at:at + size], 44) for at in range(0, len(payload), size)]


def ip6(text):
    return socket.inet_pton(socket.AF_INET6, text)


def link_local(mac):
    return b"\xfe\x80" + b"\0" * 6 + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]


def ipv6(source, target, payload, next_header=58, hops=64, length=None):
    """source, target: 16 bytes, or text."""
    source, target = (ip6(a) if isinstance(a, str) else a for a in (source, target))
    return struct.pack(">IHBB", 6 << 28, len(payload) if length is None else length, next_header, hops) + (
        source + target + payload)


def icmp6(source, target, kind, code, body, wrong=0):
    source, target = (ip6(a) if isinstance(a, str) else a for a in (source, target))
    head = struct.pack(">BBH", kind, code, 0)
    total = checksum(source + target + struct.pack(">II", len(head + body), 58) + head + body)
    return head[:2] + struct.pack(">H", total ^ wrong) + body


def solicit(target, source_mac=MAC, option=True):
    """What follows ICMPv6's first four bytes."""
    return b"\0" * 4 + target + (b"\1\1" + source_mac if option else b"")


class Wire:
    """A card's other end, and the host HERE behind it, which answers ARP. `options` are for tools/run."""

    def __init__(self, folder, card="virtio"):
        """`card`: a model that tools/run knows, or what QEMU's -device is told."""
        self.segments, self.prefix = [], []
        self.path = os.path.join(folder, "card")
        peer = self.path + ".peer"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(peer)
        self.probes = []  # frames that ask whether another has an address of IPv6
        self.options, self.name = ["--nic", card, "--net", f"socket:{self.path}"], "net0"
        if card not in CARDS:
            self.name = "wire"
            self.options = ["--qemu=-netdev", f"--qemu=dgram,id=wire,local.type=unix,local.path={self.path},"
                            f"remote.type=unix,remote.path={peer}", "--qemu=-device", f"--qemu={card},netdev=wire"]

    def send(self, frame):
        """False: the card is not there yet, or no more, or takes nothing now."""
        self.socket.settimeout(0.2)
        try:
            self.socket.sendto(frame, self.path)
            return True
        except (FileNotFoundError, ConnectionRefusedError, TimeoutError):
            return False

    def take(self):
        """A frame; TimeoutError or BlockingIOError when there is none."""
        return self.socket.recv(65536)

    def close(self):
        self.socket.close()

    def drain(self):
        """Takes what has come until nothing comes."""
        while self.receive(0.2) is not None:
            pass

    def receive(self, seconds):
        """A frame that is no question for HERE and comes from no port 7777 (these wait in `segments`), or None."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            frame = self.take()
        except (TimeoutError, BlockingIOError):
            return None
        if b"\x1e\x61" in (frame[34:36], frame[54:56]):
            self.segments.append(frame)
            return None
        if frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] == 135 and not any(frame[22:38]):
            self.probes.append(frame)
        if frame[12:14] != b"\x08\x06" or frame[21] != 1 or frame[38:42] != ip(HERE):
            return frame
        asker = ".".join(str(byte) for byte in frame[28:32])
        self.send(ethernet(frame[6:12], ARP, arp(2, HERE, asker, MAC, frame[6:12])))
        return None

    def wait(self, wanted, seconds=60.0):
        """The first frame of which wanted(frame) is true, or None."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            frame = self.receive(end - time.monotonic())
            if frame and wanted(frame):
                return frame
        return None

    def ask(self, frame, wanted, seconds=120.0, again=20.0):
        """The first frame that is wanted after this one, or None. It is sent again where the card took nothing, and every
        `again` seconds: seldom, so that a busy machine does not answer twice; soon, where one is to get its address yet."""
        end, answer = time.monotonic() + seconds, None
        while not answer and time.monotonic() < end:
            sent = self.send(frame)
            answer = self.wait(wanted, min(again if sent else 0.5, seconds))
        return answer


def two_ports():
    """A UDP port that is free, with the next one: the second as a socket."""
    while True:
        own, first = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        with first:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                own.bind(("127.0.0.1", port + 1))
                return port, own
            except OSError:
                own.close()


def segment(frame):
    """(port it is for, sequence number or None, payload) of a frame of TCP or UDP whose sums are right, else None."""
    kind, at = frame[12:14], 34 if frame[12:14] == b"\x08\0" else 54
    if kind == b"\x08\0" and not checksum(frame[14:34]):
        total, protocol, addresses = struct.unpack(">H", frame[16:18])[0] - 20, frame[23], frame[26:34]
    elif kind == b"\x86\xdd":
        total, protocol, addresses = struct.unpack(">H", frame[18:20])[0], frame[20], frame[22:54]
    else:
        return None
    body = frame[at:at + total]
    if protocol not in (6, 17) or len(body) != total or checksum(addresses + struct.pack(">HH", protocol, total) + body):
        return None
    port = struct.unpack(">H", body[2:4])[0]
    return (port, struct.unpack(">I", body[4:8])[0], body[20:]) if protocol == 6 else (port, None, body[8:])


class BochsWire(Wire):
    """The same of Bochs's e1000: it hears at one port and speaks to the next."""

    def __init__(self, folder, card="e1000"):
        self.segments, self.probes, self.prefix = [], [], []
        port, self.socket = two_ports()
        self.path = ("127.0.0.1", port)
        self.options = ["--machine", "bochs", "--bochs", f"pci: enabled=1, chipset=i440fx, slot1={card}",
                        "--bochs", f"{card}: enabled=1, mac=52:54:00:12:34:56, ethmod=socket, ethdev={port}:localhost"]
