#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Debian's registry with TLS, the HTTPS-fetching proxy and the engine: an image goes there and comes back."""
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import ROOT, USER, Engine, busybox_layer, docker_archive, tar
from suite import Skip, expect, expect_in, main, until

PYTHON = "/usr/bin/python3"
CONFIG = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}
http: {{addr: '{host}:{port}', tls: {{certificate: {folder}/cert.pem, key: {folder}/key.pem}}}}
"""


def address():
    """One of this machine's that is not 127.0.0.0/8, where registries need no TLS."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # sends nothing
            return s.getsockname()[0]
        except OSError:
            raise Skip("this machine has no address but its own") from None


class Registry:
    def __init__(self, folder):
        self.folder, self.host, self.processes = folder, address(), []
        with socket.socket() as s:
            s.bind((self.host, 0))
            self.port = s.getsockname()[1]
        self.name, self.proxy = f"{self.host}:{self.port}", os.path.join(folder, "proxy")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=registry", "-addext", f"subjectAltName=IP:{self.host}", "-keyout", folder + "/key.pem",
                        "-out", folder + "/cert.pem"], check=True, capture_output=True)
        with open(folder + "/config.yml", "w") as f:
            f.write(CONFIG.format(folder=folder, host=self.host, port=self.port))

    def __enter__(self):
        self.start("docker-registry", "serve", self.folder + "/config.yml")
        self.start(PYTHON, "-B", os.path.join(ROOT, "tools/images/https_proxy.py"), self.proxy, self.folder + "/cert.pem", "--this-machine")
        until(lambda: os.path.exists(self.proxy) and self.listens(), "the registry and the proxy are up")
        return self

    def start(self, *words):
        self.processes.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def listens(self):
        with socket.socket() as s:
            return s.connect_ex((self.host, self.port)) == 0

    def __exit__(self, *error):
        for process in self.processes:
            process.kill()
            process.wait()


def test_an_image_goes_to_a_registry_with_tls_and_comes_back():
    for program in ("openssl", "docker-registry"):
        if not shutil.which(program):
            raise Skip(f"{program} is not installed")
    p = subprocess.run([os.path.join(USER, "engine"), "--https", "/x", "--nosuch", "x"], capture_output=True, text=True)
    if "unknown option --https" in p.stderr:
        raise Skip("this engine knows no registries")
    with tempfile.TemporaryDirectory(prefix="bothy-registry-") as folder, Registry(folder) as registry:
        engine = Engine(options=["--https", registry.proxy])
        try:
            layers = [busybox_layer(), tar([("large", tarfile.REGTYPE, os.urandom(5 << 20), 0o644)])]
            expect(engine.load(docker_archive("thing:1", layers)).returncode, 0)
            name = registry.name + "/team/thing:1"
            for words in (("tag", "thing:1", name), ("push", name), ("rmi", "thing:1"), ("rmi", name), ("pull", name)):
                p = engine.run(*words)
                expect(p.returncode, 0, f"{words}: {p.stdout} {p.stderr} -> status")
            expect(engine.run("run", "--rm", name, "echo", "it came back").stdout, "it came back\n")
            p = engine.run("pull", f"{registry.host}:1/thing")
            expect(p.returncode, 1)
            expect_in(f"{registry.host}:1: Connection refused", p.stderr)
        finally:
            engine.close()


if __name__ == "__main__":
    main(sys.modules[__name__])
