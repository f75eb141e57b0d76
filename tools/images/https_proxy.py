#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fetches https:// for programs that speak plain HTTP: the engine, which pulls and pushes through it.

    https_proxy.py SOCKET [CA_FILE_OR_FOLDER...] [--this-machine]

SOCKET is a unix stream socket that it makes. A client sends HTTP/1.1 with an absolute URI, `GET https://host[:port]/path HTTP/1.1`, any number
of requests on a connection, each after the last one's answer. Certificates are verified against the system's bundle and the CA files named. Bodies
stream both ways, with Content-Length or chunked; an answer that ends with its connection comes chunked. An answer that comes before the whole request was
sent is relayed, and the connection closed after it. Where there is no answer to relay, there is one of status 502 (400 for what is no such request), text/plain, one
line. Redirects, credentials and caching are the client's.
Since a server elsewhere may redirect a client to any name, no address of this machine or of its links alone is connected to, unless
--this-machine says that servers are there, too.

No one holds a place by being slow: a head, and what stands behind the last chunk, has HEAD_S from its first byte on; a body comes at FLOOR bytes a second at
least while it is waited for; interim answers are counted. When all places are taken and another client comes, the one goes that has been between two requests
for longest, or else the one that has moved least for longest.
"""
import errno
import ipaddress
import os
import re
import select
import socket
import ssl
import sys
import threading
import time
from urllib.parse import urlsplit

HEAD_MAX = 64 << 10
HEADERS_MAX = 200
CLIENTS_MAX = 64
PIECE = 64 << 10
CHUNKS, CHUNK_MEAN = 4096, 64  # so many have so many bytes on average at least
CONNECT_S, STALL_S, IDLE_S, HEAD_S, DRAIN_S = 15, 60, 300, 30, 10
ANSWER_S = 300  # a server may have to move what it was sent, and to sum it up
FLOOR, FLOOR_S = 512, 60  # bytes a second, over so many seconds of waiting
MARK = 64 << 10  # bytes that count as progress
IDLE_SPARED_S, SLOW_SPARED_S = 1, 20  # who is younger keeps its place
INTERIM_MAX = 16
ADDRESSES_MAX = 16  # of a name, that are tried
CA_FOLDER_MAX = 1000
THIS_MACHINE = False  # whether its own addresses are connected to
HOP = {"connection", "keep-alive", "proxy-connection", "te", "upgrade", "expect", "proxy-authorization"}


NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Bad(Exception):
    """What is told to the client: (status, one line)."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class Stream:
    """A socket with what was read ahead of it. `moved(bytes)` is told of what comes."""

    def __init__(self, sock, moved):
        self.sock, self.moved = sock, moved
        self.ahead, self.at = b"", 0  # the rest begins there: no line or chunk copies what is behind it
        self.until = None  # when what is being read has to be there
        self.waited, self.came = 0.0, 0

    @property
    def rest(self):
        return self.ahead[self.at:]

    @rest.setter
    def rest(self, data):
        self.ahead, self.at = data, 0

    def waits(self, for_line):
        """Whether there is no line, or no byte, without waiting for it."""
        return self.ahead.find(b"\n", self.at) < 0 if for_line else self.at == len(self.ahead)

    def within(self, seconds):
        """From here on all has to come in that time; None: no more than STALL_S may pass without a byte."""
        self.until = seconds and time.monotonic() + seconds
        self.sock.settimeout(STALL_S)

    def read(self):
        began = time.monotonic()
        if self.until is not None:
            if self.until <= began:
                raise ValueError("it takes too long")
            self.sock.settimeout(self.until - began)
        try:
            data = self.sock.recv(PIECE)
        except TimeoutError:
            raise ValueError("it takes too long") from None
        self.pace(time.monotonic() - began, len(data))
        self.moved(len(data))
        return data

    def pace(self, waited, came):
        self.waited, self.came = self.waited + waited, self.came + came
        if self.waited < FLOOR_S:
            return
        if came and self.came < FLOOR * self.waited:
            raise ValueError("it comes too slowly")
        self.waited, self.came = 0.0, 0

    def more(self, most=PIECE):
        """Some bytes, no more than that; b"" at the end."""
        if self.waits(False):
            self.rest = self.read()
        data = self.ahead[self.at:self.at + most]
        self.at += len(data)
        return data

    def begin(self, seconds):
        """Waits for the first byte of a head; false at the end."""
        if not self.rest:
            self.sock.settimeout(seconds)
            self.rest = self.sock.recv(PIECE)
        self.waited, self.came = 0.0, 0
        return bool(self.rest)

    def line(self, limit):
        """A line without its end; None at the end of the stream."""
        while self.waits(True):
            if len(self.ahead) - self.at > limit:
                raise ValueError("a line is too long")
            data = self.read()
            if not data:
                if not self.waits(False):
                    raise ValueError("it ends in the middle of a line")
                return None
            self.rest += data
        end = self.ahead.index(b"\n", self.at)
        line, self.at = self.ahead[self.at:end], end + 1
        return line.rstrip(b"\r")

    def head(self, seconds):
        """The first line and [(name, value)], or None at the end; `seconds` for its first byte."""
        if not self.begin(seconds):
            return None
        self.within(HEAD_S)
        first = self.line(HEAD_MAX)
        headers = self.fields()
        self.within(None)
        if first is None or CONTROL.search(first):
            raise ValueError("not HTTP")
        return first.decode("latin-1"), headers

    def fields(self):
        """[(name, value)] up to an empty line."""
        headers, size = [], 0
        while line := self.line(HEAD_MAX):
            name, colon, value = line.partition(b":")
            size += len(line)
            if not colon or not NAME.fullmatch(name) or CONTROL.search(value) or size > HEAD_MAX or len(headers) == HEADERS_MAX:
                raise ValueError("bad or too many headers")
            headers.append((name.decode("latin-1"), value.strip().decode("latin-1")))
        if line is None:
            raise ValueError("it ends in the middle of a head")
        return headers

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass


def value_of(headers, name):
    """A header's value; several that differ are refused."""
    values = {value for key, value in headers if key.lower() == name}
    if len(values) > 1:
        raise ValueError(f"several {name} headers")
    return values.pop() if values else None


def framing_of(headers):
    """("chunked", None), ("length", n) or ("none", None)."""
    coding, length = value_of(headers, "transfer-encoding"), value_of(headers, "content-length")
    if coding is not None:
        if coding.lower() != "chunked" or length is not None:
            raise ValueError("the body's framing makes no sense")
        return "chunked", None
    if length is None:
        return "none", None
    if not length.isascii() or not length.isdigit() or len(length) > 18:
        raise ValueError("bad Content-Length")
    return "length", int(length)


def pieces_of(stream, framing):
    """The body's content, piece by piece, until it is whole."""
    kind, left = framing
    if kind == "end":
        while data := stream.more():
            yield data
    while kind == "length" and left:
        data = stream.more(left)
        if not data:
            raise ValueError("it ends in the middle of a body")
        left -= len(data)
        yield data
    if kind == "chunked":
        yield from chunks_of(stream)


def chunks_of(stream):
    """Small ones together, but none waits here for what has not come."""
    held, count, size = bytearray(), 0, 0
    while True:
        if held and (len(held) >= PIECE or stream.waits(True)):
            yield bytes(held)
            held.clear()
        left = chunk_size(stream)
        if not left:
            break
        count, size = count + 1, size + left
        if count == CHUNKS:
            if size < CHUNKS * CHUNK_MEAN:
                raise ValueError("its chunks are too small")
            count = size = 0
        if held and stream.waits(False):
            yield bytes(held)
            held.clear()
        for data in pieces_of(stream, ("length", left)):
            held += data
            if stream.waits(False):
                yield bytes(held)
                held.clear()
        if held and stream.waits(True):
            yield bytes(held)
            held.clear()
        if stream.line(2) != b"":
            raise ValueError("bad chunk")
    if held:
        yield bytes(held)
    stream.within(HEAD_S)
    stream.fields()
    stream.within(None)


def chunk_size(stream):
    size = (stream.line(256) or b"").split(b";")[0].strip()
    if not size or len(size) > 15 or not all(c in b"0123456789abcdefABCDEF" for c in size):
        raise ValueError("bad chunk")
    return int(size, 16)


def sender(sock, framing):
    """Two functions, put(data) and end(), that write content in this framing."""
    def put(data):
        sock.sendall(b"%x\r\n" % len(data) + data + b"\r\n" if framing == "chunked" else data)

    def end():
        if framing == "chunked":
            sock.sendall(b"0\r\n\r\n")
    return put, end


def is_near(family, address):
    """Whether an address is every machine's own, this link's alone, or one that this machine has, to which others may not be bound."""
    ip = ipaddress.ip_address(address[0].partition("%")[0])
    if ip.version == 6 and (ip.ipv4_mapped or 1 < int(ip) < 1 << 32):
        ip = ipaddress.IPv4Address(int(ip) & 0xffffffff)
    if ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip in ipaddress.ip_network("0.0.0.0/8"):
        return True
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.bind((address[0], 0, *address[2:]))
    except OSError as e:
        return e.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


def connect(host, port):
    """A connection with one of a name's addresses, all of which share the time there is: OSError."""
    until, why = time.monotonic() + CONNECT_S, TimeoutError("timed out")
    places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[:ADDRESSES_MAX]
    for i, (family, kind, protocol, _, address) in enumerate(places):
        left = until - time.monotonic()
        if left <= 0:
            break
        if not THIS_MACHINE and is_near(family, address):
            why = PermissionError(errno.EACCES, "this machine's own address, or of its link alone; --this-machine would allow it")
            continue
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(left / (len(places) - i))
            sock.connect(address)
            sock.settimeout(CONNECT_S)
            return sock
        except OSError as e:
            why = e
            sock.close()
    raise why


class Client:
    """A connection of a program that asks; its requests go one after the other."""

    def __init__(self, sock, context):
        self.stream, self.context = Stream(sock, self.moved), context
        self.server, self.place = None, None  # the last server's stream, kept for the next request
        self.idle, self.mark, self.bytes = True, time.monotonic(), 0

    def moved(self, count):
        """Bytes came, of either side; 0: a step was made."""
        self.bytes += count
        if not count or self.bytes >= MARK:
            self.mark, self.bytes = time.monotonic(), 0

    def slow(self, now):
        """For how long it has done nothing of note; those between two requests come first. None: it keeps its place."""
        age = now - self.mark
        if age < (IDLE_SPARED_S if self.idle else SLOW_SPARED_S):
            return None
        return self.idle, age

    def cut(self):
        """By another thread: what it waits for ends."""
        for stream in (self.stream, self.server):
            try:
                if stream:
                    socket.socket.shutdown(stream.sock, socket.SHUT_RDWR)
            except OSError:
                pass

    def serve(self):
        try:
            while self.request():
                pass
        except OSError:
            pass
        finally:
            self.stream.close()
            self.leave()

    def leave(self):
        if self.server:
            self.server.close()
        self.server = self.place = None

    def request(self):
        """One of them; false when the connection is to be closed."""
        self.answered = False
        try:
            self.idle = True
            self.moved(0)
            if not self.stream.begin(IDLE_S):
                return False
            self.idle = False
            head = self.stream.head(IDLE_S)
            self.moved(0)
            return self.relay(*self.decide(*head))
        except Bad as e:
            return self.refuse(e.status, str(e))
        except ValueError as e:
            return self.refuse(400, str(e))

    def refuse(self, status, text):
        """The one line, unless an answer is under way: then its end is missing, which says enough."""
        self.leave()
        if not self.answered:
            body = " ".join(text.split())[:500].encode("utf-8", "replace") + b"\n"
            reason = {400: b"Bad Request", 502: b"Bad Gateway"}[status]
            self.stream.sock.sendall(b"HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
                                     b"Connection: close\r\n\r\n" % (status, reason, len(body)) + body)
            self.stream.sock.shutdown(socket.SHUT_WR)
            self.drain()
        return False

    def drain(self):
        """A client that is still sending would lose the answer to a reset."""
        self.stream.within(DRAIN_S)
        try:
            for _ in range(1024):
                if not self.stream.read():
                    return
        except ValueError:
            pass

    def decide(self, first, headers):
        words = first.split(" ")
        if len(words) != 3 or words[2] != "HTTP/1.1" or not words[0].isalpha():
            raise Bad(400, "not an HTTP/1.1 request")
        try:
            uri = urlsplit(words[1])
            host, port = uri.hostname, uri.port or 443
        except ValueError:
            uri, host, port = None, None, 0
        if not uri or uri.scheme != "https" or not host or "@" in uri.netloc:
            raise Bad(400, f"not an https:// URI: {words[1][:200]}")
        path = (uri.path or "/") + ("?" + uri.query if uri.query else "")
        return words[0], host, port, uri.netloc, path, headers, framing_of(headers)

    def relay(self, method, host, port, netloc, path, headers, framing):
        expects = value_of(headers, "expect")
        closes = (value_of(headers, "connection") or "").lower() == "close"
        kept = [(k, v) for k, v in headers if k.lower() not in HOP and k.lower() != "host"]
        head = f"{method} {path} HTTP/1.1\r\nHost: {netloc}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in kept) + "\r\n"
        self.reach(host, port, head.encode("latin-1"))
        if expects:
            self.stream.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        whole = self.send_body(framing)
        lasts = self.answer(method, whole)
        if not whole or not lasts:
            self.leave()
        if not whole:
            self.stream.sock.shutdown(socket.SHUT_WR)
            self.drain()
        return whole and not closes and not self.ends

    def reach(self, host, port, head):
        """The head is sent, over the last connection if it goes there and lives."""
        if self.place == (host, port):
            try:
                if not self.early():
                    self.server.sock.sendall(head)
                    return
            except OSError:
                pass
        self.leave()
        try:
            plain = connect(host, port)
        except OSError as e:
            raise Bad(502, f"{host}:{port}: {e.strerror or e}") from None
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.server = Stream(self.context.wrap_socket(plain, server_hostname=host), self.moved)
            self.server.sock.settimeout(STALL_S)
            self.server.sock.sendall(head)
        except ssl.SSLCertVerificationError as e:
            plain.close()
            raise Bad(502, f"{host}:{port}: its certificate is refused: {e.verify_message}") from None
        except (OSError, ValueError) as e:
            plain.close()
            raise Bad(502, f"{host}:{port}: {getattr(e, 'reason', None) or e}") from None
        self.place = (host, port)

    def early(self):
        """Whether the server has said something, or has gone, that nobody has asked for yet."""
        sock = self.server.sock
        if self.server.rest or not (sock.pending() or select.select([sock], [], [], 0)[0]):
            return bool(self.server.rest)
        sock.settimeout(0)
        try:
            data = sock.recv(PIECE)  # not b"": a session's ticket is no data
        except (ssl.SSLWantReadError, BlockingIOError):
            return False
        finally:
            sock.settimeout(STALL_S)
        self.server.rest = data
        return True

    def send_body(self, framing):
        """False when the server has answered, or closed, before it had all."""
        put, end = sender(self.server.sock, framing[0])
        for data in pieces_of(self.stream, framing):
            try:
                if self.early():
                    return False
                put(data)
            except OSError:
                return False
        try:
            end()
        except OSError:
            return False
        return True

    def answer(self, method, whole):
        """Relays it; false when the server's connection ends with it."""
        try:
            first, headers, status = self.answer_head()
            framing = framing_of(headers)
        except (OSError, ValueError) as e:
            raise Bad(502, f"{self.place[0]}:{self.place[1]}: no answer: {e}") from None
        bodiless = method == "HEAD" or status in (204, 304)
        server_ends = (value_of(headers, "connection") or "").lower() == "close" or first.startswith("HTTP/1.0")
        kept = [(k, v) for k, v in headers if k.lower() not in HOP]
        if bodiless:
            framing = ("none", None)
        elif framing[0] == "none":
            framing, server_ends = ("end", None), True
            kept.append(("Transfer-Encoding", "chunked"))
        self.ends = not whole
        if self.ends:
            kept.append(("Connection", "close"))
        self.answered = True
        self.stream.sock.sendall((f"HTTP/1.1 {first.partition(' ')[2]}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in kept) +
                                  "\r\n").encode("latin-1"))
        put, end = sender(self.stream.sock, "chunked" if framing[0] in ("chunked", "end") else "plain")
        for data in pieces_of(self.server, framing):
            put(data)
        end()
        return not server_ends

    def answer_head(self):
        for _ in range(INTERIM_MAX):
            head = self.server.head(ANSWER_S)
            if head is None:
                raise ValueError("it has closed the connection")
            self.moved(0)
            words = head[0].split(" ")
            if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit() or len(words[1]) != 3:
                raise ValueError("not HTTP")
            if int(words[1]) >= 200:
                return head[0], head[1], int(words[1])
            if int(words[1]) == 101:
                raise ValueError("it switches protocols")
        raise ValueError("too many interim answers")


def context_of(places):
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for place in places:
        names = sorted(os.listdir(place))[:CA_FOLDER_MAX] if os.path.isdir(place) else [""]
        for name in names:
            path = os.path.join(place, name) if name else place
            if not name or name.endswith((".pem", ".crt")):
                try:
                    context.load_verify_locations(path)
                except (OSError, ValueError) as e:  # a folder may hold other things
                    print(f"https_proxy: {path} holds no certificate: {e}: skipped", flush=True)
    return context


class Places:
    """The clients that are served, at most CLIENTS_MAX."""

    def __init__(self):
        self.free, self.lock, self.clients = threading.Semaphore(CLIENTS_MAX), threading.Lock(), set()

    def have(self):
        """Waits for one; the slowest is sent away."""
        while not self.free.acquire(timeout=0.1):
            now = time.monotonic()
            with self.lock:
                slow = [(how, id(client), client) for client in self.clients if (how := client.slow(now))]
            if slow:
                max(slow)[2].cut()

    def serve(self, client):
        try:
            client.serve()
        finally:
            with self.lock:
                self.clients.discard(client)
            self.free.release()

    def begin(self, client):
        with self.lock:
            self.clients.add(client)
        threading.Thread(target=self.serve, args=(client,), daemon=True).start()


def serve_all(listener, context):
    places = Places()
    while True:
        select.select([listener], [], [])
        places.have()
        client = None
        try:
            client = Client(listener.accept()[0], context)
            places.begin(client)
        except (OSError, RuntimeError) as e:  # no descriptor, no memory, no thread: others end some time
            print(f"https_proxy: cannot take a client: {e}", flush=True)
            if client:
                client.stream.close()
                places.clients.discard(client)
            places.free.release()
            time.sleep(0.5)


def main():
    global THIS_MACHINE
    words = [word for word in sys.argv[1:] if word != "--this-machine"]
    THIS_MACHINE = "--this-machine" in sys.argv
    if not words:
        sys.exit(__doc__)
    context, path = context_of(words[1:]), words[0]
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    os.umask(0o117)
    listener.bind(path)
    listener.listen(CLIENTS_MAX)
    print(f"https_proxy: serves {path}", flush=True)

    serve_all(listener, context)


if __name__ == "__main__":
    main()
