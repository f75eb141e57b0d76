#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The console as a person meets it: a prompt on a terminal, keys, jobs."""
import atexit
import contextlib
import os
import pty
import select
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import RUN, busybox_image
from engine_fixture import BUSYBOX
from suite import expect, expect_in, main

PROMPT = b"bothy# "


class Console:
    """tools/run on a pty of its own: the terminal of the person who started it."""

    def __init__(self, *options):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(RUN, [RUN, *options])
        self.seen = b""

    def until(self, text, seconds=240):
        """What came up to and with the text; it is consumed. The time is for what hangs."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"no {text!r} in {self.seen!r}")
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"the end, and no {text!r} in {self.seen!r}")
            self.seen += data.replace(b"\r", b"")  # QEMU's terminal adds one
        at = self.seen.index(text) + len(text)
        got, self.seen = self.seen[:at], self.seen[at:]
        return got

    def keys(self, data):
        os.write(self.fd, data)

    def keys_until(self, data, text):
        """The keys again and again, until the text has come."""
        for _ in range(200):
            self.keys(data)
            with contextlib.suppress(AssertionError):
                return self.until(text, 0.3)
        return self.until(text)

    def command(self, line, prompt=PROMPT):
        """Types the line; what came between its echo and the next prompt."""
        self.keys(line + b"\r")
        self.until(line + b"\n")
        return self.until(prompt)[:-len(prompt)].replace(b"\x1b[6n", b"")  # ash asks where it is

    def end(self):
        """The exit status, once everything has been read."""
        while True:
            try:
                if not os.read(self.fd, 4096):
                    break
            except OSError:
                break
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = 0
        return status

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


def test_prompt_follows_the_demonstration():
    console = Console("--iso")
    try:
        before = console.until(PROMPT)
        expect(before.count(b"Hello from Bothy!\n"), 2, "greetings before the prompt")
        console.keys(b"poweroff\r")
        expect(console.end(), 0)
    finally:
        console.close()


class Session:
    """One machine for the tests below."""
    console = None

    @classmethod
    def take(cls):
        """The console at its prompt; a new machine when the last test left it elsewhere."""
        if cls.console:
            try:
                cls.console.keys(b"\x03\r")
                cls.console.until(b"\n" + PROMPT)
                return cls.console
            except (AssertionError, OSError):
                cls.console.close()
        with tempfile.TemporaryDirectory(prefix="bothy-console-") as tmp:
            cls.console = Console("--image", busybox_image(tmp), "--file", BUSYBOX + ":busybox",
                                  "--append", "bothy.demo=0")
            cls.console.until(PROMPT)
        return cls.console


def test_commands_and_statuses():
    c = Session.take()
    expect(c.command(b"run --rm busybox echo hi there"), b"hi there\n")
    expect(c.command(b"bothy run --rm busybox sh -c 'exit 3'"), b"(status 3)\n")
    expect_in(b"(status 1)\n", c.command(b"frobnicate"))
    expect_in(b"quote is not closed\n(status 2)\n", c.command(b"run 'x"))
    expect(c.command(b""), b"")
    expect_in(b"poweroff", c.command(b"help"))


def test_lines_can_be_edited():
    c = Session.take()
    c.keys(b"run --rm busybox echo one twx\x7fo\r")  # erase
    expect_in(b"\none two\n", c.until(PROMPT))
    c.keys(b"nonsense that goes\x15version\r")  # kill the line
    expect_in(b"Version", c.until(PROMPT))
    c.keys(b"run --rm busybox echo a b\x17c\r")  # erase the word
    expect_in(b"\na c\n", c.until(PROMPT))


def test_control_c_ends_the_command_not_the_console():
    c = Session.take()
    c.keys(b"run --rm busybox sh -c 'echo up; exec sleep 100'\r")
    c.until(b"\nup\n")
    c.keys_until(b"\x03", b"forcefully exiting\n")  # the first process of a container ignores it; signals of a kind do not queue
    expect_in(b"(status 1)\n", c.until(PROMPT))
    c.keys(b"/boot/files/busybox sh -c 'echo u\"\"p; exec sleep 100'\r")
    c.until(b"\nup\n")
    c.keys(b"\x1a\x03")  # there are no jobs here: nothing stops
    expect_in(b"(status 130)", c.until(PROMPT))


def test_control_c_at_the_prompt_clears_the_line():
    c = Session.take()
    c.keys(b"poweroff")
    c.until(b"poweroff")
    c.keys(b"\x03version\r")
    expect_in(b"Version", c.until(PROMPT))


def shell(c, prompt=b"/ # "):
    c.keys(b"run --rm -it busybox sh\r")
    c.until(prompt)
    return prompt


def test_a_shell_has_job_control():
    c = Session.take()
    prompt = shell(c)
    expect(c.command(b"tty", prompt), b"/dev/pts/0\n")
    c.keys(b"sh -c 'echo u\"\"p; exec sleep 100'\r")
    c.until(b"up\n")
    c.keys(b"\x1a")
    expect_in(b"Stopped", c.until(prompt))
    expect_in(b"Stopped", c.command(b"jobs", prompt))
    c.command(b"bg", prompt)
    expect_in(b"Running", c.command(b"jobs", prompt))
    c.keys(b"fg\r")
    c.until(b'sleep 100"\n')
    end = time.monotonic() + 120
    while True:  # ash names the job before it hands the terminal over
        c.keys(b"\x03")
        if select.select([c.fd], [], [], 0.5)[0] or time.monotonic() > end:
            break
    c.until(prompt)
    expect(c.command(b"echo $?", prompt), b"130\n")
    c.keys(b"exit 6\r")
    expect_in(b"(status 6)", c.until(PROMPT))


def test_a_shell_behind_the_other_wall():
    c = Session.take()
    c.keys(b"run --rm -it --runtime vm busybox sh\r")
    prompt = b"/ # "
    c.until(prompt)
    expect_in(b"6.1.0-bothy", c.command(b"uname -r", prompt))
    c.keys(b"sh -c 'echo u\"\"p; exec cat'\r")  # which the shell has left the terminal to
    c.until(b"\nup\n")
    c.keys(b"line\r")
    c.until(b"line\nline\n")
    c.keys(b"\x03")
    c.until(prompt)
    c.keys(b"exit 4\r")
    expect_in(b"(status 4)", c.until(PROMPT))


def test_a_full_screen_program_draws_and_gives_the_terminal_back():
    c = Session.take()
    c.keys(b"run --rm -it busybox vi /tmp/f\r")
    c.until(b"- /tmp/f")
    c.keys(b"i")
    c.until(b"I /tmp/f")
    for letter in (b"h", b"e", b"l", b"l", b"o"):  # keys that arrive at once may be drawn in pieces
        c.keys(letter)
        c.until(letter)
    c.keys(b"\x1b")
    c.until(b"- /tmp/f")  # a lone escape is told from an arrow by time
    c.keys(b":wq\r")
    c.until(PROMPT)
    c.keys(b"run --rm -it busybox top\r")
    c.until(b"PID")
    c.keys(b"q")
    c.until(PROMPT)
    expect(c.command(b"run --rm busybox echo sane"), b"sane\n")


def test_poweroff_ends_the_machine():
    c = Session.take()
    c.keys(b"poweroff\r")
    expect(c.end(), 0)
    Session.console = None


def close_session():
    if Session.console:
        Session.console.close()


if __name__ == "__main__":
    atexit.register(close_session)
    main(sys.modules[__name__])
