#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""netd on Linux, in a network namespace with veths for cards: leases of dnsmasq and of a server of this file's, right and
wrong; static addresses; links that come and go."""
import hashlib
import os
import signal
import socket
import struct
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import BUSYBOX, ROOT, USER
from netns import Net, run
from suite import expect, expect_in, main

RANGE = "--dhcp-range=10.7.0.50,10.7.0.60,255.255.255.0,300"
SO_BINDTODEVICE = 25
DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK = 1, 2, 3, 4, 5, 6


def bound(n, device="eth0"):
    return lambda: "address" in n.state(device).get("dhcp4", {})


def test_a_lease_of_dnsmasq_is_address_routes_and_names():
    with Net() as n:
        n.dnsmasq(RANGE, "--dhcp-option=3,10.7.0.1", "--dhcp-option=6,10.7.0.2,10.7.0.3", "--dhcp-option=15,lab.example",
                  "--dhcp-option=26,1400", "--dhcp-option=119,a.example,b.example", "--dhcp-host=52:54:00:00:00:01,box7,10.7.0.77")
        netd = n.netd("eth0 dhcp nora")
        n.await_(bound(n), "a lease")
        lease = n.state()["dhcp4"]
        expect((lease["address"], lease["server"], lease["state"]), ("10.7.0.77/24", "10.7.0.1", "bound"))
        expect(n.addresses("eth0", "scope", "global"), ["10.7.0.77/24"])
        n.await_(lambda: n.text("run/resolv.conf").count("nameserver") == 2, "name servers")
        expect(n.text("run/resolv.conf"),
               "# of netd\nnameserver 10.7.0.2\nnameserver 10.7.0.3\nsearch lab.example a.example b.example\n")
        expect_in("default via 10.7.0.1 dev eth0 proto dhcp src 10.7.0.77 metric 100", "\n".join(n.routes()))
        expect_in("mtu 1400", n.box.ip("link", "show", "eth0"))
        n.await_(lambda: n.hostname(netd) == "box7", "the host name")
        n.box.run(BUSYBOX, "ping", "-c1", "-W5", "10.7.0.1")


def test_a_lease_of_busyboxs_server_is_as_good():
    with Net() as n:
        with open(n.path("udhcpd.conf"), "w") as f:
            f.write(f"start 10.7.0.20\nend 10.7.0.30\ninterface lan0\nlease_file {n.path('udhcpd.leases')}\n"
                    f"pidfile {n.path('udhcpd.pid')}\noption subnet 255.255.255.0\nopt router 10.7.0.1\nopt dns 10.7.0.2\n"
                    "option lease 600\noption domain lab.example\n")
        open(n.path("udhcpd.leases"), "w").close()
        n.running.append(n.lan.start(BUSYBOX, "udhcpd", "-f", n.path("udhcpd.conf"), stderr=open(n.path("udhcpd"), "w")))
        n.await_(lambda: "started" in n.text("udhcpd"), "udhcpd starts")
        n.netd("eth0 dhcp nora")
        n.await_(lambda: "nameserver 10.7.0.2\nsearch lab.example" in n.text("run/resolv.conf"), "a lease")
        expect_in("default via 10.7.0.1 dev eth0 proto dhcp", "\n".join(n.routes()))


def test_classless_routes_stand_instead_of_the_router():
    with Net() as n:
        n.dnsmasq(RANGE, "--dhcp-option=3,10.7.0.1", "--dhcp-option=121,192.168.9.0/24,10.7.0.9,0.0.0.0/0,10.7.0.8")
        n.netd("eth0 dhcp nora metric=5")
        n.await_(bound(n), "a lease")
        routes = "\n".join(n.routes())
        expect_in("default via 10.7.0.8 dev eth0", routes)
        expect_in("192.168.9.0/24 via 10.7.0.9 dev eth0", routes)
        expect("10.7.0.1 dev" in routes, False)
        expect_in("metric 5", routes)


def bridge(n, *addresses):
    """A container network's bridge, which no rule is for."""
    n.box.ip("link", "add", "br0", "type", "veth", "peer", "name", "br1")
    n.box.ip("link", "set", "br1", "up")
    for address in addresses:
        n.box.ip("addr", "add", address, "dev", "br0")
    n.box.ip("link", "set", "br0", "up")


def test_routes_of_a_server_take_no_container_s_traffic():
    """Neither those of networks that are there nor of those that come later; and when these go, they are back."""
    with Net() as n:
        bridge(n, "172.17.0.1/16")
        n.dnsmasq(RANGE, "--dhcp-option=121,172.17.5.0/24,10.7.0.9,172.18.0.0/24,10.7.0.9,172.0.0.0/8,10.7.0.9,127.8.0.0/16,10.7.0.9")
        n.netd("eth0 dhcp nora")
        n.await_(bound(n), "a lease")
        routes = [line.split()[0] for line in n.routes() if "10.7.0.9" in line]
        expect(routes, ["172.0.0.0/8", "172.18.0.0/24"])
        n.box.ip("addr", "add", "172.18.0.1/16", "dev", "br0")
        n.await_(lambda: [line.split()[0] for line in n.routes() if "10.7.0.9" in line] == ["172.0.0.0/8"], "it stands aside")
        n.box.ip("link", "del", "br0")
        n.await_(lambda: len([line for line in n.routes() if "10.7.0.9" in line]) == 3, "they are back")


def test_a_lease_s_own_network_takes_no_container_s_traffic():
    with Net() as n:
        def towards():
            return n.box.ip("route", "get", "10.7.0.77").split()[2]
        bridge(n, "10.7.0.200/16")
        n.dnsmasq(RANGE)
        n.netd("eth0 dhcp nora")
        n.await_(bound(n), "a lease")
        expect((towards(), [line.split()[2] for line in n.routes() if line.startswith("10.7.0.0/24")]), ("br0", []))
        n.await_(lambda: any("default" in line and "eth0" in line for line in n.routes()), "the router is reached all the same")
        n.box.ip("link", "del", "br0")
        n.await_(lambda: towards() == "eth0", "it has its network back")
        bridge(n, "10.7.0.200/24")
        n.await_(lambda: towards() == "br0", "it stands aside for one that comes later")


def test_what_goes_with_a_link_that_is_put_down_is_made_again():
    """By command, in the machine: the kernel forgets routes then, and IPv6's addresses."""
    with Net(2) as n:
        n.dnsmasq(RANGE)
        n.netd("eth0 dhcp ra\neth1 10.8.0.5/24 fd00:8::5/64 gw=10.8.0.1 gw=fd00:8::1")
        six_ready(n)

        def all_there():
            advertise(n, router=1800)
            routes = "\n".join(n.routes() + n.routes("-6"))
            return all(part in routes for part in ("default via 10.7.0.1 dev eth0", "default via 10.8.0.1 dev eth1", "default via fd00:8::1 dev eth1",
                                                   "default via fe80", "fd00:9::/64 dev eth0")) and \
                "fd00:8::5/64" in n.addresses("eth1") and any(a.startswith("fd00:9:") for a in n.addresses("eth0"))
        n.await_(all_there, "all is there")
        for device in ("eth0", "eth1"):
            n.box.ip("link", "set", device, "down")
            n.box.ip("link", "set", device, "up")
        n.await_(all_there, "all is there again")


def own_routes(n):
    """To the lease's own network, by eth0."""
    return [line for line in n.routes() if line.startswith("10.7.0.0/24") and "eth0" in line]


def test_a_lease_that_stands_aside_does_so_after_its_link_was_down_and_for_a_netd_that_is_started_again():
    with Net() as n:
        n.dnsmasq(RANGE)
        netd = n.netd("eth0 dhcp nora")
        n.await_(lambda: bound(n)() and own_routes(n), "a lease")

        def down_and_up():
            n.box.ip("link", "set", "eth0", "down")
            n.await_(lambda: n.state()["dhcp4"]["state"] == "stopped", "it is down")
            n.box.ip("link", "set", "eth0", "up")
            n.await_(lambda: n.state()["dhcp4"]["state"] == "bound" and any("default" in line for line in n.routes()), "it is up")
        bridge(n, "10.7.0.200/16")
        n.await_(lambda: not own_routes(n), "it stands aside")
        down_and_up()
        expect(own_routes(n), [], "aside, as before")
        n.box.ip("link", "del", "br0")
        n.await_(lambda: own_routes(n), "it has its network back")
        down_and_up()
        n.await_(lambda: own_routes(n), "it has it again")
        netd.terminate()
        netd.wait()
        bridge(n, "10.7.0.200/16")
        os.remove(n.path("run/state.json"))
        n.netd("eth0 dhcp nora")
        n.await_(bound(n), "a lease")
        n.await_(lambda: not own_routes(n), "what the earlier one left stands aside")


def test_an_address_that_a_container_network_has_is_declined():
    with Net() as n:
        bridge(n, "10.7.0.50/16")
        s = Server(n)
        n.netd("eth0 dhcp nora")
        s.lease()
        _, _, options, _ = s.hear(DECLINE)
        expect((options[50], n.addresses("eth0", "scope", "global")), (socket.inet_aton("10.7.0.50"), []))
        s.close()


def test_two_cards_have_metrics_and_names_in_their_order():
    with Net(cards=2) as n:
        n.dnsmasq(RANGE, "--dhcp-range=10.8.0.50,10.8.0.60,255.255.255.0,300")
        n.netd("eth0 dhcp nora\neth1 dhcp nora")
        n.await_(lambda: bound(n)() and bound(n, "eth1")(), "two leases")
        routes = "\n".join(n.routes())
        expect_in("default via 10.7.0.1 dev eth0 proto dhcp", routes)
        expect("metric 100" in routes and "metric 110" in routes, True, routes)


def test_static_addresses_and_names_need_no_server():
    with Net() as n:
        netd = n.netd("eth0 10.7.0.5/24 fd00:7::5/64 gw=10.7.0.1 gw=fd00:7::1 dns=10.7.0.2 search=lab.example mtu=1300",
                      "quiet bothy.net=hostname=static7,dns=9.9.9.9")
        n.await_(lambda: "search" in n.text("run/resolv.conf"), "names")
        expect(n.text("run/resolv.conf"), "# of netd\nnameserver 9.9.9.9\nnameserver 10.7.0.2\nsearch lab.example\n")
        expect(set(n.addresses("eth0", "scope", "global")), {"10.7.0.5/24", "fd00:7::5/64"})
        expect_in("default via 10.7.0.1 dev eth0 proto static metric 100", "\n".join(n.routes()))
        expect_in("default via fd00:7::1 dev eth0 proto static metric 100", "\n".join(n.routes("-6")))
        expect_in("mtu 1300", n.box.ip("link", "show", "eth0"))
        n.await_(lambda: n.hostname(netd) == "static7", "the host name")
        n.box.run(BUSYBOX, "ping", "-c1", "-W5", "10.7.0.1")


def test_linuxs_ip_word_configures_a_device():
    with Net() as n:
        n.netd("", "ip=10.7.0.9::10.7.0.1:255.255.255.0::eth0:off:10.7.0.4")
        n.await_(lambda: n.addresses("eth0", "scope", "global") == ["10.7.0.9/24"], "the address")
        n.await_(lambda: "nameserver 10.7.0.4\n" in n.text("run/resolv.conf"), "the name server")


def test_off_is_off():
    with Net() as n:
        netd = n.netd("", "ip=off")
        expect(netd.wait(120), 0)
        expect_in("state DOWN", n.box.ip("link", "show", "eth0"))


def test_a_device_that_comes_later_is_configured_and_one_that_goes_is_forgotten():
    with Net() as n:
        n.dnsmasq(RANGE, "--dhcp-range=10.8.0.50,10.8.0.60,255.255.255.0,300")
        n.netd("eth* dhcp nora")
        n.await_(bound(n), "a lease")
        run("ip", "link", "add", "eth1", "netns", n.box.name, "type", "veth", "peer", "name", "lan1", "netns", n.lan.name)
        n.lan.ip("addr", "add", "10.8.0.1/24", "dev", "lan1")
        n.lan.ip("link", "set", "lan1", "up")
        n.await_(bound(n, "eth1"), "a lease for the new one")
        n.box.ip("link", "del", "eth1")
        n.await_(lambda: not n.state("eth1"), "the new one is forgotten")
        expect(bound(n)(), True)


def test_messages_of_the_kernel_that_were_missed_are_made_good():
    """A device goes while netd does not run and more is told than its socket holds."""
    with Net(cards=2) as n:
        netd = n.netd("eth0 10.7.0.5/24 nora\neth1 10.8.0.5/24 nora")
        n.await_(lambda: n.state("eth1"), "both are there")
        netd.send_signal(signal.SIGSTOP)
        n.box.ip("link", "del", "eth1")
        flood = n.path("flood")
        with open(flood, "w") as f:
            f.write("".join(f"link set dev eth0 alias {'x' * 200}{i}\n" for i in range(1500)))
        n.box.run("ip", "-batch", flood)
        netd.send_signal(signal.SIGCONT)
        n.await_(lambda: not n.state("eth1"), "it is forgotten")
        expect(n.addresses("eth0", "scope", "global"), ["10.7.0.5/24"])


def test_it_has_no_more_rights_than_it_needs():
    with Net() as n:
        n.dnsmasq(RANGE)
        netd = n.netd("eth0 dhcp nora", "", "--uid", "4242")
        n.await_(bound(n), "a lease")
        with open(f"/proc/{netd.pid}/status") as f:
            status = dict(line.split(":\t", 1) for line in f.read().splitlines())
        expect(status["Uid"].split(), ["4242"] * 4)
        expect(int(status["CapEff"], 16), 1 << 10 | 1 << 12 | 1 << 13 | 1 << 25)
        expect((status["CapBnd"], status["CapPrm"]), (status["CapEff"], status["CapEff"]))
        expect((status["NoNewPrivs"], status["Seccomp"], status["CapInh"]), ("1", "2", "0" * 16))


PEER = """
busybox=/bin/busybox
$busybox ip link add eth0 type dummy
/files/netd --config /files/rules --cmdline /dev/null --dir /run/net &
until $busybox grep -q 9.9.9.9 /run/net/resolv.conf 2>/dev/null; do $busybox usleep 20000; done
cat /proc/net/vlan/eth0.5 | grep VID
/files/cli net
"""


def test_vlans_are_made_and_configured():
    """On Debian's kernel in the emulator: this one may have no VLANs."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("rules", "eth0 vlan=5 10.9.0.2/24 gw=10.9.0.1 dns=9.9.9.9\neth0 off\n"), ("script", PEER)):
            with open(os.path.join(folder, name), "w") as f:
                f.write(text)
        words = [os.path.join(ROOT, "tools/linux-peer"), "--timeout", "200", "-c", "sh /files/script"]
        for module in ("net/llc/llc.ko", "net/802/stp.ko", "net/802/garp.ko", "net/802/mrp.ko", "net/8021q/8021q.ko", "drivers/net/dummy.ko"):
            words += [f"--module={module}"]
        for file in (os.path.join(USER, "netd"), os.path.join(USER, "cli"), os.path.join(folder, "rules"), os.path.join(folder, "script")):
            words += ["--file", file]
        out = run(*words)
    expect_in("VID: 5", out)
    line = [line for line in out.splitlines() if line.startswith("eth0.5")][-1]
    expect("10.9.0.2/24" in line and "static" in line, True, line)
    expect_in("default", out)


# ---- a server of our own ----


class Server:
    """Hears what clients say and says what the test wants."""

    def __init__(self, net):
        self.net = net
        self.socket = net.lan.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"lan0")
        self.socket.bind(("", 67))
        self.socket.settimeout(120)

    def hear(self, *kinds):
        """The next message of one of those kinds: (kind, message, options, sender)."""
        while True:
            m, sender = self.socket.recvfrom(2000)
            options = self.options(m)
            if options[53][0] in kinds:
                return options[53][0], m, options, sender

    @staticmethod
    def options(m):
        found, at = {}, 240
        while at < len(m) and m[at] != 255:
            if m[at] == 0:
                at += 1
                continue
            found[m[at]] = m[at + 2:at + 2 + m[at + 1]]
            at += 2 + m[at + 1]
        return found

    def say(self, kind, asked, address="10.7.0.50", server="10.7.0.1", to="255.255.255.255", times=(1, 60, 120), extra=b"",
            xid=None, chaddr=None):
        """times: renew, rebind, lease in seconds."""
        m = struct.pack(">BBBB4sHH4s4s4s4s16s192s4s", 2, 1, 6, 0, xid or asked[4:8], 0, 0, b"\0" * 4,
                        socket.inet_aton(address) if kind != NAK else b"\0" * 4, b"\0" * 4, b"\0" * 4, chaddr or asked[28:44], b"",
                        b"\x63\x82\x53\x63")
        # lan0 hears as soon as eth0 is up; what it says before its own carrier is there is lost
        self.net.await_(lambda: "state UP" in self.net.lan.ip("link", "show", "lan0"), "lan0 has a carrier")
        m += bytes([53, 1, kind, 54, 4]) + socket.inet_aton(server)
        if kind != NAK:
            m += bytes([1, 4, 255, 255, 255, 0])
            for code, seconds in zip((58, 59, 51), times):
                m += struct.pack(">BBI", code, 4, seconds)
        self.socket.sendto(m + extra + b"\xff", (to, 68))

    def lease(self, **how):
        """A whole exchange."""
        _, m, _, _ = self.hear(DISCOVER)
        self.say(OFFER, m, **how)
        _, m, _, _ = self.hear(REQUEST)
        self.say(ACK, m, **how)

    def serve(self, answers, condition, what):
        """Answers each message as answers[kind] says, a function of it, until condition() holds."""
        self.socket.settimeout(0.02)
        end = time.monotonic() + 30
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"{what}: not within 30 s; log: {self.net.text('log')}")
            try:
                m, _ = self.socket.recvfrom(2000)
            except TimeoutError:
                continue
            answers.get(self.options(m)[53][0], lambda m: None)(m)
        self.socket.settimeout(120)

    def close(self):
        self.socket.close()


def test_a_lease_is_renewed_with_its_server_and_given_up_when_that_refuses():
    with Net() as n:
        s = Server(n)
        n.netd("eth0 dhcp nora")
        s.lease()
        n.await_(bound(n), "a lease")
        _, m, options, sender = s.hear(REQUEST)
        expect((sender, m[12:16], 54 in options, 50 in options), (("10.7.0.50", 68), socket.inet_aton("10.7.0.50"), False, False))
        before = n.state()["dhcp4"]["ends"]
        s.say(ACK, m, to="10.7.0.50")
        n.await_(lambda: n.state()["dhcp4"]["ends"] > before, "the lease goes on")
        _, m, _, _ = s.hear(REQUEST)
        expect(n.addresses("eth0", "scope", "global"), ["10.7.0.50/24"])
        s.say(NAK, m, to="10.7.0.50")
        _, m, _, _ = s.hear(DISCOVER)
        n.await_(lambda: not bound(n)(), "the lease is given up")
        expect(n.addresses("eth0", "scope", "global"), [])
        s.say(OFFER, m, address="10.7.0.51")
        _, m, _, _ = s.hear(REQUEST)
        s.say(ACK, m, address="10.7.0.51")
        n.await_(bound(n), "another lease")
        expect(n.addresses("eth0", "scope", "global"), ["10.7.0.51/24"])
        s.close()


def test_a_lease_that_no_server_extends_ends():
    with Net() as n:
        s = Server(n)
        n.netd("eth0 dhcp nora")
        s.lease(times=(1, 2, 10))
        n.await_(bound(n), "a lease")
        heard = [s.hear(REQUEST)]
        while heard[-1][3][0] == "10.7.0.50" and len(heard) < 3:
            heard.append(s.hear(REQUEST))
        _, m, _, _ = s.hear(DISCOVER)
        n.await_(lambda: n.addresses("eth0", "scope", "global") == [], "the address is gone")
        expect(bound(n)(), False)
        s.close()


def test_one_that_is_started_again_leaves_nothing_of_the_last_one():
    with Net() as n:
        s = Server(n)
        netd = n.netd("eth0 dhcp nora")
        s.lease(times=(100, 110, 120), extra=b"\x1a\2\5\x14")
        n.await_(bound(n), "a lease")
        expect_in("mtu 1300", n.box.ip("link", "show", "eth0"))
        netd.kill()
        netd.wait()
        os.unlink(n.path("run/state.json"))
        expect(n.addresses("eth0", "scope", "global"), ["10.7.0.50/24"])
        n.netd("eth0 dhcp nora")
        s.lease(address="10.7.0.51", times=(100, 110, 120))
        n.await_(bound(n), "another lease")
        expect(n.addresses("eth0", "scope", "global"), ["10.7.0.51/24"])
        s.close()


def test_a_carrier_that_comes_back_has_its_lease_confirmed():
    with Net() as n:
        s = Server(n)
        n.netd("eth0 dhcp nora")
        s.lease(times=(100, 110, 120))
        n.await_(bound(n), "a lease")
        n.lan.ip("link", "set", "lan0", "down")
        n.await_(lambda: n.state()["dhcp4"]["state"] == "stopped", "the carrier is lost")
        expect(n.addresses("eth0", "scope", "global"), ["10.7.0.50/24"])
        n.lan.ip("link", "set", "lan0", "up")
        asked = []
        s.serve({REQUEST: lambda m: (asked.append(s.options(m)), s.say(ACK, m, times=(100, 110, 120)))},
                lambda: n.state()["dhcp4"]["state"] == "bound", "bound again")
        expect((asked[0][50], 54 in asked[0]), (socket.inet_aton("10.7.0.50"), False))
        # somewhere else now
        n.lan.ip("link", "set", "lan0", "down")
        n.await_(lambda: n.state()["dhcp4"]["state"] == "stopped", "the carrier is lost")
        n.lan.ip("link", "set", "lan0", "up")
        s.serve({REQUEST: lambda m: s.say(NAK, m)}, lambda: n.addresses("eth0", "scope", "global") == [], "the address is gone")
        s.hear(DISCOVER)
        s.close()


def test_an_address_that_someone_has_is_declined():
    with Net() as n:
        n.lan.ip("addr", "add", "10.7.0.50/24", "dev", "lan0")
        s = Server(n)
        n.netd("eth0 dhcp nora")
        s.lease()
        _, _, options, _ = s.hear(DECLINE)
        expect((options[50], options[54]), (socket.inet_aton("10.7.0.50"), socket.inet_aton("10.7.0.1")))
        expect(n.addresses("eth0", "scope", "global"), [])
        s.close()


def test_nonsense_of_a_server_changes_nothing():
    with Net() as n:
        s = Server(n)
        n.netd("eth0 dhcp nora")
        _, m, _, _ = s.hear(DISCOVER)
        s.say(OFFER, m, xid=b"\1\2\3\4")  # another transaction
        s.say(OFFER, m, chaddr=b"\2" * 16)  # another client
        s.say(OFFER, m, address="127.0.0.1")
        s.say(OFFER, m, address="10.7.0.255")
        s.say(OFFER, m, extra=b"\x0c\xff\x41")  # an option that reaches beyond the end
        s.say(ACK, m)  # nothing was requested
        s.socket.sendto(b"", ("255.255.255.255", 68))
        s.socket.sendto(b"\2" * 1400, ("255.255.255.255", 68))
        s.say(OFFER, m, address="10.7.0.52")
        _, m, options, _ = s.hear(REQUEST)
        expect(options[50], socket.inet_aton("10.7.0.52"))
        s.say(ACK, m, address="10.7.0.53")  # not what was requested
        s.say(ACK, m, address="10.7.0.52", server="10.7.0.66")  # not whom it was requested from
        s.say(ACK, m, address="10.7.0.52")
        n.await_(bound(n), "a lease")
        expect(n.addresses("eth0", "scope", "global"), ["10.7.0.52/24"])
        s.close()


# ---- IPv6 ----

RA = ("--enable-ra", "--ra-param=lan0,10,1800", "--dhcp-range=fd00:7::,ra-stateless,64,3600",
      "--dhcp-option=option6:dns-server,[fd00:7::53]", "--dhcp-option=option6:domain-search,six.example")
EUI = "5054:ff:fe00:1"


def lan6(n):
    n.lan.ip("addr", "add", "fd00:7::1/64", "dev", "lan0", "nodad")


def test_an_advertisement_is_address_router_and_names_and_dhcpv6_knows_the_rest():
    with Net() as n:
        lan6(n)
        n.dnsmasq(*RA, "--dhcp-option=option6:sntp-server,[fd00:7::123]")
        n.netd("eth0 dhcp")
        n.await_(lambda: f"fd00:7::{EUI}/64" in n.addresses("eth0", "scope", "global"), "an address")
        n.await_(lambda: "router" in n.state().get("ra", {}), "a router")
        router = n.state()["ra"]["router"]
        expect_in(f"default via {router} dev eth0 proto ra metric 100", "\n".join(n.routes("-6")))
        n.await_(lambda: "nameserver fd00:7::53\nsearch six.example\n" in n.text("run/resolv.conf"), "names")
        n.await_(lambda: n.all_state().get("clock", {}).get("server") == "fd00:7::123", "what DHCPv6 alone says")
        expect_in("valid_lft 3", n.box.ip("addr", "show", "eth0"))
        n.await_(lambda: "tentative" not in n.box.ip("addr", "show", "eth0"), "the address is ours")
        n.box.run(BUSYBOX, "ping", "-6", "-c1", "-W5", "fd00:7::1")


def test_an_address_can_be_one_that_tells_nothing():
    with Net() as n:
        lan6(n)
        n.dnsmasq(*RA)
        n.netd("eth0 dhcp stable=secret")
        n.await_(lambda: any(a.startswith("fd00:7:") for a in n.addresses("eth0", "scope", "global")), "an address")
        address = next(a for a in n.addresses("eth0", "scope", "global") if a.startswith("fd00:7:"))
        expect("ff:fe" in address, False, address)


def advertise(n, hops=255, router=1800, prefix="fd00:9::", times=(3600, 3600), options=b"", flags=0xc0, limit=64):
    """Sends an advertisement from lan0's link-local address."""
    s = n.lan.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    index = int(n.lan.ip("link", "show", "lan0").split(":")[0])
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, hops)
    message = struct.pack(">BBHBBHII", 134, 0, 0, limit, 0, router, 0, 0)
    message += struct.pack(">BBBBIII", 3, 4, 64, flags, *times, 0) + socket.inet_pton(socket.AF_INET6, prefix) + options
    s.sendto(message, 0, ("ff02::1", 0, 0, index))
    s.close()


def six_ready(n):
    """Both ends can speak IPv6."""
    n.await_(lambda: any(a.startswith("fe80") for a in n.addresses("eth0")) and
             "tentative" not in n.box.ip("addr", "show", "eth0"), "a link-local address")
    n.await_(lambda: "fe80" in n.lan.ip("addr", "show", "lan0") and "tentative" not in n.lan.ip("addr", "show", "lan0"), "lan0's")


def test_flags_that_flip_leave_no_address_behind():
    with Net() as n:
        n.netd("eth0 ra")
        six_ready(n)
        forever = (0xffffffff, 0xffffffff)
        for i in range(12):  # each would leave one, for good
            advertise(n, prefix=f"fd00:{i:x}::", times=forever, flags=0x40)
            advertise(n, prefix=f"fd00:{i:x}::", times=forever, flags=0x80)
            advertise(n, prefix=f"fd00:{i:x}::", times=(0, 0), flags=0x80)

        def last():
            advertise(n, prefix="fd00:100::", flags=0x80)
            return any(line.startswith("fd00:100::/64") for line in n.routes("-6"))
        n.await_(last, "the last one is heard")
        found = [a for a in n.addresses("eth0", "scope", "global")]
        expect(len(found), 8, f"addresses at most, each with its flag: {found}")
        expect([line for line in n.routes("-6") if line.startswith("fd00") and "fd00:100::" not in line], [], "routes without a prefix")
        for i in range(8):
            advertise(n, prefix=f"fd00:{i:x}::", times=(0, 0), flags=0x40)
        n.await_(lambda: n.box.ip("addr", "show", "eth0").count("valid_lft forever") == 1, "all but the link-local one will end")


def stable(prefix, count, secret="secret", device="eth0"):
    """The address that netd makes of a secret (RFC 7217)."""
    network = socket.inet_pton(socket.AF_INET6, prefix)[:8]
    data = hashlib.sha256(network + device.encode() + b"\0" + bytes([count]) + secret.encode()).digest()
    return socket.inet_ntop(socket.AF_INET6, network + bytes([data[0] & 0xfd]) + data[1:8])


def test_an_address_that_another_host_has_is_followed_by_the_next_of_its_prefix_alone():
    with Net() as n:
        for count in range(2):
            n.lan.ip("addr", "add", stable("fd00:9::", count) + "/64", "dev", "lan0", "nodad")
        n.netd("eth0 ra stable=secret")
        six_ready(n)

        def settled():
            for prefix in ("fd00:9::", "fd00:8::"):
                advertise(n, prefix=prefix)
            return {stable("fd00:9::", 2) + "/64", stable("fd00:8::", 0) + "/64"} == set(n.addresses("eth0", "scope", "global")) and \
                "tentative" not in n.box.ip("addr", "show", "eth0")
        n.await_(settled, "the third of the one, the first of the other")


def test_who_has_all_addresses_ends_the_search_for_one():
    """One that answers for whatever is asked costs three tries of a prefix, not one for each advertisement."""
    with Net() as n:
        for count in range(3):
            n.lan.ip("addr", "add", stable("fd00:9::", count) + "/64", "dev", "lan0", "nodad")
        n.netd("eth0 ra stable=secret")
        six_ready(n)

        def tried():
            advertise(n)
            return n.text("log").count("another host has fd00:9::") == 3
        n.await_(tried, "all three are tried")

        def other():
            advertise(n)
            advertise(n, prefix="fd00:8::")
            return stable("fd00:8::", 0) + "/64" in n.addresses("eth0", "scope", "global")
        n.await_(other, "another prefix is heard")
        expect(n.text("log").count("another host has fd00:9::"), 3)
        expect([a for a in n.addresses("eth0", "scope", "global") if a.startswith("fd00:9:")], [])


def test_a_router_takes_no_container_s_traffic_and_no_hop_limit_away():
    with Net() as n:
        bridge(n, "fd00:17::1/64")
        n.netd("eth0 ra")
        six_ready(n)

        def heard():
            advertise(n, prefix="fd00:17::", flags=0x80, limit=1)
            advertise(n, prefix="fd00:9::", flags=0x80, limit=0)
            return any(line.startswith("fd00:9::/64 dev eth0") for line in n.routes("-6"))
        n.await_(heard, "they are heard")
        expect([line.split()[2] for line in n.routes("-6") if line.startswith("fd00:17::/64")], ["br0"])
        expect(n.box.run("cat", "/proc/sys/net/ipv6/conf/eth0/hop_limit").strip(), "64")
        expect("expires" in next(line for line in n.routes("-6") if line.startswith("fd00:9::/64")), True, "it ends with its prefix")


def test_a_router_s_mtu_is_kept_beside_a_lease_s_and_its_route_ends_by_itself():
    def mtu():
        return int(n.box.run("cat", "/proc/sys/net/ipv6/conf/eth0/mtu"))
    with Net() as n:
        n.netd("eth0 dhcp ra")
        six_ready(n)

        def heard():
            advertise(n, options=struct.pack(">BBHI", 5, 1, 0, 1350))
            return mtu() == 1350
        n.await_(heard, "the router's word")
        routes = [line for line in n.routes("-6") if line.startswith("default")]
        expect(all("expires" in line for line in routes) and len(routes), 1, routes)
        n.dnsmasq(RANGE, "--dhcp-option=26,1400")
        n.await_(lambda: "mtu 1400" in n.box.ip("link", "show", "eth0"), "the lease's word")
        n.await_(lambda: mtu() == 1350, "the router's is as it was")


def test_log_lines_that_others_cause_are_limited():
    with Net() as n:
        n.netd("eth0 10.7.0.5/24 nora")
        n.await_(lambda: n.state(), "it runs")
        for _ in range(100):
            n.lan.ip("link", "set", "lan0", "down")
            n.lan.ip("link", "set", "lan0", "up")
        n.lan.ip("link", "set", "lan0", "down")
        n.lan.ip("link", "set", "lan0", "up")
        n.await_(lambda: "the carrier is" in n.text("log"), "it says something")
        expect(n.text("log").count("\n") < 80, True, n.text("log"))


def test_advertisements_from_afar_or_of_nonsense_change_nothing():
    with Net() as n:
        n.netd("eth0 10.7.0.5/24 ra")
        n.await_(lambda: any(a.startswith("fe80") for a in n.addresses("eth0")) and
                 "tentative" not in n.box.ip("addr", "show", "eth0"), "a link-local address")
        n.await_(lambda: "fe80" in n.lan.ip("addr", "show", "lan0") and "tentative" not in n.lan.ip("addr", "show", "lan0"), "lan0's")
        advertise(n, hops=64, prefix="fd00:64::")
        advertise(n, prefix="fd00:65::", options=b"\3\0")  # an option of no length
        advertise(n, prefix="fd00:66::", options=b"\x19\x20" + b"\0" * 6)  # beyond the end
        advertise(n, prefix="fd00:67::", times=(100, 200))
        advertise(n, prefix="fe80::")

        def right():
            advertise(n)
            return f"fd00:9::{EUI}/64" in n.addresses("eth0", "scope", "global")
        n.await_(right, "the right one counts")
        expect(sorted(n.addresses("eth0", "scope", "global")), ["10.7.0.5/24", f"fd00:9::{EUI}/64"])
        advertise(n, router=0)
        n.await_(lambda: "default" not in "\n".join(n.routes("-6")), "a router that is none any more")


# ---- time ----


class Clock:
    """A time server on the lan. It says what this machine's clock says, which so stays as it is."""

    def __init__(self, n, address="10.7.0.1"):
        self.socket = n.lan.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 123))
        self.socket.settimeout(120)

    def hear(self):
        return self.socket.recvfrom(200)

    def answer(self, client, origin):
        now = time.time()
        stamp = struct.pack(">II", int(now) + 2208988800, int(now % 1 * 2 ** 32))
        self.socket.sendto(struct.pack(">BBBbII4s8s8s", 0x24, 1, 6, -20, 0, 0, b"TEST", stamp, origin) + stamp * 2, client)


def test_the_clock_follows_a_server():
    with Net() as n:
        s = Clock(n)
        n.dnsmasq(RANGE, "--dhcp-option=42,10.7.0.1")
        n.netd("eth0 dhcp nora")
        asked, client = s.hear()
        expect((asked[0] & 7, len(asked)), (3, 48))
        s.answer(client, b"\1" * 8)  # to a question that was not asked
        s.answer(client, asked[40:48])
        n.await_(lambda: "at" in n.all_state().get("clock", {}), "the clock is set")
        clock = n.all_state()["clock"]
        expect(clock["server"], "10.7.0.1")
        expect(abs(clock["offset_us"]) < 500000, True, clock)
        s.socket.close()


def test_a_time_server_s_name_is_looked_up_and_once_more_when_nobody_answers():
    with Net() as n:
        def hosts(address):
            with open(n.path("hosts"), "w") as f:
                f.write(f"{address} clock.example\n10.7.0.8 other.example\n")
        hosts("10.7.0.9")
        names = n.dnsmasq(f"--addn-hosts={n.path('hosts')}", port=53)
        n.netd("eth0 10.7.0.5/24 nora dns=10.7.0.1 ntp=clock.example ntp=other.example ntp=no.example")
        n.await_(lambda: n.all_state().get("clock", {}).get("servers") == 2, "two are known")
        clock = n.all_state()["clock"]
        expect((clock["server"], clock["name"]), ("10.7.0.9", "clock.example"))
        n.await_(lambda: n.all_state()["clock"]["unknown"] == ["no.example"], "the third has none")
        s = Clock(n)
        hosts("10.7.0.1")
        names.send_signal(signal.SIGHUP)
        asked, client = s.hear()
        s.answer(client, asked[40:48])
        n.await_(lambda: "at" in n.all_state()["clock"], "the clock is set")
        out = n.box.run(os.path.join(USER, "cli"), "net", "--dir", n.path("run"))
        expect_in("clock: no address of no.example is known\nclock by 10.7.0.1 (clock.example), was ", out)
        s.socket.close()


def test_what_is_wrong_in_the_configuration_is_seen_in_bothy_net_too():
    with Net() as n:
        n.netd("eth0 10.7.0.5/24 nora mtu=70000\n\neth1 gw=10.0.0.300 mtu=x # why\n", "ip=10.0.0.1::x:24::eth0:off bothy.net=eth2,vlan=5000")
        n.await_(lambda: n.state(), "it runs")
        out = n.box.run(os.path.join(USER, "cli"), "net", "--dir", n.path("run"))
        for line in ("not understood: ip=10.0.0.1::x:24::eth0:off", "not understood: vlan=5000", "line 3 of the file: not understood: gw=10.0.0.300",
                     "line 3 of the file: not understood: mtu=x", "line 1 of the file: not understood: mtu=70000"):
            expect_in(f"configuration: {line}\n", out)
            expect_in(f"netd: configuration: {line}\n", n.text("log"))
        for device in ("eth1", "eth2"):
            expect_in(f"configuration: no device for the rule of {device}\n", out)
        netd = n.netd("", "ip=off bothy.net=hostname=a_b")
        expect(netd.wait(120), 0)
        expect_in('"wrong":["not understood: hostname=a_b"]', n.text("run/state.json"))


# ---- what a person sees ----


def test_bothy_net_shows_it_all():
    with Net() as n:
        n.dnsmasq(RANGE, "--dhcp-option=6,10.7.0.2", "--dhcp-option=15,lab.example")
        n.netd("eth0 dhcp nora")
        n.await_(lambda: "nameserver" in n.text("run/resolv.conf"), "a lease")
        out = n.box.run(os.path.join(USER, "cli"), "net", "--dir", n.path("run"))
        lines = {line.split()[0]: line for line in out.splitlines() if line}
        address = n.state()["dhcp4"]["address"]
        for part in ("up", n.mac["eth0"], "1500", "dhcp from 10.7.0.1, ", " left", address):
            expect_in(part, lines["eth0"])
        expect(lines["default"].split(), ["default", "10.7.0.1", "eth0", "100", "dhcp"])
        expect((lines["nameserver"], lines["search"]), ("nameserver 10.7.0.2", "search lab.example"))
        expect_in("host", lines)


if __name__ == "__main__":
    main(sys.modules[__name__])
