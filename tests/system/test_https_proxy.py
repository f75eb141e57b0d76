#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The proxy that fetches https:// for the engine (tools/images/https_proxy.py), against servers that behave and that do not."""
import os
import select
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import ROOT
sys.path.insert(0, os.path.join(ROOT, "tools/images"))
from http_unix import dial
from suite import Skip, expect, expect_in, main, until

TMP = tempfile.TemporaryDirectory(prefix="bothy-proxy-")
SOCKET = os.path.join(TMP.name, "sock")
PYTHON = "/usr/bin/python3"


def certificate(name, names, ca=None):
    path = os.path.join(TMP.name, name)
    words = ["-addext", f"subjectAltName={names}"] if names else []
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", *words, "-keyout", path + ".key", "-out", path + ".pem"], check=True, capture_output=True)
    return path


class Server:
    """A TLS server whose connections a function handles: serve(socket)."""

    def __init__(self, serve, name="good", names="IP:127.0.0.1,DNS:localhost"):
        self.path, self.serve, self.count = certificate(name, names), serve, 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.path + ".pem", self.path + ".key")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"
        threading.Thread(target=self.loop, daemon=True).start()

    def loop(self):
        while True:
            sock, _ = self.listener.accept()
            self.count += 1
            threading.Thread(target=self.one, args=(sock,), daemon=True).start()

    def one(self, sock):
        try:
            with self.context.wrap_socket(sock, server_side=True) as s:
                self.serve(s)
        except (OSError, ValueError):
            pass


def read_head(s):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(65536)
        if not piece:
            return None, b""
        data += piece
    return data.split(b"\r\n\r\n", 1)


def read_body(s, head, rest):
    """The content of a body with a length or in chunks."""
    low, rest, whole = head.lower(), bytearray(rest), bytearray()

    def more():
        piece = s.recv(65536)
        if not piece:
            raise ValueError("cut off")
        rest.extend(piece)

    if b"transfer-encoding: chunked" not in low:
        size = int(low.split(b"content-length:")[1].split()[0]) if b"content-length:" in low else 0
        while len(rest) < size:
            more()
        return bytes(rest)
    while True:
        while b"\r\n" not in rest:
            more()
        line, _, tail = rest.partition(b"\r\n")
        size, rest = int(line.split(b";")[0], 16), tail
        while len(rest) < size + 2:
            more()
        whole += rest[:size]
        del rest[:size + 2]
        if not size:
            return bytes(whole)


def endless(s, data, pause=0):
    """Sends it again and again; with a pause, byte by byte."""
    while True:
        for at in range(0, len(data), 1 if pause else len(data)):
            s.sendall(data[at:at + 1] if pause else data)
            time.sleep(pause)


BUSY = threading.Semaphore(0)  # heads of /busy that have come


def echo(s):
    """What came, told: the request line, the host, the length and the sum of the body; for some paths otherwise."""
    while True:
        head, rest = read_head(s)
        if head is None:
            return
        line = head.split(b"\r\n")[0]
        if b"/early" in line:  # answered at once, whatever is still to come
            s.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nwho?")
            continue
        if b"/busy" in line:
            BUSY.release()
        body = read_body(s, head, rest)
        if b"/chunked" in line:
            s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: t\r\n\r\n")
        elif b"/to-end" in line:
            s.sendall(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
            return
        elif b"/cut" in line:
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
            return
        elif b"/empty" in line:
            s.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        elif b"/continue" in line:
            s.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n")
        elif b"/trailers" in line:
            s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
            endless(s, b"Trailer: t\r\n")
        elif b"/cut-trailer" in line:
            s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer: t\r\n")
            return
        elif b"/interim" in line:
            endless(s, b"HTTP/1.1 102 Processing\r\n\r\n")
        elif b"/switch" in line:
            s.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        elif b"/split" in line:
            s.sendall(b"HTTP/1.1 200 OK\r\nX: a\rContent-Length: 5\r\nContent-Length: 0\r\n\r\n")
        elif b"/drip-head" in line:
            endless(s, b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10000, 0.1)
        elif b"/drip" in line:
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            endless(s, b"x" * 1000000, 0.1)
        elif b"/nonsense" in line:
            s.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")
            return
        elif b"/large" in line:
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
            for _ in range(500):
                s.sendall(b"x" * 100000)
        elif line.startswith(b"HEAD"):
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")
        else:
            text = line + b"|" + b"|".join(x for x in head.split(b"\r\n")[1:]) + b"|%d %d" % (len(body), sum(body[::997]))
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Of-Server: yes\r\n\r\n" % len(text) + text)


SERVERS = {}


def server(kind="good"):
    if not SERVERS:
        if not shutil.which("openssl"):
            raise Skip("openssl is not installed")
        os.makedirs(TMP.name + "/cas/folder.crt")  # what is no certificate is left out
        for name, text in (("notes.pem", "nothing of that kind\n"), ("bytes.crt", "\0\1\2"), ("net", "ip=dhcp\n")):
            with open(os.path.join(TMP.name, "cas", name), "w") as f:
                f.write(text)
        SERVERS["good"], SERVERS["unknown"] = Server(echo), Server(echo, "unknown")
        SERVERS["other name"] = Server(echo, "othername", "DNS:elsewhere.example")
        for name in ("good", "othername"):
            shutil.copy(os.path.join(TMP.name, name + ".pem"), TMP.name + "/cas")
        SERVERS["proxy"] = subprocess.Popen([PYTHON, "-B", os.path.join(ROOT, "tools/images/https_proxy.py"), SOCKET, TMP.name + "/cas",
                                             "--this-machine"], stdout=subprocess.DEVNULL)
        until(lambda: is_up(SOCKET), "the proxy is up")
    return SERVERS[kind]


def is_up(path):
    """It listens: its socket has a name a moment before that. No connection is made, which would take a place."""
    with open("/proc/net/unix") as table:
        return any(row[3] == "00010000" and row[-1] == path for row in map(str.split, table))


def hasty(*options, **times):
    """Another proxy, with other times; its socket's path."""
    server()
    options = options or (TMP.name + "/cas", "--this-machine")
    path = os.path.join(TMP.name, f"hasty{len(SERVERS)}")
    code = "import sys, https_proxy as p; vars(p).update(%r); p.main()" % times
    SERVERS[path] = subprocess.Popen([PYTHON, "-B", "-c", code, path, *options], stdout=subprocess.DEVNULL,
                                     env={**os.environ, "PYTHONPATH": os.path.join(ROOT, "tools/images")})
    until(lambda: is_up(path), "the proxy is up")
    return path


def ask(s, method, url, body=b"", *headers):
    """(head, body) of an answer on a connection."""
    extra = "".join(h + "\r\n" for h in headers)
    if body:
        extra += f"Content-Length: {len(body)}\r\n"
    s.sendall(f"{method} {url} HTTP/1.1\r\nHost: ignored\r\n{extra}\r\n".encode() + body)
    return answer(s, method)


def answer(s, method="GET"):
    head, rest = read_head(s)
    expect(head is not None, True, "an answer")
    return head, b"" if method == "HEAD" or b" 204 " in head[:20] else read_body(s, head, rest)


def test_requests_go_one_after_another_over_one_connection():
    good = server()
    before = good.count
    with dial(SOCKET) as s:
        head, body = ask(s, "GET", good.url + "/a/b?c=d&e=%2f", b"", "Authorization: Bearer x", "Connection: keep-alive",
                         "Proxy-Authorization: secret")
        expect_in(b"X-Of-Server: yes", head)
        expect(body, b"GET /a/b?c=d&e=%%2f HTTP/1.1|Host: 127.0.0.1:%d|Authorization: Bearer x|0 0" % good.port)
        expect(ask(s, "GET", good.url + "/chunked")[1], b"hello world")
        expect(ask(s, "HEAD", good.url + "/x"), (b"HTTP/1.1 200 OK\r\nContent-Length: 12345", b""))
        expect(ask(s, "DELETE", good.url + "/empty")[0], b"HTTP/1.1 204 No Content")
        expect(ask(s, "POST", good.url + "/continue")[0].split(b"\r\n")[:2], [b"HTTP/1.1 201 Created", b"Location: /x"])
        expect(good.count - before, 1, "connections to the server")
        expect(ask(s, "GET", good.url + "/to-end")[1], b"until the end")
        expect_in(b"GET / HTTP/1.1", ask(s, "GET", good.url)[1])
        expect(good.count - before, 2)
        expect_in(b"GET /l HTTP/1.1", ask(s, "GET", f"https://localhost:{good.port}/l")[1])


def test_bodies_stream_both_ways():
    good, data = server(), os.urandom(1 << 20) * 8
    want = b"|%d %d" % (len(data), sum(data[::997]))
    with dial(SOCKET, 60) as s:
        expect(ask(s, "PUT", good.url + "/blob", data)[1].endswith(want), True, "with a length")
        s.sendall(f"PATCH {good.url}/blob HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for at in range(0, len(data), 100000):
            piece = data[at:at + 100000]
            s.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
        s.sendall(b"0\r\n\r\n")
        expect(answer(s)[1].endswith(want), True, "in chunks")
        small = data[:500000]
        s.sendall(f"PATCH {good.url}/blob HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode() +
                  b"".join(b"64\r\n" + small[at:at + 100] + b"\r\n" for at in range(0, len(small), 100)) + b"0\r\n\r\n")
        expect(answer(s)[1].endswith(b"|%d %d" % (len(small), sum(small[::997]))), True, "in small chunks")
        s.sendall(f"PUT {good.url}/b HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n".encode())
        expect(s.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
        s.sendall(b"abc")
        expect(answer(s)[1].endswith(b"|3 97"), True)
        before = memory()
        expect(len(ask(s, "GET", good.url + "/large")[1]), 50000000)
        expect(memory() - before < 16 << 10, True, "KiB of memory more")


def memory():
    with open(f"/proc/{SERVERS['proxy'].pid}/status") as f:
        return int(f.read().split("VmRSS:")[1].split()[0])


def test_an_answer_that_comes_early_is_relayed():
    good = server()
    with dial(SOCKET, 30) as s:
        s.sendall(f"PUT {good.url}/early HTTP/1.1\r\nContent-Length: 400000000\r\n\r\n".encode())
        try:
            for _ in range(4000):
                s.sendall(b"x" * 100000)
        except OSError:
            pass
        head, body = answer(s)
        expect((head.split(b"\r\n")[0], b"Connection: close" in head, body), (b"HTTP/1.1 401 Unauthorized", True, b"who?"))


def test_failures_are_one_line():
    good = server()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        closed = s.getsockname()[1]
    plain = socket.create_server(("127.0.0.1", 0))

    def no_tls():
        sock, _ = plain.accept()
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        sock.close()
    threading.Thread(target=no_tls, daemon=True).start()
    for url, status, why in ((server("unknown").url, 502, b"certificate is refused: self-signed certificate"),
                             (server("other name").url, 502, b"certificate is refused: IP address mismatch"),
                             (f"https://127.0.0.1:{closed}/", 502, b"Connection refused"),
                             (f"https://127.0.0.1:{plain.getsockname()[1]}/", 502, b"WRONG_VERSION_NUMBER"),
                             ("https://nosuch.invalid/", 502, b"nosuch.invalid:443: "),
                             (good.url + "/nonsense", 502, b"no answer: not HTTP"),
                             ("http://127.0.0.1/", 400, b"not an https:// URI"), ("/path", 400, b"not an https:// URI"),
                             ("https://user:secret@127.0.0.1/", 400, b"not an https:// URI"),
                             ("https://127.0.0.1:99999/", 400, b"not an https:// URI"), ("https:///", 400, b"not an https:// URI")):
        with dial(SOCKET) as s:
            head, body = ask(s, "GET", url)
            expect((head.split()[1], b"Content-Type: text/plain" in head, body.count(b"\n")), (b"%d" % status, True, 1), url)
            expect_in(why, body)
            expect(s.recv(100), b"", "it is closed then")


def test_all_addresses_of_a_name_share_the_time_to_connect():
    import https_proxy
    good, asked = socket.create_server(("127.0.0.1", 0)), https_proxy.socket.getaddrinfo
    port = good.getsockname()[1]
    https_proxy.THIS_MACHINE = True

    def named(addresses, seconds):
        https_proxy.CONNECT_S = seconds
        https_proxy.socket.getaddrinfo = lambda host, port, **how: [x for a in addresses for x in asked(a, port, **how)]
        try:
            with https_proxy.connect("name", port) as s:
                return s.getpeername()[0]
        except OSError as e:
            return type(e).__name__
        finally:
            https_proxy.socket.getaddrinfo = asked
    expect(named(["127.0.0.2", "127.0.0.3", "127.0.0.1"], 60), "127.0.0.1", "the first that answers")
    expect(named(["127.0.0.2", "127.0.0.3"], 60), "ConnectionRefusedError")
    expect(named(["127.0.0.1"], 0), "TimeoutError", "no time, no try")
    expect(named(["127.0.0.2"] * 16 + ["127.0.0.1"], 60), "ConnectionRefusedError", "so many and no more")
    good.close()


def test_nothing_of_this_machine_is_fetched_unless_that_is_wanted():
    """A server elsewhere names the places that a client goes on to."""
    good = server()
    before = good.count
    with dial(hasty(TMP.name + "/cas")) as s:
        head, body = ask(s, "GET", good.url + "/")
    expect((head.split()[1], good.count - before), (b"502", 0))
    expect_in(b"this machine's own address", body)
    import https_proxy
    for address, near in (("127.9.9.9", True), ("0.0.0.0", True), ("0.1.2.3", True), ("169.254.169.254", True), ("192.0.2.1", False)):
        expect(https_proxy.is_near(socket.AF_INET, (address, 1)), near, address)
    for address, near in (("::", True), ("::1", True), ("::ffff:127.0.0.1", True), ("::127.0.0.1", True), ("fe80::1%lo", True),
                          ("2001:db8::1", False)):
        expect(https_proxy.is_near(socket.AF_INET6, (address, 1, 0, 0)), near, address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        if s.connect_ex(("192.0.2.1", 9)) == 0:  # sends nothing
            expect(https_proxy.is_near(socket.AF_INET, s.getsockname()), True, "an address of a wire's")


def test_an_answer_that_is_cut_off_has_no_end():
    good = server()
    with dial(SOCKET) as s:
        try:
            ask(s, "GET", good.url + "/cut")
            raise AssertionError("it came whole")
        except ValueError as e:
            expect(str(e), "cut off")


def test_requests_that_are_none_are_refused():
    good = server()
    for data in (b"GET\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"GET %s HTTP/1.0\r\n\r\n" % good.url.encode(),
                 b"GET %s HTTP/1.1\r\nno colon\r\n\r\n" % good.url.encode(), b"GET %s HTTP/1.1\r\n : x\r\n\r\n" % good.url.encode(),
                 b"PUT %s HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n" % good.url.encode(),
                 b"PUT %s HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n" % good.url.encode(),
                 b"PUT %s HTTP/1.1\r\nContent-Length: -1\r\n\r\n" % good.url.encode(),
                 b"PUT %s HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n" % good.url.encode(),
                 b"PUT %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" % good.url.encode(),
                 b"PUT %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" % good.url.encode() + b"1\r\nx\r\n" * 4096,
                 b"GET /" + b"x" * 100000, b"GET %s HTTP/1.1\r\n" % good.url.encode() + b"a: b\r\n" * 300 + b"\r\n"):
        with dial(SOCKET) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            head, _ = read_head(s)
            expect((head or b"")[:12], b"HTTP/1.1 400", f"{data[:60]!r}")
    with dial(SOCKET) as s:
        expect_in(b"GET /still", ask(s, "GET", good.url + "/still")[1])


def test_more_clients_than_it_serves_wait():
    good = server()
    path = hasty(SLOW_SPARED_S=3600)
    crowd = [dial(path) for _ in range(64)]
    for s in crowd:
        expect_in(b"200 OK", ask(s, "GET", good.url)[0])
    for s in crowd:  # all are busy now: their bodies come
        s.sendall(f"PUT {good.url}/busy HTTP/1.1\r\nContent-Length: 10\r\n\r\n12345".encode())
    for _ in crowd:
        expect(BUSY.acquire(timeout=120), True, "a head has come")
    late = dial(path, 2)
    late.sendall(f"GET {good.url}/late HTTP/1.1\r\n\r\n".encode())
    try:
        expect(late.recv(100), "nothing yet")
    except socket.timeout:
        pass
    late.settimeout(120)
    crowd[0].sendall(b"67890")
    expect_in(b"200 OK", answer(crowd[0])[0])  # between two requests it gives way
    expect_in(b"GET /late", answer(late)[1])
    expect(crowd[0].recv(1), b"")
    for s in crowd + [late]:
        s.close()


def test_places_of_those_who_do_nothing_are_taken_back():
    good = server()
    path = hasty(SLOW_SPARED_S=1)
    crowd = [dial(path) for _ in range(64)]
    for s in crowd:
        s.sendall(f"PUT {good.url}/b HTTP/1.1\r\nContent-Length: 10\r\n\r\n1".encode())
    for i in range(3):
        with dial(path, 20) as late:
            expect_in(b"GET /late", ask(late, "GET", good.url + "/late")[1])
    for s in crowd:
        s.close()


def test_none_holds_a_place_by_being_slow():
    good = server()
    path = hasty(HEAD_S=1, FLOOR_S=1, DRAIN_S=1)
    with dial(path, 20) as s:
        began = time.monotonic()
        s.sendall(f"GET {good.url}/x HTTP/1.1\r\n".encode())
        try:
            while time.monotonic() < began + 15:
                s.sendall(b"x")
                if select.select([s], [], [], 0.1)[0]:
                    break
        except OSError:
            pass
        expect_in(b"it takes too long", answer(s)[1])
    for place, why in (("/drip-head", b"it takes too long"), ("/interim", b"too many interim answers"), ("/switch", b"switches protocols"),
                       ("/split", b"bad or too many headers")):
        with dial(path, 20) as s:
            head, body = ask(s, "GET", good.url + place)
            expect_in(b"502 Bad Gateway", head)
            expect_in(why, body)
    for place in ("/drip", "/trailers", "/cut-trailer"):
        with dial(path, 20) as s:
            try:
                ask(s, "GET", good.url + place)
                raise AssertionError(f"{place} came whole")
            except (ValueError, ConnectionResetError):
                pass


if __name__ == "__main__":
    try:
        main(sys.modules[__name__])
    finally:
        for one in SERVERS.values():
            if isinstance(one, subprocess.Popen):
                one.kill()
                one.wait()
