#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Two machines on one virtual wire, of which one at least is Bothy: what one serves, the other fetches, whole, over a wire that
is clean or loses, doubles, reorders and spoils frames. The other one is a second Bothy, or Debian's Linux."""
import hashlib
import os
import random
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import RUN, put
from engine_fixture import BUSYBOX, ROOT
from suite import expect, main

NETBENCH = os.path.join(ROOT, "build/tests/netbench")
LINUX = os.path.join(ROOT, "tools/linux-peer")
MODULES = [*(f"drivers/virtio/virtio{part}.ko" for part in ("_ring", "", "_pci_modern_dev", "_pci_legacy_dev", "_pci")),
           "net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko",
           *(f"net/{m}.ko" for m in ("llc/llc", "802/stp", "802/garp", "802/mrp", "8021q/8021q"))]
ADDRESS = {"a": "10.7.0.1", "b": "10.7.0.2"}
ADDRESS6 = {"a": "fd07::1", "b": "fd07::2"}
FETCHED = 1 << 20
PORT = 7100
STREAMS = ["out:200000", "in:200000", "trips:50", "drip:10000", "connects:20"]
DATAGRAMS = ["dgram-trips:50"]  # one under way at a time: bursts overrun the wire, which loses then

# Each machine gets its addresses; `a` serves, `b` asks.
UP = """B={busybox}
n=0; until $B ip link show eth0 >/dev/null 2>&1 || [ $n = 500 ]; do n=$((n + 1)); $B usleep 20000; done
$B ip link set eth0 up
[ {dev} = eth0 ] || {{ $B ip link add link eth0 name {dev} type vlan id 5 && $B ip link set {dev} up; }}
$B ip addr add {v4}/24 dev {dev}
$B ip -6 addr add {v6}/64 dev {dev}
cd {files}
"""
SERVE = UP + """$B httpd -p 80 -h {files}
./netbench serve {port}
"""
ASK = UP + """t() {{ n=0; until $B nc -w 2 $1 80 </dev/null >/dev/null 2>&1 || [ $n = 100 ]; do n=$((n + 1)); $B usleep 100000; done; }}
t {there}; t {there6}
$B wget -q -O - http://{there}/blob | $B md5sum
$B wget -q -O - "http://[{there6}]/blob" | $B md5sum
for host in {there} {there6}; do
    for order in {orders}; do ./netbench ask $host {port} ${{order%:*}} ${{order#*:}} || echo failed $order; done
done
./netbench ask {there} {port} end 0
"""


class Relay(threading.Thread):
    """The wire between two cards. `harm`: which share of the frames is lost, doubled, held back or spoiled, each."""

    def __init__(self, folder, harm, seed):
        super().__init__(daemon=True)
        self.harm, self.random, self.over = harm, random.Random(seed), False
        self.ends, self.held, self.frames = {}, [], 0
        for name in "ab":
            s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            s.bind(os.path.join(folder, f"{name}.peer"))
            s.setblocking(False)
            self.ends[name] = (s, os.path.join(folder, name))

    def send(self, frame, to):
        s, path = self.ends[to]
        try:
            s.sendto(frame, path)
        except OSError:
            pass  # the card is not there, or takes nothing now: a wire loses

    def carry(self, frame, to):
        dice = self.random.random() / self.harm if self.harm else 9
        if dice < 1:
            return
        if dice < 2:
            self.send(frame, to)
        elif dice < 3:
            self.held.append((time.monotonic() + 0.003, frame, to))
            return
        elif dice < 4 and len(frame) > 60:
            at = self.random.randrange(34, len(frame))
            frame = frame[:at] + bytes([frame[at] ^ 1 << self.random.randrange(8)]) + frame[at + 1:]
        self.send(frame, to)

    def run(self):
        with selectors.DefaultSelector() as selector:
            for name, (s, _) in self.ends.items():
                selector.register(s, selectors.EVENT_READ, name)
            while not self.over:
                for key, _ in selector.select(0.002 if self.held else 0.2):
                    try:
                        frame = key.fileobj.recv(65536)
                    except BlockingIOError:
                        continue
                    self.frames += 1
                    self.carry(frame, "b" if key.data == "a" else "a")
                now = time.monotonic()
                while self.held and self.held[0][0] <= now:
                    self.send(*self.held.pop(0)[1:])


def card(folder, name):
    mac = f"52:54:00:07:00:{ord(name):02x}"
    return [f"--qemu={word}" for word in (
        "-netdev", f"dgram,id=wire,local.type=unix,local.path={folder}/{name},"
        f"remote.type=unix,remote.path={folder}/{name}.peer", "-device", f"virtio-net-pci,disable-legacy=on,netdev=wire,mac={mac}")]


def machine(kind, folder, name, script, blob, harm, dev):
    """Starts it; it runs the script and ends."""
    other = "b" if name == "a" else "a"
    files = "/boot/files" if kind == "bothy" else "/files"
    words = {"busybox": f"{files}/busybox" if kind == "bothy" else "/bin/busybox", "files": files, "port": PORT, "dev": dev,
             "v4": ADDRESS[name], "v6": ADDRESS6[name], "there": ADDRESS[other], "there6": ADDRESS6[other],
             "orders": " ".join(STREAMS if harm else STREAMS + DATAGRAMS)}
    path = put(folder, f"script-{name}", script.format(**words))
    given = ["--file", f"{path}:script", "--file", f"{NETBENCH}:netbench", "--file", f"{blob}:blob"]
    if kind == "bothy":
        command = [RUN, "--timeout", "1180", *given, "--file", f"{BUSYBOX}:busybox", *card(folder, name), "-c",
                   "/boot/files/busybox sh /boot/files/script"]
    else:
        command = [LINUX, "--timeout", "1180", *given, *card(folder, name), *(w for m in MODULES for w in ("--module", m)),
                   "-c", "sh /files/script"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)


def meet(serves, asks, harm=0.0, seed=1, dev="eth0"):
    with tempfile.TemporaryDirectory(prefix="bothy-peer-") as folder:
        data = random.Random(seed).randbytes(FETCHED)
        blob, digest = put(folder, "blob", data), hashlib.md5(data).hexdigest()
        relay = Relay(folder, harm, seed)
        relay.start()
        both = [machine(serves, folder, "a", SERVE, blob, harm, dev), machine(asks, folder, "b", ASK, blob, harm, dev)]
        try:
            out = both[1].communicate(timeout=1200)[0]
            served = both[0].communicate(timeout=400)[0]
        finally:
            for process in both:
                process.terminate()
            relay.over = True
        expect(out.count(digest), 2, f"the file, by both families, in\n{out}\nserved:\n{served}")
        done = re.findall(r"^([a-z-]+) \d+ [0-9.]+ s$", out, re.M)
        orders = [order.split(":")[0] for order in (STREAMS if harm else STREAMS + DATAGRAMS)]
        expect((done, "failed" in out), (orders * 2, False), out + served)


def test_two_appliances_talk_over_a_clean_wire():
    meet("bothy", "bothy")


def test_two_appliances_talk_over_a_wire_that_loses_and_spoils():
    meet("bothy", "bothy", harm=0.02, seed=2)


def test_linux_fetches_from_an_appliance_over_a_bad_wire():
    meet("bothy", "linux", harm=0.02, seed=3)


def test_an_appliance_fetches_from_linux_over_a_bad_wire():
    meet("linux", "bothy", harm=0.02, seed=4)


def test_an_appliance_and_linux_talk_over_a_vlan():
    meet("bothy", "linux", dev="eth0.5")


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
