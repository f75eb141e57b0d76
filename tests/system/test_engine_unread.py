#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The disk does not read what an engine needs when it starts: nothing is ended, moved or removed for that. A directory
in a file's place stands for a sector that is bad: it is there, and a read of it fails."""
import os
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import expect, expect_in, main, until
from test_engine_killed import api, create, inspect, remove, started, state

PATIENT = ("--after", "5")  # as init gives it to one that comes after many


class Unread:
    """While it stands, the file cannot be read."""

    def __init__(self, engine, *path):
        self.path = os.path.join(engine.root, *path)

    def __enter__(self):
        os.rename(self.path, self.path + ".good")
        os.mkdir(self.path)

    def __exit__(self, *_):
        os.rmdir(self.path)
        os.rename(self.path + ".good", self.path)


class Unwritable:
    """While it stands, there can be no such file."""

    def __init__(self, engine, *path):
        self.path = os.path.join(engine.root, *path)

    def __enter__(self):
        os.mkdir(self.path)

    def __exit__(self, *_):
        os.rmdir(self.path)


def refuses_to_start(engine):
    try:
        engine.start()
    except RuntimeError:
        expect(engine.process.wait(120), 1, "status")
        engine.log.close()
        return
    raise AssertionError("the engine has started")


def lives(pid):
    return os.path.exists(f"/proc/{pid}/exe")


def volume_of(engine, name):
    return inspect(engine, name)["Mounts"][0]["Name"]


def listed(engine):
    return sorted(c["Names"][0] for c in api(engine, "GET", "/containers/json?all=1")[1])


def test_engine_that_cannot_read_ends_and_ends_no_container(engine):
    cid = started(engine, "unread", ["sleep", "1000"], Volumes={"/v": {}})
    before, volume = inspect(engine, "unread"), volume_of(engine, "unread")
    image = before["Image"].removeprefix("sha256:")
    for path in (("containers", cid, "container.json"), ("images.json",), ("images", image + ".json"),
                 ("volumes", volume, "volume.json")):
        engine.kill()
        with Unread(engine, *path):
            refuses_to_start(engine)
            expect(lives(before["State"]["Pid"]), True, f"{path[0]}: its process lives")
        engine.start()
        expect(inspect(engine, "unread"), before, path[0])
        expect_in("com.docker.volume.anonymous", api(engine, "GET", "/volumes/" + volume)[1]["Labels"], path[0])
    expect(os.path.exists(os.path.join(engine.root, "aside")), False, "something is set aside")
    remove(engine, "unread")


def test_patient_engine_goes_on_without_it_and_leaves_it_alone(engine):
    cid = started(engine, "out", ["sleep", "1000"], Volumes={"/v": {}})
    started(engine, "other", ["sleep", "1000"])
    volume = volume_of(engine, "out")
    for path, seen in ((("containers", cid, "container.json"), ["/other"]), (("images.json",), [])):
        before = inspect(engine, "out")
        engine.kill()
        with Unread(engine, *path):
            engine.start(*PATIENT)
            expect(listed(engine), seen, "containers")
            expect(lives(before["State"]["Pid"]), True, f"{path[0]}: its process lives")
            expect(api(engine, "POST", '/volumes/prune?filters={"all":["1"]}')[0], 409, "prune")
            engine.kill()
        engine.start()
        expect(listed(engine), ["/other", "/out"], "containers")
        expect(inspect(engine, "out"), before, path[0])
        expect(api(engine, "GET", "/volumes/" + volume)[0], 200, "volume")
        expect(engine.run("exec", "out", "echo", "inside").stdout, "inside\n")
    remove(engine, "out", "other")


def test_container_that_was_left_out_gives_up_a_name_that_was_taken(engine):
    old = started(engine, "wanted", ["sleep", "1000"])
    pid = state(engine, "wanted")["Pid"]
    engine.kill()
    with Unread(engine, "containers", old, "container.json"):
        engine.start(*PATIENT)
        new = create(engine, "wanted", ["true"])
        engine.kill()
    for _ in range(2):
        engine.start()
        expect(listed(engine), ["/wanted", "/wanted-" + old[:12]], "containers")
        expect(inspect(engine, "wanted")["Id"], new)
        expect(state(engine, "wanted-" + old[:12])["Pid"], pid)
        stored = os.path.join(engine.root, "containers", old, "container.json")
        until(lambda: f'"Name":"wanted-{old[:12]}"' in open(stored).read(), "it is written down")
        engine.kill()
    engine.start()
    remove(engine, new, old)


def test_prune_takes_no_volume_while_something_is_set_aside(engine):
    cid = started(engine, "aside", ["true"], Volumes={"/v": {}})
    until(lambda: state(engine, "aside")["Status"] == "exited", "it ends")
    volume = volume_of(engine, "aside")
    engine.kill()
    path = os.path.join(engine.root, "containers", cid, "container.json")
    good = open(path).read()
    with open(path, "w") as f:
        f.write("{")
    engine.start()
    expect(listed(engine), [], "containers")
    status, body = api(engine, "POST", "/volumes/prune")
    expect(status, 409, body)
    expect_in("set aside", body["message"])
    expect(api(engine, "GET", "/volumes/" + volume)[0], 200, "volume")
    engine.kill()
    aside = os.path.join(engine.root, "aside", cid)
    os.unlink(os.path.join(aside, "why"))
    os.rename(aside, os.path.dirname(path))
    with open(path, "w") as f:
        f.write(good)
    engine.start()
    remove(engine, "aside")
    expect(api(engine, "POST", "/volumes/prune")[0], 200)
    until(lambda: not os.listdir(os.path.join(engine.root, "volumes")), "its volume goes with it")


def test_layer_that_could_not_be_looked_at_is_looked_at_again(engine):
    """Its image stands on the base: an error has not said that it does not."""
    create(engine, "again", ["grep", " / ", "/proc/mounts"])
    engine.again()  # it knows of no image yet
    layer = os.path.join(engine.root, "layers", os.listdir(os.path.join(engine.root, "layers"))[0])
    os.rename(layer, layer + ".good")
    expect(api(engine, "POST", "/containers/again/start")[0] >= 400, True, "the start fails")
    os.rename(layer + ".good", layer)
    expect_in("../base", engine.run("start", "-a", "again").stdout, "layers")
    remove(engine, "again")


def test_start_without_a_log_is_none(engine):
    cid = create(engine, "mute", ["echo", "words"])
    with Unwritable(engine, "containers", cid, "log"):
        status, body = api(engine, "POST", "/containers/mute/start")
        expect(status // 100 != 2, True, f"start: {status}")
        expect_in("cannot write the container's files", body["message"])
    expect(engine.run("start", "-a", "mute").stdout, "words\n")
    expect(engine.run("logs", "mute").stdout, "words\n")
    remove(engine, "mute")


def test_change_that_cannot_be_written_is_taken_back(engine):
    policy = {"Name": "always", "MaximumRetryCount": 0}
    cid = started(engine, "steady", ["sleep", "1000"], HostConfig={"Memory": 64 << 20})
    before = inspect(engine, "steady")
    with Unwritable(engine, "containers", cid, "container.json.new"):
        status, body = api(engine, "POST", "/containers/steady/rename?name=other")
        expect(status, 500, body)
        status, body = api(engine, "POST", "/containers/steady/update",
                           {"Memory": 32 << 20, "MemorySwap": -1, "RestartPolicy": policy})
        expect(status, 500, body)
        expect(inspect(engine, "steady"), before, "the container")
    expect(api(engine, "POST", "/containers/steady/update", {"RestartPolicy": policy})[0], 200)
    engine.again()
    expect(inspect(engine, "steady")["HostConfig"]["RestartPolicy"], policy, "written")
    remove(engine, "steady")


def test_start_that_could_not_be_written_is_written_later(engine):
    cid = create(engine, "begun", ["sleep", "1000"])
    home = os.path.join(engine.root, "containers", cid)
    with Unwritable(engine, "containers", cid, "container.json.new"):
        expect(api(engine, "POST", "/containers/begun/start")[0], 204, "start")
    until(lambda: '"Running":true' in open(os.path.join(home, "container.json")).read(), "it is written")
    remove(engine, "begun")


def mark(engine, **changes):
    """The mark of what the engine is logging: see spool.h and spool.c."""
    names = ["id", "busy", "stream", "from", "done", "partial", "log", "inode"]
    form = "<64sIIQQQQQ"
    with open(os.path.join(engine.root, "spool.mark"), "r+b") as f:
        whole = bytearray(f.read())
        at = struct.calcsize(form) * (struct.unpack_from("<I", whole, 2 * struct.calcsize(form))[0] & 1)
        boot = 2 * struct.calcsize(form) + 4
        if "boot" in changes:
            whole[boot:boot + 36] = changes.pop("boot")
        values = dict(zip(names, struct.unpack_from(form, whole, at)), **changes)
        struct.pack_into(form, whole, at, *[values[n] for n in names])
        f.seek(0)
        f.write(whole)


def test_mark_of_an_earlier_boot_takes_nothing_from_a_log(engine):
    """It was on the disk when the machine lost power; the log beside it is newer."""
    cid = started(engine, "marked", ["echo", "words"])
    until(lambda: state(engine, "marked")["Status"] == "exited", "it ends")
    log = os.path.join(engine.root, "containers", cid, "log")
    for boot, seen in ((b"0" * 36, "words\n"), (None, "stale\n")):
        engine.kill()
        with open(os.path.join(engine.root, "spool"), "wb") as f:
            f.write(b"stale\n")
        stale = {"id": cid.encode(), "busy": 1, "stream": 1, "from": 0, "done": 0, "partial": 0, "log": 0,
                 "inode": os.stat(log).st_ino}
        mark(engine, **stale, **({"boot": boot} if boot else {}))
        engine.start()
        expect(engine.run("logs", "marked").stdout, seen, "the log")
    remove(engine, "marked")


if __name__ == "__main__":
    main(sys.modules[__name__])
