#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What an image's author, a client or a container may ask of the engine without harm to others."""
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import busybox_layer, config, docker_archive, expect, expect_in, main, sha, tar
from http_unix import Connection, request

BASE = busybox_layer()


def api(engine, method, url, body=None, **kw):
    return request(engine.socket, method, url, body, **kw)


def loaded(engine, tag, layers, conf=None):
    p = engine.load(docker_archive(tag, layers, conf=conf))
    expect((p.returncode, p.stderr), (0, ""), "load")


def create(engine, **body):
    status, answer = api(engine, "POST", "/containers/create", {"Cmd": ["true"], **body})
    expect(status, 201, f"create: {answer}")
    return answer["Id"]


def clean(engine):
    for c in api(engine, "GET", "/containers/json?all=1")[1]:
        api(engine, "DELETE", "/containers/" + c["Id"] + "?force=1")


def rss(engine):
    with open(f"/proc/{engine.process.pid}/status") as f:
        return int(f.read().split("VmRSS:")[1].split()[0])


def quick(engine, seconds, what):
    """The engine answers another client."""
    begun = time.monotonic()
    expect(api(engine, "GET", "/_ping")[0], 200)
    took = time.monotonic() - begun
    if took > seconds:
        raise AssertionError(f"{what}: the engine did not answer for {took:.1f} s")


# ---- images


def test_labels_of_an_image_may_be_anything(engine):
    listener = Connection(engine.socket)
    listener.request("GET", '/events?filters={"type":["container"]}')
    stream = listener.getresponse()
    for labels in (["a", "b"], "text", {"a": [[[]]], "b": 1, "c": "kept"}):
        loaded(engine, "odd:1", [BASE], config([BASE], Labels=labels))
        c = create(engine, Image="odd:1", Labels={"mine": "1"})
        event = json.loads(stream.readline())
        expect(event["Actor"]["Attributes"]["mine"], "1", "label of the event")
        shown = api(engine, "GET", "/containers/" + c + "/json")[1]["Config"]["Labels"]
        expect(shown, {"mine": "1", "c": "kept"} if isinstance(labels, dict) else {"mine": "1"})
    listener.close()
    clean(engine)


def test_labels_of_a_request_are_strings(engine):
    deep = "[" * 60 + "]" * 60
    for labels in ('["a"]', '{"a":1}', '{"a":' + deep + "}"):
        body = ('{"Image":"busybox","Cmd":["true"],"Labels":' + labels + "}").encode()
        status, answer = api(engine, "POST", "/containers/create", body)
        expect((status, "Labels" in answer["message"]), (400, True), labels[:20])


def test_layer_that_stands_twice_in_an_image(engine):
    extra = tar([("twice", tarfile.REGTYPE, "2")])
    other = tar([("twice", tarfile.REGTYPE, "other"), ("only", tarfile.REGTYPE, "1")])
    loaded(engine, "twice:1", [BASE, extra, other, extra])
    expect(engine.run("run", "--rm", "twice:1", "cat", "/twice", "/only").stdout, "21")


def test_hard_link_to_a_lower_layer_stays_with_its_image(engine):
    """The same layer on top of others is not given what it found on top of an attacker's."""
    link = tar([("linked", tarfile.LNKTYPE, "data")])
    for name, data in (("evil", "evil\n"), ("good", "good\n")):
        loaded(engine, name + ":1", [BASE, tar([("data", tarfile.REGTYPE, data)]), link])
    for name in ("good", "evil"):
        expect(engine.run("run", "--rm", name + ":1", "cat", "/linked").stdout, name + "\n")
        layers = api(engine, "GET", f"/images/{name}:1/json")[1]["RootFS"]["Layers"]
        expect(layers[-1], "sha256:" + sha(link), "layer as it is told")
    # loaded once more, on top of what is there already
    loaded(engine, "good:2", [BASE, tar([("data", tarfile.REGTYPE, "good\n")]), link])
    expect(engine.run("run", "--rm", "good:2", "cat", "/linked").stdout, "good\n")


def many_configs(count, conf):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        def put(name, data):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
        put("l", BASE)
        manifest = []
        for i in range(count):
            put(f"{i}.json", conf(i))
            manifest.append({"Config": f"{i}.json", "RepoTags": [f"many{i}:1"], "Layers": ["l"]})
        put("manifest.json", json.dumps(manifest).encode())
    return out.getvalue()


def test_configurations_of_an_archive_are_bounded(engine):
    def conf(i):
        c = json.loads(config([BASE]))
        c["config"]["x"] = [0] * 200000 + [i]
        return json.dumps(c, separators=(",", ":")).encode()
    before = rss(engine)
    p = engine.load(many_configs(12, conf))
    expect(p.returncode, 1, "status")
    expect_in("more configuration than one load may have", p.stderr)
    if rss(engine) - before > 50000:
        raise AssertionError(f"the engine has grown by {rss(engine) - before} KiB")


# ---- the store


def restart(engine, bad=None):
    engine.process.kill()
    engine.process.wait()
    if bad is not None:
        with open(os.path.join(engine.root, "images.json"), "w") as f:
            f.write(bad)
    engine.start()


def test_store_that_cannot_be_read_costs_no_layer(engine):
    store, layers = os.path.join(engine.root, "images.json"), os.path.join(engine.root, "layers")
    with open(store) as f:
        good = f.read()
    there = sorted(os.listdir(layers))
    for bad in (good[:len(good) // 2], '{"Images":1}', ""):
        restart(engine, bad)
        expect(api(engine, "GET", "/images/json")[1], [], "images")
        expect(sorted(os.listdir(layers)), there, "layers")
        with open(store + ".bad") as f:
            expect(f.read(), bad, "what is kept")
    os.unlink(store + ".bad")
    restart(engine, good)
    expect(engine.run("run", "--rm", "busybox", "echo", "fine").stdout, "fine\n")


def test_store_is_never_written_in_part(engine):
    """The worker is given half of it, as by an engine that dies."""
    path = engine.path("half.json", b"old")
    worker = [os.path.join(os.path.dirname(engine.process.args[0]), "engine"), "--worker",
              str(os.getpid()), "store", path]
    for text, code in ((b"100\n{", 1), (b"", 1), (b"{}", 1), (b"99999999999\n{", 1), (b"2\n{}", 0)):
        p = subprocess.run(worker, input=text, stdout=subprocess.PIPE)
        expect(p.returncode, code, f"status for {text}")
        with open(path, "rb") as f:
            expect(f.read(), b"{}" if code == 0 else b"old", "the file")


def test_store_takes_no_more_than_it_can_read(engine):
    conf = config([BASE])
    names = [f"full{i}" for i in range(40000)]
    manifest = [{"Config": "c", "Layers": ["l"], "RepoTags": [n + ":1" for n in names[i:i + 64]]}
                for i in range(0, len(names), 64)]
    data = tar([("manifest.json", tarfile.REGTYPE, json.dumps(manifest)), ("c", tarfile.REGTYPE, conf),
                ("l", tarfile.REGTYPE, BASE)])
    p = engine.load(data)
    expect((p.returncode, "the image store is full" in p.stderr), (1, True), p.stderr)
    restart(engine)
    expect(engine.run("run", "--rm", "busybox", "echo", "fine").stdout, "fine\n")


# ---- clients


def test_client_that_reads_no_answers_costs_little(engine):
    s = socket.socket(socket.AF_UNIX)
    s.connect(engine.socket)
    s.setblocking(False)
    before = rss(engine)
    ask = b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n" * 1000
    sent = 0
    for _ in range(200):  # until the engine takes no more; not at all if it always does
        try:
            sent += s.send(ask)
        except BlockingIOError:
            quick(engine, 5, "unread answers")
    grown = rss(engine) - before
    if grown > 8000:
        raise AssertionError(f"{sent} bytes of requests cost {grown} KiB")
    # what has been sent whole is answered when the client reads after all
    s.shutdown(socket.SHUT_WR)
    s.settimeout(20)
    answers = 0
    data = s.recv(65536)
    while data:
        answers += data.count(b"HTTP/1.1 200")
        try:
            data = s.recv(65536)
        except ConnectionResetError:
            break
    if answers < sent // len(ask) * 1000 - 2:
        raise AssertionError(f"{answers} answers for {sent // 30} requests")
    s.close()


def test_answer_to_a_half_closed_client_is_whole(engine):
    c = create(engine, Image="busybox", Labels={"k%d" % i: "v" * 1000 for i in range(2000)})
    s = socket.socket(socket.AF_UNIX)
    s.connect(engine.socket)
    s.sendall(f"GET /containers/{c}/json HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    s.shutdown(socket.SHUT_WR)
    time.sleep(0.05)
    data = b""
    while piece := s.recv(65536):
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    expect(len(body), int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]), "length")
    clean(engine)


def test_many_variables_and_labels_take_no_time(engine):
    many = 60000
    env = ["NAME%d=1" % i for i in range(many)]
    loaded(engine, "vars:1", [BASE], config([BASE], Env=env))
    begun = time.monotonic()
    c = create(engine, Image="vars:1", Env=["OTHER%d=1" % i for i in range(many)] + ["NAME7=x", "NAME8"],
               Labels={"l%d" % i: "" for i in range(many)})
    shown = set(api(engine, "GET", f"/containers/{c}/json")[1]["Config"]["Env"])
    expect((len(shown), "NAME7=x" in shown, "NAME7=1" in shown, "NAME8=1" in shown),
           (2 * many, True, False, False), "variables")
    filters = json.dumps({"label": ["l%d" % i for i in range(15000)]}, separators=(",", ":"))
    status, found = api(engine, "GET", "/containers/json?all=1&filters=" + filters)
    expect((status, len(found)), (200, 1), "list")
    took = time.monotonic() - begun
    if took > 10:
        raise AssertionError(f"took {took:.1f} s")
    clean(engine)


if __name__ == "__main__":
    main(sys.modules[__name__])
