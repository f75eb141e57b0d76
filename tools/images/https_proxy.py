#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fetches https:// for programs that speak plain HTTP: the engine, which pulls and pushes through it.

    https_proxy.py SOCKET [CA_FILE_OR_FOLDER...]

SOCKET is a unix stream socket that it makes. A client sends HTTP/1.1 with an absolute URI, `GET https://host[:port]/path HTTP/1.1`, any number
of requests on a connection, each after the last one's answer. Certificates are verified against the system's bundle and the CA files named. Bodies
stream both ways, with Content-Length or chunked; an answer that ends with its connection comes chunked. An answer that comes before the whole request was
sent is relayed, and the connection closed after it. Where there is no answer to relay, there is one of status 502 (400 for what is no such request), text/plain, one
line. Redirects, credentials and caching are the client's.
"""
import os
import select
import socket
import ssl
import sys
import threading
from urllib.parse import urlsplit

HEAD_MAX = 64 << 10
HEADERS_MAX = 200
CLIENTS_MAX = 64
PIECE = 64 << 10
CONNECT_S, STALL_S, IDLE_S = 15, 60, 300
CA_FOLDER_MAX = 1000
HOP = {"connection", "keep-alive", "proxy-connection", "te", "upgrade", "expect", "proxy-authorization"}


class Bad(Exception):
    """What is told to the client: (status, one line)."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class Stream:
    """A socket with what was read ahead of it."""

    def __init__(self, sock):
        self.sock, self.rest = sock, b""

    def more(self):
        """Some bytes, b"" at the end."""
        data, self.rest = self.rest or self.sock.recv(PIECE), b""
        return data

    def line(self, limit):
        """A line without its end; None at the end of the stream."""
        while b"\n" not in self.rest:
            if len(self.rest) > limit:
                raise ValueError("a line is too long")
            data = self.sock.recv(PIECE)
            if not data:
                if self.rest:
                    raise ValueError("it ends in the middle of a line")
                return None
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return line.rstrip(b"\r")

    def head(self):
        """The first line and [(name, value)], or None at the end."""
        first = self.line(HEAD_MAX)
        if first is None:
            return None
        headers, size = [], 0
        while line := self.line(HEAD_MAX):
            name, colon, value = line.partition(b":")
            size += len(line)
            if not colon or not name or name != name.strip() or size > HEAD_MAX or len(headers) == HEADERS_MAX:
                raise ValueError("bad or too many headers")
            headers.append((name.decode("latin-1"), value.strip().decode("latin-1")))
        if line is None:
            raise ValueError("it ends in the middle of a head")
        return first.decode("latin-1"), headers

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
        data = stream.more()
        if not data:
            raise ValueError("it ends in the middle of a body")
        data, stream.rest = data[:left], data[left:]
        left -= len(data)
        yield data
    while kind == "chunked":
        size = (stream.line(256) or b"").split(b";")[0].strip()
        if not size or len(size) > 15 or not all(c in b"0123456789abcdefABCDEF" for c in size):
            raise ValueError("bad chunk")
        if int(size, 16) == 0:
            while stream.line(HEAD_MAX):
                pass
            return
        yield from pieces_of(stream, ("length", int(size, 16)))
        if stream.line(2) != b"":
            raise ValueError("bad chunk")


def sender(sock, framing):
    """Two functions, put(data) and end(), that write content in this framing."""
    def put(data):
        sock.sendall(b"%x\r\n" % len(data) + data + b"\r\n" if framing == "chunked" else data)

    def end():
        if framing == "chunked":
            sock.sendall(b"0\r\n\r\n")
    return put, end


class Client:
    """A connection of a program that asks; its requests go one after the other."""

    def __init__(self, sock, context):
        self.stream, self.context = Stream(sock), context
        self.server, self.place = None, None  # the last server's stream, kept for the next request

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
            self.stream.sock.settimeout(IDLE_S)
            head = self.stream.head()
            if head is None:
                return False
            self.stream.sock.settimeout(STALL_S)
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
        self.stream.sock.settimeout(5)
        for _ in range(1024):
            if not self.stream.sock.recv(PIECE):
                return

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
            plain = socket.create_connection((host, port), CONNECT_S)
        except OSError as e:
            raise Bad(502, f"{host}:{port}: {e.strerror or e}") from None
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.server = Stream(self.context.wrap_socket(plain, server_hostname=host))
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
        while True:
            head = self.server.head()
            if head is None:
                raise ValueError("it has closed the connection")
            words = head[0].split(" ")
            if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit() or len(words[1]) != 3:
                raise ValueError("not HTTP")
            if int(words[1]) >= 200 or int(words[1]) == 101:
                return head[0], head[1], int(words[1])


def context_of(places):
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for place in places:
        names = sorted(os.listdir(place))[:CA_FOLDER_MAX] if os.path.isdir(place) else [""]
        for name in names:
            path = os.path.join(place, name) if name else place
            if not name or name.endswith((".pem", ".crt")):
                context.load_verify_locations(path)
    return context


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    context, path = context_of(sys.argv[2:]), sys.argv[1]
    if os.path.exists(path):
        os.unlink(path)
    listener, places = socket.socket(socket.AF_UNIX), threading.Semaphore(CLIENTS_MAX)
    os.umask(0o117)
    listener.bind(path)
    listener.listen(CLIENTS_MAX)
    print(f"https_proxy: serves {path}", flush=True)

    def serve(sock):
        try:
            Client(sock, context).serve()
        finally:
            places.release()

    while True:
        places.acquire()  # further clients wait
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main()
