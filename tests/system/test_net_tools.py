#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Debian's programs that configure the network and look at it, unmodified: iproute2, tcpdump, busybox, node."""
import os
import socket
import sys
import tarfile
import tempfile
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import commands, put, run
from debian_image import unpacked
from engine_fixture import busybox_layer, docker_archive, tar
from python_image import Layer, libraries
from suite import expect, expect_in, main

TOOLS = ("iproute2", "net-tools", "procps", "udev")
RUN = "run --rm --cap-add NET_ADMIN --cap-add NET_RAW tools sh /script"
ON_HOST = RUN.replace("tools", "--network host tools")
# busybox has an `ip` of its own in its shell.
HEAD = "export PATH=/usr/sbin:/sbin:/bin:/usr/bin; ip() { /bin/ip \"$@\"; }\n"

PRIVILEGED = "run --rm --privileged tools sh /script"


def outcome(script, packages=(), programs=(), others=(), options=(), line=RUN):
    """What the script prints, run in a container that has these programs of these packages. With options of
    tools/run it is on the host's network."""
    layer = Layer()
    if programs:
        root = unpacked(*packages)
        for program in programs:
            layer.file(os.path.join(root, program), "/" + program)
        for path in libraries([os.path.join(root, program) for program in programs]):
            layer.file(path)
    for path in others:
        layer.file(path)
        for library in libraries([path]):
            layer.file(library)
    with tempfile.TemporaryDirectory(prefix="bothy-tools-") as folder:
        files = tar([("script", tarfile.REGTYPE, HEAD + script)])
        image = put(folder, "tools.tar", docker_archive("tools:latest", [busybox_layer(), layer.bytes(), files]))
        p = run("--image", image, "--memory", "512", "--timeout", "1500", *options,
                *commands(ON_HOST if options else line))
    expect(p.returncode, 0, p.stdout + p.stderr)
    return p.stdout


def test_iproute2_makes_changes_and_shows_links():
    out = outcome("""
ip link add d0 type dummy && ip link set d0 mtu 1400 address 02:01:02:03:04:05 || exit 1
ip link set d0 up || exit 2
ip -br link; ip -d link show d0; ip -s link show lo | grep -c RX
ip link set d0 name d1 2>&1
ip link set d0 down && ip link set d0 name d1 && ip link show d1 || exit 3
ip link add d1 type dummy 2>&1
ip link add v0 type nonsense 2>&1
ip link del d1 && ip link show d1 2>&1
busybox ip link
""", ("iproute2",), ("bin/ip",))
    expect_in("d0               UP             02:01:02:03:04:05 <BROADCAST,MULTICAST,UP,LOWER_UP>", out)
    expect_in("mtu 1400 qdisc noqueue state UP", out)
    expect_in("    dummy ", out)
    expect_in("RTNETLINK answers: Device or resource busy", out)
    expect_in("d1: <BROADCAST,MULTICAST> mtu 1400", out)
    expect_in("RTNETLINK answers: File exists", out)
    expect_in("Unknown device type", out)
    expect_in('Device "d1" does not exist.', out)
    expect_in("1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue qlen 1000", out)


def test_iproute2_monitor_hears_of_links():
    out = outcome("""
/bin/ip monitor link > /tmp/heard & m=$!
for i in $(seq 300); do grep -q " $m .* 00000001" /proc/net/netlink && break; usleep 10000; done
ip link add d0 type dummy; ip link del d0
for i in $(seq 300); do grep -q Deleted /tmp/heard && break; usleep 10000; done
kill $m; cat /tmp/heard
""", ("iproute2",), ("bin/ip",))
    expect_in("d0: <BROADCAST,MULTICAST> mtu 1500", out)
    expect_in("Deleted", out)


def test_udev_looks_at_devices_and_hears_of_them():
    out = outcome("""
ip link add d0 type dummy || exit 1
/bin/udevadm info /sys/class/net/d0 || exit 2
/bin/udevadm monitor --kernel --property > /tmp/heard & m=$!
for i in $(seq 300); do grep -q " 15 .* 00000001" /proc/net/netlink && break; usleep 10000; done
ip link set d0 name d1; ip link del d1
for i in $(seq 300); do grep -q "ACTION=remove" /tmp/heard && break; usleep 10000; done
kill $m; cat /tmp/heard
readlink /sys/class/net/lo; cat /sys/class/net/lo/operstate /sys/class/net/lo/mtu
echo managed; mkdir -p /run/udev /lib/systemd /etc/udev/rules.d; ln -s /bin/udevadm /lib/systemd/systemd-udevd
echo 'SUBSYSTEM=="net", ENV{SEEN}="$name"' > /etc/udev/rules.d/10-seen.rules
/lib/systemd/systemd-udevd > /tmp/said 2>&1 & u=$!
for i in $(seq 300); do udevadm control --ping 2> /dev/null && break; usleep 10000; done
/bin/udevadm monitor --udev --property > /tmp/heard & m=$!
for i in $(seq 300); do grep -q " 15 .* 00000002" /proc/net/netlink && break; usleep 10000; done
ip link add d2 type dummy; udevadm trigger --action=change /sys/class/net/lo; udevadm settle || echo unsettled
udevadm info /sys/class/net/d2; kill $m $u; cat /tmp/heard /tmp/said
""", TOOLS, ("bin/ip", "bin/udevadm"), line=PRIVILEGED)
    out, managed = out.split("managed\n")
    expect_in("P: /devices/virtual/net/d0", out)
    expect_in("E: INTERFACE=d0", out)
    expect_in("E: SUBSYSTEM=net", out)
    expect_in("move     /devices/virtual/net/d1 (net)", out)
    expect_in("DEVPATH_OLD=/devices/virtual/net/d0", out)
    expect_in("remove   /devices/virtual/net/d1 (net)", out)
    expect_in("../../devices/virtual/net/lo\nunknown\n65536", out)
    for line in ("E: SEEN=d2", "add      /devices/virtual/net/d2 (net)", "change   /devices/virtual/net/lo (net)", "\nSEEN=lo\n"):
        expect_in(line, managed)
    expect("unsettled" in managed, False, managed)


def test_counts_and_sysctls_are_shown():
    out = outcome("""
ping -c 2 127.0.0.1 > /dev/null; ping -c 1 ::1 > /dev/null
/bin/netstat -s || exit 1
/usr/bin/nstat -asz > /tmp/all || exit 2
grep -E "^(IcmpInEchos|Icmp6InEchos|IpInDelivers|TcpActiveOpens) " /tmp/all
/sbin/sysctl net.ipv4.ip_default_ttl net.ipv6.conf.lo.hop_limit net.ipv4.tcp_rmem || exit 3
/sbin/sysctl -a > /tmp/values 2> /tmp/errors || exit 4
grep -c "^net" /tmp/values
""", TOOLS, ("bin/netstat", "usr/bin/nstat", "sbin/sysctl"))
    expect_in("4 ICMP messages received", out)
    expect_in("total packets received", out)
    expect_in("IcmpInEchos                     2 ", out)
    expect_in("Icmp6InEchos                    1 ", out)
    expect_in("net.ipv4.ip_default_ttl = 64", out)
    expect_in("net.ipv6.conf.lo.hop_limit = 64", out)
    expect_in("net.ipv4.tcp_rmem = 4096\t212992\t6291456", out)


def test_a_container_has_sysctls_of_its_own():
    ttl = "box cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/net/ipv4/tcp_keepalive_time"
    with tempfile.TemporaryDirectory(prefix="bothy-tools-") as folder:
        image = put(folder, "box.tar", docker_archive("box:latest", [busybox_layer()]))
        p = run("--image", image, "--timeout", "1500", *commands(
            f"run --rm --sysctl net.ipv4.ip_default_ttl=70 --sysctl net.ipv4.tcp_keepalive_time=99 {ttl}",
            f"run --rm {ttl}"))
    expect(p.returncode, 0, p.stdout + p.stderr)
    expect_in("70\n99\n64\n7200\n", p.stdout.replace("\r", ""))


def test_iproute2_configures_addresses_routes_rules_and_neighbours():
    out = outcome("""
ip link add d0 type dummy && ip link set d0 up || exit 1
ip addr add 10.1.0.1/24 dev d0 && ip addr add 2001:db8::1/64 dev d0 nodad || exit 2
ip route add default via 10.1.0.254 && ip route add 10.9.0.0/16 dev d0 metric 7 || exit 3
ip rule add from 10.1.0.0/24 table 100 pref 50 || exit 4
ip neigh add 10.1.0.7 lladdr 02:00:00:00:00:07 dev d0 || exit 5
ip -br addr; ip route; ip -6 route; ip rule; ip neigh; ip route get 8.8.8.8; busybox ip route
ip ntable show dev d0 name arp_cache; ip ntable | grep -c _cache
ip route del 10.9.0.0/16 && ip rule del pref 50 && ip addr del 10.1.0.1/24 dev d0 || exit 6
echo then; ip route; ip rule; ip -br addr show dev d0
""", ("iproute2",), ("bin/ip",))
    before, then = out.split("then\n")
    for line in ("10.1.0.1/24 2001:db8::1/64", "default via 10.1.0.254 dev d0",
                 "10.1.0.0/24 dev d0 proto kernel scope link src 10.1.0.1", "10.9.0.0/16 dev d0 scope link metric 7",
                 "2001:db8::/64 dev d0 proto kernel metric 256", "50:\tfrom 10.1.0.0/24 lookup 100",
                 "10.1.0.7 dev d0 lladdr 02:00:00:00:00:07 PERMANENT",
                 "8.8.8.8 via 10.1.0.254 dev d0 src 10.1.0.1 uid 0", "base_reachable 30000 retrans 1000", "\n6\n"):
        expect_in(line, before)
    for gone in ("10.9.0.0", "10.1.0.1/24", "from 10.1.0.0"):
        expect(gone in then, False, f"{gone} in {then!r}")


def test_tcpdump_sees_what_arping_asks():
    out = outcome("""
ip link add d0 type dummy; ip link set d0 up; ifconfig d0 10.1.0.1 netmask 255.255.255.0
tcpdump -Z root -n -e -l -i d0 -c 1 arp > /tmp/seen 2> /tmp/said & t=$!
until grep -q listening /tmp/said; do usleep 10000; done
arping -c 1 -w 1 -I d0 10.1.0.9 > /dev/null
wait $t; cat /tmp/seen /tmp/said
""", ("iproute2", "tcpdump"), ("bin/ip", "usr/bin/tcpdump"))
    expect_in("ethertype ARP (0x0806), length 42: Request who-has 10.1.0.9", out)
    expect_in("1 packet captured", out)
    expect_in("0 packets dropped by kernel", out)


def test_ss_shows_and_ends_sockets():
    out = outcome("""
ip link set lo up
nc -l -p 80 -e /bin/cat &
tftp -g -r x -l /tmp/x 127.0.0.1 > /dev/null 2>&1 &
until [ $(ss -tulnH | wc -l) = 2 ]; do usleep 10000; done
(echo hello; exec sleep 1000) | nc 127.0.0.1 80 > /tmp/echo 2> /dev/null &
until grep -q hello /tmp/echo 2> /dev/null; do usleep 10000; done
ss -tunapxe0 -i -m
echo filtered; ss -tnH state established dport = :80; ss -tnH '( sport = :81 )'; ss -tanH src 127.0.0.0/8 and sport = :80
echo families; ss -f netlink -H | wc -l; ss -xaH; ss -w -a; ss -0 -a
echo ended; ss -K -tnH dport = :80; ss -tnH dport = :80; echo done
""", ("iproute2",), ("bin/ip", "bin/ss"))
    before, filtered = out.split("filtered\n")
    filtered, families = filtered.split("families\n")
    families, ended = families.split("ended\n")
    listing = [line for line in before.splitlines() if "127.0.0.1" in line and "ESTAB" in line]
    expect(len(listing), 2, before)
    expect(all("users:((" in line and "pid=" in line and "ino:" in line and "sk:" in line for line in listing), True,
           before)
    for word in ("skmem:(r0,rb212992", "cubic", "UNCONN", 'users:(("tftp",pid='):
        expect_in(word, before)
    expect(len(filtered.splitlines()), 2, filtered)
    expect_in("127.0.0.1:80", filtered)
    expect(families.splitlines()[0], "1", families)
    expect(len([line for line in ended.splitlines() if line.startswith("ESTAB")]), 1, ended)


def test_iproute2_lists_what_there_is_none_of():
    out = outcome("""
for what in "addrlabel" "nexthop" "netns list-id" "token" "vrf"; do ip $what || echo "failed: $what"; done
tc qdisc || echo failed: tc
genl ctrl list
ip mptcp endpoint 2>&1; timeout 5 ip monitor all-nsid 2>&1 | grep -c ' '
""", ("iproute2",), ("bin/ip", "sbin/tc", "usr/sbin/genl"))
    expect("failed" in out, False, out)
    expect_in("Name: nlctrl", out)
    expect_in("Name: ethtool", out)
    expect_in("RTNETLINK answers: No such file or directory", out)


def test_iproute2_monitors_all():
    out = outcome("""
/bin/ip monitor all > /tmp/heard 2>&1 & m=$!
until awk -v m=$m '$3 == m && $4 != "00000000" {found = 1} END {exit !found}' /proc/net/netlink; do usleep 10000; done
ip link add d0 type dummy; ip link set d0 up; ip addr add 10.1.0.1/24 dev d0; ip route add 10.9.0.0/16 via 10.1.0.2
ip rule add from 10.1.0.0/24 table 5; ip neigh add 10.1.0.7 lladdr 02:00:00:00:00:07 dev d0; ip link del d0
until grep -q "LINK.Deleted" /tmp/heard; do usleep 10000; done
kill $m; cat /tmp/heard
""", ("iproute2",), ("bin/ip",))
    for line in ("[LINK]", "[ADDR]", "[ROUTE]10.9.0.0/16 via 10.1.0.2 dev d0", "[RULE]32765:\tfrom 10.1.0.0/24 lookup 5",
                 "[NEIGH]10.1.0.7 dev d0 lladdr 02:00:00:00:00:07 PERMANENT"):
        expect_in(line, out)


def test_iproute2_makes_vlans_and_tcpdump_sees_their_tags():
    out = outcome("""
ip link add d0 type dummy; ip link add link d0 name d0.5 type vlan id 5 || exit 1
ip link set d0 up; ip link set d0.5 up; ip addr add 10.5.0.1/24 dev d0.5 || exit 2
ip -d link show d0.5
ip link add link d0 name d0.6 type vlan id 6 protocol 802.1ad 2>&1
ip link add link d0 name d0.6 type vlan id 6 reorder_hdr off 2>&1
ip link add link d0 name d0.6 type vlan id 6 egress-qos-map 1:2 2>&1
tcpdump -Z root -n -e -l -i d0 -c 1 vlan 5 and arp > /tmp/seen 2> /tmp/said & t=$!
until grep -q listening /tmp/said; do usleep 10000; done
arping -c 1 -w 1 -I d0.5 10.5.0.9 > /dev/null
wait $t; cat /tmp/seen /tmp/said
""", ("iproute2", "tcpdump"), ("bin/ip", "usr/bin/tcpdump"))
    expect_in("d0.5@d0: <BROADCAST,MULTICAST,UP,LOWER_UP>", out)
    expect_in("vlan protocol 802.1Q id 5 <REORDER_HDR>", out)
    for why in ("Only 802.1Q tags are there", "only reorder_hdr is there", "VLAN priorities are not mapped"):
        expect_in(why, out)
    expect_in("ethertype 802.1Q (0x8100), length 46: vlan 5, p 0, ethertype ARP", out)
    expect_in("Request who-has 10.5.0.9", out)


def test_ethtool_and_iproute2_say_what_a_card_is():
    out = outcome("""
for option in "" -i -k -S -l -g -P -T; do echo "ethtool $option"; ethtool $option eth0 || echo failed; done
echo switched; ethtool -K eth0 tso off gro off && ethtool -k eth0
ethtool -K eth0 tx off sg off > /dev/null; until ip route | grep -q default; do usleep 50000; done
ping -c 1 -s 2000 10.0.2.2
echo refused; ethtool -s eth0 speed 10 2>&1; ethtool -G eth0 rx 10 2>&1; ethtool -L eth0 combined 2 2>&1
echo named; ip link property add dev eth0 altname the-card-that-goes-up && ip -o link show the-card-that-goes-up
ip link set the-card-that-goes-up mtu 1400 && ip link property del dev eth0 altname the-card-that-goes-up
ip -o link show the-card-that-goes-up 2>&1; ip -o link show eth0
echo forwards; ip netconf
""", ("ethtool", "iproute2"), ("sbin/ethtool", "bin/ip"), options=("--net", "user", "--nic", "e1000"))
    is_, switched = out.split("switched\n")
    for line in ("Speed: 1000Mb/s", "Duplex: Full", "Link detected: yes", "driver: e1000", "bus-info: 0000:00:",
                 "tcp-segmentation-offload: on", "rx_queue_0_packets: ", "rx_missed_errors: 0", "Combined:\t1",
                 "RX:\t\t128", "RX Mini:\tn/a", "large-receive-offload: off [fixed]", "software-receive", "Permanent address: 52:54:00:"):
        expect_in(line, is_)
    expect("failed" in is_, False, is_)
    switched, refused = switched.split("refused\n")
    for line in ("\ttx-tcp-segmentation: off\n", "generic-receive-offload: off", "tx-checksumming: on",
                 "1 packets received"):
        expect_in(line, switched)
    refused, named = refused.split("named\n")
    expect(refused.count("Operation not supported"), 3, refused)
    named, forwards = named.split("forwards\n")
    expect_in("\\    altname the-card-that-goes-up", named)
    expect_in('Device "the-card-that-goes-up" does not exist.', named)
    expect_in("mtu 1400", named)
    expect_in("inet eth0 forwarding off rp_filter off", forwards)


def swallow(listener):
    """Whoever connects is read to the end, and closed."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            while connection.recv(1 << 16):
                pass


def test_tcpdump_sees_all_that_is_sent_by_a_card():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=swallow, args=(listener,), daemon=True).start()
        port = listener.getsockname()[1]
        out = outcome(f"""
dd if=/dev/zero of=/tmp/much bs=1k count=300 2> /dev/null
tcpdump -Z root -n -U -i eth0 -w /tmp/seen tcp port {port} 2> /tmp/said & t=$!
until grep -q listening /tmp/said; do usleep 10000; done
nc 10.0.2.2 {port} < /tmp/much
until tcpdump -Z root -n -r /tmp/seen 2> /dev/null | grep -q "> 10.0.2.2.{port}: Flags .F"; do usleep 100000; done
kill -INT $t; wait $t; cat /tmp/said
tcpdump -Z root -n -r /tmp/seen dst port {port} 2> /dev/null |
    awk 'match($0, /seq [0-9:]+,/) && !seen[substr($0, RSTART, RLENGTH)]++ {{n += $NF}} END {{print "bytes sent:", n}}'
""", ("iproute2", "tcpdump"), ("bin/ip", "usr/bin/tcpdump"), options=("--net", "user"))
    expect_in("bytes sent: 307200\n", out)
    expect_in("0 packets dropped by kernel", out)


def test_node_lists_the_interfaces():
    out = outcome("""
ip link add d0 type dummy; ip link set d0 up; ifconfig d0 10.1.0.1 netmask 255.255.255.0
node -e 'console.log(JSON.stringify(Object.keys(require("os").networkInterfaces())))'
""", ("iproute2",), ("bin/ip",), others=("/usr/bin/node",))
    expect_in("[", out)


if __name__ == "__main__":
    main(sys.modules[__name__])
