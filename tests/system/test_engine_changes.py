#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Changes of containers that cannot be written down are taken back, in memory and on the disk, however many are under
way; and what an engine finds that contradicts itself is not lost."""
import json
import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import Skip, expect, main
from http_unix import Connection
from test_engine_killed import api, create, in_memory, inspect, parent, remove, until


def home(engine, cid):
    return os.path.join(engine.root, "containers", cid)


def stored(engine, cid):
    with open(os.path.join(home(engine, cid), "container.json")) as f:
        return json.load(f)


def store_worker(engine):
    """The process that writes for the engine."""
    if in_memory(engine):
        raise Skip("the engine itself writes into memory: no write waits")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if parent(pid) == engine.process.pid and b"store" in open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0"):
                return int(pid)
        except OSError:
            pass
    raise AssertionError("there is no store worker")


class Held:
    """The worker writes nothing meanwhile."""

    def __init__(self, engine):
        self.pid = store_worker(engine)

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGCONT)


class Asked:
    """A request whose answer is not waited for; the engine has dealt with it when this is made."""

    def __init__(self, engine, url, body=None):
        self.connection = Connection(engine.socket)
        self.connection.request("POST", url, body and json.dumps(body), {"Content-Type": "application/json"} if body else {})
        expect(api(engine, "GET", "/_ping")[0], 200)

    def status(self):
        r = self.connection.getresponse()
        r.read()
        self.connection.close()
        return r.status


def obstruct(engine, cid):
    """No write of this container's file succeeds until the directory that is returned is removed."""
    path = os.path.join(home(engine, cid), "container.json.new")
    os.mkdir(path)
    return path


def test_change_after_one_that_failed_does_not_write_it(engine):
    """The second write succeeds, and holds only the second change."""
    cid = create(engine, "first", ["true"])
    store_worker(engine)
    fifo = os.path.join(home(engine, cid), "container.json.new")
    os.mkfifo(fifo)
    rename = Asked(engine, "/containers/first/rename?name=second")
    # the worker waits for a reader now; what it writes cannot be synced
    update = Asked(engine, f"/containers/{cid}/update", {"PidsLimit": 77})
    reader = os.open(fifo, os.O_RDONLY)
    expect(rename.status(), 500, "rename")
    os.close(reader)
    expect(update.status(), 200, "update")
    expect(inspect(engine, cid)["Name"], "/first")
    until(lambda: stored(engine, cid)["Name"] == "first", "it is written")
    engine.again()
    expect((inspect(engine, cid)["Name"], inspect(engine, cid)["HostConfig"]["PidsLimit"]), ("/first", 77))
    remove(engine, "first")


def test_two_changes_that_fail_are_both_taken_back(engine):
    cid = create(engine, "one", ["true"], HostConfig={"PidsLimit": 11})
    with Held(engine):
        asked = [Asked(engine, f"/containers/{cid}/rename?name={name}") for name in ("two", "three")]
        asked += [Asked(engine, f"/containers/{cid}/update", {"PidsLimit": n}) for n in (22, 33)]
        path = obstruct(engine, cid)
    expect([a.status() for a in asked], [500] * 4, "answers")
    expect((inspect(engine, cid)["Name"], inspect(engine, cid)["HostConfig"]["PidsLimit"]), ("/one", 11))
    os.rmdir(path)
    engine.again()
    expect((inspect(engine, cid)["Name"], inspect(engine, cid)["HostConfig"]["PidsLimit"]), ("/one", 11))
    remove(engine, "one")


if __name__ == "__main__":
    main(sys.modules[__name__])
