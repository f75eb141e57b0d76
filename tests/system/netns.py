# SPDX-License-Identifier: MIT
"""Network namespaces of this Linux: a `box` where netd runs, with cards that are veths, and a `lan` with their other ends."""
import ctypes
import json
import os
import shutil
import socket
import subprocess
import tempfile

from engine_fixture import USER
from suite import Skip, until

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
COUNT = iter(range(10 ** 6))


def run(*words, check=True):
    p = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
    if check and p.returncode:
        raise AssertionError(f"{' '.join(words)}: {p.stdout}")
    return p.stdout


class Space:
    """One namespace."""

    def __init__(self, name):
        self.name = f"bothy-{name}-{os.getpid()}-{next(COUNT)}"
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def command(self, *words):
        return ("ip", "netns", "exec", self.name, *words)

    def run(self, *words, check=True):
        return run(*self.command(*words), check=check)

    def ip(self, *words, check=True):
        return run("ip", "-n", self.name, *words, check=check)

    def start(self, *words, **options):
        return subprocess.Popen(self.command(*words), stdin=subprocess.DEVNULL, **options)

    def socket(self, family, kind, protocol=0):
        """A socket of this namespace, in this process."""
        with open("/proc/thread-self/ns/net") as here, open(f"/run/netns/{self.name}") as there:
            if LIBC.setns(there.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                return socket.socket(family, kind, protocol)
            finally:
                LIBC.setns(here.fileno(), CLONE_NEWNET)

    def listener(self, address):
        """A socket that listens there, on a free port."""
        s = self.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.bind((address, 0))
        s.listen(64)
        return s

    def delete(self):
        run("ip", "netns", "del", self.name, check=False)


class Net:
    """`with Net(cards=1) as n`: n.box has eth0, eth1, ...; n.lan has lan0, lan1, ... (up, with 10.N.0.1/24, where N = 7, 8, ...)."""

    def __init__(self, cards=1):
        if os.geteuid() or not shutil.which("ip"):
            raise Skip("needs root and iproute2")
        self.folder = tempfile.mkdtemp(prefix="bothy-netd-")
        os.chmod(self.folder, 0o755)
        self.box, self.lan, self.running = Space("box"), Space("lan"), []
        self.mac = {}
        for i in range(cards):
            self.mac[f"eth{i}"] = f"52:54:00:00:00:{i + 1:02x}"
            run("ip", "link", "add", f"eth{i}", "address", self.mac[f"eth{i}"], "netns", self.box.name, "type", "veth", "peer",
                "name", f"lan{i}", "netns", self.lan.name)
            self.lan.run("sh", "-c", f"echo 0 >/proc/sys/net/ipv6/conf/lan{i}/accept_dad")
            self.lan.ip("addr", "add", f"10.{7 + i}.0.1/24", "dev", f"lan{i}")
            self.lan.ip("link", "set", f"lan{i}", "up")

    def __enter__(self):
        return self

    def __exit__(self, *rest):
        for p in reversed(self.running):
            p.terminate()
        for p in self.running:
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self.box.delete()
        self.lan.delete()
        shutil.rmtree(self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def dnsmasq(self, *options, port=0):
        if not shutil.which("dnsmasq"):
            raise Skip("dnsmasq is not installed")
        # no ping before an offer: nobody else is there; --dhcp-authoritative: what it does not know it refuses
        p = self.lan.start("dnsmasq", "-k", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--no-ping", f"--port={port}",
                           "--bind-dynamic", f"--dhcp-leasefile={self.path('leases')}", "--pid-file=", "--log-dhcp",
                           "--log-facility=-", "--user=root", *options, stdout=open(self.path("dnsmasq"), "a"), stderr=subprocess.STDOUT)
        self.running.append(p)
        until(lambda: "started" in self.text("dnsmasq"), "dnsmasq starts")
        return p

    def text(self, name):
        try:
            with open(self.path(name)) as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def netd(self, rules="", cmdline="", *options):
        """Starts it; its lines go to the file `log`, what it writes to `run/`."""
        for name, text in (("rules", rules), ("cmdline", cmdline)):
            with open(self.path(name), "w") as f:
                f.write(text + "\n")
        p = self.box.start("unshare", "-u", os.path.join(USER, "netd"), "--cmdline", self.path("cmdline"), "--config",
                           self.path("rules"), "--dir", self.path("run"), *options, stderr=open(self.path("log"), "a"))
        self.running.append(p)
        return p

    def hostname(self, netd):
        return run("nsenter", "-t", str(netd.pid), "-u", "hostname").strip()

    def state(self, device="eth0"):
        """What netd says of a device; {} as long as it says nothing."""
        text = self.text("run/state.json")
        return next((d for d in json.loads(text)["devices"] if d["name"] == device), {}) if text else {}

    def all_state(self):
        text = self.text("run/state.json")
        return json.loads(text) if text else {}

    def addresses(self, device="eth0", *words):
        """[(address/prefix, flags)] that the kernel has."""
        found = json.loads(self.box.ip("-j", "addr", "show", "dev", device, *words))
        return [f"{a['local']}/{a['prefixlen']}" for d in found for a in d.get("addr_info", []) if "local" in a]

    def routes(self, *words):
        """Text of each route, sorted."""
        return sorted(line.strip() for line in self.box.ip(*words, "route", "show").splitlines())

    def await_(self, condition, what, seconds=300):
        try:
            until(condition, what, seconds)
        except AssertionError as e:
            raise AssertionError(f"{e}; log: {self.text('log')}; dnsmasq: {self.text('dnsmasq')[-2000:]}") from e
