#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What an image's author, a client or a container may ask of the engine without harm to others."""
import fcntl
import gzip
import io
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import BUSYBOX, busybox_layer, config, docker_archive, expect, expect_in, main, sha, tar, until
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


def group_of(engine, container):
    """The container's main process and the directory of its control group."""
    pid = api(engine, "GET", f"/containers/{container}/json")[1]["State"]["Pid"]
    with open(f"/proc/{pid}/cgroup") as f:
        group = next(line for line in f if line.startswith("0::"))[3:].strip()
    return pid, os.path.join(engine.group, "bothy", os.path.basename(group))


def processor(engine):
    """Seconds that the engine has run: others may use the host too."""
    with open(f"/proc/{engine.process.pid}/stat") as f:
        times = f.read().rsplit(")", 1)[1].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def quick(engine, seconds, what):
    """The engine answers another client before it has run for so long with something else."""
    begun = processor(engine)
    expect(api(engine, "GET", "/_ping")[0], 200)
    took = processor(engine) - begun
    if took > seconds:
        raise AssertionError(f"{what}: the engine did not answer while it ran for {took:.1f} s")


def leases():
    """Those of this process that have not been broken by force, since what they stop has waited for too long."""
    with open("/proc/locks") as f:
        return sum("LEASE" in line and line.split()[4] == str(os.getpid()) for line in f)


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
        listed = [i["Labels"] for i in api(engine, "GET", "/images/json")[1] if "odd:1" in i["RepoTags"]]
        expect(listed, [{"c": "kept"} if isinstance(labels, dict) else None], "as all images are listed")
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


def test_bytes_behind_a_layers_end_are_bounded(engine):
    """A few bytes that are packed may be terabytes to decode."""
    for size, status in ((1 << 20, 0), (65 << 20, 1)):
        layer = BASE + bytes(size)
        p = engine.load(docker_archive("long:1", [gzip.compress(layer, 1)], conf=config([layer])))
        expect((p.returncode, "too much behind its end" in p.stderr), (status, bool(status)), p.stderr)


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


def test_configurations_of_all_images_are_bounded(engine):
    def conf(n):
        c = json.loads(config([BASE]))
        c["config"]["x"] = [0] * 200000 + [n]
        return json.dumps(c, separators=(",", ":")).encode()
    tags = [f"large{n}:1" for n in range(4)]
    for n, tag in enumerate(tags):
        loaded(engine, tag, [BASE], conf(n))
    for conf_, tag in ((conf(9), "large9:1"), (None, "small:1")):
        p = engine.load(docker_archive(tag, [BASE], conf=conf_))
        expect((p.returncode, "configurations of its images are too large" in p.stderr), (1, True), p.stderr)
    expect(api(engine, "POST", "/images/busybox/tag?repo=name&tag=1")[0], 201)
    for tag in tags:
        expect(api(engine, "DELETE", "/images/" + tag)[0], 200)
    loaded(engine, "small:1", [BASE])


def test_directory_where_a_link_is_made_stays(engine):
    loaded(engine, "mtab:1", [BASE, tar([("etc/mtab", tarfile.DIRTYPE, None), ("etc/mtab/own", tarfile.REGTYPE, "own")])])
    p = engine.run("run", "--rm", "mtab:1", "cat", "/etc/mtab/own")
    expect((p.returncode, p.stdout), (0, "own"), p.stderr)


def test_a_history_is_bounded(engine):
    conf = json.loads(config([BASE]))
    conf["history"] = [{"created_by": f"step {n}", "empty_layer": n < 4999} for n in range(5000)]
    loaded(engine, "history:1", [BASE], json.dumps(conf).encode())
    steps = api(engine, "GET", "/images/history:1/history")[1]
    expect((len(steps), steps[0]["CreatedBy"], steps[-1]["CreatedBy"]), (4096, "step 4999", "step 904"))


# ---- control groups


def test_lease_on_a_control_group_stops_no_other(engine):
    """A container that sees its group may take one; the engine's open would wait until it is given back."""
    c = create(engine, Image="busybox", Cmd=["sleep", "100"])
    expect(api(engine, "POST", f"/containers/{c}/start")[0], 204)
    group = group_of(engine, c)[1]
    taken, leased, old = [], True, signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        for name in ("cgroup.kill", "cgroup.freeze", "cgroup.procs", "cgroup.events"):
            taken.append(os.open(os.path.join(group, name), os.O_RDONLY))
            try:
                fcntl.fcntl(taken[-1], fcntl.F_SETLEASE, fcntl.F_RDLCK)
            except OSError:  # Bothy has none on such files
                leased = False
        for action, status in (("pause", 500 if leased else 204), ("kill", 204)):
            expect(api(engine, "POST", f"/containers/{c}/{action}")[0], status, action)
            expect(leases(), len(taken) if leased else 0, f"leases that {action} has not waited for")
        until(lambda: not api(engine, "GET", f"/containers/{c}/json")[1]["State"]["Running"], "the container ends")
    finally:
        for fd in taken:
            os.close(fd)
        signal.signal(signal.SIGIO, old)
    clean(engine)


def read_file(path):
    with open(path, errors="replace") as f:
        return f.read()


def exec_begun(engine, container, command, **more):
    """A connection on which the exec's output comes when it has been started."""
    status, answer = api(engine, "POST", f"/containers/{container}/exec",
                         {"Cmd": command, "AttachStdout": True, "AttachStderr": True, **more})
    expect(status, 201, "exec")
    c = Connection(engine.socket)
    c.request("POST", f"/exec/{answer['Id']}/start", body='{"Detach": false}',
              headers={"Content-Type": "application/json"})
    return c, answer["Id"]


def test_exec_is_no_process_of_the_container_s_before_it_is_inside(engine):
    """With CAP_SYS_PTRACE a container does what it likes with all processes that it sees. One that is frozen at its
    birth shows where it was born."""
    c = create(engine, Image="busybox", Cmd=["sleep", "100"], HostConfig={"CapAdd": ["SYS_PTRACE"]})
    expect(api(engine, "POST", f"/containers/{c}/start")[0], 204)
    pid, group = group_of(engine, c)
    with open(os.path.join(group, "cgroup.freeze"), "w") as f:
        f.write("1")
    asked, x = exec_begun(engine, c, ["readlink", "/proc/self/ns/pid"])
    until(lambda: len(read_file(os.path.join(group, "cgroup.procs")).split()) == 2, "there is one")
    seen = [name for name in os.listdir(f"/proc/{pid}/root/proc") if name.isdigit()]
    with open(os.path.join(group, "cgroup.freeze"), "w") as f:
        f.write("0")
    out = asked.getresponse().read().decode("latin-1")
    expect(seen, ["1"], "processes that the container sees")
    expect_in(os.readlink(f"/proc/{pid}/ns/pid"), out, "output")
    until(lambda: not api(engine, "GET", f"/exec/{x}/json")[1]["Running"], "its end is told")
    expect(api(engine, "GET", f"/exec/{x}/json")[1]["ExitCode"], 0)
    clean(engine)


def test_exec_has_no_more_than_its_program_when_the_container_can_see_it(engine):
    """A lease on the program holds it there, just before it becomes that."""
    shared = os.path.join(engine.tmp, "shared")
    os.mkdir(shared)
    shutil.copy(BUSYBOX, os.path.join(shared, "true"))
    c = create(engine, Image="busybox", Cmd=["sleep", "100"],
               HostConfig={"CapAdd": ["SYS_PTRACE"], "Binds": [shared + ":/shared"]})
    expect(api(engine, "POST", f"/containers/{c}/start")[0], 204)
    pid, group = group_of(engine, c)
    caps = [line for line in read_file(f"/proc/{pid}/status").splitlines() if line.startswith(("Cap", "Seccomp:"))]
    broken, old = [], signal.signal(signal.SIGIO, lambda *_: broken.append(1))
    lease = os.open(os.path.join(shared, "true"), os.O_RDONLY)
    try:
        fcntl.fcntl(lease, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        asked, x = exec_begun(engine, c, ["/shared/true"])
        until(lambda: broken, "it runs its program")
        others = [p for p in read_file(os.path.join(group, "cgroup.procs")).split() if int(p) != pid]
        seen = [name for name in os.listdir(f"/proc/{pid}/root/proc") if name.isdigit()]
        expect(len(seen), 2, "processes that the container sees")
        expect(os.path.samefile(f"/proc/{others[-1]}/root", f"/proc/{pid}/root"), True, "it is inside")
        has = [line for line in read_file(f"/proc/{others[-1]}/status").splitlines()
               if line.startswith(("Cap", "Seccomp:"))]
        expect(has, caps, "rights")
    finally:
        os.close(lease)
        signal.signal(signal.SIGIO, old)
    asked.getresponse().read()
    until(lambda: not api(engine, "GET", f"/exec/{x}/json")[1]["Running"], "its end is told")
    clean(engine)


# ---- the store


def restart(engine, bad=None):
    engine.process.kill()
    engine.process.wait()
    if bad is not None:
        path = os.path.join(engine.root, "images.json")
        os.unlink(path)  # what is kept of it may be this very file
        with open(path, "w") as f:
            f.write(bad)
    engine.start()


def test_store_that_cannot_be_read_costs_no_layer(engine):
    store, layers = os.path.join(engine.root, "images.json"), os.path.join(engine.root, "layers")
    with open(store) as f:
        good = f.read()
    there = sorted(os.listdir(layers))
    for bad in (good[:len(good) // 2], '{"Images":1}', ""):
        for later in (bad, "later"):
            restart(engine, later)
            expect(api(engine, "GET", "/images/json")[1], [], "images")
            expect(sorted(os.listdir(layers)), there, "layers")
            with open(store + ".bad") as f:
                expect(f.read(), bad, "what is kept")
        os.unlink(store + ".bad")
    restart(engine, good)
    expect(engine.run("run", "--rm", "busybox", "echo", "fine").stdout, "fine\n")


def test_image_that_was_left_out_keeps_its_layers(engine):
    """Also when the list has been written without it, and when a load knows nothing of them."""
    top = tar([("left-out", tarfile.REGTYPE, "whole")])
    archive = docker_archive("leftout:1", [BASE, top])
    expect(engine.load(archive).returncode, 0)
    layers, store = os.path.join(engine.root, "layers"), os.path.join(engine.root, "images.json")
    with open(store) as f:
        good = f.read()
    there = sorted(os.listdir(layers))
    mine = next(os.path.join(layers, d) for d in there if os.path.exists(os.path.join(layers, d, "left-out")))
    image = api(engine, "GET", "/images/leftout:1/json")[1]["Id"][7:]
    os.unlink(os.path.join(engine.root, "images", image + ".json"))
    restart(engine)
    expect(api(engine, "GET", "/images/leftout:1/json")[0], 404)
    expect(api(engine, "POST", "/images/busybox/tag?repo=rewritten&tag=1")[0], 201)
    loaded(engine, "other:1", [BASE])
    restart(engine)
    expect(sorted(os.listdir(layers)), there, "layers")
    with open(store + ".bad") as f:
        expect(f.read(), good, "what is kept")
    # what stands there may be torn: a load takes its own
    os.unlink(os.path.join(mine, "left-out"))
    expect(engine.load(archive).returncode, 0)
    expect(engine.run("run", "--rm", "leftout:1", "cat", "/left-out").stdout, "whole")
    os.unlink(store + ".bad")
    restart(engine)
    expect(engine.run("run", "--rm", "leftout:1", "cat", "/left-out").stdout, "whole")


def worker_run(engine, text, *role):
    return subprocess.run([engine.process.args[0], "--worker", str(os.getpid()), *role], input=text, stdout=subprocess.PIPE)


def test_list_of_layers_that_is_cut_is_no_archive(engine):
    """The worker is given part of the list that comes before one, or something else in its place."""
    line, archive = b"a" * 64 + b"\n", docker_archive("cut:1", [BASE])
    for text in (b"", line, line + b"a" * 10, archive, line + archive, b"x" * 64 + b"\n\n" + archive):
        p = worker_run(engine, text, "load", engine.path("nowhere"), "0")
        expect((p.returncode, text[:10]), (1, text[:10]))
        if b"Protocol error" not in p.stdout and b"Argument list too long" not in p.stdout:
            raise AssertionError(f"{text[:70]!r}: {p.stdout!r}")


def test_packers_share_no_directory(engine):
    """Each sets the owner and mode of its image's root on one; an agent that is not there yet holds them there."""
    agent = engine.path("agent")
    layer = next(n for n in os.listdir(os.path.join(engine.root, "layers"))
                 if any("busybox" in files for _, _, files in os.walk(os.path.join(engine.root, "layers", n))))
    os.mkfifo(agent)
    packers = []
    for name in ("one", "two"):
        p = subprocess.Popen([engine.process.args[0], "--worker", str(os.getpid()), "pack", engine.root, agent, engine.path(name)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        p.stdin.write(layer.encode() + b"\n\n")
        p.stdin.close()
        packers.append(p)
    made = [engine.path(name) for name in ("one", "two")]
    try:
        until(lambda: all(os.path.exists(path + ".new") for path in made), "both pack")
        expect([os.path.isdir(path + ".root") for path in made], [True, True], "directories of their own")
    finally:
        hold = os.open(agent, os.O_RDWR)  # both can open it, and it is empty
        status = [p.wait(120) for p in packers]
        os.close(hold)
    expect((status, [os.path.getsize(path) > 10000 for path in made]), ([0, 0], [True, True]), "archives")
    expect([path for path in made if os.path.exists(path + ".root")], [], "directories that are left")


def test_store_is_never_written_in_part(engine):
    """The worker is given half of it, as by an engine that dies."""
    path = engine.path("half.json", b"old")
    name = path.encode()
    whole = struct.pack("<III", len(name), 2, 0) + name + b"{}"
    cases = [(whole[:n], 0, b"", b"old") for n in (0, 1, 11, 12, 20, len(whole) - 1)]
    cases += [(struct.pack("<III", len(name), 1 << 31, 0) + name, 2, b"", b"old"),
              (struct.pack("<III", 0, 2, 0) + b"{}", 2, b"", b"old"), (b"x" * 100, 2, b"", b"old"),
              (whole, 0, bytes(4), b"{}"), (whole + whole[:-1], 0, bytes(4), b"{}")]
    for text, code, said, left in cases:
        p = subprocess.run([engine.process.args[0], "--worker", str(os.getpid()), "store"], input=text,
                           stdout=subprocess.PIPE)
        expect((p.returncode, p.stdout), (code, said), f"status for {text}")
        with open(path, "rb") as f:
            expect(f.read(), left, "the file")


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


def test_large_answers_to_clients_that_do_not_read_are_bounded(engine):
    """Those go that have read nothing for longest; a client that reads gets its answer."""
    loaded(engine, "large:1", [BASE], config([BASE], Env=["A=" + "x" * (2 << 20)]))
    before, clients = rss(engine), []
    for _ in range(60):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(120)
        s.connect(engine.socket)
        s.sendall(b"GET /images/large:1/json HTTP/1.1\r\nHost: x\r\n\r\n")
        expect(s.recv(8), b"HTTP/1.1", "an answer begins")
        clients.append(s)
    grown = rss(engine) - before
    if grown > 80000:
        raise AssertionError(f"unread answers cost {grown} KiB")
    expect(len(api(engine, "GET", "/images/large:1/json")[1]["Config"]["Env"][0]), (2 << 20) + 2, "another's answer")
    whole = []
    for s in clients[0], clients[-1]:
        s.shutdown(socket.SHUT_WR)
        whole.append(sum(map(len, iter(lambda: s.recv(1 << 20), b""))) > 2 << 20)
    expect(whole, [False, True], "the first client's answer, and the last one's, are whole")
    for s in clients:
        s.close()
    expect(engine.run("rmi", "large:1").returncode, 0)


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
    s.settimeout(120)
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


def workers_of(engine, role):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if words[1:4] == [b"--worker", str(engine.process.pid).encode(), role.encode()]:
            found.append(int(pid))
    return found


def worker_of(engine, role):
    return next(iter(workers_of(engine, role)), None)


def test_load_that_fails_before_its_body_is_whole_is_answered_once(engine):
    """Its answer waits for the removal of a layer that it alone still holds."""
    loaded(engine, "held:1", [BASE, tar([(f"f{i}", tarfile.REGTYPE, "x") for i in range(3000)])])
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(120)
    s.connect(engine.socket)
    s.sendall(b"POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + bytes(10000))
    until(lambda: worker_of(engine, "load"), "a worker")
    expect(api(engine, "DELETE", "/images/held:1")[0], 200)
    os.kill(worker_of(engine, "load"), signal.SIGKILL)
    until(lambda: worker_of(engine, "remove"), "the removal of the layer")
    remover = worker_of(engine, "remove")
    os.kill(remover, signal.SIGSTOP)
    s.sendall(bytes(10000) + b"GET /_ping HTTP/1.1\r\nConnection: close\r\n\r\n")
    quick(engine, 5, "the body has been read")
    os.kill(remover, signal.SIGCONT)
    data = b""
    while piece := s.recv(65536):
        data += piece
    expect((data[:12], b"the archive could not be read" in data, b"HTTP/1.1 404" in data), (b"HTTP/1.1 200", True, False))
    quick(engine, 5, "after it")


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
    begun = processor(engine)
    c = create(engine, Image="vars:1", Env=["OTHER%d=1" % i for i in range(many)] + ["NAME7=x", "NAME8"],
               Labels={"l%d" % i: "" for i in range(many)})
    shown = set(api(engine, "GET", f"/containers/{c}/json")[1]["Config"]["Env"])
    expect((len(shown), "NAME7=x" in shown, "NAME7=1" in shown, "NAME8=1" in shown),
           (2 * many, True, False, False), "variables")
    filters = json.dumps({"label": ["l%d" % (many - 1 - i) for i in range(64)]}, separators=(",", ":"))
    status, found = api(engine, "GET", "/containers/json?all=1&filters=" + filters)
    expect((status, len(found)), (200, 1), "list")
    took = processor(engine) - begun
    if took > 10:
        raise AssertionError(f"the engine ran for {took:.1f} s")
    clean(engine)


# ---- containers


def test_top_of_many_long_processes_stalls_no_one(engine):
    script = "i=0; while [ $i -lt 300 ]; do sleep 1000 $(printf '%060000d' 0) & i=$((i+1)); done; echo up; wait"
    engine.run("run", "-d", "--name", "top", "busybox", "sh", "-c", script)
    until(lambda: "up" in engine.run("logs", "top").stdout, "its processes")
    before = rss(engine)
    until(lambda: len(api(engine, "GET", "/containers/top/top")[1]["Processes"]) == 301, "all of them")
    answer = api(engine, "GET", "/containers/top/top")[1]
    expect(max(len(p[-1]) for p in answer["Processes"]), 4096, "what is shown of an argument list")
    if rss(engine) - before > 12000:
        raise AssertionError(f"it cost {rss(engine) - before} KiB")
    clean(engine)


def test_restarted_container_is_not_killed_with_its_old_groups(engine):
    """Groups below its own, which a worker removes while the container runs again."""
    script = "mkdir -p /sys/fs/cgroup/a/b; echo up; exec sleep 1000"
    engine.run("run", "-d", "--privileged", "--name", "again", "busybox", "sh", "-c", script)
    until(lambda: engine.run("logs", "again").stdout == "up\n", "its groups")
    bothy = os.path.join(engine.group, "bothy")
    for n in range(2, 6):
        old = [d for d in os.listdir(bothy) if os.path.isdir(os.path.join(bothy, d, "a"))]
        expect(api(engine, "POST", "/containers/again/restart?t=0")[0], 204)
        pid = api(engine, "GET", "/containers/again/json")[1]["State"]["Pid"]
        until(lambda: engine.run("logs", "again").stdout == "up\n" * n, "it runs again")
        until(lambda: not any(os.path.exists(os.path.join(bothy, d)) for d in old), "old groups go")
        state = api(engine, "GET", "/containers/again/json")[1]["State"]
        expect((state["Status"], state["Pid"]), ("running", pid), "state")
    clean(engine)
    until(lambda: engine.idle() == [], f"nothing is left: {engine.idle()}")


# ---- logs


def log_bytes(engine, c, query="", streams=("stdout", "stderr")):
    c = Connection(engine.socket, timeout=120), f"/containers/{c}/logs?" + "".join(f"{s}=1&" for s in streams) + query
    c[0].request("GET", c[1])
    data, text = c[0].getresponse().read(), b""
    while data:
        size = int.from_bytes(data[4:8], "big")
        text, data = text + data[8:8 + size], data[8 + size:]
    return text


def log_of(engine, c, query="", streams=("stdout", "stderr")):
    return log_bytes(engine, c, query, streams).decode()


def test_log_keeps_every_byte(engine):
    every = bytes(range(256))
    octal = "".join("\\%03o" % b for b in every)
    long = "\u20ac" * 6667  # is split, and within a character
    for script, want in ((f"printf '{octal}{octal}\\n'", every * 2 + b"\n"),
                         ("printf '%06667d' 0 | sed 's/0/\u20ac/g'; echo", long.encode() + b"\n")):
        c = create(engine, Image="busybox", Cmd=["sh", "-c", script])
        expect(api(engine, "POST", f"/containers/{c}/start")[0], 204)
        api(engine, "POST", f"/containers/{c}/wait")
        for query in ("", "tail=3"):
            expect(log_bytes(engine, c, query), want, query)
        expect(log_bytes(engine, c, "", ["stderr"]), b"")
    clean(engine)


def test_log_on_a_full_disk_keeps_whole_lines(engine):
    lines = "".join(f"{n:0999d}\n" for n in range(40)).encode()
    loaded(engine, "lines:1", [BASE, tar([("lines", tarfile.REGTYPE, lines)])])
    disk = os.path.join(engine.tmp, "disk")
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "disk", disk], check=True)
    try:
        c = create(engine, Image="lines:1", Cmd=["cat", "/lines"])
        os.symlink(os.path.join(disk, "log"), os.path.join(engine.root, "containers", c, "log"))
        expect(api(engine, "POST", f"/containers/{c}/start")[0], 204)
        api(engine, "POST", f"/containers/{c}/wait")
        expect(log_bytes(engine, c), lines[:15000])
        clean(engine)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_last_lines_of_a_log(engine):
    script = "i=0; while [ $i -lt 5000 ]; do echo out $i; [ $((i%10)) = 7 ] && echo err $i >&2; i=$((i+1)); done"
    for size in ("10m", "128k"):  # in one file, over a rotation
        engine.run("run", "-d", "--name", "tail", "--log-opt", "max-size=" + size, "busybox", "sh", "-c", script)
        expect(engine.run("wait", "tail").stdout, "0\n")
        for streams in (("stdout",), ("stderr",), ("stdout", "stderr")):
            every = log_of(engine, "tail", "", streams).splitlines(keepends=True)
            for n in (0, 1, 2, 40, 1000, len(every) - 1, len(every), len(every) + 5):
                expect(log_of(engine, "tail", f"tail={n}", streams), "".join(every[max(0, len(every) - n):] if n else []),
                       f"{n} of {streams}, {size}")
        clean(engine)
    c = create(engine, Image="busybox")
    expect(log_of(engine, c, "tail=3"), "")
    expect(api(engine, "GET", f"/containers/{c}/logs?stdout=1&since=x")[0], 400)
    clean(engine)


def test_large_log_stalls_no_one(engine):
    """While the engine stands still one client asks for what must be looked for, then another for a ping."""
    engine.run("run", "-d", "--name", "big", "--log-opt", "max-size=300m", "busybox", "sh", "-c",
               "yes | head -c 1600000; echo last; echo end >&2")
    expect(engine.run("wait", "big", timeout=120).stdout, "0\n")
    for query in ("stdout=1&since=4000000000", "stderr=1", "stderr=1&tail=1", "stdout=1&tail=700000&until=1"):
        os.kill(engine.process.pid, signal.SIGSTOP)
        first, second = Connection(engine.socket, timeout=120), Connection(engine.socket, timeout=120)
        first.request("GET", "/containers/big/logs?" + query)
        second.request("GET", "/_ping")
        os.kill(engine.process.pid, signal.SIGCONT)
        expect(second.getresponse().read(), b"OK", query)
        first.sock.setblocking(False)
        try:
            early = first.sock.recv(1 << 20)
        except BlockingIOError:
            early = b""
        if b"\r\n0\r\n" in early:
            raise AssertionError(f"{query}: all of the log was read before the other client's turn")
        first.close()
    expect(log_of(engine, "big", "tail=1", ["stdout"]) + log_of(engine, "big", "tail=1", ["stderr"]), "last\nend\n")
    clean(engine)


def test_lines_of_output_are_written_together(engine):
    def writes():
        with open(f"/proc/{engine.process.pid}/io") as f:
            return int(f.read().split("syscw: ")[1].split()[0])
    c = create(engine, Image="busybox", Cmd=["sh", "-c", "yes '' | head -c 200000"])
    before = writes()
    expect(api(engine, "POST", f"/containers/{c}/start")[0], 204)
    api(engine, "POST", f"/containers/{c}/wait")
    if writes() - before > 3000:
        raise AssertionError(f"{writes() - before} writes for 200000 lines")
    expect(log_of(engine, c, "tail=2"), "\n\n")
    clean(engine)


def test_name_that_is_another_s_id(engine):
    first = create(engine, Image="busybox")
    expect(api(engine, "POST", "/containers/create?name=" + first, {"Image": "busybox", "Cmd": ["x"]})[0], 201)
    expect(api(engine, "GET", f"/containers/{first}/json")[1]["Id"], first)
    clean(engine)


def test_limits_that_were_changed_are_shown(engine):
    c = create(engine, Image="busybox", HostConfig={"Memory": 64 << 20, "CpuShares": 512})
    change = {"Memory": 128 << 20, "MemoryReservation": 32 << 20, "CpusetCpus": "0", "CpuShares": 100}
    expect(api(engine, "POST", f"/containers/{c}/update", change)[0], 200)
    for bad in ({"MemoryReservation": 256 << 20}, {"CpusetCpus": "9999"}, {"CpusetMems": "x"}, {"CpusetCpus": "1" * 300}):
        expect(api(engine, "POST", f"/containers/{c}/update", bad)[0], 400, str(bad))
    host = api(engine, "GET", f"/containers/{c}/json")[1]["HostConfig"]
    expect({k: host[k] for k in change}, change, "limits")
    clean(engine)


if __name__ == "__main__":
    main(sys.modules[__name__])
