#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/run's networks: cards of each model, ports of the command line, and those that containers publish."""
import http.server
import json
import os
import queue
import re
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import RUN, commands, run
from engine_fixture import BUSYBOX, ROOT
from suite import expect, expect_in, free_port, main, until
from test_console import Console
from wire import ALL, ARP, HERE, Wire, arp, ethernet

sys.path.insert(0, os.path.join(ROOT, "tools"))
import ports as ports_tool
import relay
from net import Cards
from ports import Ports, wanted_of
from qmp import Qmp
from relay import Relay

SHELL = ["--file", BUSYBOX + ":busybox"]


def test_cards_come_in_the_order_and_of_the_models_asked_for():
    p = run("--nic", "e1000", "--net", "user", "--net", "user,mac=52:54:00:aa:bb:cc", "--nic", "rtl8139", "--net", "user",
            "--nic", "e1000e", "--net", "user", "--nic", "virtio", "--net", "user", *SHELL,
            *commands("/boot/files/busybox sh -c 'cd /sys/bus/pci/devices; for d in *; do "
                      "case $(cat $d/class) in 0x0200*) echo $(cat $d/vendor $d/device);; esac; done'"))
    expect((p.stdout.splitlines(), p.stderr, p.returncode),
           (["0x8086 0x100e", "0x8086 0x100e", "0x10ec 0x8139", "0x8086 0x10d3", "0x1af4 0x1041"], "", 0))


def test_cards_are_named_in_their_order_whoever_is_ready_first():
    models = ("e1000", "virtio", "rtl8139", "virtio", "e1000e")
    words = [w for n, model in enumerate(models)
             for w in ("--nic", model, "--net", f"user,mac=52:54:00:00:00:{n:02x}")]
    p = run("--cpus", "2", "--append", "ip=off", *words, *SHELL,
            *commands("/boot/files/busybox sh -c 'while [ $(ls -d /sys/class/net/eth* | wc -l) != 5 ]; do usleep 20000; done; "
                      "cat /sys/class/net/eth[0-4]/address'"))
    expect((p.stdout.splitlines(), p.stderr, p.returncode), ([f"52:54:00:00:00:{n:02x}" for n in range(5)], "", 0))


def test_bochs_has_a_card_of_its_kind():
    p = run("--machine", "bochs", "--nic", "e1000", "--net", "user", "--publish", "0:80", *SHELL,
            *commands("/boot/files/busybox sh -c 'cat /sys/bus/pci/devices/*/device'"))
    expect((p.returncode, "0x100e" in p.stdout.split()), (0, True), p.stderr)
    expect(bool(re.fullmatch(r"run: 127\.0\.0\.1:[1-9]\d+ is port 80/tcp of the machine\n", p.stderr)), True, p.stderr)


def test_no_net_is_what_it_was():
    p = run(*SHELL, "--net", "none", *commands("/boot/files/busybox cat /proc/cmdline"))
    expect(("bothy.api" in p.stdout, p.returncode), (False, 0))


def test_the_machine_is_told_of_its_api_and_how_it_is_seen():
    port = free_port()
    p = run(*SHELL, "--net", "user", "--api", str(port), *commands("/boot/files/busybox cat /proc/cmdline"))
    expect_in(f"bothy.api=tcp://0.0.0.0:2375,from=10.0.2.2 bothy.api.seen=tcp://127.0.0.1:{port}", p.stdout)


def test_programs_of_the_machine_do_not_come_in_by_its_api():
    """By no address of its own; test_docker_wire.py comes in by the port that is forwarded."""
    ask = "/boot/files/busybox wget -qO- http://$a:2375/_ping"
    p = run(*SHELL, "--net", "user", *commands(
        "/boot/files/busybox sh -c 'until bothy net | /boot/files/busybox grep -q 10.0.2.15; do /boot/files/busybox usleep 50000; done; "
        f"for a in 127.0.0.1 10.0.2.15; do {ask} >/dev/null 2>&1; echo $a $?; done'"))
    expect((p.stdout, p.returncode), ("127.0.0.1 1\n10.0.2.15 1\n", 0), p.stderr)


def test_a_published_port_is_here_and_a_free_one_is_printed():
    port = free_port()
    p = run("--net", "user", "--publish", f"{port}:80", "--publish", "0:81", "--publish", "0:53/udp",
            *commands("version"))
    lines = p.stderr.splitlines()
    expect((len(lines), p.returncode), (2, 0), p.stderr)
    for line, what in zip(lines, ("81/tcp", "53/udp")):
        expect(bool(re.fullmatch(rf"run: 127\.0\.0\.1:[1-9]\d+ is port {what} of the machine", line)), True, line)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        p = run("--net", "user", "--publish", f"{s.getsockname()[1]}:80", *commands("version"))
        expect(p.returncode, 125, "a port that is taken")
        expect_in("Could not set up host forwarding", p.stderr)
        p = run("--net", "user", "--api", str(s.getsockname()[1]), *commands("version"))
        expect((p.returncode, p.stderr), (2, f"run: --api {s.getsockname()[1]}: Address already in use\n"))


def test_bad_options_get_one_line():
    for words, part in ((["--net", "vde"], "it is none, user"), (["--net", "tap:nosuch0"], "no interface 'nosuch0'"),
                        (["--net", "socket:1.2.3.4:5"], "multicast"), (["--net", "user:x"], "it is none"),
                        (["--net", "user,mac=zz"], "'mac=zz'"), (["--net", "user", "--publish", "0"], "not a port: '0'"),
                        (["--net", "user", "--publish", "x:80"], "not an IPv4 address"),
                        (["--net", "user", "--publish", "1:2:3"], "[HOST:]PORT"), (["--publish", "80"], "--net user"),
                        (["--net", "user", "--publish", "80/sctp"], "[HOST:]PORT"),
                        (["--net", "none", "--net", "user"], "there are others"), (["--nic", "ne2000"], "ne2000"),
                        (["--nic", "e1000"], "model of a --net"), (["--api", "1"], "--net user"),
                        (["--net", "user", "--api", "65536"], "not a port"),
                        (["--machine", "bochs", "--net", "user"], "--nic e1000"), (["--append", "x" * 5000], "QEMU's loader"),
                        (["--machine", "bochs", "--nic", "e1000", "--net", "socket:/tmp/x"], "Bochs knows")):
        p = run(*words, "-c", "version")
        expect((p.returncode, p.stdout, p.stderr.count("\n")), (2, "", 1), f"{words}: {p.stderr!r}")
        expect_in(part, p.stderr)


def test_a_socket_carries_frames_to_its_peer():
    with tempfile.TemporaryDirectory(prefix="bothy-wire-") as folder:
        wire = Wire(folder)
        wire.path = os.path.join(folder, "link")
        wire.socket.close()
        wire.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        wire.socket.bind(wire.path + ".peer")
        up = "until /boot/files/busybox ifconfig eth0 10.0.0.2 up 2>/dev/null; do /boot/files/busybox usleep 20000; done"
        p = subprocess.Popen([RUN, "--net", f"socket:{wire.path},mac=52:54:00:77:88:99", *SHELL, "-c",
                              f"/boot/files/busybox sh -c '{up}; /boot/files/busybox sleep 1000'"], stdin=subprocess.DEVNULL)
        try:
            answer = wire.ask(ethernet(ALL, ARP, arp(1, HERE, "10.0.0.2")), lambda f: f[12:14] == b"\x08\x06" and f[21] == 2, again=1)
            expect(answer and answer[6:12].hex(), "525400778899")
        finally:
            p.terminate()
            p.wait()
            wire.socket.close()


def test_the_prompt_says_how_the_api_is_reached_once_there_is_an_address():
    console = Console("--net", "user", "--api", str(port := free_port()), *SHELL, "--append", "bothy.demo=0")
    expect(b"docker -H" in console.until(b"bothy# "), False, "no address, no promise")
    expect(console.command(b"/boot/files/busybox ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up"),
           f"This machine is 10.0.2.15. From where it was started: docker -H tcp://127.0.0.1:{port} ps\n".encode())
    expect(console.command(b"/boot/files/busybox true"), b"", "it is said once")
    console.keys(b"poweroff\r")
    console.end()


def test_the_prompt_tells_of_ipv6_too_and_of_no_place_that_the_engine_leaves_out():
    console = Console(*SHELL, "--append", "bothy.demo=0 bothy.api=fd00:2::20:1 bothy.api=tcp://[::1]:2 bothy.api=tcp://[::]:2377",
                      "--qemu=-nic", "--qemu=user")
    console.until(b"bothy# ")
    console.command(b"/boot/files/busybox ip link set eth0 up")
    text = console.command(b"/boot/files/busybox ip addr add fd00:2::20/64 dev eth0")
    for _ in range(600):  # until nobody else has it
        if text:
            break
        text = console.command(b"/boot/files/busybox usleep 20000")
    expect(text, b"This machine is fd00:2::20. From there: docker -H tcp://[fd00:2::20]:2377 ps\n")
    console.keys(b"poweroff\r")
    console.end()


# --- the API's port -----------------------------------------------------------------------------


class Echo(socketserver.ThreadingTCPServer):
    """Answers, once its client has said all, with what it said."""

    daemon_threads, request_queue_size = True, 256

    def __init__(self):
        super().__init__(("127.0.0.1", 0), None)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request, address):
        with request.makefile("rb") as said:
            request.sendall(b"said " + said.read())


class Relayed:
    """A relay for an echo. Its emulator is a busybox, which stays, with another that connects and prints what it hears."""

    def __enter__(self):
        self.echo, self.listener = Echo(), socket.create_server(("127.0.0.1", 0), backlog=256)
        self.emulator = self.netcat("; exec >&-; cat")
        self.relay = Relay(self.listener, self.echo.server_address, self.emulator.pid)
        self.relay.start()
        return self

    def __exit__(self, *error):
        self.relay.stop()
        self.emulator.kill()
        self.emulator.communicate()
        self.echo.shutdown()
        self.echo.server_close()

    def netcat(self, more=""):
        command = f"echo let me in | {BUSYBOX} nc 127.0.0.1 {self.listener.getsockname()[1]}{more}"
        return subprocess.Popen([BUSYBOX, "sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def connect(self):
        return socket.create_connection(self.listener.getsockname(), timeout=60)


def said_all(client, data):
    """What is answered; b"" when the connection is not taken."""
    try:
        with client, client.makefile("rb") as answer:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return answer.read()
    except TimeoutError:
        raise
    except OSError:
        return b""


def test_the_apis_port_takes_programs_of_this_computer_and_no_emulators():
    with Relayed() as r:
        expect(r.emulator.stdout.read(), b"", "the machine's own connection")
        other = r.netcat()  # another machine's, of the same kind
        expect(other.communicate(timeout=60)[0], b"")
        expect(said_all(r.connect(), b"hello"), b"said hello")
        with tempfile.TemporaryDirectory() as folder:  # of another kind, and another user's
            shutil.copy(BUSYBOX, os.path.join(folder, "slirp4netns"))
            os.chmod(folder, 0o755)
            port = r.listener.getsockname()[1]
            users = [None, 65534] if os.geteuid() == 0 else [None]
            for user in users:
                p = subprocess.run(["busybox", "nc", "127.0.0.1", str(port)], executable=os.path.join(folder, "slirp4netns"),
                                   stdin=subprocess.DEVNULL, capture_output=True, timeout=60, user=user)
                expect(p.stdout, b"", f"user {user}'s")
        r.relay.emulator = 1 << 30  # it has ended: nobody can be told from it
        expect(said_all(r.connect(), b""), b"")


def test_those_who_are_turned_away_hold_no_descriptors_of_the_apis_port():
    """As many as a machine likes: few are judged at once, the others wait where they cost this process nothing."""
    with Relayed() as r:
        here = len(os.listdir("/proc/self/fd"))
        busy, go = [], threading.Event()
        look = relay.is_from_here
        relay.is_from_here = lambda *ends: (busy.append(1), go.wait(), look(*ends))[2]
        try:
            clients = [r.connect() for _ in range(relay.LOOKING + 50)]
            until(lambda: len(busy) == relay.LOOKING, "they are judged")
            taken = len(os.listdir("/proc/self/fd")) - here - len(clients)
            expect(taken <= relay.LOOKING, True, f"{taken} descriptors")
        finally:
            relay.is_from_here = look
            go.set()
        for client in clients:
            expect(said_all(client, b"hello"), b"said hello")


def test_the_apis_port_has_many_connections_that_end_a_direction_at_a_time():
    data = os.urandom(1 << 20)
    with Relayed() as r:
        clients = [r.connect() for _ in range(200)]
        for i, client in enumerate(clients):
            expect(said_all(client, b"%d" % i), b"said %d" % i)
        expect(said_all(r.connect(), data) == b"said " + data, True)
        r.relay.place = ("127.0.0.1", free_port())
        expect(said_all(r.connect(), b""), b"", "nothing listens there")


# --- what containers publish --------------------------------------------------------------------


class FakeApi(http.server.ThreadingHTTPServer):
    """/events and /containers/json of an engine whose containers are what the test says."""

    daemon_threads = True
    handle_error = lambda *args: None  # a follower that gives a list up

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.containers, self.happened, self.raw, self.asked = [], queue.Queue(), None, 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def publish(self, *ports):
        self.containers = [{"Id": str(i), "Ports": [port]} for i, port in enumerate(ports)]
        self.happened.put({"Type": "container", "Action": "start"})


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *words):
        pass

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if self.path.startswith("/events"):
            self.wfile.flush()
            while (event := self.server.happened.get()) is not None:
                self.wfile.write(json.dumps(event).encode() + b"\n")
                self.wfile.flush()
        else:
            self.server.asked += 1
            self.wfile.write(json.dumps(self.server.containers).encode() if self.server.raw is None else self.server.raw)


class Follower:
    """An emulator with a user network, its machine not begun, and a follower of a fake API."""

    def __enter__(self):
        self.folder, self.api, self.said = tempfile.TemporaryDirectory(prefix="bothy-ports-"), FakeApi(), []
        cards = Cards([("net", "user")], [], None)
        cards.api.listener.close()
        own = cards.user.qemu([])
        cards.api.port = self.api.server_address[1]
        path = os.path.join(self.folder.name, "qmp")
        self.qemu = subprocess.Popen(["qemu-system-x86_64", "-machine", "q35", "-display", "none", "-serial", "none", "-S",
                                      "-m", "16", "-qmp", f"unix:{path},server=on,wait=off", *own])
        self.control = Qmp(path)
        expect(self.control.connect(self.qemu), True, "the emulator is there")
        self.ports = Ports(cards, self.control.monitor, self.said.append)
        self.ports.start()
        return self

    def __exit__(self, *error):
        self.ports.stop()
        self.qemu.kill()
        self.qemu.wait()
        self.control.close()
        self.api.happened.put(None)
        self.api.shutdown()
        self.folder.cleanup()

    def forwards(self):
        rows = [line.split() for line in self.control.monitor("info usernet").split("\n")]
        return {(row[0][:3].lower(), row[2], int(row[3]), int(row[5])) for row in rows if row and "HOST_FORWARD" in row[0]}

    def expect(self, *wanted):
        until(lambda: self.forwards() == set(wanted), f"forwards are {wanted}")


def port(number, kind="tcp", ip="0.0.0.0"):
    return {"IP": ip, "PrivatePort": 80, "PublicPort": number, "Type": kind}


def test_what_a_container_publishes_is_a_port_here_while_it_runs():
    one, two, three = free_port(), free_port(), free_port(socket.SOCK_DGRAM)
    with Follower() as f:
        f.api.publish(port(one))
        f.expect(("tcp", "127.0.0.1", one, one))
        f.api.publish(port(one), port(one, ip="::"), port(two, ip="10.0.2.15"), port(three, "udp", "::"))
        f.expect(("tcp", "127.0.0.1", one, one), ("tcp", "127.0.0.1", two, two), ("udp", "127.0.0.1", three, three))
        f.api.publish(port(two))
        f.expect(("tcp", "127.0.0.1", two, two))
        # what only the machine itself reaches, what is none, and lies
        f.api.publish(port(one, ip="127.0.0.1"), port(one, "sctp"), port(-1), port(0), port("80\nquit"), port(one, ip="x"),
                      {"PrivatePort": 80, "Type": "tcp"})
        f.expect()
        expect(f.said, [])


def test_a_port_that_is_taken_is_said_once_and_had_when_it_is_free():
    with Follower() as f:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            one, two = taken.getsockname()[1], free_port()
            f.api.publish(port(one))
            f.api.publish(port(one), port(two))
            f.expect(("tcp", "127.0.0.1", two, two))
            until(lambda: f.said, "it is said")
            expect(len(f.said), 1, str(f.said))
            expect_in(f"port {one}/tcp", f.said[0])
        f.api.publish(port(one))
        f.expect(("tcp", "127.0.0.1", one, one))


def test_a_list_without_an_end_or_a_bottom_is_none():
    """What containers say is theirs: it costs so much and no more, and the follower lives."""
    one, ports_tool.PAUSE_MAX_S = free_port(), ports_tool.PAUSE_S
    with Follower() as f:
        f.api.publish(port(one))
        f.expect(("tcp", "127.0.0.1", one, one))
        for text in (b"[" * 200000, b" " * (33 << 20), b'{"a":1}', b"[1]", b"\xff"):
            f.api.raw = text
            f.api.publish(port(one))
            before = f.api.asked
            until(lambda: f.api.asked > before, "the list is asked for")
        f.api.raw, two = None, free_port()
        f.api.publish(port(two))
        f.expect(("tcp", "127.0.0.1", two, two))
    expect(len(wanted_of([{"Ports": [port(n) for n in range(1, 65536)]}], "10.0.2.")), 1000)


def test_an_api_that_goes_and_comes_is_followed_again():
    one = free_port()
    with Follower() as f:
        f.api.publish(port(one))
        f.expect(("tcp", "127.0.0.1", one, one))
        f.api.containers = []
        f.api.happened.put(None)  # the engine's end ends the stream
        f.expect()


if __name__ == "__main__":
    main(sys.modules[__name__])
