#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Debian's docker command, from this computer, over TCP into a machine with a card: DHCP gave it its address, the kernel's TCP carries
all; images come by load and from a registry that is elsewhere; a server on the host's network is reached by a published port."""
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import RUN, put
from debian_image import unpacked
from engine_fixture import BUSYBOX, busybox_layer, docker_archive
from registry_fixture import Registry, free_port
from suite import expect, expect_in, main_with, until

# The machine stays until a container has made the file.
STAY = "until [ -e /run/stop ]; do /boot/files/busybox usleep 100000; done"
SERVED = random.Random(9).randbytes(3 << 20)
machine = None


class Machine:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="bothy-docker-wire-")
        self.registry = Registry()
        self.port, self.web = free_port(), free_port()
        self.elsewhere = f"10.0.2.2:{self.registry.port}"
        words = [RUN, "--timeout", "1500", "--net", "user", "--api", str(self.port), "--publish", f"{self.web}:8000",
                 "--append", f"bothy.insecure-registry={self.elsewhere}", "--file", f"{BUSYBOX}:busybox", "--file",
                 put(self.folder.name, "stay", STAY), "--file", put(self.folder.name, "blob", SERVED),
                 "-c", "/boot/files/busybox sh /boot/files/stay"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.docker_path = shutil.which("docker") or os.path.join(unpacked("docker.io"), "usr/bin/docker")
        self.env = {**os.environ, "DOCKER_HOST": f"tcp://127.0.0.1:{self.port}"}
        until(self.answers, "the engine over TCP")
        self.load("busybox:latest")

    def answers(self):
        expect(self.process.poll(), None, "the machine's status")
        return not subprocess.run([self.docker_path, "version"], env=self.env, capture_output=True, timeout=300).returncode

    def load(self, tag):
        path = put(self.folder.name, "image.tar", docker_archive(tag, [busybox_layer()]))
        expect(self.docker("load", "-q", "-i", path), f"Loaded image: {tag}\n")

    def start(self, *words, **how):
        return subprocess.Popen([self.docker_path, *words], env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, **how)

    def docker(self, *words, text="", status=0):
        p = self.start(*words)
        out, err = p.communicate(text, timeout=120)
        expect(p.returncode, status, f"docker {' '.join(words)}: {out[-800:]} {err[-800:]} -> status")
        return out

    def stop(self):
        self.docker("run", "-d", "-v", "/run:/host", "busybox", "sh", "-c", "sleep 1; touch /host/stop")
        out = self.process.communicate(timeout=300)[0]
        expect((self.process.returncode, b"PANIC" in out), (0, False), out)
        self.registry.close()
        self.folder.cleanup()


def test_containers_run_with_streams_both_ways():
    expect(machine.docker("run", "--rm", "busybox", "sh", "-c", "echo out; exit 3", status=3), "out\n")
    text = "".join(f"line {i}\n" for i in range(20000))
    got = machine.docker("run", "-i", "--rm", "busybox", "md5sum", text=text)
    expect(got.split()[0], hashlib.md5(text.encode()).hexdigest())
    got = machine.docker("run", "--rm", "busybox", "sh", "-c", "yes 0123456789 | head -c 3000000")
    expect((len(got), got[:11]), (3000000, "0123456789\n"))


def test_a_container_that_runs_is_looked_into():
    machine.docker("run", "-d", "--name", "long", "busybox", "sh", "-c", "i=0; while :; do echo $i; i=$((i + 1)); usleep 50000; done")
    follow = machine.start("logs", "-f", "long")
    for number in range(20):
        expect(follow.stdout.readline(), f"{number}\n")
    expect_in("sh -c", machine.docker("exec", "long", "ps"))
    expect(machine.docker("exec", "-i", "long", "cat", text="through\n"), "through\n")
    expect_in("long", machine.docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}"))
    machine.docker("rm", "-f", "long")
    follow.communicate(timeout=300)
    expect(follow.returncode, 0)


def test_events_are_heard_as_they_happen():
    events = machine.start("events", "--format", "{{.Action}}", "--filter", "container=heard")
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(iter(events.stdout.readline, "")), daemon=True)
    reader.start()
    while not seen:  # the request may come after the first container
        machine.docker("run", "--rm", "--name", "heard", "busybox", "true")
    until(lambda: "destroy\n" in seen, "the event of the removal")
    events.terminate()
    events.communicate(timeout=300)


def test_an_image_comes_from_a_registry_elsewhere_and_goes_there():
    name = f"{machine.elsewhere}/busybox:1"
    machine.docker("tag", "busybox:latest", name)
    machine.docker("push", name)
    machine.docker("rmi", name)
    expect_in("Downloaded newer image", machine.docker("pull", name))
    expect_in("up to date", machine.docker("pull", name))
    expect(machine.docker("run", "--rm", name, "echo", "pulled"), "pulled\n")
    machine.docker("pull", f"{machine.elsewhere}/absent:1", status=1)


def test_a_server_on_the_hosts_network_is_reached():
    machine.docker("run", "-d", "--name", "web", "--network", "host", "-v", "/boot/files:/served:ro", "busybox", "httpd", "-f",
                   "-p", "8000", "-h", "/served")
    url = f"http://127.0.0.1:{machine.web}/blob"
    until(lambda: not subprocess.run(["curl", "-sI", "--max-time", "60", url], capture_output=True).returncode, "it listens")
    for _ in range(3):
        p = subprocess.run(["curl", "-s", "--max-time", "60", url], capture_output=True)
        expect((p.returncode, p.stdout == SERVED), (0, True), f"{len(p.stdout)} bytes")
    machine.docker("rm", "-f", "web")
    expect_in("10.0.2.15", machine.docker("run", "--rm", "--network", "host", "busybox", "ip", "addr"))
    expect(machine.docker("run", "--rm", "--network", "host", "busybox", "cat", "/etc/resolv.conf").split()[-2:],
           ["nameserver", "10.0.2.3"])
    out = machine.docker("run", "--rm", "--network", "none", "busybox", "ip", "addr")
    expect("eth0" in out, False)


def test_containers_do_not_come_in_by_the_port_that_is_open_here():
    """QEMU leads 10.0.2.2 to 127.0.0.1 of this computer, where the port is and the registry."""
    def ask(port, path, status):
        return machine.docker("run", "--rm", "--network", "host", "busybox", "wget", "-qO-", f"http://10.0.2.2:{port}{path}", status=status)

    ask(machine.registry.port, "/v2/", 0)
    expect(ask(machine.port, "/_ping", 1), "")


if __name__ == "__main__":
    main_with(sys.modules[__name__], Machine)
