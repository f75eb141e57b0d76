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

    def receive(self, seconds):
        """A frame that is no question for HERE, or None."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            frame = self.socket.recv(65536)
        except (TimeoutError, BlockingIOError):
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
