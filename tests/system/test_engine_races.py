#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What several clients do to one container or image at once, and what one client does to others."""
import gzip
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import (USER, Skip, busybox_layer, config, docker_archive, expect, expect_in,
                            main, tar, until)
from http_unix import Connection, request

LOOP = ["sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.02; done"]


def api(engine, method, url, body=None, **kw):
    return request(engine.socket, method, url, body, **kw)


def begin(engine, method, url, body=None):
    """A request whose answer is not waited for: its connection."""
    c = Connection(engine.socket)
    data = None if body is None else json.dumps(body).encode()
    c.request(method, url, body=data)
    return c


def answer(c):
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    return r.status, text


def create(engine, name, command, **host):
    status, body = api(engine, "POST", "/containers/create?name=" + name,
                       {"Image": "busybox", "Cmd": command, "HostConfig": host})
    expect(status, 201, f"create: {body}")
    return body["Id"]


def started(engine, name, command, **host):
    create(engine, name, command, **host)
    expect(api(engine, "POST", f"/containers/{name}/start")[0], 204, "start")


def processes(engine, name):
    return len(api(engine, "GET", f"/containers/{name}/top")[1]["Processes"])


def state(engine, name):
    return api(engine, "GET", f"/containers/{name}/json")[1].get("State", {}).get("Status")


def clean(engine):
    for c in api(engine, "GET", "/containers/json?all=1")[1]:
        api(engine, "DELETE", f"/containers/{c['Id']}?force=1")
    until(lambda: engine.idle() == [], "nothing is left")


# ---- one container, several clients


def test_restart_keeps_a_container_that_removes_itself(engine):
    started(engine, "rs", ["sleep", "100"], AutoRemove=True)
    expect(api(engine, "POST", "/containers/rs/restart?t=0")[0], 204)
    expect(state(engine, "rs"), "running")
    expect(api(engine, "POST", "/containers/rs/kill")[0], 204)
    until(lambda: state(engine, "rs") is None, "it removes itself")
    clean(engine)


def test_restart_beside_removal_ends_in_removal(engine):
    for _ in range(3):
        started(engine, "rr", LOOP)
        restart = begin(engine, "POST", "/containers/rr/restart?t=10")
        remove = begin(engine, "DELETE", "/containers/rr?force=1")
        expect(answer(remove)[0], 204, "rm -f")
        if answer(restart)[0] not in (204, 404, 409):
            raise AssertionError("the restart had no proper answer")
        expect(state(engine, "rr"), None)
    clean(engine)


def test_two_restarts_leave_one_program(engine):
    started(engine, "tr", LOOP)
    first = begin(engine, "POST", "/containers/tr/restart?t=10")
    second = begin(engine, "POST", "/containers/tr/restart?t=10")
    expect((answer(first)[0], answer(second)[0]), (204, 204))
    until(lambda: processes(engine, "tr") <= 2, "one shell and its sleep")
    clean(engine)


def test_restart_whose_start_fails_is_told(engine):
    create(engine, "rf", ["sleep", "100"])
    expect(api(engine, "POST", "/containers/rf/start")[0], 204)
    # the program is gone when it is started again
    expect(engine.run("exec", "rf", "rm", "/bin/sleep").returncode, 0)
    status, body = api(engine, "POST", "/containers/rf/restart?t=0")
    expect(status, 400)
    expect_in("executable file not found", body["message"])
    expect(state(engine, "rf"), "exited")
    clean(engine)


def test_every_client_of_a_failing_start_is_answered(engine):
    for verb, method, url in (("stop", "POST", "stop?t=10"), ("kill", "POST", "kill"),
                              ("rm", "DELETE", "?force=1"), ("kill", "POST", "kill?signal=HUP")):
        create(engine, "fs", ["nosuch"])
        start = begin(engine, "POST", "/containers/fs/start")
        other = begin(engine, method, "/containers/fs" + ("/" if url[0] != "?" else "") + url)
        status, _ = answer(start)
        if status not in (400, 204):
            raise AssertionError(f"start beside {verb}: {status}")
        if answer(other)[0] not in (204, 304, 409):
            raise AssertionError(f"{verb} beside a failing start")
        api(engine, "DELETE", "/containers/fs?force=1")
    clean(engine)


def test_removal_while_an_exec_starts(engine):
    for _ in range(5):
        started(engine, "xs", ["sleep", "100"])
        execs = [api(engine, "POST", "/containers/xs/exec", {"Cmd": ["sleep", "100"]})[1]["Id"]
                 for _ in range(4)]
        starts = [begin(engine, "POST", f"/exec/{x}/start", {"Detach": i % 2 == 0})
                  for i, x in enumerate(execs)]
        expect(api(engine, "DELETE", "/containers/xs?force=1")[0], 204)
        for c in starts:
            c.close()
    clean(engine)


def test_exec_that_ends_the_container(engine):
    started(engine, "xe", LOOP)
    until(lambda: "up" in engine.run("logs", "xe").stdout, "it hears signals")
    p = engine.run("exec", "xe", "kill", "-TERM", "1")
    expect(p.returncode in (0, 137), True, f"status {p.returncode}")
    until(lambda: state(engine, "xe") == "exited", "it ends")
    clean(engine)


def test_stats_client_that_leaves_harms_nobody(engine):
    started(engine, "st", ["sleep", "100"])
    for _ in range(20):
        s = socket.socket(socket.AF_UNIX)
        s.connect(engine.socket)
        s.sendall(b"GET /containers/st/stats HTTP/1.1\r\nHost: x\r\n\r\n")
        s.close()
    stream = begin(engine, "GET", "/containers/st/stats")
    r = stream.getresponse()
    expect_in(b"cpu_stats", r.readline())
    expect(api(engine, "DELETE", "/containers/st?force=1")[0], 204)
    r.read()  # and it ends with the container
    stream.close()
    clean(engine)


def test_clients_that_wait_may_leave(engine):
    started(engine, "wl", LOOP)
    for url in ("stop?t=100&signal=WINCH", "wait", "wait?condition=removed", "restart?t=100&signal=WINCH"):
        c = begin(engine, "POST", "/containers/wl/" + url)
        c.sock.close()
        c.close()
    expect(api(engine, "DELETE", "/containers/wl?force=1")[0], 204)
    clean(engine)


def test_attach_to_what_never_starts_ends_with_it(engine):
    create(engine, "an", ["true"])
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(120)
    s.connect(engine.socket)
    s.sendall(b"POST /containers/an/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\n"
              b"Upgrade: tcp\r\nConnection: Upgrade\r\n\r\n")
    expect_in(b"101", s.recv(4096))
    expect(api(engine, "DELETE", "/containers/an")[0], 204)
    expect(s.recv(4096), b"")
    s.close()
    clean(engine)


def test_paused_container_can_be_removed(engine):
    if not os.path.exists(os.path.join(engine.group, "bothy", "cgroup.freeze")):
        raise Skip("this kernel has no cgroup.freeze")
    started(engine, "pz", LOOP)
    expect(api(engine, "POST", "/containers/pz/pause")[0], 204)
    expect(state(engine, "pz"), "paused")
    expect(api(engine, "POST", "/containers/pz/pause")[0], 409)
    expect(api(engine, "POST", "/containers/pz/unpause")[0], 204)
    expect(api(engine, "POST", "/containers/pz/pause")[0], 204)
    expect(api(engine, "DELETE", "/containers/pz?force=1")[0], 204)
    clean(engine)


# ---- input and output


def test_input_flows_before_the_program_runs(engine):
    data = os.urandom(1 << 20)
    p = subprocess.run([os.path.join(USER, "cli"), "run", "--rm", "-i", "busybox", "sha256sum"],
                       input=data, capture_output=True, env=engine.env, timeout=300)
    import hashlib
    expect(p.stdout.split()[0].decode(), hashlib.sha256(data).hexdigest())
    started(engine, "fl", ["sleep", "100"])
    p = subprocess.run([os.path.join(USER, "cli"), "exec", "-i", "fl", "od", "-v", "-An", "-tx1"],
                       input=data, capture_output=True, env=engine.env, timeout=300)
    expect(bytes.fromhex(p.stdout.decode().replace(" ", "").replace("\n", "")), data)
    clean(engine)


def test_input_of_an_exec_that_cannot_start(engine):
    started(engine, "xi", ["sleep", "100"])
    for _ in range(5):
        p = subprocess.Popen([os.path.join(USER, "cli"), "exec", "-i", "xi", "nosuch"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=engine.env)
        try:
            p.stdin.write(b"a\n" * 50000)
            p.stdin.close()
        except BrokenPipeError:
            pass
        p.stdout.read()
        expect(p.wait(120), 127)
    clean(engine)


def test_exec_whose_descendants_flood_its_pipe_ends(engine):
    started(engine, "ff", ["sleep", "100"])
    expect(api(engine, "POST", "/containers/ff/exec", {"Cmd": ["true"]})[0], 201)
    p = engine.run("exec", "ff", "sh", "-c", "yes & sleep 0.1; exit 4")
    expect(p.returncode, 4)
    expect(api(engine, "GET", "/_ping"), (200, "OK"))
    clean(engine)


def test_client_that_is_not_read_ends(engine):
    cli = os.path.join(USER, "cli")
    p = subprocess.Popen([cli, "run", "--name", "ye", "busybox", "yes"], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, env=engine.env)
    expect(p.stdout.readline(), b"y\n")
    p.stdout.close()
    expect(p.wait(120), -signal.SIGPIPE)
    expect(state(engine, "ye"), "running")
    clean(engine)


def test_client_without_standard_input_ends(engine):
    p = subprocess.run(["sh", "-c", "exec %s run --rm -i busybox wc -c <&-" %
                        os.path.join(USER, "cli")], capture_output=True, text=True, env=engine.env,
                       timeout=120)
    expect((p.returncode, p.stdout), (0, "0\n"))
    clean(engine)


def test_client_whose_reader_writes_first(engine):
    p = subprocess.Popen([os.path.join(USER, "cli"), "run", "--rm", "-i", "busybox", "cat"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=engine.env)
    got = []
    data = b"x" * 4096
    os.set_blocking(p.stdin.fileno(), False)
    sent, quiet = 0, time.monotonic()
    while time.monotonic() - quiet < 0.3:  # until every buffer on the way is full
        try:
            sent += os.write(p.stdin.fileno(), data)
            quiet = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    reader = threading.Thread(target=lambda: got.append(p.stdout.read()))
    reader.start()
    p.stdin.close()
    expect(p.wait(120), 0)
    reader.join()
    expect(len(got[0]), sent)
    clean(engine)


def test_slow_reader_of_logs_gets_every_line_once(engine):
    create(engine, "lg", ["sh", "-c", "i=0; while [ $i -lt 60000 ]; do echo line $i; i=$((i+1)); done"],
           LogConfig={"Type": "json-file", "Config": {"max-size": "8m"}})
    c = begin(engine, "GET", "/containers/lg/logs?stdout=1&follow=1")
    c.close()
    expect(api(engine, "POST", "/containers/lg/start")[0], 204)
    c = Connection(engine.socket, 60)
    c.request("GET", "/containers/lg/logs?stdout=1&follow=1")
    r = c.getresponse()
    expect(api(engine, "POST", "/containers/lg/wait")[1]["StatusCode"], 0)
    expect(api(engine, "DELETE", "/containers/lg")[0], 204)  # the reader lags behind
    text, out = r.read(), b""
    while text:
        n = int.from_bytes(text[4:8], "big")
        out, text = out + text[8:8 + n], text[8 + n:]
    c.close()
    lines = out.decode().splitlines()
    expect(len(lines), 60000, "number of lines")
    expect(lines == ["line %d" % i for i in range(60000)], True, "in order")
    clean(engine)


def test_log_reader_is_not_lost_over_rotations(engine):
    create(engine, "ro", ["sh", "-c", "i=0; while [ $i -lt 12000 ]; do echo line $i; i=$((i+1)); done"],
           LogConfig={"Type": "json-file", "Config": {"max-size": "400k"}})
    expect(api(engine, "POST", "/containers/ro/start")[0], 204)
    c = Connection(engine.socket, 60)
    c.request("GET", "/containers/ro/logs?stdout=1&follow=1")
    text, out = c.getresponse().read(), b""
    while text:
        n = int.from_bytes(text[4:8], "big")
        out, text = out + text[8:8 + n], text[8 + n:]
    c.close()
    numbers = [int(line.split()[1]) for line in out.decode().splitlines()]
    expect(numbers, list(range(numbers[0], 12000)), "each line once, in order, to the last")
    clean(engine)


# ---- images


def test_load_beside_removal_of_a_shared_layer(engine):
    base = busybox_layer()
    one = docker_archive("sh:1", [base, tar([("one", tarfile.REGTYPE, "1")])])
    two = docker_archive("sh:2", [base, tar([("two", tarfile.REGTYPE, "2")])])
    for _ in range(3):
        expect(engine.load(one).returncode, 0)
        c = Connection(engine.socket)
        c.putrequest("POST", "/images/load")
        c.putheader("Content-Length", str(len(two)))
        c.endheaders()
        c.send(two[:-10000])  # the load has begun
        expect(api(engine, "DELETE", "/images/sh:1")[0], 200)
        expect(api(engine, "DELETE", "/images/busybox:latest")[0], 200)
        c.send(two[-10000:])
        status, text = answer(c)
        expect_in("Loaded image: sh:2", text)
        p = engine.run("run", "--rm", "sh:2", "cat", "/two")
        expect((p.returncode, p.stdout), (0, "2"), p.stderr)
        expect(engine.load(docker_archive("busybox:latest", [base])).returncode, 0)
        expect(api(engine, "DELETE", "/images/sh:2")[0], 200)
    clean(engine)


def workers(engine):
    """Those that come and go: not the keeper, nor the store's worker."""
    with open(f"/proc/{engine.process.pid}/task/{engine.process.pid}/children") as f:
        return [pid for pid in f.read().split() if not stays(pid)]


def stays(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            words = f.read().split(b"\0")
    except OSError:
        return True
    return words[0] == b"keeper" or words[1:2] == [b"--worker"] and b"store" in words


def test_load_ends_with_its_client(engine):
    c = Connection(engine.socket)
    c.putrequest("POST", "/images/load")
    c.putheader("Content-Length", "100000000")
    c.endheaders()
    c.send(b"x" * 200000)
    until(lambda: workers(engine), "a worker")
    c.sock.close()
    c.close()
    until(lambda: workers(engine) == [], "the worker ends")
    clean(engine)


def link_of(path):
    """Where it leads; "" when it has gone meanwhile."""
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""


def test_load_holds_nothing_of_the_engine(engine):
    c = Connection(engine.socket)
    c.putrequest("POST", "/images/load")
    c.putheader("Content-Length", "100000000")
    c.endheaders()
    c.send(b"x" * 200000)
    until(lambda: workers(engine), "a worker")
    worker = workers(engine)[0]
    until(lambda: os.readlink(f"/proc/{worker}/exe") and
          b"--worker" in open(f"/proc/{worker}/cmdline", "rb").read(), "a program of its own")
    held = {int(n): link_of(f"/proc/{worker}/fd/{n}") for n in os.listdir(f"/proc/{worker}/fd")}
    expect([n for n in held if n > 2 and "socket" in held[n]], [])
    # a run beside it ends, though the load goes on
    expect(engine.run("run", "--rm", "busybox", "echo", "fine").stdout, "fine\n")
    c.close()
    until(lambda: workers(engine) == [], "the worker ends")
    clean(engine)


def zeros_layer(size):
    """A layer with one file of zeros, packed."""
    class Zeros:
        left = size

        def read(self, n=-1):
            n = min(n, self.left)
            self.left -= n
            return bytes(n)
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1, mtime=0) as z:
        with tarfile.open(fileobj=z, mode="w|") as t:
            info = tarfile.TarInfo("zeros")
            info.size = size
            t.addfile(info, Zeros())
    return out.getvalue()


def test_many_labels_cost_once(engine):
    labels = {"key%d" % i: "v" * 70 for i in range(40000)}
    layer = busybox_layer()
    conf = config([layer], Labels=labels)
    expect(engine.load(docker_archive("lab:1", [layer], conf=conf)).returncode, 0)

    def resident():
        with open(f"/proc/{engine.process.pid}/status") as f:
            return int(f.read().split("VmRSS:")[1].split()[0])
    api(engine, "POST", "/containers/create", {"Image": "lab:1", "Cmd": ["true"]})
    before = resident()
    for _ in range(10):
        expect(api(engine, "POST", "/containers/create", {"Image": "lab:1", "Cmd": ["true"]})[0], 201)
    grown = resident() - before
    if grown > 6000:
        raise AssertionError(f"ten containers cost {grown} KiB")
    c = api(engine, "GET", "/containers/json?all=1&limit=1")[1][0]
    expect(c["Labels"]["key0"], "v" * 70)
    c = api(engine, "GET", f"/containers/{c['Id']}/json")[1]
    expect(c["Config"]["Labels"]["key39999"], "v" * 70)
    clean(engine)
    expect(api(engine, "DELETE", "/images/lab:1")[0], 200)


# ---- the engine itself


def test_fifo_as_passwd_is_an_error(engine):
    layer = busybox_layer()
    fifo = tar([("etc", tarfile.DIRTYPE, None), ("etc/.wh.passwd", tarfile.REGTYPE, "")])
    pipe = tar([("etc", tarfile.DIRTYPE, None), ("etc/passwd", tarfile.FIFOTYPE, None)])
    expect(engine.load(docker_archive("fifo:1", [layer, fifo, pipe])).returncode, 0)
    p = engine.run("run", "--rm", "-u", "app", "fifo:1", "true", timeout=120)
    expect(p.returncode in (125, 126, 127), True, f"status {p.returncode}: {p.stderr}")
    clean(engine)
    expect(api(engine, "DELETE", "/images/fifo:1")[0], 200)


def test_events_end_at_a_time_to_come(engine):
    began = time.monotonic()
    status, text = api(engine, "GET", f"/events?until={time.time() + 0.3:.3f}")
    expect(status, 200)
    expect(0.2 < time.monotonic() - began < 60, True, "it waits for the time")
    expect(api(engine, "GET", "/events?until=nonsense")[0], 400)


def test_event_filters(engine):
    since = f"{time.time():.6f}"
    started(engine, "ev", ["true"])
    api(engine, "POST", "/containers/ev/wait")
    api(engine, "DELETE", "/containers/ev")
    until_ = f"{time.time():.6f}"

    def actions(**filters):
        text = json.dumps({k: [v] for k, v in filters.items()})
        _, lines = api(engine, "GET", f"/events?since={since}&until={until_}&filters="
                       + text.replace(" ", "").replace('"', "%22"))
        return [json.loads(x)["Action"] for x in
                (lines if isinstance(lines, str) else json.dumps(lines)).splitlines()]
    expect(actions(type="container"), ["create", "start", "die", "destroy"])
    expect(actions(event="die"), ["die"])
    expect(actions(image="busybox", event="start"), ["start"])
    expect(actions(type="network"), [])
    expect(actions(container="other"), [])
    expect(actions(label="nosuch"), [])
    expect(api(engine, "GET", "/events?filters={%22nosuch%22:[%22x%22]}")[0], 400)


def test_out_of_descriptors_is_quiet_and_passes(engine):
    import resource
    old = resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{engine.process.pid}/fd"))
    resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE, (used + 4, old[1]))
    clients = []
    for _ in range(30):
        s = socket.socket(socket.AF_UNIX)
        s.connect(engine.socket)
        clients.append(s)
    size = os.path.getsize(os.path.join(engine.tmp, "log"))
    with open(f"/proc/{engine.process.pid}/stat") as f:
        ticks = int(f.read().split()[13])
    time.sleep(0.5)
    with open(f"/proc/{engine.process.pid}/stat") as f:
        expect(int(f.read().split()[13]) - ticks < 25, True, "it does not spin")
    grown = os.path.getsize(os.path.join(engine.tmp, "log")) - size
    expect(grown < 1000, True, f"it logs {grown} bytes")
    for s in clients:
        s.close()
    resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE, old)
    expect(api(engine, "GET", "/_ping"), (200, "OK"))


def test_trailers_are_bounded(engine):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(120)
    s.connect(engine.socket)
    try:
        s.sendall(b"POST /containers/prune HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                  b"0\r\n" + b"A: b\r\n" * 100000)
    except (BrokenPipeError, ConnectionResetError):
        pass
    expect_in(b"HTTP/1.1 400", s.recv(4096))
    s.close()
    expect(api(engine, "GET", "/_ping"), (200, "OK"))


def test_refused_request_makes_no_directory(engine):
    path = os.path.join(engine.tmp, "made")
    status, _ = api(engine, "POST", "/containers/create",
                    {"Image": "busybox", "Cmd": ["true"],
                     "HostConfig": {"Binds": [path + ":/x", "bad spec"]}})
    expect(status, 400)
    expect(os.path.exists(path), False)


def test_update_is_judged_whole(engine):
    started(engine, "up", ["sleep", "100"])
    for body in ({"Memory": -5}, {"Memory": 1}, {"NanoCpus": -1}, {"NanoCpus": 1 << 62},
                 {"CpuPeriod": 5}, {"Memory": 1 << 25, "CpuShares": -1}, {"MemorySwap": 1 << 25},
                 {"RestartPolicy": {"Name": "sometimes"}}, {"Memory": "much"}, {"NanoCpus": [1]}):
        expect(api(engine, "POST", "/containers/up/update", body)[0], 400, f"{body}")
    info = api(engine, "GET", "/containers/up/json")[1]["HostConfig"]
    expect((info.get("Memory") or 0, info.get("CpuShares") or 0), (0, 0))
    clean(engine)


def test_execs_that_nobody_starts_are_bounded(engine):
    started(engine, "xb", ["sleep", "100"])
    first = api(engine, "POST", "/containers/xb/exec", {"Cmd": ["true"]})[1]["Id"]
    for _ in range(1100):
        last = api(engine, "POST", "/containers/xb/exec", {"Cmd": ["true"]})[1]["Id"]
    expect(api(engine, "GET", f"/exec/{first}/json")[0], 404)
    expect(api(engine, "GET", f"/exec/{last}/json")[0], 200)
    clean(engine)


def test_odd_values_have_docker_s_answers(engine):
    started(engine, "od", ["sleep", "100"])
    expect(api(engine, "POST", "/containers/od/exec", {"Cmd": [1]})[0], 400)
    expect(api(engine, "POST", "/containers/od/exec", {"Cmd": "true"})[0], 400)
    expect(api(engine, "POST", "/containers/od/rename?name=--")[0], 400)
    expect(api(engine, "POST", "/containers/od/kill?signal=0")[0], 400)
    stop = begin(engine, "POST", "/containers/od/stop?t=99999999999&signal=WINCH")
    time.sleep(0.2)
    expect(state(engine, "od"), "running")
    expect(api(engine, "POST", "/containers/od/kill")[0], 204)
    expect(answer(stop)[0], 204)
    p = engine.run("run", "--rm", "-e", "TERM=vt100", "busybox", "sh", "-c", "echo $TERM")
    expect(p.stdout, "vt100\n")
    p = engine.run("run", "--rm", "--cap-drop", "CHOWN", "--cap-add", "CHOWN", "busybox", "chown",
                   "1", "/tmp")
    expect(p.returncode, 0, p.stderr)
    clean(engine)


def test_control_groups_below_a_container_go_with_it(engine):
    started(engine, "cg", ["sleep", "100"], Privileged=True)
    group = [d for d in os.listdir(os.path.join(engine.group, "bothy")) if len(d) == 64][0]
    at = os.path.join(engine.group, "bothy", group)
    for i in range(20):
        at = os.path.join(at, "deep")
        os.mkdir(at)
        os.mkdir(os.path.join(os.path.dirname(at), "wide%d" % i))
    expect(api(engine, "DELETE", "/containers/cg?force=1")[0], 204)
    clean(engine)


if __name__ == "__main__":
    main(sys.modules[__name__])
