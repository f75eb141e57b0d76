#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The engine is killed before each system call that logging makes, one after the other, and the next one before each
that makes the log good: every byte is logged once."""
import os
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import expect, main, until
from suite import Skip
from test_engine_killed import inspect, keeper, logs, remove, started

# Half of a limit of 80k is full in the midst of PIECE, which is one write: the rest of a line, lines, the head of a line.
LIMIT = {"Type": "json-file", "Config": {"max-size": "80k"}}
BEFORE = "".join(f"{i}\n" for i in range(1, 301)) + "A" * 100
PIECE = "".join(f"{i}\n" for i in range(10000, 10700))[:4096]
CALLS = ("splice", "write", "rename", "ftruncate", "pwrite64", "unlink", "open", "openat")
SAY = """i=0; while :; do until [ -e /d/$i ]; do sleep 0.01; done; dd if=/d/$i bs=4096 2>/dev/null; i=$((i+1)); done"""


class Talk:
    """A container that says `first`, then what it is told to, piece by piece."""

    def __init__(self, engine, name, first, **more):
        if not shutil.which("strace"):
            raise Skip("no strace")
        self.engine, self.name, self.dir, self.told = engine, name, engine.path("d-" + name), 0
        os.mkdir(self.dir)
        started(engine, name, ["sh", "-c", SAY], HostConfig={"LogConfig": LIMIT, "Binds": [self.dir + ":/d"]}, **more)
        self.home = os.path.join(engine.root, "containers", inspect(engine, name)["Id"])
        self.tell(first)
        until(lambda: self.partial() == first.rpartition("\n")[2], "it is logged")

    def tell(self, text):
        path = os.path.join(self.dir, str(self.told))
        with open(path + ".new", "w") as f:
            f.write(text)
        os.rename(path + ".new", path)
        self.told += 1

    def partial(self):
        try:
            with open(os.path.join(self.home, "partial1")) as f:
                return f.read()
        except FileNotFoundError:
            return None

    def strace(self, *inject):
        """Its command line: `inject` happens to calls on the files of this log."""
        files = [os.path.join(self.home, f) for f in ("log", "log.1", "log.new", "partial1")]
        return ["strace", "-o", self.engine.path("strace"), "-e", "trace=" + ",".join(CALLS),
                *[a for f in (*files, os.path.join(self.engine.root, "spool")) for a in ("-P", f)],
                *[a for i in inject for a in ("-e", "inject=" + i)]]

    def tell_under(self, text, left, *inject):
        """Says it to an engine whose calls are tampered with, until `left` is the line that has no end yet, or that engine
        is killed: whether it was. The next one is not there yet."""
        engine = self.engine.process
        tracer = subprocess.Popen([*self.strace(*inject), "-p", str(engine.pid)], stderr=subprocess.PIPE, text=True)
        said = tracer.stderr.readline()
        expect("attached" in said, True, f"strace: {said!r}")
        self.tell(text)
        until(lambda: engine.poll() is not None or self.partial() == left, f"{text[:40]!r} is logged")
        killed = engine.poll() is not None
        if not killed:
            tracer.send_signal(signal.SIGINT)
        tracer.communicate()
        return killed

    def check(self, want):
        """The next engine but one says so too: what lies in the files is what this one had in memory."""
        self.engine.again()
        self.tell("END\n")
        until(lambda: logs(self.engine, self.name).endswith("END\n"), "the end is logged")
        got, want = logs(self.engine, self.name), want + "END\n"
        same = len(os.path.commonprefix([got, want]))
        if got != want:
            raise AssertionError(f"{same} bytes are right, then come {got[same:same + 60]!r}, not {want[same:same + 60]!r}")
        remove(self.engine, self.name)


def kill(call, when):
    return f"{call}:error=EIO:signal=KILL:when={when}"


def at_any_call(test):
    """test(name, inject) is whether that killed it: how many of each call there are."""
    made = dict.fromkeys(CALLS, 0)
    for call in CALLS:
        while test(f"{call}{made[call]}", kill(call, made[call] + 1)):
            made[call] += 1
    return made


def test_killed_at_any_call_of_logging(engine):
    def logging(name, inject):
        talk = Talk(engine, name, BEFORE)
        killed = talk.tell_under(PIECE, PIECE.rpartition("\n")[2], inject)
        if killed:
            engine.kill()
            engine.start()
        talk.check(BEFORE + PIECE)
        return killed
    made = at_any_call(logging)
    expect([made[c] for c in ("splice", "write", "rename", "ftruncate", "pwrite64")], [1, 2, 2, 1, 1], f"{made}: calls")


def test_killed_at_any_call_of_the_recovery(engine):
    def recovery(name, inject):
        talk = Talk(engine, "again-" + name, BEFORE)
        expect(talk.tell_under(PIECE, None, kill("write", 1)), True, "killed")
        engine.kill()
        try:
            engine.start(under=[*talk.strace(inject), "-D"])
            killed = False
        except RuntimeError:
            killed = True
        engine.kill()
        engine.start()
        talk.check(BEFORE + PIECE)
        return killed
    made = at_any_call(recovery)
    expect([made[c] for c in ("write", "rename", "ftruncate", "pwrite64")], [2, 2, 1, 1], f"{made}: calls")


def test_line_that_was_not_cut_off_is_cut_off_later(engine):
    talk = Talk(engine, "uncut", "A" * 10)
    expect(talk.tell_under("\nB", "B" + "A" * 9, "ftruncate:error=EIO"), False, "killed")
    talk.tell("C")
    until(lambda: talk.partial() == "BC", "the rest is cut off")
    talk.check("A" * 10 + "\nBC")


def test_last_line_of_a_terminal_is_logged_once_when_the_disk_is_full(engine):
    """What the spool cannot take is logged all the same."""
    talk = Talk(engine, "full", "A" * 10, Tty=True)
    expect(talk.tell_under("\n", "", "pwrite64:error=ENOSPC:when=1", kill("ftruncate", 1)), True, "killed")
    engine.kill()
    engine.start()
    talk.check("A" * 10 + "\n")


def test_last_line_without_an_end_is_logged_when_the_keeper_dies_too(engine):
    engine.stop()
    engine.start()  # with a keeper of its own
    started(engine, "both", ["sh", "-c", "if [ -e /ran ]; then echo more; else touch /ran; printf last; sleep 100; fi"])
    home = os.path.join(engine.root, "containers", inspect(engine, "both")["Id"])
    until(lambda: os.path.exists(home + "/partial1"), "it is said")
    kept = keeper(engine)
    engine.kill()
    os.kill(kept, signal.SIGKILL)
    engine.start()
    expect(logs(engine, "both"), "last", "logs")
    expect(engine.run("start", "-a", "both").stdout, "more\n")
    expect(logs(engine, "both"), "lastmore\n", "logs")
    remove(engine, "both")


if __name__ == "__main__":
    main(sys.modules[__name__])
