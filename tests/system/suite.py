# SPDX-License-Identifier: MIT
"""A test program's frame: every function test_NAME of a module, one line for each."""
import os
import pty
import socket
import sys
import time
import traceback


class Skip(Exception):
    """This machine lacks what the test needs."""


def expect(got, want, what="result"):
    if got != want:
        raise AssertionError(f"{what} is {got!r}, not {want!r}")


def expect_in(part, text, what="text"):
    if part not in text:
        raise AssertionError(f"{what} lacks {part!r}: {text!r}")


HELD = []


def free_port(kind=socket.SOCK_STREAM):
    """A port of 127.0.0.1 that nothing has. One of TCP is ours to this program's end: no other is given it, and who reuses
    addresses (the engine, QEMU, registries, ssh) may listen there."""
    s = socket.socket(socket.AF_INET, kind)
    if kind == socket.SOCK_STREAM:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        HELD.append(s)
    s.bind(("127.0.0.1", 0))
    return s.getsockname()[1]


def until(condition, what, seconds=300):
    """Waits until condition() holds: for what another process does that tells no one."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.01)


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *command, env=os.environ):
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, env)

    def read(self):
        try:
            piece = os.read(self.fd, 4096)
        except OSError:
            piece = b""
        self.seen += piece
        return piece != b""

    def until(self, text):
        while text not in self.seen:
            expect(self.read(), True, f"more of {self.seen!r}")

    def left(self):
        """It ends by itself."""
        while self.read():
            pass
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def one(name, test):
    """Runs it and says how it went; false when it failed."""
    begun = time.monotonic()
    try:
        test()
    except Skip as e:
        print(f"skip {name}: {e}", flush=True)
    except Exception as e:  # every failure is reported, none ends the run
        why = str(e) or traceback.format_exc().strip()
        print(f"FAIL {name}: " + why.replace("\n", " | "), flush=True)
        return False
    else:
        print(f"ok {name} ({time.monotonic() - begun:.2f} s)", flush=True)
    return True


def tests_of(module):
    """(name, function) of those that the command line names, or all."""
    wanted = sys.argv[1:]
    return [(n[5:], f) for n, f in vars(module).items()
            if n.startswith("test_") and callable(f) and (not wanted or n[5:] in wanted)]


def main(module):
    failed = [name for name, test in tests_of(module) if not one(name, test)]
    sys.exit(1 if failed else 0)


def main_with(module, make):
    """main, with module.machine = make() for all its tests, which is stopped at the end; where it cannot be made, none runs."""
    try:
        module.machine = make()
    except Skip as why:
        print(f"skip all: {why}")
        sys.exit(0)
    try:
        main(module)
    finally:
        module.machine.stop()
