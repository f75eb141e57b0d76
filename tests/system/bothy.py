# SPDX-License-Identifier: MIT
"""Bothy in a machine, through tools/run alone, and a way to put many cases into one boot."""
import os
import subprocess
import tempfile

from engine_fixture import BUSYBOX, ROOT, busybox_layer, docker_archive

RUN = os.path.join(ROOT, "tools/run")


def run(*args, **kw):
    """tools/run with these arguments: its status and what it printed."""
    kw.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([RUN, *args], capture_output=True, text=True, errors="replace", **kw)


def commands(*lines):
    return [word for line in lines for word in ("-c", line)]


def busybox_image(folder):
    """A docker-archive of Debian's busybox, as `busybox:latest`."""
    path = os.path.join(folder, "busybox.tar")
    with open(path, "wb") as f:
        f.write(docker_archive("busybox:latest", [busybox_layer()]))
    return path


def put(folder, name, data):
    path = os.path.join(folder, name)
    with open(path, "wb" if isinstance(data, bytes) else "w") as f:
        f.write(data)
    return path


class Batch:
    """Shell scripts that run one after the other in one boot, each with its own output and status.

    The shell is Debian's busybox on the console; files stand in /boot/files.
    """

    def __init__(self, *options, timeout=1500):
        self.folder = tempfile.TemporaryDirectory(prefix="bothy-batch-")
        self.options, self.timeout = list(options), timeout
        self.scripts, self.results, self.run = {}, {}, None

    def file(self, name, data):
        self.options += ["--file", put(self.folder.name, name, data)]

    def case(self, name, script):
        self.scripts[name] = script

    def boot(self):
        text = "".join(f"echo '@begin {name}'; ( {script}\n) 2>&1; echo \"@end $?\"\n"
                       for name, script in self.scripts.items())
        self.file("script", text)
        self.options += ["--file", BUSYBOX + ":busybox", "--timeout", str(self.timeout)]
        self.run = run(*self.options, "-c", "/boot/files/busybox sh /boot/files/script")
        name, lines = None, []
        for line in self.run.stdout.splitlines(keepends=True):
            if line.startswith("@begin "):
                name, lines = line[7:-1], []
            elif line.startswith("@end ") and name:
                self.results[name], name = (int(line[5:]), "".join(lines)), None
            else:
                lines.append(line)
        self.folder.cleanup()

    def result(self, name):
        """(status, output) of a case; the machine starts when the first is asked for."""
        if not self.run:
            self.boot()
        if name not in self.results:
            raise AssertionError(f"the machine did not get so far: {self.run.stderr[-2000:]}")
        return self.results[name]
