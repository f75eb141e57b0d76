# SPDX-License-Identifier: MIT
"""Registries for the engine's tests: Debian's docker-registry, images put into it, a registry that misbehaves."""
import base64
import hashlib
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

from engine_fixture import sha
from suite import free_port

REGISTRY = shutil.which("docker-registry")
V2 = "application/vnd.docker.distribution.manifest.v2+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Registry:
    """docker-registry on a port of its own. `auth`: lines of its configuration."""

    def __init__(self, auth=""):
        self.tmp = tempfile.mkdtemp(prefix="bothy-registry-")
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        path = os.path.join(self.tmp, "config.yml")
        with open(path, "w") as f:
            f.write(f"version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\n"
                    f"storage:\n  filesystem:\n    rootdirectory: {self.tmp}/data\n  delete:\n    enabled: true\n"
                    f"http:\n  addr: {self.host}\n{auth}")
        self.log = open(os.path.join(self.tmp, "log"), "wb")
        self.process = subprocess.Popen([REGISTRY, "serve", path], stdout=self.log, stderr=self.log)
        end = time.monotonic() + 60
        while not answers(self.port):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("docker-registry does not come up")
            time.sleep(0.01)

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.tmp, ignore_errors=True)

    def call(self, method, path, data=None, **headers):
        request = urllib.request.Request(path if "://" in path else f"http://{self.host}{path}", data, method=method,
                                         headers={k.replace("_", "-"): v for k, v in headers.items()})
        with urllib.request.urlopen(request) as answer:
            return answer.headers, answer.read()

    def blob(self, name, data):
        digest = "sha256:" + sha(data)
        headers, _ = self.call("POST", f"/v2/{name}/blobs/uploads/", b"")
        where = headers["Location"]
        self.call("PUT", f"{where}{'&' if '?' in where else '?'}digest={digest}", data,
                  Content_Type="application/octet-stream")
        return digest

    def manifest(self, name, reference, manifest, kind):
        data = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        self.call("PUT", f"/v2/{name}/manifests/{reference}", data, Content_Type=kind)
        return "sha256:" + sha(data), len(data)

    def image(self, name, tag, layers, conf, stored=None, kind=V2, layer_kind=None):
        """Its manifest's digest and size. `stored`: the layers' bytes in the registry."""
        stored = stored or layers
        docker = kind == V2
        config_kind = "application/vnd.docker.container.image.v1+json" if docker else \
            "application/vnd.oci.image.config.v1+json"
        layer_kind = layer_kind or ("application/vnd.docker.image.rootfs.diff.tar.gzip" if docker else
                                    "application/vnd.oci.image.layer.v1.tar+gzip")
        entries = [{"mediaType": layer_kind, "size": len(x), "digest": self.blob(name, x)} for x in stored]
        m = {"schemaVersion": 2, "mediaType": kind, "layers": entries,
             "config": {"mediaType": config_kind, "size": len(conf), "digest": self.blob(name, conf)}}
        data = json.dumps(m).encode()
        return self.manifest(name, tag or "sha256:" + sha(data), data, kind)


class Rogue:
    """A registry by hand: `handle(request)` answers, where request is a BaseHTTPRequestHandler; `seen` has
    (method, path, headers) of each request in order. `listener`: a socket that listens already."""

    def __init__(self, handle, listener=None):
        rogue = self
        self.seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def any(self):
                rogue.seen.append((self.command, self.path, dict(self.headers)))
                handle(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = any

            def log_message(self, *args):
                pass

            def reply(self, status, data=b"", **headers):
                self.send_response(status)
                for k, v in headers.items():
                    self.send_header(k.replace("_", "-"), v)
                if "Content_Length" not in headers:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if listener:
            self.server.socket.close()
            self.server.socket, self.server.server_address = listener, listener.getsockname()
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None  # clients that leave are what is tested
        self.port = self.server.server_address[1]
        self.host = "%s:%d" % self.server.server_address[:2]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def paths(self, part=""):
        return [p for _, p, _ in self.seen if part in p]


class Store:
    """Blobs and manifests for a Rogue: the usual answers; what is not there is 404."""

    def __init__(self):
        self.blobs, self.manifests = {}, {}

    def put(self, data):
        digest = "sha256:" + sha(data)
        self.blobs[digest] = data
        return digest

    def image(self, reference, layers, conf, kind=V2, stored=None):
        stored = stored or layers
        m = {"schemaVersion": 2, "mediaType": kind,
             "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(conf),
                        "digest": self.put(conf)},
             "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar", "size": len(x),
                         "digest": self.put(x)} for x in stored]}
        return self.manifest(reference, m, kind)

    def manifest(self, reference, m, kind=V2):
        data = m if isinstance(m, bytes) else json.dumps(m).encode()
        self.manifests[reference] = self.manifests["sha256:" + sha(data)] = (kind, data)
        return "sha256:" + sha(data)

    def find(self, path):
        """(type, data) or None."""
        m = re.fullmatch(r"/v2/(.+)/manifests/([^/?]+)", path)
        if m:
            return self.manifests.get(m[2])
        m = re.fullmatch(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})", path)
        data = m and self.blobs.get(m[2])
        return ("application/octet-stream", data) if data is not None and m else None

    def serve(self, r):
        found = self.find(r.path.split("?")[0])
        if r.path == "/v2/":
            r.reply(200, b"{}")
        elif found:
            r.reply(200, found[1], Content_Type=found[0])
        else:
            code = "MANIFEST_UNKNOWN" if "/manifests/" in r.path else "BLOB_UNKNOWN"
            r.reply(404, json.dumps({"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}).encode())


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
