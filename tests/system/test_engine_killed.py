#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The engine is killed in the midst of anything, and the next one finds all again: containers that run, with their
streams, logs, ends and policies; objects, whether they run or not. So is the keeper, with which containers end."""
import http.client
import os
import random
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import Engine, docker_archive, expect, expect_in, main, tar, until
from http_unix import Connection, request

SEED = int(os.environ.get("SEED", "1"))


def api(engine, method, url, body=None):
    return request(engine.socket, method, url, body)


def create(engine, name, command, **more):
    host = more.pop("HostConfig", {})
    status, body = api(engine, "POST", "/containers/create?name=" + name,
                       {"Image": "busybox", "Cmd": command, "HostConfig": host, **more})
    expect(status, 201, f"create: {body}")
    return body["Id"]


def started(engine, name, command, **more):
    cid = create(engine, name, command, **more)
    expect(api(engine, "POST", f"/containers/{name}/start")[0], 204, "start")
    return cid


def inspect(engine, name):
    status, body = api(engine, "GET", f"/containers/{name}/json")
    expect(status, 200, f"inspect {name}")
    return body


def state(engine, name):
    return inspect(engine, name)["State"]


def logs(engine, name):
    p = engine.run("logs", name)
    expect(p.returncode, 0, f"logs {name}: {p.stderr!r}: status")
    return p.stdout


def remove(engine, *names):
    for name in names:
        expect(api(engine, "DELETE", f"/containers/{name}?force=1&v=1")[0], 204, f"rm {name}")


def keeper(engine):
    """The number of the process that keeps this engine's containers."""
    mark = os.path.realpath(engine.root)
    for pid in os.listdir("/proc"):
        try:
            if pid.isdigit() and open(f"/proc/{pid}/comm").read() == "keeper\n":
                os.readlink(f"/proc/{pid}/exe")  # which one that waits to be reaped has no more
                # it listens on a socket that the kernel names after the engine's root, which is its parent's
                if int(pid) in KEEPERS.setdefault(mark, []) or parent(pid) == engine.process.pid:
                    KEEPERS[mark].append(int(pid))
                    return int(pid)
        except OSError:
            pass
    raise AssertionError("there is no keeper")


KEEPERS = {}


def parent(pid):
    return int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])


# ---- containers that run


def test_running_container_is_the_same_one(engine):
    started(engine, "same", ["sh", "-c", "echo before; while :; do sleep 0.05; done"])
    before = inspect(engine, "same")
    engine.again()
    expect(inspect(engine, "same"), before, "inspect")
    expect(engine.run("exec", "same", "echo", "inside").stdout, "inside\n")
    until(lambda: logs(engine, "same") == "before\n", "what it says is logged once")
    expect(api(engine, "POST", "/containers/same/stop?t=0")[0], 204)
    expect(state(engine, "same")["ExitCode"], 137)
    remove(engine, "same")


def test_what_has_never_run_and_what_has_ended_are_there(engine):
    create(engine, "fresh", ["true"], Labels={"a": "b"}, HostConfig={"Memory": 64 << 20, "CapAdd": ["NET_ADMIN"]})
    started(engine, "ended", ["sh", "-c", "echo last words; exit 9"])
    expect(api(engine, "POST", "/containers/ended/wait")[1], {"StatusCode": 9})
    expect(api(engine, "POST", "/containers/ended/rename?name=renamed")[0], 204)
    before = inspect(engine, "fresh"), inspect(engine, "renamed")
    engine.again()
    expect((inspect(engine, "fresh"), inspect(engine, "renamed")), before, "inspect")
    expect(logs(engine, "renamed"), "last words\n")
    expect(api(engine, "GET", "/containers/ended/json")[0], 404)
    expect(engine.run("start", "-a", "fresh").returncode, 0)
    remove(engine, "fresh", "renamed")


def test_end_without_an_engine_is_told_by_the_next(engine):
    started(engine, "meanwhile", ["sh", "-c", "echo x; sleep 0.3; echo y; exit 7"])
    engine.kill()
    time.sleep(0.8)
    engine.start()
    expect(api(engine, "POST", "/containers/meanwhile/wait"), (200, {"StatusCode": 7}))
    s = state(engine, "meanwhile")
    expect((s["Status"], s["ExitCode"], s["Running"]), ("exited", 7, False))
    expect(logs(engine, "meanwhile"), "x\ny\n")
    engine.again()  # now it is written down, and the keeper has forgotten it
    expect(state(engine, "meanwhile"), s, "state")
    remove(engine, "meanwhile")


def test_end_that_could_not_be_written_is_not_forgotten(engine):
    """The disk takes nothing when it ends, then the engine dies; and where it lives it writes later."""
    for name, dies in (("unwritten", True), ("late", False)):
        started(engine, name, ["sh", "-c", "until [ -e /go ]; do sleep 0.05; done; exit 7"])
        home = os.path.join(engine.root, "containers", inspect(engine, name)["Id"])
        fresh = os.path.join(home, "container.json.new")
        os.mkdir(fresh)
        engine.run("exec", name, "touch", "/go")
        expect(api(engine, "POST", f"/containers/{name}/wait"), (200, {"StatusCode": 7}))
        if dies:
            engine.kill()
        os.rmdir(fresh)
        if dies:
            engine.start()
        until(lambda: '"ExitCode":7' in open(os.path.join(home, "container.json")).read(), "it is written")
        expect((state(engine, name)["Status"], state(engine, name)["ExitCode"]), ("exited", 7))
        remove(engine, name)


def test_signal_that_ended_it_is_told(engine):
    started(engine, "hit", ["sleep", "100"])
    pid = state(engine, "hit")["Pid"]
    engine.kill()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{pid}"), "the keeper knows that it has ended")
    engine.start()
    expect(state(engine, "hit")["ExitCode"], 137)
    remove(engine, "hit")


def test_waiter_that_comes_back_is_answered(engine):
    started(engine, "waited", ["sh", "-c", "sleep 1; exit 3"])
    first = Connection(engine.socket)
    first.request("POST", "/containers/waited/wait")
    engine.again()
    expect(api(engine, "POST", "/containers/waited/wait"), (200, {"StatusCode": 3}))
    first.close()
    remove(engine, "waited")


def test_writer_waits_and_loses_nothing(engine):
    """Far more than a pipe holds, while there is no engine to read it."""
    started(engine, "much", ["sh", "-c", "sleep 0.2; seq 1 20000; echo end >&2"])
    engine.kill()
    time.sleep(0.6)
    engine.start()
    expect(api(engine, "POST", "/containers/much/wait")[1], {"StatusCode": 0})
    p = engine.run("logs", "much")
    expect(p.stdout == "".join(f"{i}\n" for i in range(1, 20001)), True, "every line")
    expect(p.stderr, "end\n")
    remove(engine, "much")


def test_what_an_earlier_run_left_is_logged_by_itself(engine):
    """Both that engine and its keeper ended before it was a line: it has no newline, but a time of its own."""
    cid = create(engine, "left", ["echo", "new"])
    with open(os.path.join(engine.root, "containers", cid, "partial1"), "w") as f:
        f.write("old")
    expect(engine.run("start", "-a", "left").stdout, "new\n")
    stamped = engine.run("logs", "-t", "left").stdout
    expect((logs(engine, "left"), stamped.count("Z ")), ("oldnew\n", 2), stamped)
    remove(engine, "left")


def test_every_line_is_logged_once_however_often_it_dies(engine):
    """Also a line that comes in pieces, and across rotations."""
    rng = random.Random(SEED)
    script = "i=0; while [ $i -lt 4000 ]; do printf 'line '; echo $i; i=$((i+1)); done; printf 'no newline'"
    log = {"LogConfig": {"Type": "json-file", "Config": {"max-size": "64m"}}}
    started(engine, "count", ["sh", "-c", script], HostConfig=log)
    for _ in range(12):
        time.sleep(rng.random() * 0.05)
        engine.again()
    expect(api(engine, "POST", "/containers/count/wait")[1], {"StatusCode": 0})
    want = "".join(f"line {i}\n" for i in range(4000)) + "no newline"
    got = logs(engine, "count")
    if got != want:
        at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
        raise AssertionError(f"differs at {at}: {got[max(at - 40, 0):at + 40]!r}, not {want[max(at - 40, 0):at + 40]!r}")
    remove(engine, "count")


def test_terminal_goes_on(engine):
    started(engine, "term", ["sh"], Tty=True, OpenStdin=True)
    engine.again()
    c = Connection(engine.socket)
    c.request("POST", "/containers/term/attach?stream=1&stdin=1&stdout=1&stderr=1",
              headers={"Connection": "Upgrade", "Upgrade": "tcp"})
    sock = c.sock
    sock.sendall(b"echo $((6*7))\n")
    seen = b""
    while b"42" not in seen:
        seen += sock.recv(4096)
    expect(api(engine, "POST", "/containers/term/resize?h=33&w=99")[0], 200)
    sock.sendall(b"stty size\n")
    while b"33 99" not in seen:
        seen += sock.recv(4096)
    sock.close()
    expect(state(engine, "term")["Running"], True)
    remove(engine, "term")


def test_input_stays_open_for_the_next_client(engine):
    started(engine, "cat", ["cat"], OpenStdin=True)
    engine.again()
    expect(state(engine, "cat")["Running"], True)
    c = Connection(engine.socket)
    c.request("POST", "/containers/cat/attach?stream=1&stdin=1&stdout=1", headers={"Connection": "Upgrade", "Upgrade": "tcp"})
    c.sock.sendall(b"through\n")
    until(lambda: logs(engine, "cat") == "through\n", "what was written comes back")
    c.sock.close()
    remove(engine, "cat")


def test_input_of_a_client_that_goes_with_the_engine_ends(engine):
    create(engine, "once", ["sh", "-c", "cat; echo over"], OpenStdin=True, StdinOnce=True)
    c = Connection(engine.socket)
    c.request("POST", "/containers/once/attach?stream=1&stdin=1&stdout=1", headers={"Connection": "Upgrade", "Upgrade": "tcp"})
    expect(api(engine, "POST", "/containers/once/start")[0], 204)
    c.sock.sendall(b"words\n")
    until(lambda: logs(engine, "once") == "words\n", "the program has read")
    engine.again()
    expect(api(engine, "POST", "/containers/once/wait")[1], {"StatusCode": 0})
    expect(logs(engine, "once"), "words\nover\n")
    remove(engine, "once")


def test_exec_is_found(engine):
    started(engine, "exe", ["sleep", "100"])

    def begun(command):
        status, body = api(engine, "POST", "/containers/exe/exec", {"Cmd": command, "AttachStdout": True})
        expect(status, 201)
        expect(api(engine, "POST", f"/exec/{body['Id']}/start", {"Detach": True})[0], 200)
        return body["Id"]
    ended, runs = begun(["sh", "-c", "exit 5"]), begun(["sh", "-c", "seq 1 100000; sleep 0.3; exit 6"])
    until(lambda: not api(engine, "GET", f"/exec/{ended}/json")[1]["Running"], "the first ends")
    before = api(engine, "GET", f"/exec/{ended}/json")[1]
    engine.again()
    after = api(engine, "GET", f"/exec/{ended}/json")[1]
    expect((after["ExitCode"], after["ProcessConfig"], after["ContainerID"]),
           (5, before["ProcessConfig"], before["ContainerID"]))
    until(lambda: api(engine, "GET", f"/exec/{runs}/json")[1]["ExitCode"] == 6, "the second ends")
    remove(engine, "exe")


def test_paused_container_is_paused(engine):
    started(engine, "frozen", ["sleep", "100"])
    if api(engine, "POST", "/containers/frozen/pause")[0] == 204:
        engine.again()
        expect(state(engine, "frozen")["Status"], "paused")
        expect(api(engine, "POST", "/containers/frozen/unpause")[0], 204)
        expect(state(engine, "frozen")["Status"], "running")
    remove(engine, "frozen")


def test_one_that_removes_itself_is_gone(engine):
    started(engine, "ar", ["sleep", "0.3"], HostConfig={"AutoRemove": True})
    engine.kill()
    time.sleep(0.6)
    engine.start()
    until(lambda: api(engine, "GET", "/containers/ar/json")[0] == 404, "it is removed")
    until(lambda: engine.idle() == [], "nothing is left")


def test_stopped_by_a_client_stays_stopped(engine):
    """The client's stop and the engine's death come together: the policy is not to undo it."""
    for name in ("no-undo1", "no-undo2", "no-undo3"):
        started(engine, name, ["sleep", "100"], HostConfig={"RestartPolicy": {"Name": "unless-stopped"}})
        c = Connection(engine.socket)
        c.request("POST", f"/containers/{name}/kill")
        until(lambda: not os.path.exists(f"/proc/{state(engine, name)['Pid'] or 0}/exe") or
              state(engine, name)["Pid"] == 0, "it is hit")
        engine.again()
        until(lambda: state(engine, name)["Status"] == "exited", f"{name} has ended")
        time.sleep(0.3)
        expect(state(engine, name)["Status"], "exited", name)
        c.close()
        remove(engine, name)


def test_restart_that_was_not_written_down_is_not_made_again(engine):
    """The last engine's file says that the container was about to run again; it has, and has ended well."""
    cid = started(engine, "well", ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"],
                  HostConfig={"RestartPolicy": {"Name": "on-failure"}})
    pid = state(engine, "well")["Pid"]
    engine.kill()
    path = os.path.join(engine.root, "containers", cid, "container.json")
    with open(path) as f:
        text = f.read()
    with open(path, "w") as f:
        f.write(text.replace('"Restarting":false', '"Restarting":true').replace('"Restarting": false',
                                                                                 '"Restarting": true'))
    os.kill(pid, signal.SIGTERM)
    until(lambda: not os.path.exists(f"/proc/{pid}"), "the keeper knows that it has ended")
    engine.start()
    s = inspect(engine, "well")
    expect((s["State"]["Status"], s["State"]["ExitCode"], s["RestartCount"]), ("exited", 0, 0))
    remove(engine, "well")


def test_engine_that_hands_over_leaves_containers(engine):
    started(engine, "handed", ["sleep", "100"])
    before = inspect(engine, "handed")
    engine.process.send_signal(signal.SIGHUP)
    expect(engine.process.wait(120), 0, "status")
    engine.log.close()
    engine.start()
    expect(inspect(engine, "handed"), before)
    remove(engine, "handed")


def test_end_of_the_engine_ends_containers_and_says_so(engine):
    started(engine, "orderly", ["sleep", "100"])
    pid = state(engine, "orderly")["Pid"]
    expect(engine.stop(), 0, "status")
    expect(os.path.exists(f"/proc/{pid}"), False, "the container runs")
    engine.start()
    s = state(engine, "orderly")
    expect((s["Status"], s["ExitCode"]), ("exited", 137))
    remove(engine, "orderly")


# ---- the keeper


def test_containers_end_with_their_keeper(engine):
    started(engine, "kept", ["sh", "-c", "while :; do sleep 0.05; done"])
    started(engine, "again", ["sleep", "100"], HostConfig={"RestartPolicy": {"Name": "always"}})
    pid = state(engine, "kept")["Pid"]
    os.kill(keeper(engine), signal.SIGKILL)
    until(lambda: state(engine, "kept")["Status"] == "exited", "it has ended")
    expect(state(engine, "kept")["ExitCode"], 255)
    until(lambda: not os.path.exists(f"/proc/{pid}/exe"), "its process ends")
    until(lambda: state(engine, "again")["Status"] == "running", "the other runs again")
    expect(engine.run("run", "--rm", "busybox", "echo", "fine").stdout, "fine\n")
    remove(engine, "kept", "again")


def test_program_of_the_keeper_cannot_be_written_when_it_has_ended(engine):
    """A container can hold it: "#!/proc/self/exe" as a program makes the keeper's file that of a process of its own."""
    started(engine, "kept", ["sleep", "100"])
    kept = keeper(engine)
    held = os.open(f"/proc/{kept}/exe", os.O_RDONLY)
    engine.kill()
    os.kill(kept, signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{kept}/exe"), "no process runs it")
    byte = os.pread(held, 1, 0)
    for what, change in (("written", lambda fd: os.pwrite(fd, byte, 0)), ("cut", lambda fd: os.truncate(fd, 1))):
        try:
            fd = os.open(f"/proc/self/fd/{held}", os.O_WRONLY)
            change(fd)
            raise AssertionError(f"the keeper's program can be {what}")
        except PermissionError:
            os.close(fd)
    os.close(held)
    engine.start()
    remove(engine, "kept")


def test_death_of_both_leaves_nothing_running(engine):
    started(engine, "both", ["sleep", "100"])
    pid, kept = state(engine, "both")["Pid"], keeper(engine)
    engine.kill()
    os.kill(kept, signal.SIGKILL)
    engine.start()
    expect(os.path.exists(f"/proc/{pid}/exe"), False, "its process runs")
    s = state(engine, "both")
    expect((s["Status"], s["ExitCode"]), ("exited", 255))
    expect(engine.run("start", "both").returncode, 0)
    remove(engine, "both")


# ---- objects


def test_file_that_is_no_container_is_set_aside(engine):
    cid = create(engine, "spoilt", ["true"])
    path = os.path.join(engine.root, "containers", cid, "container.json")
    good = open(path).read()
    nothing = () if in_memory(engine) else ("",)
    for bad in (*nothing, "{", "[]", good[:len(good) // 2], good.replace(cid, "f" * 64), good.replace('"Format":1', '"Format":2'),
                good.replace('"Mounts":[]', '"Mounts":[{}]'), good.replace('"Cmd":["true"]', '"Cmd":null')):
        expect(bad != good, True, "the file is spoilt")
        engine.kill()
        with open(path, "w") as f:
            f.write(bad)
        engine.start()
        expect(api(engine, "GET", "/containers/spoilt/json")[0], 404, bad[:40])
        aside = os.path.join(engine.root, "aside", cid)
        expect(os.path.getsize(os.path.join(aside, "why")) > 3, True, "why")
        engine.kill()
        os.unlink(os.path.join(aside, "why"))
        os.rename(aside, os.path.dirname(path))
        with open(path, "w") as f:
            f.write(good)
        engine.start()
    expect(engine.run("start", "-a", "spoilt").returncode, 0)
    remove(engine, "spoilt")


def in_memory(engine):
    return subprocess.check_output(["stat", "-f", "-c", "%T", engine.root]) == b"tmpfs\n"


def test_half_made_container_goes(engine):
    half = os.path.join(engine.root, "containers", "e" * 64)
    engine.kill()
    os.makedirs(half + "/upper/deep")
    engine.start()
    until(lambda: engine.idle() == [], "nothing is left")


def test_container_whose_file_in_memory_is_empty_was_never_made(engine):
    mine = Engine("/dev/shm")
    try:
        expect(in_memory(mine), True, "its root is memory")
        expect(mine.load(docker_archive("busybox:latest", [tar([("own", b"0", "data")])])).returncode, 0)
        cid = create(mine, "half", ["true"])
        mine.kill()
        path = os.path.join(mine.root, "containers", cid)
        expect(os.listdir(path).count("container.json.new"), 0, "its file was written at once")
        os.truncate(os.path.join(path, "container.json"), 0)
        mine.start()
        expect(api(mine, "GET", "/containers/half/json")[0], 404, "inspect")
        until(lambda: not os.path.exists(path), "it goes")
        expect(os.path.exists(os.path.join(mine.root, "aside", cid)), False, "set aside")
    finally:
        mine.close()


def test_image_of_a_container_stays_though_removed(engine):
    expect(engine.load(docker_archive("kept:1", [tar([("own", b"0", "data"), ("bin", b"5", None)])])).returncode, 0)
    status, body = api(engine, "POST", "/containers/create?name=orphan", {"Image": "kept:1", "Cmd": ["/none"]})
    expect(status, 201)
    expect(engine.run("rmi", "-f", "kept:1").returncode, 0)
    engine.again()
    expect(api(engine, "GET", "/containers/orphan/json")[0], 200)
    expect([i["RepoTags"] for i in api(engine, "GET", "/images/json?all=1")[1]], [["busybox:latest"]])
    p = engine.run("start", "orphan")
    expect_in("no such file", p.stderr)
    remove(engine, "orphan")
    engine.again()
    expect(len(os.listdir(os.path.join(engine.root, "images"))), 1, "images")


def test_load_that_dies_with_the_engine_leaves_nothing(engine):
    c = Connection(engine.socket)
    c.putrequest("POST", "/images/load")
    c.putheader("Content-Length", "100000000")
    c.endheaders()
    c.send(b"x" * 300000)
    engine.again()
    c.close()
    until(lambda: engine.idle() == [], "nothing is left")
    until(lambda: not [n for n in os.listdir(engine.root) if n.startswith("tmp-")], "the old one's files go")


class Client(threading.Thread):
    """Creates, starts, runs in, stops and removes containers of its own, and remembers what it was answered."""

    def __init__(self, engine, number):
        super().__init__()
        self.engine, self.rng, self.over = engine, random.Random(SEED * 100 + number), False
        self.number, self.known, self.wrong = number, {}, []

    def ask(self, method, url, body=None):
        """(status, body), or None when the engine died over it."""
        try:
            return request(self.engine.socket, method, url, body)
        except (OSError, http.client.HTTPException):
            return None

    def step(self, count):
        name = f"c{self.number}-{count}"
        r = self.ask("POST", "/containers/create?name=" + name, {"Image": "busybox", "Cmd": ["sleep", "1000"]})
        if not r or r[0] != 201:
            time.sleep(0.005)
            return
        self.known[name] = "created"
        actions = ["start", "exec", "kill", "remove"][:self.rng.randrange(5)]
        for action in actions:
            self.known[name] = "doubt " + action
            if action == "start":
                r = self.ask("POST", f"/containers/{name}/start")
                done = "running"
            elif action == "exec":
                r = self.ask("POST", f"/containers/{name}/exec", {"Cmd": ["true"]})
                r = r and self.ask("POST", f"/exec/{r[1].get('Id')}/start", {"Detach": True})
                done = "running"
            elif action == "kill":
                r = self.ask("POST", f"/containers/{name}/kill")
                done = "exited"
            else:
                r = self.ask("DELETE", f"/containers/{name}?force=1")
                done = "gone"
            if not r:
                return
            if r[0] >= 300:
                self.wrong.append(f"{action} {name}: {r}")
                return
            self.known[name] = done

    def run(self):
        count = 0
        while not self.over:
            self.step(count)
            count += 1


def check(engine, name, known):
    status, body = api(engine, "GET", f"/containers/{name}/json")
    found = body["State"]["Status"] if status == 200 else "gone"
    fine = {"doubt start": ("created", "running", "exited"), "doubt exec": ("running",),
            "doubt kill": ("running", "exited"), "doubt remove": ("gone", "exited")}.get(known, (known,))
    if found not in fine:
        raise AssertionError(f"{name} was {known}, and is {found}: {body}")


def test_killed_at_random_it_keeps_what_it_answered(engine):
    rng = random.Random(SEED)
    clients = [Client(engine, i) for i in range(3)]
    for c in clients:
        c.start()
    for _ in range(12):
        time.sleep(0.05 + rng.random() * 0.3)
        engine.again()
    for c in clients:
        c.over = True
    for c in clients:
        c.join()
    expect([w for c in clients for w in c.wrong], [], "answers")
    expect(sum(len(c.known) for c in clients) > 12, True, f"containers: {[c.known for c in clients]}")
    listed = {n[1:] for c in api(engine, "GET", "/containers/json?all=1")[1] for n in c["Names"]}
    for c in clients:
        for name, known in c.known.items():
            check(engine, name, known)
    for name in listed:
        remove(engine, name)
    until(lambda: engine.idle() == [], "nothing is left")


if __name__ == "__main__":
    main(sys.modules[__name__])
