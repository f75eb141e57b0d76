#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The API over TCP: where it is open and who is told, whom it refuses, and what its clients may cost."""
import json
import os
import socket
import subprocess
import sys
import tarfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import BRIEF, Engine, busybox_layer, docker_archive, expect, expect_in, main, tar, until
from http_unix import Connection, dial, raw, request
from suite import Skip, free_port


PORT = free_port()
HERE = ("127.0.0.1", PORT)
CONNECTIONS = 1000
HELD = 32 << 20


def get(url, **headers):
    return request(HERE, "GET", url, headers={k.replace("_", "-"): v for k, v in headers.items()})


def post(url, body=None, **headers):
    return request(HERE, "POST", url, body, headers={k.replace("_", "-"): v for k, v in headers.items()})


def log_of(engine):
    with open(engine.path("log"), errors="replace") as f:
        return f.read()


def memory(engine, field):
    with open(f"/proc/{engine.process.pid}/status") as f:
        return int(f.read().split(field + ":")[1].split()[0]) << 10


def hijack(url, body=None, upgrade=True):
    """A stream after its head, and what has come of it already."""
    s, text = dial(HERE), json.dumps(body or {})
    more = "Connection: Upgrade\r\nUpgrade: tcp\r\n" if upgrade else ""
    s.sendall(f"POST {url} HTTP/1.1\r\nHost: x\r\n{more}Content-Type: application/json\r\n"
              f"Content-Length: {len(text)}\r\n\r\n{text}".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(65536)
        expect(piece != b"", True, f"an answer to {url}: {data}")
        data += piece
    head, rest = data.split(b"\r\n\r\n", 1)
    expect(head.split(b"\r\n")[0], b"HTTP/1.1 101 UPGRADED" if upgrade else b"HTTP/1.1 200 OK")
    return s, rest


def rest_of(s, data=b""):
    while True:
        piece = s.recv(65536)
        if not piece:
            return data
        data += piece


# --- where it is open ---------------------------------------------------------------------------


def test_it_is_open_where_asked_for_and_the_log_says_to_whom(engine):
    expect_in(f"the API is open on tcp://127.0.0.1:{PORT} to all programs of this machine: each is root", log_of(engine))
    expect(get("/_ping"), (200, "OK"))
    expect(get("/v1.24/version")[1]["ApiVersion"], "1.47")
    every, six, seven = free_port(), free_port(), free_port()
    other = Engine(options=["-H", f"tcp://0.0.0.0:{every}", "-H", f"tcp://[::1]:{six}", "-H", f"tcp://[::]:{every}",
                            "-H", "tcp://localhost:80", "-H", f"tcp://192.0.2.1:{seven}"])
    try:
        text = log_of(other)
        for name in (f"tcp://0.0.0.0:{every}, to every network,", f"tcp://[::]:{every}, to every network,"):
            expect_in(f"WARNING: the API is open on {name} without authentication: who reaches it is root", text)
        expect_in(f"tcp://[::1]:{six} to all programs of this machine", text)
        expect_in("-H tcp://localhost:80: it is tcp://ADDRESS:PORT: left out", text)
        expect_in(f"tcp://192.0.2.1:{seven}: ", text)
        for place in (("127.0.0.1", every), ("::1", six), ("::1", every)):
            expect(request(place, "GET", "/_ping"), (200, "OK"), str(place))
        expect_in(f"WARNING: the API is open on tcp://0.0.0.0:{every}", str(request(other.socket, "GET", "/info")[1]["Warnings"]))
    finally:
        other.close()
    expect("WARNING: the API" in str(get("/info")[1]["Warnings"]), False, "nothing is exposed")


def test_an_address_that_is_not_there_yet_is_waited_for(engine):
    place = f"tcp://10.9.8.7:{free_port()}"
    strict = "ip link set lo up && ip addr show >/dev/null && exec \"$@\""  # without any address all are taken for broadcasts
    if subprocess.run(["unshare", "-n", "sh", "-c", strict, "sh", "true"], capture_output=True).returncode:
        raise Skip("no network namespaces here, or no netlink")
    other = Engine(options=["-H", place], under=("unshare", "-n", "sh", "-c", strict, "sh"))
    try:
        expect_in(": it is tried again", log_of(other))
        subprocess.run(["nsenter", "-n", "-t", str(other.process.pid), "ip", "addr", "add", "10.9.8.7/32", "dev", "lo"],
                       check=True)
        until(lambda: f"the API is open on {place}" in log_of(other), "it opens")
    finally:
        other.close()


def test_a_port_that_is_taken_is_waited_for_and_all_else_works(engine):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = Engine(options=["-H", f"tcp://127.0.0.1:{port}"])
        expect_in("it is tried again", log_of(other))
        expect(request(other.socket, "GET", "/_ping"), (200, "OK"))
    until(lambda: "the API is open" in log_of(other), "it opens when the port is free")
    expect(request(("127.0.0.1", port), "GET", "/_ping"), (200, "OK"))
    other.close()


# --- whom it refuses ----------------------------------------------------------------------------


def test_a_browser_is_refused_and_clients_are_not(engine):
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Referer": "http://evil.example/"},
                    {"Sec_Fetch_Site": "cross-site"}, {"Accept_Language": "en-US,en;q=0.5"},
                    # what a page may set by itself, and a name that its owner has made lead here
                    {"Accept_Language": "*"}, {"Accept_Language": ""}, {"Accept_Language": "*", "Host": "evil.example:2375"},
                    {"Accept_Language": "*", "Sec_Fetch_Mode": "cors", "Host": "evil.example"},
                    {"Accept_Language": "*", "Sec_Fetch_Mode": "cors", "Host": "127.0.0.1.evil.example"}):
        for method in (get, post):
            status, answer = method("/containers/json", **headers)
            expect((status, "web browser" in str(answer)), (403, True), f"{headers}: {answer}")
    for kind in ("multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "Multipart/Form-Data"):
        expect(post("/containers/create", b"x=y", Content_Type=kind)[0], 415, kind)
    for headers in ({"Content_Type": "text/plain"}, {"Accept_Language": "*", "Sec_Fetch_Mode": "cors"}, {"Host": "a.example"},
                    {"Accept_Language": "*", "Sec_Fetch_Mode": "cors", "Host": "10.0.0.1:2375"},
                    {"Accept_Language": "*", "Sec_Fetch_Mode": "cors", "Host": "box.lan:2375"},
                    {"Accept_Language": "*", "Sec_Fetch_Mode": "cors", "Host": "[::1]:2375"},
                    {"User_Agent": "Docker-Client/28.2.2 (linux)"}):
        expect(post("/containers/create", b"{}", **headers)[0] in (400, 404), True, str(headers))
    expect(request(engine.socket, "GET", "/_ping", headers={"Origin": "x"}), (200, "OK"), "over the unix socket")
    # a refusal of a request that has a body leaves the connection's next request alone
    c = Connection(HERE)
    c.request("GET", "/_ping", headers={"Origin": "x"})
    expect(c.getresponse().read()[:1], b"{")
    c.request("GET", "/_ping")
    expect(c.getresponse().read(), b"OK")
    c.close()


def test_nonsense_is_told_and_disconnected(engine):
    for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500 + b"\r\n\r\n", b"\0" * 4096 + b"\r\n\r\n",
                 b"GET\r\n\r\n", b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                 b"POST /x HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"):
        expect_in(b"HTTP/1.1 400", raw(HERE, data, shut=True), f"answer to {data[:20]!r}")
    expect_in(b"HTTP/1.1 400", raw(HERE, b"GET /" + b"x" * (300 << 10), shut=True), "a head without end")
    expect(get("/_ping")[0], 200)


# --- streams ------------------------------------------------------------------------------------


def test_a_half_close_is_the_end_of_input_and_of_nothing_else(engine):
    engine.run("run", "-d", "--name", "half", "busybox", "sleep", "1000")
    made = post("/containers/half/exec", {"AttachStdin": True, "AttachStdout": True, "Cmd": [
        "sh", "-c", "cat; echo input has ended; sleep 0.3; echo and still there"]})
    s, data = hijack(f"/exec/{made[1]['Id']}/start")
    s.sendall(b"some input\n")
    s.shutdown(socket.SHUT_WR)
    text = rest_of(s, data)
    for line in (b"some input\n", b"input has ended\n", b"and still there\n"):
        expect_in(line, text)
    expect(get(f"/exec/{made[1]['Id']}/json")[1]["ExitCode"], 0)
    s.close()
    engine.run("rm", "-f", "half")


def test_output_comes_whole_though_input_was_not_read(engine):
    """A socket that is closed over unread input would be reset, and what is on its way lost."""
    engine.run("run", "-d", "--name", "deaf", "busybox", "sleep", "1000")
    size = 200000 if BRIEF else 3000000
    made = post("/containers/deaf/exec", {"AttachStdin": True, "AttachStdout": True, "Cmd": [
        "sh", "-c", f"sleep 0.2; head -c {size} /dev/zero; echo the end"]})
    s, data = hijack(f"/exec/{made[1]['Id']}/start")
    s.settimeout(0.1)
    try:
        while True:
            s.sendall(b"nobody reads this" * 1000)
    except socket.timeout:
        pass
    s.settimeout(120)
    if size < 1000000:
        until(lambda: not get(f"/exec/{made[1]['Id']}/json")[1]["Running"], "it has ended")
    got = 0
    while data or (data := s.recv(4096)):
        last, got, data = data, got + len(data), b""
    expect((got > size, last.endswith(b"the end\n")), (True, True), f"{got} bytes, the last {last[-20:]}")
    s.close()
    engine.run("rm", "-f", "deaf")


def test_a_client_that_resets_its_connection_harms_no_container(engine):
    engine.run("run", "-d", "--name", "loud", "busybox", "sh", "-c", "while :; do echo x; done")
    for url in ("/containers/loud/attach?stream=1&stdout=1", "/containers/loud/attach?stream=1&stdin=1&stdout=1&logs=1"):
        s, _ = hijack(url)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()
    expect(get("/containers/loud/json")[1]["State"]["Running"], True)
    expect(engine.run("exec", "loud", "echo", "well").stdout, "well\n")
    engine.run("rm", "-f", "loud")


def test_vanished_clients_are_asked_for(engine):
    if "bothy" in os.uname().release:
        raise Skip("connections within this machine have no timers there")
    with dial(HERE) as s:
        local = f"0100007F:{PORT:04X} 0100007F:{s.getsockname()[1]:04X}"
        s.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        s.recv(65536)
        with open("/proc/net/tcp") as f:
            line = next(x for x in f if local in x)
        kind, when = line.split()[5].split(":")
        expect((kind, int(when, 16) <= 3100), ("02", True), f"a keep-alive timer: {line}")


# --- bounds -------------------------------------------------------------------------------------


def test_of_a_thousand_connections_an_idle_one_goes_for_the_next(engine):
    crowd = []
    for i in range(CONNECTIONS):
        s = dial(HERE)
        s.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        expect(s.recv(65536)[:15], b"HTTP/1.1 200 OK", f"connection {i}")
        crowd.append(s)
    for _ in range(5):
        expect(get("/_ping"), (200, "OK"))
    gone = sum(not alive(s) for s in crowd)
    expect(1 <= gone <= 6, True, f"{gone} have gone for 5")
    expect(alive(crowd[-1]), True, "not the newest")
    for s in crowd:
        s.close()


def alive(s):
    try:
        s.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        return s.recv(65536).startswith(b"HTTP/1.1 200 OK")
    except OSError:
        return False


def test_those_that_are_being_served_stay_and_the_next_one_waits(engine):
    crowd = []
    for _ in range(CONNECTIONS):
        s = dial(HERE)
        s.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        crowd.append(s)
    for s in crowd:
        expect_in(b"200 OK", s.recv(65536))
    late = dial(HERE, 1)
    late.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
    try:
        expect(late.recv(100), "nothing yet")
    except socket.timeout:
        pass
    expect(request(engine.socket, "GET", "/_ping"), (200, "OK"), "the unix socket has no such bound")
    crowd.pop().close()
    late.settimeout(120)
    expect_in(b"200 OK", late.recv(65536))
    expect_in("too many over TCP", log_of(engine))
    for s in crowd + [late]:
        s.close()


def test_a_head_and_a_body_that_stall_are_given_up(engine):
    begun, pieces = time.monotonic(), []
    for data in (b"GET /_ping HT", b"POST /containers/create HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"):
        pieces.append(dial(HERE, 120))
        pieces[-1].sendall(data)
    idle = dial(HERE)
    load = dial(HERE)  # a load's source may be slow
    load.sendall(b"POST /images/load HTTP/1.1\r\nContent-Length: 100000\r\n\r\nx")
    for s in pieces:
        expect(s.recv(100), b"", "disconnected")
    expect(19 < time.monotonic() - begun < 110, True, "after twenty seconds or so")
    expect((alive(idle), engine.process.poll()), (True, None))
    load.settimeout(0.1)
    try:
        expect(load.recv(100), "nothing: it is waited for")
    except socket.timeout:
        pass
    load.close()
    idle.close()


def test_bodies_are_bounded_in_all(engine):
    before, crowd = memory(engine, "VmRSS"), []
    half = b"[" + b"1," * (1 << 20)  # of a body that never ends
    for path in (HERE, engine.socket):
        for _ in range(40):
            s = dial(path)
            s.sendall(b"POST /containers/create HTTP/1.1\r\nContent-Length: 4000000\r\n\r\n")
            try:
                s.sendall(half)
            except OSError:
                pass
            crowd.append(s)
    expect(memory(engine, "VmRSS") - before < HELD + (24 << 20), True,
           f"memory of bodies: {memory(engine, 'VmRSS') - before >> 20} MiB")
    for path in (HERE, engine.socket):  # a large one that goes on has its place
        big = {"Image": "nosuch", "Env": ["X=" + "y" * 1000] * 3000}
        expect(request(path, "POST", "/containers/create", big)[0], 404)
    for s in crowd:
        s.close()
    until(lambda: get("/_ping")[0] == 200, "all is well")


def test_bodies_that_drip_and_clients_that_linger_are_given_up(engine):
    """A byte every now and then keeps nobody: of a body that gathers, and after a refusal."""
    begun, crowd = time.monotonic(), []
    for data in (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n{",
                 b"POST /nosuch HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"):
        crowd.append(dial(HERE, 120))
        crowd[-1].sendall(data)
    while crowd and time.monotonic() < begun + 120:
        for s in list(crowd):
            try:
                s.sendall(b" ")
            except OSError:
                crowd.remove(s)
        time.sleep(0.5)
    expect((len(crowd), time.monotonic() - begun > 19), (0, True), "after twenty seconds or so")


def test_a_place_may_be_for_one_client_alone(engine):
    port = free_port()
    other = Engine(options=["-H", f"tcp://0.0.0.0:{port},from=127.0.0.2"])
    try:
        expect_in(f"the API is open on tcp://0.0.0.0:{port},from=127.0.0.2 alone", log_of(other))
        with socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)) as s:
            s.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
            expect_in(b"200 OK", s.recv(65536))
        with socket.create_connection(("127.0.0.1", port)) as s:
            try:
                s.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
                expect(s.recv(65536), b"")
            except ConnectionResetError:
                pass
        expect("WARNING: the API" in str(request(other.socket, "GET", "/info")[1]["Warnings"]), False)
    finally:
        other.close()


def test_a_large_image_is_loaded_in_constant_memory(engine):
    layer = tar([("large", tarfile.REGTYPE, os.urandom(1 << 20) * (32 if BRIEF else 300), 0o644)])
    image = docker_archive("big:latest", [busybox_layer(), layer])
    before, most = memory(engine, "VmRSS"), 0
    with dial(HERE, 300) as s:
        s.sendall(b"POST /images/load?quiet=1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        for at in range(0, len(image), 1 << 20):
            piece = image[at:at + (1 << 20)]
            s.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
            most = max(most, memory(engine, "VmRSS") - before)
        s.sendall(b"0\r\n\r\n")
        expect_in(b"Loaded image: big:latest", rest_of(s))
    expect(most < 8 << 20, True, f"memory of a load: {most >> 10} KiB")
    engine.run("rmi", "big")


if __name__ == "__main__":
    import resource
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most if 0 <= most < 4096 else 4096, most))
    main(sys.modules[__name__], options=["-H", f"tcp://127.0.0.1:{PORT}"])
