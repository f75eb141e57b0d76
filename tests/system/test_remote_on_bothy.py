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
from bothy import commands, put, run
from engine_fixture import BUSYBOX, ROOT
from suite import Skip, expect, expect_in, main
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


def test_the_https_proxy_serves_its_socket():
    out = booted("https-proxy", "run -d --name proxy -v /run/https-proxy:/run/https-proxy -v /boot/files:/scripts:ro https-proxy",
                 wait("proxy", "https_proxy: serves"), "exec proxy python3 /scripts/ask.py",
                 files=[put(TMP.name, "ask.py", ASK)])
    for text in ("HTTP/1.1 502 Bad Gateway", "Content-Type: text/plain", "127.0.0.1:1: Connection refused"):
        expect_in(text, out)


if __name__ == "__main__":
    main(sys.modules[__name__])
