#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The engine or the keeper is short of descriptors, or the keeper gets no processor for a while: no container ends for
that. What cannot be told from the keeper's death is left to the next engine."""
import ctypes
import http.client
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import Skip, expect, expect_in, main, until
from http_unix import Connection, request
from test_engine_killed import api, create, inspect, keeper, remove, started, state

FEW = 256


def files(pid):
    return [int(n) for n in os.listdir(f"/proc/{pid}/fd")]


class Limit:
    """The process gets no number from `soft` on; those that it has stay."""

    def __init__(self, pid, soft):
        self.pid, self.soft = pid, soft

    def __enter__(self):
        self.was = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (self.soft, self.was[1]))

    def __exit__(self, *_):
        if os.path.exists(f"/proc/{self.pid}/exe"):
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, self.was)


class Held:
    """The keeper runs no instruction."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGCONT)


def ask(connection, method, url):
    connection.request(method, url)
    r = connection.getresponse()
    return r.status, r.read().decode()


def test_clients_leave_descriptors_for_a_start(engine):
    started(engine, "victim", ["sleep", "1000"])
    create(engine, "late", ["sleep", "1000"], OpenStdin=True)
    before, _ = inspect(engine, "victim"), keeper(engine)
    engine.kill()
    engine.start(files=FEW)
    c = Connection(engine.socket)
    expect(ask(c, "GET", "/_ping")[0], 200)
    idle = []
    for _ in range(FEW):  # the last ones wait to be taken
        s = socket.socket(socket.AF_UNIX)
        idle.append(s)
        s.connect(engine.socket)
        expect(ask(c, "GET", "/_ping")[0], 200)
        if len(idle) > len(files(engine.process.pid)):
            break
    expect(ask(c, "POST", "/containers/late/start")[0], 204, "start")
    expect(engine.process.poll(), None, "the engine's status")
    for s in idle:
        s.close()
    expect(inspect(engine, "victim"), before, "victim")
    expect(state(engine, "late")["Status"], "running")
    engine.again()
    remove(engine, "victim", "late")


def test_answer_without_space_for_its_descriptors_ends_no_container(engine):
    started(engine, "lives", ["sleep", "1000"])
    cid = create(engine, "born", ["sleep", "1000"])
    before, kept = inspect(engine, "lives"), keeper(engine)
    c = Connection(engine.socket)
    with Held(kept):
        c.request("POST", "/containers/born/start")
        until(lambda: os.path.exists(os.path.join(engine.group, "bothy", cid)), "it is asked for")
        expect(api(engine, "GET", "/_ping")[0], 200, "the request has been dealt with")
        limit = Limit(engine.process.pid, 3)
        limit.__enter__()
    expect(engine.process.wait(120), 1, "status")
    engine.log.close()
    engine.start()
    expect(keeper(engine), kept, "keeper")
    expect(inspect(engine, "lives"), before, "lives")
    until(lambda: state(engine, "born")["Status"] == "running", "the other has been started")
    remove(engine, "lives", "born")


def test_keeper_without_a_descriptor_refuses_starts(engine):
    started(engine, "first", ["sleep", "1000"])
    create(engine, "second", ["sleep", "1000"])
    before, kept = inspect(engine, "first"), keeper(engine)
    full = min(set(range(FEW)) - set(files(kept)))
    with Limit(kept, full):
        status, body = request(engine.socket, "POST", "/containers/second/start")
        expect(status, 500, body)
        expect_in("no descriptor left", body["message"])
        expect(api(engine, "GET", "/_ping")[0], 200)
        engine.again()
        expect(inspect(engine, "first"), before, "first")
    expect(api(engine, "POST", "/containers/second/start")[0], 204, "start")
    remove(engine, "first", "second")


def test_keeper_that_has_not_read_all_is_waited_for(engine):
    """The last engine's words are in its queue when the next one comes."""
    started(engine, "queued", ["sleep", "1000"])
    before, kept = inspect(engine, "queued"), keeper(engine)
    with Held(kept):
        for _ in range(3):
            expect(api(engine, "POST", "/containers/queued/kill?signal=USR1")[0], 204)
        engine.kill()
        old = engine.process
        start = threading.Thread(target=engine.start)
        start.start()
        until(lambda: engine.process is not old and any(
            os.readlink(f"/proc/{engine.process.pid}/fd/{n}").startswith("socket:") for n in files(engine.process.pid)
            if os.path.lexists(f"/proc/{engine.process.pid}/fd/{n}")), "the next engine asks")
    start.join()
    expect(inspect(engine, "queued"), before, "queued")
    expect(keeper(engine), kept, "keeper")
    remove(engine, "queued")


def test_keeper_that_does_not_hear_is_left_to_the_next_engine(engine):
    started(engine, "deaf", ["sleep", "1000"])
    before, kept = inspect(engine, "deaf"), keeper(engine)
    with Held(kept):
        try:
            for _ in range(5000):
                expect(api(engine, "POST", "/containers/deaf/kill?signal=USR1")[0], 204)
        except (OSError, http.client.HTTPException):
            pass
        expect(engine.process.wait(120), 1, "status")
        engine.log.close()
    engine.start()
    expect(inspect(engine, "deaf"), before, "deaf")
    expect(keeper(engine), kept, "keeper")
    remove(engine, "deaf")


class Dying:
    """A process in a group of that name that is killed and does not end: it stops at its exit for its tracer."""
    SEIZE, CONT, TRACEEXIT = 0x4206, 7, 0x40

    def __init__(self, engine, name):
        group = os.path.join(engine.group, "bothy", name)
        os.makedirs(group, exist_ok=True)
        self.process = subprocess.Popen(["sleep", "1000"])
        with open(os.path.join(group, "cgroup.procs"), "w") as f:
            f.write(str(self.process.pid))
        self.trace(self.SEIZE, self.TRACEEXIT)

    def trace(self, what, data=0):
        if ctypes.CDLL(None, use_errno=True).ptrace(what, self.process.pid, 0, data):
            raise OSError(ctypes.get_errno(), "ptrace")

    def end(self):
        until(lambda: os.waitpid(self.process.pid, os.WNOHANG)[0], "it stops")
        self.trace(self.CONT)
        self.process.wait()


def test_groups_that_do_not_die_do_not_keep_clients_waiting(engine):
    if "bothy" in os.uname().release:
        raise Skip("Bothy has no ptrace")
    cid = create(engine, "waits", ["true"])
    engine.kill()
    dying = [Dying(engine, name) for name in (cid, "f" * 64, "e" * 64)]
    begun = time.monotonic()
    try:
        engine.start()
        took = time.monotonic() - begun
        expect(took < 8, True, f"it serves within ten seconds: {took}")
        expect(engine.run("start", "-a", "waits").returncode, 0, "start")
    finally:
        for d in dying:
            d.end()
    remove(engine, "waits")
    until(lambda: not [d for d in os.listdir(os.path.join(engine.group, "bothy")) if len(d) >= 64], "the groups go")


def ran(engine, name, command):
    """An exec that has ended: its id."""
    status, body = api(engine, "POST", f"/containers/{name}/exec", {"Cmd": command, "AttachStdout": True})
    expect(status, 201, body)
    api(engine, "POST", f"/exec/{body['Id']}/start", {"Detach": True})
    until(lambda: api(engine, "GET", f"/exec/{body['Id']}/json")[1]["ExitCode"] is not None, "it ends")
    return body["Id"]


def test_ended_execs_hold_no_descriptor_of_the_keeper(engine):
    started(engine, "execs", ["sleep", "1000"])
    kept = keeper(engine)
    before = len(files(kept))
    ids = [ran(engine, "execs", command) for command in [["sh", "-c", "echo x; exit 5"], ["/none"]] * 4]
    until(lambda: len(files(kept)) == before, "they are closed")
    codes = [api(engine, "GET", f"/exec/{i}/json")[1]["ExitCode"] for i in ids]
    expect(codes, [5, 127] * 4, "statuses")
    engine.again()
    expect([api(engine, "GET", f"/exec/{i}/json")[1]["ExitCode"] for i in ids[::2]], codes[::2], "to the next engine")
    remove(engine, "execs")


if __name__ == "__main__":
    main(sys.modules[__name__])
