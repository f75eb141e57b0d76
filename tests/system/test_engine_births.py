#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The moments of an exec's birth, held still: its maker by a frozen group or a tracer, its program by a lease. What it
ends with is told however its death, its maker's word and the keeper's turn fall, and it knows nothing of others."""
import ctypes
import fcntl
import os
import re
import shutil
import signal
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import BUSYBOX, Skip, expect, main
from http_unix import request
from test_engine_killed import api, create, inspect, keeper, parent, remove, started, state, until
from test_engine_short import Held, ran

SEIZE, CONT = 0x4206, 7
TRACE_FORK, TRACE_EXIT = 0x02, 0x40


def trace(what, pid, data=0):
    if "bothy" in os.uname().release:
        raise Skip("Bothy has no ptrace")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(what, pid, None, data):
        raise OSError(ctypes.get_errno(), f"ptrace {what}")


def group(engine, cid, name, text=None):
    path = os.path.join(engine.group, "bothy", cid, name)
    if text is None:
        with open(path) as f:
            return f.read()
    with open(path, "w") as f:
        f.write(text)


def processes(engine, cid):
    return {int(p) for p in group(engine, cid, "cgroup.procs").split()}


def zombie(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "Z"


class Exec:
    """One whose start nobody waits for."""

    def __init__(self, engine, name, command):
        self.engine = engine
        status, body = api(engine, "POST", f"/containers/{name}/exec", {"Cmd": command, "AttachStdout": True})
        expect(status, 201, body)
        self.id = body["Id"]
        self.thread = threading.Thread(target=request, args=(engine.socket, "POST", f"/exec/{self.id}/start",
                                                             {"Detach": True}))
        self.thread.start()

    def status(self):
        self.thread.join()
        until(lambda: api(self.engine, "GET", f"/exec/{self.id}/json")[1]["ExitCode"] is not None, "it ends")
        return api(self.engine, "GET", f"/exec/{self.id}/json")[1]["ExitCode"]


class Frozen:
    """A container without the engine's knowledge: an exec's maker is there and has done nothing yet."""

    def __init__(self, engine, name, command, **more):
        self.engine, self.cid = engine, started(engine, name, ["sleep", "1000"], **more)
        self.before = processes(engine, self.cid)
        group(engine, self.cid, "cgroup.freeze", "1")
        self.exec = Exec(engine, name, command)
        until(lambda: self.born(), "its maker is there")
        self.maker = self.born().pop()
        expect(parent(self.maker), keeper(engine), "the maker's parent")

    def born(self, *but):
        return processes(self.engine, self.cid) - self.before - {*but}

    def thaw(self):
        group(self.engine, self.cid, "cgroup.freeze", "0")


def test_exec_that_is_killed_before_its_birth_is_told_has_ended(engine):
    f = Frozen(engine, "early", ["sleep", "1000"])
    trace(SEIZE, f.maker, TRACE_FORK)  # it stops after the clone; its child is traced too
    f.thaw()
    expect(os.waitpid(f.maker, 0)[1] >> 8 & 0xff, signal.SIGTRAP, "the maker stops")
    child = f.born(f.maker).pop()
    os.kill(child, signal.SIGKILL)
    while not os.WIFSIGNALED(os.waitpid(child, 0)[1]):
        pass
    until(lambda: not os.path.exists(f"/proc/{child}"), "the keeper has taken it for a stranger")
    trace(CONT, f.maker)
    expect(os.waitstatus_to_exitcode(os.waitpid(f.maker, 0)[1]), 0, "the maker's status")
    expect(f.exec.status(), 137)
    expect(state(engine, "early")["Running"], True)
    remove(engine, "early")


def test_exec_that_ends_while_the_keeper_is_held_keeps_its_status(engine):
    """Its end is the first that the keeper hears of; that it is there, the second; its maker lives yet."""
    f = Frozen(engine, "quick", ["sh", "-c", "exit 5"])
    started(engine, "other", ["sleep", "1000"])
    trace(SEIZE, f.maker, TRACE_EXIT)
    with Held(keeper(engine)):
        other = state_pid(engine, "other")
        os.kill(other, signal.SIGKILL)
        until(lambda: zombie(other), "a death is the first thing that the keeper is to hear of")
        f.thaw()
        expect(os.waitpid(f.maker, 0)[1] >> 8 & 0xff, signal.SIGTRAP, "the maker stops at its exit")
        children = [int(p) for p in os.listdir("/proc") if p.isdigit() and is_child(int(p), keeper(engine))]
        child = max(children, key=start_time)
        until(lambda: zombie(child), "the program has ended")
    until(lambda: not os.path.exists(f"/proc/{child}"), "the keeper has waited for it")
    trace(CONT, f.maker)
    os.waitpid(f.maker, 0)
    expect(f.exec.status(), 5)
    remove(engine, "quick", "other")


def test_keeper_lends_no_score_above_zero(engine):
    """Linux counts that in parts of all memory: for as long, the keeper would be the first to be killed."""
    f = Frozen(engine, "scored", ["sh", "-c", "exit $(cat /proc/self/oom_score_adj)"], HostConfig={"OomScoreAdj": 200})
    with open(f"/proc/{f.maker}/oom_score_adj") as at_its_clone:
        expect(at_its_clone.read(), "0\n", "what a process has of the keeper")
    f.thaw()
    expect(f.exec.status(), 200)
    remove(engine, "scored")


def state_pid(engine, name):
    return inspect(engine, name)["State"]["Pid"]


def is_child(pid, of):
    try:
        return parent(pid) == of
    except OSError:
        return False


def start_time(pid):
    with open(f"/proc/{pid}/stat") as f:
        return int(f.read().rsplit(")", 1)[1].split()[19]), pid


def memory(pid):
    """All that the process can read of its own memory."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            m = re.match(r"(\w+)-(\w+) r", line)
            if m and "[v" not in line:
                mem.seek(int(m[1], 16))
                found.append(mem.read(int(m[2], 16) - int(m[1], 16)))
    return b"".join(found)


def test_exec_is_born_without_what_the_keeper_knows_of_others(engine):
    """A container with CAP_SYS_PTRACE may read the process before its program runs."""
    host = engine.path("programs")
    os.makedirs(host, exist_ok=True)
    program = shutil.copy(BUSYBOX, os.path.join(host, "busybox"))
    started(engine, "other", ["sleep", "1000"], Env=["A_SECRET=" + "of-an-order" * 200])
    ran(engine, "other", ["true", "of-a-note" * 20])
    started(engine, "reader", ["sleep", "1000"], HostConfig={"Binds": [host + ":/v"]})
    before = processes(engine, inspect(engine, "reader")["Id"])
    fd, old = os.open(program, os.O_RDONLY), signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        try:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)  # its execve() waits for the end of this
        except OSError as e:
            raise Skip(f"no lease: {e}")
        x = Exec(engine, "reader", ["/v/busybox", "true"])
        cid = inspect(engine, "reader")["Id"]
        until(lambda: len(processes(engine, cid) - before) == 1 and all(
            in_execve(p) for p in processes(engine, cid) - before), "its process is born")
        seen = memory((processes(engine, cid) - before).pop())
        expect(len(seen) > 10000 and b"/v/busybox" in seen, True, "its own order is there")
        expect([w for w in (b"of-an-order", b"of-a-note") if w in seen], [], "others' secrets")
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        expect(x.status(), 0)
    finally:
        os.close(fd)
        signal.signal(signal.SIGIO, old)
    remove(engine, "other", "reader")


def in_execve(pid):
    try:
        with open(f"/proc/{pid}/syscall") as f:
            return f.read().split()[0] == "59"
    except OSError:
        return False


if __name__ == "__main__":
    main(sys.modules[__name__])
