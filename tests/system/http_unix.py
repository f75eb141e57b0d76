# SPDX-License-Identifier: MIT
"""HTTP over a unix socket, or to HOST:PORT, for tests that speak to the engine without any client."""
import http.client
import json
import socket


def dial(path, timeout=120):
    """`path`: a unix socket's, or (host, port)."""
    s = socket.socket(socket.AF_UNIX if isinstance(path, str) else socket.AF_INET6 if ":" in path[0] else socket.AF_INET)
    s.settimeout(timeout)
    s.connect(path)
    return s


class Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout=120):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = dial(self.path, self.timeout)


def request(path, method, url, body=None, headers=None):
    """(status, parsed JSON or text)"""
    c = Connection(path)
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    c.request(method, url, body=data, headers=headers or {})
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    try:
        return r.status, json.loads(text)
    except ValueError:
        return r.status, text


def raw(path, data, timeout=120, shut=False):
    """Bytes in, bytes out until the engine closes."""
    s = dial(path, timeout)
    s.sendall(data)
    if shut:
        s.shutdown(socket.SHUT_WR)
    out = b""
    try:
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            out += piece
    except socket.timeout:
        pass
    s.close()
    return out
