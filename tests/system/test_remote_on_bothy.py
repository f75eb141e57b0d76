#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The images of tools/make-image on Bothy: Debian's sshd, stunnel and Python come up there and serve."""
import glob
import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import RUN, commands, put, run
from debian_image import unpacked
from engine_fixture import BUSYBOX, ROOT, busybox_layer, docker_archive
from registry_fixture import free_port
from suite import Skip, expect, expect_in, main, until
from test_remote import authority

TMP = tempfile.TemporaryDirectory(prefix="bothy-remote-")
MOUNT = "-v /run/docker.sock:/var/run/docker.sock"
ASK = """import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect("/run/https-proxy/sock")
s.sendall(b"GET https://127.0.0.1:1/ HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
sys.stdout.write(s.recv(65536).decode())
"""
SSH = """
test -s /keys/ssh_host_ed25519_key || exit 1
ask() { printf 'GET /_ping HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n'; }
printf 'directly: '
ask | docker system dial-stdio
echo
ssh-keygen -q -t ed25519 -N '' -f /tmp/id || exit 2
while read -r line; do echo "$line"; done </tmp/id.pub >/keys/authorized_keys
printf 'by ssh: '
ask | /scripts/ssh -F none -i /tmp/id -o StrictHostKeyChecking=no -o BatchMode=yes -o LogLevel=ERROR -p 2222 root@127.0.0.1 docker system dial-stdio
"""
# The machine stays until a container has made the file.
STAY = "until [ -e /run/stop ]; do /boot/files/busybox usleep 100000; done"
WAIT = """
b=/boot/files/busybox
n=0
until bothy logs $1 2>&1 | $b grep -q "$2" || [ $n = 300 ]; do n=$((n + 1)); $b usleep 100000; done
bothy logs $1 2>&1 | $b grep "$2"
"""


def image(name):
    path = os.path.join(TMP.name, name + ".tar")
    p = subprocess.run([os.path.join(ROOT, "tools/make-image"), name, "-o", path], capture_output=True, text=True)
    if p.returncode:
        raise Skip(p.stderr.strip())
    return ["--image", path]


def booted(name, *lines, files=(), made=None):
    words = ["--memory", "2048", "--timeout", "300", *(made or image(name)), "--file", BUSYBOX + ":busybox",
             "--file", put(TMP.name, "wait", WAIT)]
    for path in files:
        words += ["--file", path]
    p = run(*words, *commands(*lines))
    expect((p.returncode, p.stderr), (0, ""), p.stdout)
    return p.stdout


def wait(name, text):
    return f"/boot/files/busybox sh /boot/files/wait {name} '{text}'"


def test_sshd_serves_a_client_with_a_key():
    """Debian's ssh beside it in the container runs dial-stdio through it, and the engine answers."""
    tar = image("sshd")
    client = glob.glob(os.path.join(ROOT, "build/packages/image-openssh-server*/usr/bin/ssh"))[0]
    out = booted("sshd", f"run -d --name ssh {MOUNT} -v keys:/keys -v /boot/files:/scripts:ro sshd -p 2222",
                 wait("ssh", "Server listening on 0.0.0.0"), "exec ssh sh /scripts/ask", "logs ssh", made=tar,
                 files=[put(TMP.name, "ask", SSH), client])
    for text in ("Server listening on 0.0.0.0 port 2222", "directly: HTTP/1.1 200 OK", "by ssh: HTTP/1.1 200 OK", "Server: Bothy"):
        expect_in(text, out)


def test_stunnel_comes_up():
    if not shutil.which("openssl"):
        raise Skip("openssl is not installed")
    folder = os.path.join(TMP.name, "ca")
    server = authority(folder, "ca")("server", "IP:127.0.0.1")
    files = [f"{folder}/ca.pem:ca.pem", f"{server}-cert.pem:server-cert.pem", f"{server}-key.pem:server-key.pem"]
    out = booted("stunnel", f"run -d --name tls {MOUNT} -v /boot/files:/certs:ro stunnel",
                 wait("tls", "Configuration successful"), files=files)
    expect_in("Configuration successful", out)


class Remote:
    """A machine whose image `name` is a door: `port` of this computer leads to it. busybox is there as well."""

    def __init__(self, name, run_words, guest_port, files):
        self.port = free_port()
        busybox = put(TMP.name, "busybox.tar", docker_archive("busybox:latest", [busybox_layer()]))
        words = [RUN, "--memory", "2048", "--timeout", "500", *image(name), "--image", busybox, "--net", "user", "--publish",
                 f"{self.port}:{guest_port}", "--file", BUSYBOX + ":busybox", "--file", put(TMP.name, "stay", STAY)]
        for path in files:
            words += ["--file", path]
        words += ["-c", run_words, "-c", "/boot/files/busybox sh /boot/files/stay", "-c", "logs door"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
        self.docker_path = shutil.which("docker") or os.path.join(unpacked("docker.io"), "usr/bin/docker")

    def try_docker(self, *words, text="", env=None):
        return subprocess.run([self.docker_path, *words], input=text, capture_output=True, text=True, timeout=120, env=env)

    def docker(self, *words, status=0, **how):
        """Again when it fails: docker gives a connection by ssh thirty seconds, of which a busy machine may need more."""
        for _ in range(3):
            p = self.try_docker(*words, **how)
            if p.returncode == status:
                break
        expect(p.returncode, status, f"docker {words[-3:]}: {p.stdout[-500:]} {p.stderr[-500:]} -> status")
        return p.stdout

    def answers(self, *words, **how):
        expect(self.process.poll(), None, "the machine's status")
        return not self.try_docker(*words, "version", **how).returncode

    def end(self, *words, **how):
        """Lets the machine go, which may be before the answer comes."""
        try:
            self.try_docker(*words, "run", "--rm", "-v", "/run:/host", "busybox", "touch", "/host/stop", **how)
            expect(self.process.wait(120), 0, self.process.stdout.read()[-2000:])
        finally:
            self.process.kill()
            self.process.wait()


def use(machine, *door, **how):
    """What a client does, through the door, on the machine."""
    until(lambda: machine.answers(*door, **how), "the door opens", 240)
    expect(machine.docker(*door, "run", "--rm", "-i", "busybox", "cat", text="through the door", **how), "through the door")
    expect_in("door", machine.docker(*door, "ps", "--format", "{{.Names}}", **how))


def test_docker_comes_into_the_machine_by_tls():
    if not shutil.which("openssl"):
        raise Skip("openssl is not installed")
    folder = os.path.join(TMP.name, "ca2")
    sign = authority(folder, "ca")
    server, client = sign("server", "IP:127.0.0.1"), sign("client")
    stranger = authority(os.path.join(TMP.name, "other2"), "ca")("stranger")
    files = [f"{folder}/ca.pem:ca.pem", f"{server}-cert.pem:server-cert.pem", f"{server}-key.pem:server-key.pem"]
    m = Remote("stunnel", f"run -d --name door --network host {MOUNT} -v /boot/files:/certs:ro stunnel", 2376, files)

    def door(key):
        return ["-H", f"tcp://127.0.0.1:{m.port}", "--tlsverify", "--tlscacert", folder + "/ca.pem", "--tlscert", key + "-cert.pem",
                "--tlskey", key + "-key.pem"]
    try:
        use(m, *door(client))
        expect(m.try_docker(*door(stranger), "version").returncode, 1, "no stranger comes in")
    finally:
        m.end(*door(client))


def test_docker_comes_into_the_machine_by_ssh():
    if not shutil.which("ssh") or not shutil.which("ssh-keygen"):
        raise Skip("ssh is not installed")
    home = os.path.join(TMP.name, "home")
    os.makedirs(os.path.join(home, "bin"))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home + "/id"], check=True)
    ssh = put(home + "/bin", "ssh", f"#!/bin/sh\nexec {shutil.which('ssh')} -F none -i {home}/id -o UserKnownHostsFile={home}/known "
              "-o StrictHostKeyChecking=accept-new -o BatchMode=yes \"$@\"\n")
    os.chmod(ssh, 0o755)
    m = Remote("sshd", f"run -d --name door --network host {MOUNT} -v /boot/files:/keys sshd -p 2222", 2222, [home + "/id.pub:authorized_keys"])
    how = {"env": {**os.environ, "PATH": f"{home}/bin:{os.environ['PATH']}", "HOME": home}}
    door = ["-H", f"ssh://root@127.0.0.1:{m.port}"]
    try:
        use(m, *door, **how)
    finally:
        m.end(*door, **how)


def test_the_https_proxy_serves_its_socket():
    out = booted("https-proxy", "run -d --name proxy -v /run/https-proxy:/run/https-proxy -v /boot/files:/scripts:ro https-proxy --this-machine",
                 wait("proxy", "https_proxy: serves"), "exec proxy python3 /scripts/ask.py",
                 files=[put(TMP.name, "ask.py", ASK)])
    for text in ("HTTP/1.1 502 Bad Gateway", "Content-Type: text/plain", "127.0.0.1:1: Connection refused"):
        expect_in(text, out)


if __name__ == "__main__":
    main(sys.modules[__name__])
