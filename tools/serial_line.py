# SPDX-License-Identifier: MIT
"""The machine's serial line, followed until its commands are done: what they print, how they and the machine end."""
import os
import re
import select
import sys
import time

from host import BEGIN, CLOSE, DEAD, END, LATE, WATCHED, fail

WATCH = re.compile(rb"watch:( .*?)\r?$")
PANIC, PANIC_END = b"PANIC on CPU", b"end of panic"


class Relay:
    """Takes the line's bytes apart: what commands print goes to out, everything to the log.

    Frame 0 is an image's answer: kept, and of interest only when the image was refused.
    """

    def __init__(self, out, everything):
        self.out, self.everything = out, everything
        self.log, self.rest, self.inside = bytearray(), b"", False
        self.status, self.ended, self.panicked = None, 0, False
        self.number, self.answer, self.loaded, self.refused = None, b"", 0, None
        self.line, self.watched = b"", []

    def emit(self, data):
        if self.number == 0:
            self.answer += data
        elif (self.inside or self.everything) and data and not self.panicked:
            self.out.write(data)
            self.out.flush()

    def feed(self, data):
        self.log += data
        self.watch(data)
        del self.log[:-262144]
        if PANIC in self.log[-len(data) - 64:]:
            self.panicked = True
        self.rest += data
        while self.step():
            pass

    def watch(self, data):
        """Keeps the lines of the kernel's watch."""
        *lines, self.line = (self.line + data).split(b"\n")
        self.watched += [m.group(1).decode() for m in map(WATCH.search, lines) if m]

    def step(self):
        """One piece; false when more bytes are needed to tell."""
        mark = self.rest.find(b"\x01")
        if mark < 0:
            # A CR may belong to a CR LF that is not all here.
            keep = 1 if self.rest.endswith(b"\r") else 0
            piece, self.rest = (self.rest[:-1], b"\r") if keep else (self.rest, b"")
            self.emit(piece.replace(b"\r\n", b"\n"))
            return False
        if mark > 0:
            self.emit(self.rest[:mark].replace(b"\r\n", b"\n"))
            self.rest = self.rest[mark:]
        for word in (BEGIN, END):
            if self.rest.startswith(word):
                return self.frame(word)
            if word.startswith(self.rest):
                return False
        self.emit(self.rest[:1])
        self.rest = self.rest[1:]
        return True

    def finish(self):
        """The machine is gone, and may have taken the line's end after its last frame with it."""
        self.feed(b"\r\n")

    def frame(self, word):
        close = self.rest.find(CLOSE)
        if close < 0 and len(self.rest) < 64:
            return False
        tail = self.rest[close + 1:]
        if tail in (b"", b"\r"):
            return False
        numbers = self.rest[len(word):close].split()
        self.rest = tail[2:] if tail[:2] == b"\r\n" else tail[1:] if tail[:1] == b"\n" else tail
        status = int(numbers[1]) if len(numbers) == 2 and numbers[1].isdigit() else DEAD
        self.inside = word == BEGIN
        if word == BEGIN:
            self.number, self.answer = int(numbers[0]) if numbers and numbers[0].isdigit() else None, b""
        elif self.number == 0:
            self.number = None
            self.loaded += 1
            if status and self.refused is None:
                self.refused = self.loaded, self.answer.decode(errors="replace").strip()
        else:
            self.ended, self.status = self.ended + 1, status
        return True


def show_log(relay, why):
    if relay.everything:  # it has been seen
        print(f"run: {why}", file=sys.stderr)
        return
    text = bytes(relay.log).replace(b"\r\n", b"\n").decode(errors="replace")
    sys.stderr.write("\n".join(text.splitlines()[-120:]) + "\n")
    print(f"run: {why}", file=sys.stderr)


def follow(machine, args, everything):
    """Until the commands are done or the machine is; the exit status."""
    relay, fd = Relay(sys.stdout.buffer, everything), machine.start()
    deadline = time.monotonic() + args.timeout if args.timeout else None
    grace = None
    while True:
        now = time.monotonic()
        if deadline and now > deadline:
            show_log(relay, f"out of time after {args.timeout:g} s")
            return LATE
        if grace and now > grace:
            break
        watch = [fd] + ([machine.screen] if hasattr(machine, "screen") else [])
        ready = select.select(watch, [], [], 0.5)[0]
        if len(watch) > 1 and watch[1] in ready:
            machine.drain()
        if fd in ready:
            try:
                data = os.read(fd, 65536)
            except OSError:
                data = b""
            if not data:
                break
            relay.feed(data)
            if relay.refused:
                number, answer = relay.refused
                fail(f"--image {args.image[number - 1]}: {answer.removeprefix('bothy: ')}")
        elif machine.process.poll() is not None:
            break
        if relay.panicked and not grace:
            grace = now + 3
        if grace is None and args.command and relay.ended == len(args.command):
            grace = now + 3  # it powers itself off
    relay.finish()
    if relay.panicked:
        show_log(relay, "kernel panic")
        return DEAD
    if relay.watched:
        print("\n".join(["run: the watch found kernel code that ran for too long:"] + relay.watched), file=sys.stderr)
        return WATCHED
    if args.command and relay.ended == len(args.command):
        return relay.status
    why = machine.why()
    if not args.command and why == "off":
        return 0
    show_log(relay, f"the machine ended early: {why}")
    return DEAD
