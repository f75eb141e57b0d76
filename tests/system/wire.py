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
ARP, IPV4 = 0x0806, 0x0800


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


class Wire:
    """A card's other end, and the host HERE behind it, which answers ARP. `options` are for tools/run."""

    def __init__(self, folder, card="virtio-net-pci"):
        self.segments, self.prefix = [], []
        self.path, own = os.path.join(folder, "card"), os.path.join(folder, "wire")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(own)
        words = ["-netdev", f"dgram,id=wire,local.type=unix,local.path={self.path},"
                            f"remote.type=unix,remote.path={own}", "-device", f"{card},netdev=wire"]
        self.options = [f"--qemu={word}" for word in words]

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
        if frame[12:14] != b"\x08\x06" or frame[21] != 1 or frame[38:42] != ip(HERE):
            return frame
        asker = ".".join(str(byte) for byte in frame[28:32])
        self.send(ethernet(frame[6:12], ARP, arp(2, HERE, asker, MAC, frame[6:12])))
        return None

    def wait(self, wanted, seconds=10.0):
        """The first frame of which wanted(frame) is true, or None."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            frame = self.receive(end - time.monotonic())
            if frame and wanted(frame):
                return frame
        return None

    def ask(self, frame, wanted, seconds=20.0):
        """The first frame that is wanted after this one, which a busy machine may have to be sent again; or None."""
        end, answer = time.monotonic() + seconds, None
        while not answer and time.monotonic() < end:
            self.send(frame)
            answer = self.wait(wanted, min(2.0, seconds))
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
        self.segments, self.prefix = [], []
        port, self.socket = two_ports()
        self.path = ("127.0.0.1", port)
        self.options = ["--machine", "bochs", "--bochs", f"pci: enabled=1, chipset=i440fx, slot1={card}",
                        "--bochs", f"{card}: enabled=1, mac=52:54:00:12:34:56, ethmod=socket, ethdev={port}:localhost"]
