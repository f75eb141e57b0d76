# SPDX-License-Identifier: MIT
"""A machine's network cards: tools/run's --net, --nic and --publish, as QEMU and Bochs want to be told.

  user              a network of its own behind the emulator: DHCP, DNS and this computer at 10.0.2.2, out by NAT. Its
                    ports are reached from here by --publish and --api, on 127.0.0.1 unless another address is named.
  tap:IF            this computer's tap device IF, which exists and is ours
  socket:PATH       frames are datagrams of unix sockets: the card is PATH and sends to PATH.peer; the card PATH.peer
                    sends to PATH, so that two machines are joined
  socket:GROUP:PORT a segment that all machines with the same multicast group share
Each takes `,mac=MAC`. One card each, in the order of the command line.
"""
import argparse
import ipaddress
import os
import re
import socket

from host import fail
from relay import QUEUE, hidden_place

NICS = {"virtio": "virtio-net-pci,disable-legacy=on", "e1000": "e1000", "e1000e": "e1000e", "rtl8139": "rtl8139"}
API_PORT = 2375  # in the machine
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def port_of(text, spec, low=1):
    if not text.isdigit() or not low <= int(text) <= 65535:
        fail(f"{spec}: not a port: {text!r}")
    return int(text)


HELD = []


def free_port():
    """One that nothing listens on. It is ours to this process's end: no other is given it, and the emulator, which reuses
    addresses as well, may listen there."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    HELD.append(s)
    return s.getsockname()[1]


class Publish:
    """[HOST:]PORT[:GUEST][/udp]: PORT of this computer is GUEST of the machine; 0: one that is free."""

    def __init__(self, spec, host="127.0.0.1"):
        self.spec, self.host = f"--publish {spec}", host
        rest, _, self.kind = spec.partition("/")
        words = rest.split(":")
        if words and not words[0].isdigit():
            self.host = self.address(words.pop(0))
        self.kind = self.kind or "tcp"
        if len(words) not in (1, 2) or self.kind not in ("tcp", "udp"):
            fail(f"{self.spec}: it is [HOST:]PORT[:GUEST][/udp]")
        self.port = port_of(words[0], self.spec, 0)
        self.guest = port_of(words[-1], self.spec)
        self.asked = self.port

    def address(self, text):
        try:
            return str(ipaddress.IPv4Address(text))
        except ValueError:
            fail(f"{self.spec}: not an IPv4 address: {text!r}")

    def rule(self, guest=""):
        return f"{self.kind}:{self.host}:{self.port}-{guest}:{self.guest}"

    def place(self):
        return self.host, self.port


class Api:
    """The port of 127.0.0.1 for the machine's API, which is open from here on, and the forward behind it (relay.py)."""

    def __init__(self, port):
        self.host = "127.0.0.1"
        try:
            self.listener = socket.create_server((self.host, port or 0), backlog=QUEUE)
        except (OSError, OverflowError) as e:
            fail(f"--api {port}: {os.strerror(e.errno) if isinstance(e, OSError) else 'not a port'}")
        self.port = self.listener.getsockname()[1]
        address, behind = hidden_place()
        self.behind = Publish(f"{address}:{behind}:{API_PORT}")


class Net:
    """One card and what it is plugged into."""

    def __init__(self, spec, model, number):
        self.spec, self.model, self.number, self.mac = f"--net {spec}", model, number, None
        spec, *words = spec.split(",")
        self.kind, _, self.where = spec.partition(":")
        for word in words:
            if not word.startswith("mac=") or not MAC.fullmatch(word[4:].lower()):
                fail(f"{self.spec}: what is {word!r}?")
            self.mac = word[4:].lower()
        if self.kind not in ("user", "tap", "socket") or (self.kind == "user") != (not self.where):
            fail(f"{self.spec}: it is none, user, tap:IF, socket:PATH or socket:GROUP:PORT")
        self.name = f"net{number}"
        if self.kind == "tap" and not os.path.isdir(f"/sys/class/net/{self.where}"):
            fail(f"{self.spec}: there is no interface {self.where!r} (ip tuntap add {self.where} mode tap)")
        if self.kind == "socket":
            self.segment = self.socket_options()

    def socket_options(self):
        if "/" in self.where:
            path = self.where.replace(",", ",,")
            peer = path[:-5] if path.endswith(".peer") else path + ".peer"
            return f"dgram,local.type=unix,local.path={path},remote.type=unix,remote.path={peer}"
        group, _, port = self.where.rpartition(":")
        try:
            if not ipaddress.IPv4Address(group).is_multicast:
                raise ValueError
        except ValueError:
            fail(f"{self.spec}: neither a path with a / in it nor a multicast group and a port")
        # Cards of several machines are on this segment.
        self.mac = self.mac or "52:54:00:" + os.urandom(3).hex(":")
        return (f"dgram,remote.type=inet,remote.host={group},remote.port={port_of(port, self.spec)},"
                "local.type=inet,local.host=127.0.0.1,local.port=0")

    def network(self):
        """Several user networks are apart, by the place of the card: that of the first card is QEMU's own 10.0.2.0/24."""
        return f"10.0.{self.number + 2}."

    def qemu(self, published):
        if self.kind == "user":
            end = f"user,net={self.network()}0/24" + "".join(",hostfwd=" + p.rule() for p in published)
        elif self.kind == "tap":
            end = f"tap,ifname={self.where},script=no,downscript=no"
        else:
            end = self.segment
        kind, _, rest = end.partition(",")
        mac = f",mac={self.mac}" if self.mac else ""
        return ["-netdev", f"{kind},id={self.name},{rest}", "-device", f"{NICS[self.model]},netdev={self.name}{mac}"]

    def bochs(self, published, tmp):
        """Lines of bochsrc: an e1000 over its slirp or a tap device."""
        if self.model != "e1000" or self.number > 3:
            fail(f"{self.spec}: Bochs has four cards of the kind e1000 here: --nic e1000")
        mac = self.mac or f"52:54:00:12:34:{0x56 + self.number:02x}"
        if self.kind == "tap":
            return f"e1000: card={self.number}, enabled=1, mac={mac}, ethmod=tuntap, ethdev=/dev/net/tun:{self.where}\n"
        if self.kind != "user":
            fail(f"{self.spec}: Bochs knows --net user and tap:IF here")
        path = os.path.join(tmp, f"slirp{self.number}")
        with open(path, "w") as f:
            f.write(f"net = {self.network()}0/24\n")
            f.writelines(f"hostfwd = {p.rule(self.network() + '15')}\n" for p in published)
        return f"e1000: card={self.number}, enabled=1, mac={mac}, ethmod=slirp, script={path}\n"


class Cards:
    """All of a machine's, and which ports of this computer lead to it."""

    def __init__(self, words, published, api):
        """`words`: (option, value) of --net and --nic as they came. `api`: this computer's port for the API, 0 any."""
        nets, model = [], next((value for option, value in words if option == "nic"), "virtio")
        for option, value in words:
            if option == "nic":
                model = value
            elif value != "none":
                nets.append((value, model))
        if any(option == "net" and value == "none" for option, value in words) and nets:
            fail("--net none: there are others")
        self.nets = [Net(value, kind, i) for i, (value, kind) in enumerate(nets)]
        self.user = next((n for n in self.nets if n.kind == "user"), None)
        self.published = [Publish(spec) for spec in published]
        if (self.published or api is not None) and not self.user:
            fail("--publish and --api are for --net user")
        if words and not self.nets and any(option == "nic" for option, _ in words):
            fail("--nic is the model of a --net")
        self.api = Api(api) if self.user else None

    def forwarded(self, net):
        return self.published + [self.api.behind] if net is self.user else []

    def qemu(self):
        return [word for net in self.nets for word in net.qemu(self.forwarded(net))]

    def bochs(self, tmp):
        for p in self.published:  # Bochs does not say which one it got
            p.port = p.port or free_port()
        lines = "".join(net.bochs(self.forwarded(net), tmp) for net in self.nets)
        return "plugin_ctrl: e1000=1\n" + lines if lines else ""

    def boot_words(self):
        """For the kernel's command line: the engine opens its API, and how it is reached from here."""
        if not self.user:
            return []
        gateway = self.user.network() + "2"  # whom a forwarded connection comes from
        return [f"bothy.api=tcp://0.0.0.0:{API_PORT},from={gateway}", f"bothy.api.seen=tcp://{self.api.host}:{self.api.port}"]


class Wired(argparse.Action):
    """--net and --nic: their order matters."""

    def __call__(self, parser, space, value, option=None):
        space.wired = [*space.wired, (self.dest, value)]


def add_options(add):
    add("--net", action=Wired, metavar="none|user|tap:IF|socket:ADDR",
        help="a network card (repeatable); user: NAT, DHCP, and published ports are ports of 127.0.0.1 here")
    add("--nic", action=Wired, choices=tuple(NICS), help="the model of each --net that follows; the first --nic is also that of each --net before it")
    add("--publish", action="append", default=[], metavar="[HOST:]PORT[:GUEST][/udp]",
        help="--net user: PORT of 127.0.0.1 or HOST is the machine's; 0: a free one, printed")
    add("--api", type=int, metavar="PORT", help="--net user: the port of 127.0.0.1 for the machine's Docker API")
