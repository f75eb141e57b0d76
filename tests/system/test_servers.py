#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Servers as Debian has them, on the host's network of a machine, and their clients on this computer: nginx, iperf3, redis, sshd,
a server in Go (docker-registry) and one in Java; curl and apt in the machine fetch from here."""
import functools
import gzip
import hashlib
import http.server
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import RUN, busybox_image, put
from debian_image import unpacked
from engine_fixture import BUSYBOX
from registry_fixture import Registry, free_port
from servers_image import of_tree, servers_cd
from suite import Skip, expect, expect_in, main_with, until

MIB = random.Random(19).randbytes(1 << 20)
# The CD below a tmpfs is the container's world; the machine stays until a container has made the file.
STAY = """B=/boot/files/busybox
$B mkdir -p /run/cd /run/up /run/world
$B mount -t iso9660 -o ro /dev/vda /run/cd && $B mount -t tmpfs tmpfs /run/up && $B mkdir /run/up/u /run/up/w &&
    $B mount -t overlay -o lowerdir=/run/cd,upperdir=/run/up/u,workdir=/run/up/w overlay /run/world
until [ -e /run/stop ]; do $B usleep 100000; done
"""
WORLD = ("busybox mount -t proc proc /world/proc; busybox mount --rbind /dev /world/dev; busybox cp /etc/resolv.conf /world/etc; "
         "exec busybox chroot /world sleep 1000000")
REGISTRY = "version: 0.1\nlog:\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: /tmp/registry\nhttp:\n  addr: :5000\n"
JAVA = """import com.sun.net.httpserver.*;
public class Hello {
    public static void main(String[] words) throws Exception {
        HttpServer server = HttpServer.create(new java.net.InetSocketAddress(8082), 0);
        server.createContext("/", e -> {
            byte[] body = e.getRequestBody().readAllBytes();
            e.sendResponseHeaders(200, 0);
            for (int i = 0; i < 16; i++)
                e.getResponseBody().write(body);
            e.close();
        });
        server.setExecutor(java.util.concurrent.Executors.newCachedThreadPool());
        server.start();
    }
}
"""
NGINX = "sed -i 's/worker_processes.*/worker_processes 2;/' /etc/nginx/nginx.conf; nginx"
SSHD = ("mkdir -p /run/sshd; chmod 700 /root/.ssh; ssh-keygen -A; cat /boot/id.pub >/root/.ssh/authorized_keys; "
        "exec /usr/sbin/sshd -f /usr/share/openssh/sshd_config -o StrictModes=no -o UsePAM=no")
ONE_TEST = "iperf3 -s -1 -D; until grep -q ':1451 .* 0A ' /proc/net/tcp6; do sleep 0.1; done"  # it serves once
PORTS = {"nginx": 80, "iperf3": 5201, "redis": 6379, "sshd": 22, "go": 5000, "java": 8082}
machine = None


class Machine:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="bothy-servers-")
        folder = self.folder.name
        self.tree = servers_cd(os.path.join(folder, "cd"))
        self.docker_path = shutil.which("docker") or os.path.join(unpacked("docker.io"), "usr/bin/docker")
        self.ports = {name: free_port() for name in PORTS}
        api = free_port()
        self.env = {**os.environ, "DOCKER_HOST": f"tcp://127.0.0.1:{api}"}
        words = [RUN, "--timeout", "1600", "--memory", "1536", "--disk", os.path.join(folder, "cd") + ",ro", "--net", "user", "--api", str(api),
                 *(f"--publish={self.ports[name]}:{PORTS[name]}" for name in PORTS), "--image", busybox_image(folder), "--file",
                 f"{BUSYBOX}:busybox", "--file", put(folder, "stay", STAY), "-c", "/boot/files/busybox sh /boot/files/stay"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
        until(self.begun, "a container in the CD's world", 300)
        self.put("/tmp/Hello.java", JAVA)
        self.inside("/usr/lib/jvm/java-17-openjdk-amd64/bin/java -XX:TieredStopAtLevel=1 /tmp/Hello.java >/tmp/java.log 2>&1 &")

    def begun(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the machine ended: {self.process.communicate()[0][-3000:]}")
        p = self.docker("run", "-d", "--name", "world", "--network", "host", "--privileged", "-v", "/run/world:/world", "busybox",
                        "sh", "-c", WORLD)
        # before the CD's world was there, its container would be an empty one
        if not p.returncode and not self.docker("exec", "world", "test", "-x", "/world/usr/sbin/nginx").returncode:
            return True
        self.docker("rm", "-f", "world")
        return False

    def docker(self, *words, text=""):
        return subprocess.run([self.docker_path, *words], env=self.env, input=text, capture_output=True, text=True, timeout=200)

    def inside(self, script, text="", status=0):
        """What a shell in the CD's world says."""
        p = self.docker("exec", "-i", "-e", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "world", "chroot", "/world", "sh", "-c", script, text=text)
        expect(p.returncode, status, f"{script}: {p.stdout[-1500:]} {p.stderr[-1500:]} -> status")
        return p.stdout

    def put(self, path, text):
        self.inside(f"mkdir -p {os.path.dirname(path)}; cat >{path}", text)

    def url(self, name, path=""):
        return f"http://127.0.0.1:{self.ports[name]}/{path}"

    def stop(self):
        self.docker("run", "--rm", "-v", "/run:/host", "busybox", "touch", "/host/stop")
        out = self.process.communicate(timeout=300)[0]
        expect((self.process.returncode, "PANIC" in out), (0, False), out)
        self.folder.cleanup()


def curl(*words):
    p = subprocess.run(["curl", "-sS", "-g", "--max-time", "200", *words], capture_output=True)
    expect((p.returncode, p.stderr), (0, b""), f"curl {words[-1]}")
    return p.stdout


def of_machine(program, *words, text=None):
    """A program of the CD's, run here."""
    p = subprocess.run([*of_tree(machine.tree, program), *words], input=text, capture_output=True, text=True, timeout=300)
    expect(p.returncode, 0, f"{program} {words}: {p.stdout[-1500:]} {p.stderr[-1500:]} -> status")
    return p.stdout


def answers(url):
    return not subprocess.run(["curl", "-s", "--max-time", "30", "-o", os.devnull, url]).returncode


def test_nginx_as_debian_configures_it():
    """Workers with edges of epoll and sendfile: what is larger than the send buffer waits for them."""
    machine.inside(NGINX)
    machine.inside("i=0; while [ $i -lt 16 ]; do head -c 65536 /dev/zero | tr '\\0' a; i=$((i + 1)); done >/var/www/html/mib")
    url = machine.url("nginx", "mib")
    until(lambda: answers(url), "nginx", 200)
    for _ in range(3):
        expect(curl(url), b"a" * (1 << 20))
    expect(curl("-r", "1000-1999", url), b"a" * 1000)
    expect_in(b"416", curl("-o", os.devnull, "-w", "%{http_code}", "-r", "2000000-", url))
    page = machine.url("nginx")
    expect(curl(page, page, page).count(b"Welcome to nginx!</title>"), 3)
    expect_in("Failed requests:        0", of_machine("usr/bin/ab", "-q", "-k", "-n", "100", "-c", "10", page))
    expect_in("Failed requests:        0", of_machine("usr/bin/ab", "-q", "-n", "8", "-c", "4", url))
    machine.inside("nginx -s reload")
    expect(len(curl(url)), 1 << 20)
    expect_in("Welcome", machine.inside("curl -sSg 'http://[::1]/'"))
    expect(machine.inside("curl -sS http://127.0.0.1/mib | wc -c").strip(), str(1 << 20))


def iperf3(*words):
    machine.inside(ONE_TEST)
    out = of_machine("usr/bin/iperf3", "-c", "127.0.0.1", "-p", str(machine.ports["iperf3"]), *words)
    expect_in("iperf Done.", out)


def test_iperf3_both_ways_and_in_parallel():
    iperf3("-n", "2M")
    iperf3("-n", "2M", "-R")
    iperf3("-n", "2M", "-P", "4", "-R")


def test_iperf3_within_the_machine():
    """lo's segments are as large as its MTU."""
    for words in ("-c 127.0.0.1 -n 4M", "-6 -c ::1 -n 4M -R", "-c 127.0.0.1 -u -b 2M -n 200K"):
        machine.inside(ONE_TEST)
        expect_in("iperf Done.", machine.inside("iperf3 " + words))


def test_redis_serves_commands_in_pipelines():
    machine.inside("redis-server --protected-mode no --daemonize yes --save '' --bind '*' '-::*'")
    port = str(machine.ports["redis"])
    until(lambda: not subprocess.run([*of_tree(machine.tree, "usr/bin/redis-cli"), "-p", port, "ping"], capture_output=True,
                                     timeout=120).returncode, "redis", 200)
    expect(of_machine("usr/bin/redis-cli", "-p", port, "ping"), "PONG\n")
    value = "v" * 300000
    expect(of_machine("usr/bin/redis-cli", "-p", port, "-x", "set", "key", text=value), "OK\n")
    expect(of_machine("usr/bin/redis-cli", "-p", port, "get", "key"), value + "\n")
    expect_in("SET", of_machine("usr/bin/redis-benchmark", "-p", port, "-q", "-n", "400", "-c", "10", "-P", "8", "-t", "set,get"))


def test_sshd_serves_shells_copies_and_forwards():
    if not shutil.which("ssh"):
        raise Skip("ssh is not installed")
    key = os.path.join(machine.folder.name, "id")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with open(key + ".pub") as f:
        machine.put("/boot/id.pub", f.read())
    machine.inside(SSHD)
    options = ["-F", "none", "-i", key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
               "-o", "LogLevel=ERROR"]
    port, forward = str(machine.ports["sshd"]), free_port()

    def do(*words, **how):
        p = subprocess.run(list(words), capture_output=True, timeout=200, **how)
        expect(p.returncode, 0, f"{words}: {p.stderr}")
        return p.stdout

    ssh = ["ssh", *options, "-p", port, "root@127.0.0.1"]
    until(lambda: not subprocess.run([*ssh, "true"], capture_output=True, stdin=subprocess.DEVNULL, timeout=300).returncode, "sshd", 300)
    expect(do(*ssh, "cat; echo $SSH_CONNECTION | cut -d ' ' -f 4", input=b"through\n"), b"through\n22\n")
    mib = put(machine.folder.name, "mib", MIB)
    do("scp", "-O", *options, "-P", port, mib, "root@127.0.0.1:/tmp/mib")
    expect(do(*ssh, "-n", "cat /tmp/mib") == MIB, True, "what scp brought")
    with subprocess.Popen([*ssh[:-1], "-N", "-L", f"{forward}:127.0.0.1:80", ssh[-1]], stdin=subprocess.DEVNULL) as tunnel:
        try:
            until(lambda: answers(f"http://127.0.0.1:{forward}/"), "the tunnel", 200)
            expect(len(curl(f"http://127.0.0.1:{forward}/mib")), 1 << 20)
        finally:
            tunnel.terminate()


def test_a_server_in_go():
    """Debian's docker-registry takes a blob and gives it back."""
    machine.put("/tmp/registry.yml", REGISTRY)
    machine.inside("docker-registry serve /tmp/registry.yml >/tmp/registry.log 2>&1 &")
    until(lambda: answers(machine.url("go", "v2/")), "docker-registry", 300)
    registry = Registry.__new__(Registry)  # the client's half alone
    registry.host = f"127.0.0.1:{machine.ports['go']}"
    digest = registry.blob("some/name", MIB)
    expect(registry.call("GET", f"/v2/some/name/blobs/{digest}")[1] == MIB, True, "the blob")


def test_a_server_in_java():
    url = machine.url("java")
    until(lambda: answers(url), "Java's server", 400)
    path = put(machine.folder.name, "body", MIB[:100000])
    for _ in range(2):
        expect(curl("--data-binary", "@" + path, url) == MIB[:100000] * 16, True, "sixteen times what it was sent")


# --- what fetches from here ----------------------------------------------------------------------


def repository(folder):
    """A package and the lists that apt reads, signed where gpg is here: the words of its line in sources.list."""
    tree = os.path.join(folder, "tree")
    put_in = os.path.join(tree, "usr/share/stranger")
    os.makedirs(put_in)
    os.makedirs(os.path.join(tree, "DEBIAN"))
    put(put_in, "mib", MIB)
    put(os.path.join(tree, "DEBIAN"), "control",
        "Package: stranger\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example>\nDescription: bytes\n")
    root = os.path.join(folder, "served")
    os.makedirs(root)
    deb = os.path.join(root, "stranger.deb")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, deb], check=True, capture_output=True)
    with open(deb, "rb") as f:
        data = f.read()
    control = subprocess.run(["dpkg-deb", "-f", deb], check=True, capture_output=True, text=True).stdout
    packages = f"{control}Filename: ./stranger.deb\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n".encode()
    packed = gzip.compress(packages)
    put(root, "Packages", packages)
    put(root, "Packages.gz", packed)
    lists = "".join(f" {hashlib.sha256(d).hexdigest()} {len(d)} {n}\n" for n, d in (("Packages", packages), ("Packages.gz", packed)))
    put(root, "Release", f"Suite: here\nDate: Mon, 30 Nov 2020 00:00:00 UTC\nSHA256:\n{lists}")
    return root, sign(folder, root)


def sign(folder, root):
    home = os.path.join(folder, "gpg")
    if not shutil.which("gpg"):
        return "[trusted=yes]", b""
    os.makedirs(home, mode=0o700)
    gpg = ["gpg", "--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-gen-key", "x@example", "ed25519", "sign"], check=True, capture_output=True)
    subprocess.run([*gpg, "--clearsign", "-o", os.path.join(root, "InRelease"), os.path.join(root, "Release")], check=True, capture_output=True)
    key = subprocess.run([*gpg, "--armor", "--export"], check=True, capture_output=True).stdout
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], capture_output=True)
    return "[signed-by=/etc/apt/here.asc]", key


class Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass


def test_curl_and_apt_fetch_from_here():
    root, (options, key) = repository(machine.folder.name)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=root))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    here = f"http://10.0.2.2:{server.server_address[1]}/"
    try:
        got = machine.inside(f"curl -sS {here}stranger.deb | sha256sum || true", status=0)
        with open(os.path.join(root, "stranger.deb"), "rb") as f:
            expect(got.split()[0], hashlib.sha256(f.read()).hexdigest())
        machine.put("/etc/apt/here.asc", key.decode())
        machine.put("/etc/apt/sources.list", f"deb {options} {here} ./\n")
        machine.put("/etc/apt/apt.conf.d/here", 'APT::Sandbox::User "root";\nAcquire::Languages "none";\n')
        machine.inside("rm -f /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/70debconf; apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install stranger")
        expect(machine.inside("sha256sum /usr/share/stranger/mib").split()[0], hashlib.sha256(MIB).hexdigest())
    finally:
        server.shutdown()


if __name__ == "__main__":
    main_with(sys.modules[__name__], Machine)
