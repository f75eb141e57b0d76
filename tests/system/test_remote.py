#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Remote access that needs no trust in the wire: the images that tools/make-image makes, as containers of the engine.

Clients enter the container's network, since an engine without networks publishes nothing.
"""
import os
import shutil
import socket
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import ROOT, USER, expect, expect_in, main, until
from http_unix import dial
from suite import Skip, Terminal

DOCKER = shutil.which("docker")
SHIM = os.path.join(ROOT, "build/user/docker")
TMP = tempfile.TemporaryDirectory(prefix="bothy-remote-")


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"{program} is not installed")


def do(*words, status=0, text=None, **kw):
    p = subprocess.run(words, input=text, capture_output=True, text=True, timeout=300, **kw)
    expect(p.returncode, status, f"{' '.join(words)[:300]}: {p.stdout} {p.stderr} -> status")
    return p.stdout


class Container:
    """An image of make-image's, running, with the engine's socket in it."""

    def __init__(self, engine, image, name, *options, words=()):
        self.engine, self.name = engine, name
        path = os.path.join(TMP.name, image + ".tar")
        if not os.path.exists(path):
            p = subprocess.run([os.path.join(ROOT, "tools/make-image"), image, "-o", path], capture_output=True, text=True)
            if p.returncode:
                raise Skip(p.stderr.strip())
        p = engine.run("load", "-i", path)
        expect(p.stdout, f"Loaded image: {image}:latest\n", p.stderr)
        p = engine.run("run", "-d", "--name", name, *options, image, *words)
        expect(p.returncode, 0, p.stderr)
        self.pid = engine.run("inspect", "-f", "{{.State.Pid}}", name).stdout.strip()

    def inside(self, *words):
        """A command of this machine in the container's network."""
        return ["nsenter", "-n", "-t", self.pid, *words]

    def listens(self, port):
        def is_there():
            for kind in ("tcp", "tcp6"):
                with open(f"/proc/{self.pid}/net/{kind}") as f:
                    if any(f":{port:04X} " in line and " 0A " in line for line in f):
                        return True
            return False
        until(is_there, f"{self.name} listens: {self.engine.run('logs', self.name)}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if kind:
            p = self.engine.run("logs", self.name)
            print(p.stdout[-2000:], p.stderr[-2000:], file=sys.stderr)
        self.engine.run("rm", "-f", "-v", self.name)


def socket_option(engine):
    return ["-v", f"{engine.socket}:/var/run/docker.sock"]


# --- docker system dial-stdio -------------------------------------------------------------------


def test_dial_stdio_joins_both_ways_and_half_closes(engine):
    command = [SHIM, "-H", "unix://" + engine.socket, "system", "dial-stdio"]
    out = do(*command, text="GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
    expect_in("HTTP/1.1 200 OK", out)
    expect(out.endswith("\n\nOK"), True, out)
    # an exec whose input ends before its output
    engine.run("run", "-d", "--name", "dial", "busybox", "sleep", "1000")
    made = subprocess.run([*command], capture_output=True, text=True, timeout=300, input=(
        "POST /containers/dial/exec HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 104\r\n\r\n" +
        '{"AttachStdin":true,"AttachStdout":true,"Cmd":["sh","-c","cat; echo input has ended; sleep 0.2; pwd"]}'.ljust(104)))
    number = made.stdout.split('"Id":"')[1].split('"')[0]
    out = do(*command, text=f"POST /exec/{number}/start HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n"
             "Content-Length: 2\r\n\r\n{}some input\n")
    for part in ("101 UPGRADED", "some input\n", "input has ended\n", "/\n"):
        expect_in(part, out)
    engine.run("rm", "-f", "dial")


def test_dial_stdio_ends_with_the_engine_s_connection_though_its_input_is_open(engine):
    p = subprocess.Popen([SHIM, "system", "dial-stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         env={"DOCKER_HOST": "unix://" + engine.socket})
    p.stdin.write(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    p.stdin.flush()
    expect_in(b"OK", p.stdout.read())
    expect(p.wait(120), 0)
    p.stdin.close()


def test_dial_stdio_ends_with_a_client_that_vanishes_though_there_is_nothing_to_say(engine):
    """As sshd leaves it: both ends closed, in the middle of a stream of events."""
    for pair in (os.pipe, lambda: [s.detach() for s in socket.socketpair()]):
        out, into = pair()
        p = subprocess.Popen([SHIM, "system", "dial-stdio"], stdin=subprocess.PIPE, stdout=into, env={"DOCKER_HOST": "unix://" + engine.socket})
        os.close(into)
        p.stdin.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        p.stdin.flush()
        expect_in(b"200 OK", os.read(out, 65536))
        p.stdin.close()
        os.close(out)
        expect(p.wait(120), 0)


def test_the_docker_of_this_system_refuses_all_else_by_a_sentence(engine):
    for words in ([], ["ps"], ["system"], ["system", "info"], ["system", "dial-stdio", "x"], ["-H"], ["--version"]):
        p = subprocess.run([SHIM, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        expect((p.returncode, p.stdout, p.stderr.count("\n")), (125, "", 1), str(words))
        expect_in("dial-stdio` alone", p.stderr)
    for host, why in (("tcp://1.2.3.4:5", "only unix://"), ("unix:///nosuch", "No such file"), ("unix://" + "x" * 200, "too long")):
        p = subprocess.run([SHIM, "-H", host, "system", "dial-stdio"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        expect((p.returncode, why.lower() in p.stderr.lower()), (1, True), p.stderr)


# --- ssh ----------------------------------------------------------------------------------------


def test_docker_over_ssh(engine):
    need("ssh", "ssh-keygen", "docker", "nsenter")
    home = os.path.join(TMP.name, "home")
    os.makedirs(os.path.join(home, ".ssh"), mode=0o700)
    key, keys = os.path.join(home, ".ssh/id"), os.path.join(TMP.name, "keys")
    os.makedirs(keys)
    do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    shutil.copy(key + ".pub", os.path.join(keys, "authorized_keys"))
    # docker's command runs `ssh`: this one reads no file of the person who tests
    bin_folder = os.path.join(TMP.name, "bin")
    os.makedirs(bin_folder)
    with open(os.path.join(bin_folder, "ssh"), "w") as f:
        f.write(f"#!/bin/sh\nexec {shutil.which('ssh')} -F none -i {key} -o UserKnownHostsFile={home}/known "
                "-o StrictHostKeyChecking=accept-new -o BatchMode=yes \"$@\"\n")
    os.chmod(f.name, 0o755)
    env = {**os.environ, "PATH": bin_folder + ":" + os.environ["PATH"], "HOME": home}
    with Container(engine, "sshd", "ssh", *socket_option(engine), "-v", keys + ":/keys", words=["-p", "2222"]) as c:
        c.listens(2222)
        docker = c.inside(DOCKER, "-H", "ssh://root@127.0.0.1:2222")
        expect(do(*docker, "version", "-f", "{{.Server.APIVersion}}", env=env), "1.47\n")
        expect_in("ssh", do(*docker, "ps", "--format", "{{.Names}}", env=env))
        expect(do(*docker, "run", "--rm", "-i", "busybox", "cat", text="through ssh", env=env), "through ssh")
        expect(do(*docker, "exec", "ssh", "sh", "-c", "echo in itself", env=env), "in itself\n")
        do(*docker, "run", "--rm", "busybox", "sh", "-c", "exit 5", status=5, env=env)
        for words in (["run", "-it", "--name", "left", "busybox", "sh"], ["attach", "left"]):
            t = Terminal(*docker, *words, env=env)
            if words[0] == "attach":
                os.write(t.fd, b"\n")
            t.until(b"# ")
            os.write(t.fd, b"\x10\x11")
            t.left()
            expect(do(*docker, "inspect", "-f", "{{.State.Running}}", "left", env=env), "true\n", f"{words}: it goes on")
        do(*docker, "rm", "-f", "left", env=env)
        # a key opens the API and nothing else: no shell, no forwarding
        ssh = c.inside(os.path.join(bin_folder, "ssh"), "-p", "2222", "root@127.0.0.1")
        expect(do(*ssh, "cat /etc/passwd", text="", env=env), "")
        expect_in("OK", do(*ssh, "id", text="GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", env=env))
        # without one of the keys nobody comes in
        do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key + "2")
        p = subprocess.run(c.inside(shutil.which("ssh"), "-F", "none", "-i", key + "2", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o",
                                    f"UserKnownHostsFile={home}/known", "-p", "2222", "root@127.0.0.1"),
                           capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, env=env)
        expect((p.returncode, "Permission denied" in p.stderr), (255, True), p.stderr)
        expect(os.path.exists(os.path.join(keys, "ssh_host_ed25519_key")), True, "the host's key stays in the volume")


# --- TLS ----------------------------------------------------------------------------------------


def authority(folder, name):
    """A certificate authority, and a function that has it sign."""
    os.makedirs(folder, exist_ok=True)
    ca = os.path.join(folder, name)
    do("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
       f"/CN={name}", "-keyout", ca + "-key.pem", "-out", ca + ".pem")

    def sign(who, names=""):
        path = os.path.join(folder, who)
        do("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={who}", "-keyout",
           path + "-key.pem", "-out", path + ".csr")
        with open(path + ".ext", "w") as f:
            f.write(f"subjectAltName={names}\n" if names else "extendedKeyUsage=clientAuth\n")
        do("openssl", "x509", "-req", "-in", path + ".csr", "-CA", ca + ".pem", "-CAkey", ca + "-key.pem", "-CAcreateserial",
           "-days", "2", "-extfile", path + ".ext", "-out", path + "-cert.pem")
        return path
    return sign


def test_docker_over_tls(engine):
    need("openssl", "docker", "nsenter")
    folder, certs = os.path.join(TMP.name, "ca"), os.path.join(TMP.name, "certs")
    sign, stranger = authority(folder, "ca"), authority(os.path.join(TMP.name, "other"), "ca")
    server, client = sign("server", "IP:127.0.0.1,DNS:localhost"), sign("client")
    foreign = stranger("foreign")
    os.makedirs(certs)
    for path in (folder + "/ca.pem", server + "-cert.pem", server + "-key.pem"):
        shutil.copy(path, certs)
    with Container(engine, "stunnel", "tls", *socket_option(engine), "-v", certs + ":/certs:ro") as c:
        c.listens(2376)

        def docker(*words, key=client, **kw):
            return do(*c.inside(DOCKER, "-H", "tcp://127.0.0.1:2376", "--tlsverify", "--tlscacert", folder + "/ca.pem", "--tlscert",
                                key + "-cert.pem", "--tlskey", key + "-key.pem"), *words, **kw)

        expect(docker("version", "-f", "{{.Server.APIVersion}}"), "1.47\n")
        expect(docker("run", "--rm", "-i", "busybox", "cat", text="through TLS"), "through TLS")
        docker("version", key=foreign, status=1)
        p = subprocess.run(c.inside("openssl", "s_client", "-connect", "127.0.0.1:2376", "-quiet", "-verify_quiet", "-CAfile",
                                    folder + "/ca.pem"), input=b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n", capture_output=True, timeout=300)
        expect(b"200 OK" in p.stdout, False, "nothing without a certificate")


# --- the proxy as an image ----------------------------------------------------------------------


def test_the_https_proxy_s_image_serves_its_socket(engine):
    """What it does with requests is test_https_proxy.py's; here, that it runs as it is packed, with its certificates."""
    place = os.path.join(TMP.name, "run")
    os.makedirs(place)
    with Container(engine, "https-proxy", "proxy", "-v", place + ":/run/https-proxy"):
        path = os.path.join(place, "sock")
        until(lambda: os.path.exists(path), "the socket is there")
        s = dial(path)
        s.sendall(b"GET https://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = s.recv(65536)
        expect(answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\n"), True, answer)
        expect_in(b"127.0.0.1:1: this machine's own address", answer)
        s.close()
        count = engine.run("exec", "proxy", "python3", "-c", "import ssl; print(len(ssl.create_default_context().get_ca_certs()))")
        expect(int(count.stdout or 0) > 50, True, f"the system's authorities: {count}")


if __name__ == "__main__":
    main(sys.modules[__name__])
