#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Volumes and networks as objects: through `bothy`, through the API, over an engine's death, and through Docker's own
client where there is one."""
import json
import os
import shutil
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import BRIEF, Skip, busybox_layer, config, docker_archive, expect, expect_in, main, tar, until
from http_unix import Connection
from test_engine_killed import api, create, inspect, remove

ANONYMOUS = "com.docker.volume.anonymous"


def volumes(engine, query=""):
    return sorted(v["Name"] for v in api(engine, "GET", "/volumes" + query)[1]["Volumes"])


def run(engine, *args):
    p = engine.run("run", "--rm", *args)
    expect((p.returncode, p.stderr), (0, ""), f"run {args}")
    return p.stdout


def test_volume_lives_apart_from_containers(engine):
    expect(engine.run("volume", "create", "--label", "a=b", "data").stdout, "data\n")
    run(engine, "-v", "data:/d", "busybox", "sh", "-c", "echo kept > /d/file")
    expect(run(engine, "-v", "data:/other:ro", "busybox", "cat", "/other/file"), "kept\n")
    engine.again()
    expect(run(engine, "--mount", "type=volume,source=data,target=/d", "busybox", "cat", "/d/file"), "kept\n")
    v = api(engine, "GET", "/volumes/data")[1]
    expect((v["Labels"], v["Driver"], v["Scope"]), ({"a": "b"}, "local", "local"))
    expect(os.path.exists(os.path.join(v["Mountpoint"], "file")), True, "the mount point")
    expect(engine.run("volume", "rm", "data").stdout, "data\n")
    expect(os.path.exists(v["Mountpoint"]), False, "the mount point is there")
    expect(volumes(engine), [])


def test_volume_in_use_is_not_removed(engine):
    cid = create(engine, "user", ["true"], HostConfig={"Binds": ["used:/d"]})
    status, body = api(engine, "DELETE", "/volumes/used")
    expect((status, body["message"]), (409, f"remove used: volume is in use - [{cid}]"))
    engine.again()
    expect(api(engine, "DELETE", "/volumes/used")[0], 409)
    remove(engine, "user")
    expect(volumes(engine), ["used"], "a named one stays")
    expect(api(engine, "DELETE", "/volumes/used")[0], 204)
    status, body = api(engine, "DELETE", "/volumes/used")
    expect((status, body["message"]), (404, "get used: no such volume"))
    expect(api(engine, "DELETE", "/volumes/used?force=1")[0], 204)


def test_anonymous_volume_goes_when_asked_to(engine):
    for how, left in (("?v=1", 0), ("", 1)):
        create(engine, "anon", ["true"], Volumes={"/a": {}})
        name = volumes(engine)[0]
        expect(len(name), 64, name)
        expect(api(engine, "GET", "/volumes/" + name)[1]["Labels"], {ANONYMOUS: ""})
        expect([(m["Name"], m["Destination"]) for m in inspect(engine, "anon")["Mounts"]], [(name, "/a")])
        expect(api(engine, "DELETE", "/containers/anon" + how)[0], 204)
        expect(len(volumes(engine)), left, how)
    run(engine, "-v", "/b", "busybox", "sh", "-c", "echo x > /b/x")
    expect(len(volumes(engine)), 1, "--rm takes its own along")
    p = engine.run("volume", "prune", "-f")
    expect_in("Deleted Volumes:\n" + volumes_text(p.stdout), p.stdout)
    expect(volumes(engine), [])


def volumes_text(out):
    return out.splitlines()[1]


def test_volume_is_filled_from_the_image_once(engine):
    layer = tar([("seed", b"5", None), ("seed/file", b"0", "from the image")])
    conf = config([busybox_layer(), layer], Volumes={"/seed": {}})
    expect(engine.load(docker_archive("seeded:1", [busybox_layer(), layer], conf)).returncode, 0)
    expect(run(engine, "-v", "full:/seed", "seeded:1", "cat", "/seed/file"), "from the image")
    run(engine, "-v", "full:/seed", "seeded:1", "mv", "/seed/file", "/seed/mine")
    expect(run(engine, "-v", "full:/seed", "seeded:1", "ls", "/seed"), "mine\n")
    expect(run(engine, "--mount", "type=volume,source=bare,target=/seed,volume-nocopy", "seeded:1", "ls", "/seed"), "")
    expect(run(engine, "seeded:1", "cat", "/seed/file"), "from the image")  # its VOLUME
    expect(engine.run("volume", "rm", "full", "bare").stdout, "full\nbare\n")
    expect(volumes(engine), [])


def test_containers_share_a_volume(engine):
    engine.run("run", "-d", "--name", "one", "-v", "shared:/s", "-v", "/own", "busybox", "sh", "-c",
               "echo 1 > /s/one; echo 2 > /own/x; sleep 100")
    until(lambda: run(engine, "-v", "shared:/s", "busybox", "ls", "/s") == "one\n", "it is written")
    expect(run(engine, "--volumes-from", "one", "busybox", "cat", "/s/one", "/own/x"), "1\n2\n")
    p = engine.run("run", "--rm", "--volumes-from", "one:ro", "busybox", "touch", "/s/no")
    expect_in("Read-only file system", p.stderr)
    remove(engine, "one")
    expect(engine.run("volume", "rm", "shared").returncode, 0)
    expect(volumes(engine), [])


def test_lists_and_filters(engine):
    for name, label in (("alpha", "kind=a"), ("beta", "kind=b")):
        expect(engine.run("volume", "create", "--label", label, name).returncode, 0)
    create(engine, "holder", ["true"], HostConfig={"Binds": ["beta:/b"]})
    expect(engine.run("volume", "ls").stdout, "DRIVER    VOLUME NAME\nlocal     alpha\nlocal     beta\n")
    for filters, want in (({"name": ["al"]}, ["alpha"]), ({"label": ["kind=b"]}, ["beta"]),
                          ({"dangling": ["true"]}, ["alpha"]), ({"dangling": ["false"]}, ["beta"]),
                          ({"driver": ["local"]}, ["alpha", "beta"]), ({"driver": ["other"]}, [])):
        expect(volumes(engine, "?filters=" + json.dumps(filters).replace(" ", "")), want, filters)
    expect(api(engine, "GET", '/volumes?filters={"odd":["x"]}')[0], 400)
    expect(engine.run("volume", "ls", "-q", "-f", "label=kind=a").stdout, "alpha\n")
    expect(engine.run("volume", "inspect", "-f", "{{.Name}} {{.Driver}}", "alpha").stdout, "alpha local\n")
    expect(engine.run("volume", "prune", "-f").stdout, "Total reclaimed space: 0B\n")
    status, body = api(engine, "POST", '/volumes/prune?filters={"all":["1"]}')
    expect((status, body), (200, {"VolumesDeleted": ["alpha"], "SpaceReclaimed": 0}))
    remove(engine, "holder")
    status, body = api(engine, "POST", "/v1.41/volumes/prune")  # before 1.42: named ones too
    expect(body["VolumesDeleted"], ["beta"])


def test_space_that_is_taken_is_told(engine):
    engine.run("run", "--name", "big", "-v", "space:/r", "busybox", "sh", "-c", "head -c 50000 /dev/zero | tee /r/x > /y")
    df = api(engine, "GET", "/system/df")[1]
    expect([(v["Name"], v["UsageData"]) for v in df["Volumes"]], [("space", {"RefCount": 1, "Size": 50000})])
    c = df["Containers"][0]
    expect(50000 <= c["SizeRw"] < 60000, True, c)
    remove(engine, "big")
    expect(api(engine, "POST", '/volumes/prune?filters={"all":["true"]}')[1],
           {"VolumesDeleted": ["space"], "SpaceReclaimed": 50000})


def test_what_cannot_be_had_is_refused_by_name(engine):
    for body, words in (({"Name": "x/y"}, "includes invalid characters"), ({"Name": "x"}, "too short"),
                        ({"Name": "n" * 256}, "too long"), ({"Driver": "nfs"}, 'plugin "nfs" not found'),
                        ({"DriverOpts": {"type": "tmpfs"}}, 'volume option "type" is not supported'),
                        ({"Labels": {"a": 1}}, "Labels must be")):
        status, answer = api(engine, "POST", "/volumes/create", body)
        expect(status, 400, body)
        expect_in(words, answer["message"])
    expect(volumes(engine), [])


def test_volume_survives_what_spoils_its_object(engine):
    expect(engine.run("volume", "create", "spoilt").returncode, 0)
    run(engine, "-v", "spoilt:/d", "busybox", "sh", "-c", "echo dear > /d/x")
    engine.kill()
    with open(os.path.join(engine.root, "volumes", "spoilt", "volume.json"), "w") as f:
        f.write("{")
    engine.start()
    expect(run(engine, "-v", "spoilt:/d", "busybox", "cat", "/d/x"), "dear\n")
    expect(engine.run("volume", "rm", "spoilt").returncode, 0)


def test_events_tell_of_volumes(engine):
    expect(engine.run("volume", "create", "told").returncode, 0)
    expect(engine.run("volume", "rm", "told").returncode, 0)
    c = Connection(engine.socket)
    c.request("GET", f'/events?since=1&until={int(time.time()) + 1}&filters={{"volume":["told"]}}')
    lines = c.getresponse().read().decode().splitlines()
    expect([json.loads(line)["Action"] for line in lines], ["create", "destroy"])
    c.close()


# ---- networks


def test_networks_that_every_engine_has(engine):
    nets = {n["Name"]: n for n in api(engine, "GET", "/networks")[1]}
    expect({n: nets[n]["Driver"] for n in nets}, {"bridge": "bridge", "host": "host", "none": "null"})
    ids = {n: nets[n]["Id"] for n in nets}
    engine.again()
    expect({n["Name"]: n["Id"] for n in api(engine, "GET", "/networks")[1]}, ids, "ids")
    expect(api(engine, "GET", "/networks/" + ids["host"][:10])[1]["Name"], "host")
    expect(api(engine, "GET", "/networks/nowhere")[0], 404)
    expect(engine.run("network", "ls", "--format", "{{.Name}}").stdout, "bridge\nhost\nnone\n")
    expect(engine.run("network", "inspect", "-f", "{{.Name}} {{.Driver}}", "none").stdout, "none null\n")


def test_container_is_on_its_network(engine):
    for mode, name in (("none", "none"), ("host", "host"), ("default", "bridge")):
        p = engine.run("run", "-d", "--name", "on", "--network", mode, "busybox", "sleep", "100")
        expect(p.returncode, 0, p.stderr)
        cid = p.stdout.strip()
        expect(list(inspect(engine, "on")["NetworkSettings"]["Networks"]), [name], mode)
        expect(list(api(engine, "GET", "/networks/" + name)[1]["Containers"]), [cid])
        own = os.readlink(f"/proc/{inspect(engine, 'on')['State']['Pid']}/ns/net") != os.readlink("/proc/self/ns/net")
        expect(own, mode != "host", f"a namespace of its own for {mode}")
        remove(engine, "on")


def test_networks_that_there_are_not_are_refused_by_name(engine):
    create(engine, "lone", ["true"], HostConfig={"NetworkMode": "none"})
    for method, url, body, status, words in (
            ("POST", "/networks/create", {"Name": "mine"}, 501, "not supported yet"),
            ("POST", "/networks/create", {"Name": "none"}, 409, "already exists"),
            ("POST", "/networks/create", {"Name": "h2", "Driver": "host"}, 403, "only one instance"),
            ("DELETE", "/networks/host", None, 403, "pre-defined network"),
            ("DELETE", "/networks/nowhere", None, 404, "not found"),
            ("POST", "/networks/host/connect", {"Container": "lone"}, 400, "host network"),
            ("POST", "/networks/bridge/connect", {"Container": "lone"}, 400, "private (none) mode"),
            ("POST", "/networks/none/connect", {"Container": "lone"}, 403, "already exists"),
            ("POST", "/networks/none/connect", {"Container": "gone"}, 404, "No such container"),
            ("POST", "/networks/none/disconnect", {"Container": "lone"}, 501, "not supported yet"),
            ("POST", "/networks/bridge/disconnect", {"Container": "lone"}, 403, "is not connected")):
        got, answer = api(engine, method, url, body)
        expect(got, status, f"{url} {body}: {answer}")
        expect_in(words, answer["message"])
    expect(api(engine, "POST", "/networks/prune"), (200, {"NetworksDeleted": None}))
    remove(engine, "lone")


def lists_and_policies(d):
    """What the client is told of the volume dv and of others."""
    expect(d("volume", "ls", "-q"), "dv\n")
    expect(json.loads(d("volume", "inspect", "dv"))[0]["Labels"], {"x": "y"})
    expect_in("dv", d("system", "df", "-v"))
    d("run", "-d", "--restart", "unless-stopped", "--name", "dr", "busybox", "sleep", "100")
    expect(d("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", "dr"), "unless-stopped\n")
    d("update", "--restart", "on-failure:3", "dr")
    expect(d("inspect", "-f", "{{.HostConfig.RestartPolicy.MaximumRetryCount}}", "dr"), "3\n")
    d("rm", "-f", "dr")
    expect_in("host      host", d("network", "ls"))
    expect(json.loads(d("network", "inspect", "none"))[0]["Driver"], "null")


def test_docker_s_own_client(engine):
    """BRIEF: what the kernel has a part in."""
    docker = shutil.which("docker")
    if not docker:
        raise Skip("docker is not installed")

    def d(*args):
        p = engine.run(*args, client=docker)
        expect(p.returncode, 0, f"{args}: {p.stderr}")
        return p.stdout
    expect(d("volume", "create", "--label", "x=y", "dv"), "dv\n")
    expect(d("run", "--rm", "-v", "dv:/d", "busybox", "sh", "-c", "echo hi > /d/f; cat /d/f"), "hi\n")
    if not BRIEF:
        lists_and_policies(d)
    expect(d("volume", "rm", "dv"), "dv\n")
    d("volume", "prune", "-f")


if __name__ == "__main__":
    main(sys.modules[__name__])
