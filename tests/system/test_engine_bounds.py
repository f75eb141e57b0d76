#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What containers cost the engine while they are there, and what it does when something ends in
the midst of its work."""
import json
import os
import resource
import socket
import subprocess
import sys
import tarfile
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import SANITIZED, busybox_layer, config, docker_archive, expect, expect_in, main, sha, tar, until
from http_unix import Connection
from test_engine_hostile import api, clean, create, loaded, restart, rss, worker_of, workers_of

BASE = busybox_layer()


def descriptors(engine):
    return len(os.listdir(f"/proc/{engine.process.pid}/fd"))


def finished(engine, **body):
    """A container that has run to its end."""
    c = create(engine, **body)
    expect(api(engine, "POST", f"/containers/{c}/start")[0], 204)
    expect(api(engine, "POST", f"/containers/{c}/wait")[0], 200)
    return c


# ---- descriptors


def test_stopped_containers_hold_no_descriptors(engine):
    api(engine, "GET", "/_ping")
    before = descriptors(engine)
    for command in (["echo", "kept"], ["/nothing"]):
        for _ in range(4):
            c = create(engine, Image="busybox", Cmd=command)
            api(engine, "POST", f"/containers/{c}/start")
            api(engine, "POST", f"/containers/{c}/wait")
    until(lambda: descriptors(engine) <= before, "as many descriptors as before")
    c = finished(engine, Image="busybox", Cmd=["echo", "first"])
    api(engine, "POST", f"/containers/{c}/start")
    api(engine, "POST", f"/containers/{c}/wait")
    expect(engine.run("logs", c).stdout, "first\nfirst\n", "the log of two runs")
    clean(engine)


def test_engine_has_the_descriptors_that_there_are_and_containers_the_usual(engine):
    mine = resource.getrlimit(resource.RLIMIT_NOFILE)
    usual = (512, mine[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, usual)
    restart(engine)
    resource.setrlimit(resource.RLIMIT_NOFILE, mine)
    soft, hard = resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE)
    expect(soft, hard, "the engine's limit")
    p = engine.run("run", "--rm", "busybox", "sh", "-c", "ulimit -Sn; ulimit -Hn")
    expect(p.stdout.split(), [str(n) for n in usual], "a container's limits")
    p = engine.run("run", "--rm", "--ulimit", "nofile=99:100", "busybox", "sh", "-c", "ulimit -Sn; ulimit -Hn")
    expect(p.stdout.split(), ["99", "100"], "a container's own limits")


def test_log_goes_on_where_there_was_no_descriptor_for_a_new_file(engine):
    c = create(engine, Image="busybox", Cmd=["sh", "-c", "read x; seq -w 1 400; read x; seq -w 401 800"],
               OpenStdin=True, HostConfig={"LogConfig": {"Type": "json-file", "Config": {"max-size": "20k"}}})
    s = socket.socket(socket.AF_UNIX)
    s.connect(engine.socket)
    s.sendall(f"POST /containers/{c}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nUpgrade: tcp\r\n\r\n".encode())
    expect(api(engine, "POST", f"/containers/{c}/start")[0], 204)
    limits = resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    s.sendall(b"\n")
    got = b""
    while b"400\n" not in got:
        got += s.recv(65536)
    resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE, limits)
    s.sendall(b"\n")
    expect(api(engine, "POST", f"/containers/{c}/wait")[1], {"StatusCode": 0})
    lines = engine.run("logs", c).stdout.split()
    expect(lines, [f"{n:03}" for n in range(801 - len(lines), 801)], "the log's end")
    expect(len(lines) > 50, True, "many lines are kept")
    clean(engine)


def test_log_goes_on_where_a_new_file_cannot_take_its_place(engine):
    c = create(engine, Image="busybox", Cmd=["seq", "-w", "1", "400"],
               HostConfig={"LogConfig": {"Type": "json-file", "Config": {"max-size": "20k"}}})
    fresh = os.path.join(engine.root, "containers", c, "log.new")
    open(fresh, "w").close()
    subprocess.run(["mount", "--bind", fresh, fresh], check=True)  # what is mounted on is not renamed
    expect(api(engine, "POST", f"/containers/{c}/start")[0], 204)
    expect(api(engine, "POST", f"/containers/{c}/wait")[1], {"StatusCode": 0})
    subprocess.run(["umount", fresh], check=True)
    expect(os.path.exists(os.path.join(os.path.dirname(fresh), "log")), True, "the log is there")
    expect(engine.run("logs", c).stdout.split(), [f"{n:03}" for n in range(1, 401)], "the log")
    clean(engine)


# ---- lists


def busy(engine):
    """Seconds that the engine itself has computed."""
    with open(f"/proc/{engine.process.pid}/schedstat") as f:
        return int(f.read().split()[0]) / 1e9


def load_cost(engine, data):
    before = busy(engine)
    p = engine.load(data)
    expect((p.returncode, p.stderr), (0, ""), "load")
    return busy(engine) - before


def start_cost(engine):
    restart(engine)
    api(engine, "GET", "/_ping")
    return busy(engine)


def in_proportion(few, many, times, what):
    """What so many times as much costs, on any machine: no square of it. What an allocator that
    looks for mistakes makes of it says nothing."""
    expect(SANITIZED or many < few * times ** 1.5, True,
           f"{what}: {few:.4f} s, and {many:.4f} s of the engine for {times} times as much")


def costs(engine, archive, n, what):
    """Loads of n and of 7 n, then starts with n and with 8 n in the store."""
    few, few_start = load_cost(engine, archive(n)), start_cost(engine)
    many, many_start = load_cost(engine, archive(7 * n)), start_cost(engine)
    in_proportion(few, many, 7, f"loads of {what}")
    in_proportion(few_start, many_start, 8, f"starts with {what}")


def bare(engine):
    """Of the images only busybox is left: the store has space for so many names, and no more."""
    for image in api(engine, "GET", "/images/json")[1]:
        if "busybox:latest" not in image["RepoTags"]:
            expect(api(engine, "DELETE", f"/images/{image['Id']}?force=1")[0], 200, "a removal")


def named(label, names):
    """An image with these names."""
    conf = config([BASE], Labels={label: ""})
    manifest = [{"Config": "c", "Layers": ["l"], "RepoTags": names[i:i + 64]} for i in range(0, len(names), 64)]
    return tar([("manifest.json", tarfile.REGTYPE, json.dumps(manifest)), ("c", tarfile.REGTYPE, conf),
                ("l", tarfile.REGTYPE, BASE)])


def names(n):
    return [f"many{n}-{i}:1" for i in range(n)]


def test_many_names_of_an_image_stall_no_one(engine):
    bare(engine)
    costs(engine, lambda n: named("many", names(n)), 2000, "names")
    begun = busy(engine)
    expect(api(engine, "DELETE", "/images/many2000-0:1?force=1")[0], 200)
    expect(busy(engine) - begun < 0.7, True, "the removal of a name")
    image = api(engine, "GET", "/images/many14000-13999:1/json")[1]
    left = sorted(set(names(2000) + names(14000)) - {"many2000-0:1"})
    expect(image["RepoTags"] == left, True, "the names that are left, in their order")
    expect(api(engine, "DELETE", f"/images/{image['Id']}?force=1")[0], 200)
    expect(api(engine, "GET", "/images/many14000-13999:1/json")[0], 404)


def test_many_names_that_move_to_another_image_stall_no_one(engine):
    cost = []
    for n in (1500, 12000):
        bare(engine)
        load_cost(engine, named("old", names(n)))
        cost.append(load_cost(engine, named("new", names(n)[::-1])))
        image = api(engine, "GET", f"/images/many{n}-0:1/json")[1]
        expect((image["Config"]["Labels"], len(image["RepoTags"])), ({"new": ""}, n), "the new image")
    bare(engine)
    in_proportion(*cost, 8, "names that move")


def test_list_of_containers_is_short_whatever_their_image_says(engine):
    loaded(engine, "long:1", [BASE], config([BASE], Labels={"a": "kept", "b": "x" * 6_000_000},
                                            Cmd=["true", "y" * 100_000]))
    for _ in range(8):
        status, answer = api(engine, "POST", "/containers/create", {"Image": "long:1", "Labels": {"mine": "1"}})
        expect(status, 201, f"create: {answer}")
    c = Connection(engine.socket)
    c.request("GET", "/containers/json?all=1")
    text = c.getresponse().read()
    c.close()
    expect(len(text) < 100_000, True, f"the list has {len(text)} bytes")
    for entry in api(engine, "GET", "/containers/json?all=1")[1]:
        expect(entry["Labels"], {"a": "kept", "mine": "1"}, "labels")
        expect(entry["Command"][:8], "true yyy")
    shown = api(engine, "GET", "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22b%22%5D%7D")[1]
    expect(len(shown), 8, "containers with the label that is not shown")
    one = api(engine, "GET", f"/containers/{shown[0]['Id']}/json")[1]
    expect((len(one["Config"]["Labels"]["b"]), len(one["Args"][0])), (6_000_000, 100_000), "what inspect shows")
    clean(engine)


# ---- requests


def test_fields_of_fields_have_their_types_too(engine):
    mount = {"Type": "tmpfs", "Target": "/t"}
    for host, name in (({"Mounts": [{**mount, "ReadOnly": "true"}]}, "ReadOnly must be a boolean"),
                       ({"Mounts": ["text"]}, "Mounts must be an array of objects"),
                       ({"Mounts": [{**mount, "TmpfsOptions": {"SizeBytes": "5"}}]}, "SizeBytes must be a whole"),
                       ({"Mounts": [{"Type": "volume", "Target": "/t", "VolumeOptions": {"NoCopy": 1}}]}, "NoCopy"),
                       ({"Ulimits": [{"Name": "nofile", "Soft": "10", "Hard": 10}]}, "Soft must be a whole"),
                       ({"Devices": [{"PathOnHost": 1}]}, "PathOnHost must be a string"),
                       ({"RestartPolicy": {"Name": 1}}, "Name must be a string"),
                       ({"LogConfig": {"Config": {"max-size": 5}}}, "Config must be an object of strings")):
        status, answer = api(engine, "POST", "/containers/create",
                             {"Image": "busybox", "Cmd": ["true"], "HostConfig": host})
        expect(status, 400, f"status of {host}")
        expect_in(name, answer["message"])
    create(engine, Image="busybox", HostConfig={"Mounts": None, "Ulimits": [], "LogConfig": {"Config": None},
                                                "RestartPolicy": {"Name": "", "MaximumRetryCount": 0}})
    clean(engine)


def test_input_of_a_client_that_left_before_the_start_is_not_the_next_one_s(engine):
    c = create(engine, Image="busybox", Cmd=["cat"], OpenStdin=True, StdinOnce=True)

    def attached(text):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(120)
        s.connect(engine.socket)
        s.sendall(f"POST /containers/{c}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nUpgrade: tcp\r\n\r\n"
                  .encode())
        expect(s.recv(12), b"HTTP/1.1 101", "the answer")
        s.sendall(text)
        return s

    attached(b"lost").close()
    for _ in range(2):  # served after it has been seen to leave
        api(engine, "GET", "/_ping")
    s = attached(b"mine")
    expect(api(engine, "POST", f"/containers/{c}/start")[0], 204)
    s.shutdown(socket.SHUT_WR)
    expect(api(engine, "POST", f"/containers/{c}/wait")[1], {"StatusCode": 0})
    expect(engine.run("logs", c).stdout, "mine", "what the program read")
    s.close()
    clean(engine)


# ---- volumes


def test_volume_that_is_being_filled_is_whole_for_all(engine):
    files = [(f"data/{i}", tarfile.REGTYPE, "x" * 5000) for i in range(1500)]
    loaded(engine, "filled:1", [BASE, tar([("data", tarfile.DIRTYPE, None)] + files)])
    for turn in range(3):
        cs = [create(engine, Image="filled:1", Cmd=["sh", "-c", "ls /data | wc -l"],
                     HostConfig={"Binds": [f"shared{turn}:/data"]}) for _ in range(4)]
        got = {}

        def start(c):
            got[c] = api(engine, "POST", f"/containers/{c}/start")

        threads = [threading.Thread(target=start, args=(c,)) for c in cs]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for c in cs:
            expect(got[c], (204, ""), "start")
            api(engine, "POST", f"/containers/{c}/wait")
            expect(engine.run("logs", c).stdout, "1500\n", "files in the volume")
    clean(engine)


def test_volume_may_have_the_longest_name(engine):
    loaded(engine, "longest:1", [BASE, tar([("data", tarfile.DIRTYPE, None), ("data/f", tarfile.REGTYPE, "whole")])])
    c = create(engine, Image="longest:1", Cmd=["cat", "/data/f"], HostConfig={"Binds": ["v" * 255 + ":/data"]})
    expect(api(engine, "POST", f"/containers/{c}/start"), (204, ""), "start")
    api(engine, "POST", f"/containers/{c}/wait")
    expect(engine.run("logs", c).stdout, "whole", "what the volume has of the image")
    clean(engine)


# ---- the store


def test_removal_that_is_cut_leaves_a_whole_store(engine):
    """The engine dies while the list without the image is being written: the image is whole still."""
    loaded(engine, "cut:1", [BASE, tar([("cut", tarfile.REGTYPE, "whole")])])
    fresh = os.path.join(engine.root, "images.json.new")
    os.mkfifo(fresh)  # its writer waits for a reader
    c = Connection(engine.socket)
    c.request("DELETE", "/images/cut:1")
    until(lambda: worker_of(engine, "store"), "the list is being written")
    expect(api(engine, "GET", "/images/cut:1/json")[0], 404)
    engine.process.kill()
    engine.process.wait()
    c.close()
    os.unlink(fresh)
    engine.start()
    expect(os.path.exists(os.path.join(engine.root, "images.json.bad")), False, "a store that is bad")
    expect(engine.run("run", "--rm", "cut:1", "cat", "/cut").stdout, "whole")
    layers = len(os.listdir(os.path.join(engine.root, "layers")))
    expect(engine.run("rmi", "cut:1").returncode, 0)
    expect(len(os.listdir(os.path.join(engine.root, "layers"))), layers - 1, "layers after the removal")
    restart(engine)
    expect(api(engine, "GET", "/images/cut:1/json")[0], 404)


def test_mounts_with_long_paths_are_refused(engine):
    loaded(engine, "paths:1", [BASE])
    long = "/" + "a" * 3900000
    for binds in ([f"/tmp:{long}"], [f"{long}:/x"]):
        status, body = api(engine, "POST", "/containers/create", {"Image": "paths:1", "HostConfig": {"Binds": binds}})
        expect((status, "too long" in body["message"]), (400, True), body["message"][:200])


def test_loads_at_once_are_bounded(engine):
    """Each is a process with a control group of its own; the others are begun when one has ended."""
    clients = []
    for _ in range(20):
        clients.append(socket.socket(socket.AF_UNIX))
        clients[-1].connect(engine.socket)
        clients[-1].sendall(b"POST /images/load HTTP/1.1\r\nContent-Length: 100000\r\n\r\npart")
    until(lambda: len(workers_of(engine, "load")) >= 16, "sixteen are at work")
    expect(api(engine, "GET", "/_ping")[0], 200)
    expect(len(workers_of(engine, "load")), 16)
    for c in clients:
        c.close()
    until(lambda: not workers_of(engine, "load"), "none is left")
    loaded(engine, "after:1", [BASE])


def test_mounts_of_other_containers_are_bounded(engine):
    """Each of them is looked for among the request's own, while all other clients wait."""
    bare, full = create(engine, Image="busybox"), create(engine, Image="busybox", HostConfig={"Binds": [f"/tmp:/a{i}" for i in range(4096)]})
    for sources, why in (([bare] * 4097, "too many VolumesFrom"), ([full] * 17, "too many mounts in VolumesFrom")):
        status, answer = api(engine, "POST", "/containers/create",
                             {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"VolumesFrom": sources}})
        expect((status, answer["message"]), (400, why), "create")
    c = create(engine, Image="busybox", HostConfig={"VolumesFrom": [full] * 16})
    expect(len(api(engine, "GET", f"/containers/{c}/json")[1]["Mounts"]), 4096, "mounts")
    clean(engine)


def test_execs_that_are_never_started_are_bounded(engine):
    c = create(engine, Image="busybox", Cmd=["sleep", "100"])
    expect(api(engine, "POST", f"/containers/{c}/start")[0], 204)
    before, large = rss(engine), "x" * (3 << 20)
    execs = [api(engine, "POST", f"/containers/{c}/exec", {"Cmd": ["true", large]})[1]["Id"] for _ in range(20)]
    expect(rss(engine) - before < 40 << 10, True, "the engine is no larger than it was and 40 MiB")
    expect([api(engine, "GET", f"/exec/{x}/json")[0] for x in (execs[0], execs[-2], execs[-1])], [404, 200, 200])
    clean(engine)


def test_name_of_a_volume_that_is_still_being_removed_is_taken(engine):
    """What moved away later would be what was made of that name meanwhile."""
    expect(api(engine, "POST", "/volumes/create", {"Name": "data"})[0], 201)
    path = os.path.join(engine.root, "volumes", "data")
    with open(os.path.join(path, "_data", "old"), "w"):
        pass
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        expect(api(engine, "DELETE", "/volumes/data")[0], 204)
        status, answer = api(engine, "POST", "/volumes/create", {"Name": "data"})
        expect((status, "still there" in answer.get("message", "")), (400, True), f"create: {answer}")
    finally:
        subprocess.run(["umount", path], check=True)
    expect(api(engine, "POST", "/volumes/create", {"Name": "data"})[0], 201)
    expect(os.listdir(os.path.join(path, "_data")), [], "what the new one begins with")
    expect(api(engine, "DELETE", "/volumes/data")[0], 204)


def test_removal_on_a_full_disk_gives_its_space_back(engine):
    """Also when there is no space for the list without it."""
    loaded(engine, "space:1", [BASE, tar([("space", tarfile.REGTYPE, "x")])])
    layers = len(os.listdir(os.path.join(engine.root, "layers")))
    fresh = os.path.join(engine.root, "images.json.new")
    os.mkdir(fresh)
    expect(api(engine, "DELETE", "/images/space:1")[0], 500)
    expect(len(os.listdir(os.path.join(engine.root, "layers"))), layers - 1, "layers")
    os.rmdir(fresh)


def test_many_layers_stall_no_one(engine):
    """The last one: their removal would take long."""
    def archive(n):
        layers = [tar([("f", tarfile.REGTYPE, f"{n} {i}")])[:2560] for i in range(n)]
        files, manifest = [(f"l{i}", tarfile.REGTYPE, data) for i, data in enumerate(layers)], []
        for at in range(0, n, 100):
            conf = json.dumps({"rootfs": {"diff_ids": ["sha256:" + sha(data) for data in layers[at:at + 100]]}})
            files.append((f"c{at}", tarfile.REGTYPE, conf))
            manifest.append({"Config": f"c{at}", "RepoTags": [f"flat{n}-{at}:1"],
                             "Layers": [f"l{i}" for i in range(at, at + 100)]})
        return tar(files + [("manifest.json", tarfile.REGTYPE, json.dumps(manifest))])

    costs(engine, archive, 600, "layers")


if __name__ == "__main__":
    main(sys.modules[__name__])
