#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients that others wrote, over TCP: Debian's docker, docker-py, dockerode, testcontainers, skopeo, Ansible, docker-compose.

Each runs a small honest scenario of its own and prints what it saw. One that is not installed and cannot be had says so.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from debian_image import PACKAGES, unpacked
from engine_fixture import busybox_layer, config, docker_archive, expect, expect_in, main
from suite import Skip, Terminal, free_port, until

PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's modules
NPM = ["dockerode@4", "testcontainers@10"]


PORT = free_port()
URL = f"tcp://127.0.0.1:{PORT}"


def run(command, text="", **env):
    """What it prints; its failure is ours."""
    p = subprocess.run(command, input=text, capture_output=True, text=True, timeout=300,
                       env={**os.environ, "DOCKER_HOST": URL, "PORT": str(PORT), **env})
    expect(p.returncode, 0, f"{command[0]}: {p.stdout[-1500:]} {p.stderr[-2500:]} -> status")
    return p.stdout


def lines_of(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def archive(engine):
    """An image of its own: busybox:latest is another."""
    layers = [busybox_layer()]
    return engine.path("client.tar", docker_archive("client:1", layers, conf=config(layers, Labels={"for": "clients"})))


# --- docker's own command -----------------------------------------------------------------------


def commands_of_docker():
    found = [shutil.which("docker")] if shutil.which("docker") else []
    try:
        found.append(os.path.join(unpacked("docker.io"), "usr/bin/docker"))
    except Skip:
        pass
    if not found:
        raise Skip("no docker command, and apt has none")
    return found


def test_detach_keys_leave_the_container_running(engine):
    """Over TCP these clients see the keys, keep them, and end their half of the stream. Their `run` and `attach` then wait for the container's
    end, whichever daemon they speak to."""
    for docker in commands_of_docker():
        engine.run("load", "-i", archive(engine))
        waiting = []
        for words in (["run", "-it", "--name", "left"], ["attach"], ["exec", "-it"]):
            image = ["client:1"] if words[0] == "run" else ["left"]
            t = Terminal(docker, "-H", URL, *words, *image, *([] if words[0] == "attach" else ["sh"]))
            if words[0] == "attach":
                os.write(t.fd, b"\n")
            t.until(b"# ")
            os.write(t.fd, b"\x10\x11")
            if words[0] == "exec":
                t.left()
            else:
                waiting.append(t)
                until(lambda: detached(docker) == len(waiting), f"{docker} {words} is detached")
            expect(engine.run("inspect", "-f", "{{.State.Running}}", "left").stdout, "true\n", f"{docker} {words}")
        engine.run("rm", "-f", "left")
        for t in waiting:
            t.left()
        engine.run("rmi", "client:1")


def detached(docker):
    """How many clients of this container have left it."""
    id = run([docker, "inspect", "-f", "{{.Id}}", "left"]).strip()
    return run([docker, "events", "--since", "10m", "--until", f"{time.time():.9f}", "--filter", "event=detach", "--filter", f"container={id}",
                "--format", "{{.Action}}"]).count("detach")


def test_docker_commands_of_several_versions(engine):
    for docker in commands_of_docker():
        def do(*words, text="", status=0, docker=docker):
            p = subprocess.run([docker, "-H", URL, *words], input=text, capture_output=True, text=True, timeout=120)
            expect(p.returncode, status, f"{docker} {words}: {p.stdout} {p.stderr} -> status")
            return p.stdout

        expect(do("version", "-f", "{{.Server.APIVersion}}"), "1.47\n")
        expect_in("Operating System: Bothy", do("info"))
        expect_in("Loaded image: client:1", do("load", "-i", archive(engine)))
        expect(do("run", "--rm", "client:1", "echo", "over the wire"), "over the wire\n")
        expect(do("run", "--rm", "-i", "client:1", "cat", text="in and out"), "in and out")
        do("run", "--rm", "client:1", "sh", "-c", "exit 7", status=7)
        do("run", "-d", "--name", "web", "-l", "a=b", "client:1", "sh", "-c", "echo up; exec sleep 1000")
        expect(do("exec", "web", "echo", "exec"), "exec\n")
        expect(do("exec", "-i", "web", "cat", text="exec's input"), "exec's input")
        expect(do("logs", "web"), "up\n")
        expect_in("web", do("ps", "--filter", "label=a=b", "--format", "{{.Names}}"))
        expect_in("web", do("stats", "--no-stream", "--format", "{{.Name}}"))
        expect_in("sleep 1000", do("top", "web"))
        expect(do("inspect", "-f", "{{.State.Status}}", "web"), "running\n")
        follower = subprocess.Popen([docker, "-H", URL, "logs", "-f", "web"], stdout=subprocess.PIPE, text=True)
        attached = subprocess.Popen([docker, "-H", URL, "attach", "--no-stdin", "web"], stdout=subprocess.PIPE)
        stats = subprocess.Popen([docker, "-H", URL, "stats", "--format", "{{.Name}}", "web"], stdout=subprocess.PIPE, text=True)
        expect(follower.stdout.readline(), "up\n")
        expect_in("web", stats.stdout.readline())
        stats.kill()
        stats.wait()
        do("stop", "-t", "0", "web")
        expect((follower.wait(120), attached.wait(120)), (0, 137), "logs -f and attach end with the container")
        expect(do("wait", "web"), "137\n")
        expect_in("container die", do("events", "--since", "10m", "--until", f"{time.time():.9f}", "--filter", "container=web"))
        do("rm", "web")
        do("volume", "create", "vol")
        expect_in("vol", do("volume", "ls", "-q"))
        do("volume", "rm", "vol")
        do("rmi", "client:1")


def test_docker_at_every_version_of_the_api(engine):
    engine.run("load", "-i", archive(engine))
    for docker in commands_of_docker():
        for version in ("1.24", "1.30", "1.40", "1.41", "1.43", "1.44", "1.47", "1.50"):
            words = [docker, "-H", URL]
            name = "v" + version
            expect(run([*words, "run", "--name", name, "client:1", "echo", version], DOCKER_API_VERSION=version), version + "\n")
            expect(run([*words, "ps", "-a", "--format", "{{.Names}}"], DOCKER_API_VERSION=version), name + "\n")
            expect(run([*words, "inspect", "-f", "{{.State.ExitCode}}", name], DOCKER_API_VERSION=version), "0\n")
            expect_in("client", run([*words, "images"], DOCKER_API_VERSION=version))
            run([*words, "rm", name], DOCKER_API_VERSION=version)


def test_a_terminal_over_tcp(engine):
    """`run -it` as a person has it: a terminal on both ends, its size, keys, and the way out."""
    script = shutil.which("script")
    if not script:
        raise Skip("no script(1)")
    for docker in commands_of_docker():
        line = f"stty rows 33 cols 111; exec {docker} -H {URL} run -it --rm busybox sh"
        p = subprocess.run([script, "-qec", line, "/dev/null"], input="until [ \"$(stty size 2>/dev/null)\" ]; do sleep 0.05; done; stty size\necho $((40 + 2))\ntty\nexit 3\n",
                           capture_output=True, text=True, timeout=300)
        for part in ("33 111", "42", "/dev/pts/0"):
            expect_in(part, p.stdout)
        expect(p.returncode, 3)


# --- docker-py ----------------------------------------------------------------------------------

DOCKER_PY = r'''
import docker, json, os, sys, threading
d = docker.DockerClient(base_url=os.environ["DOCKER_HOST"], timeout=120)
low = d.api
def say(**what): print(json.dumps(what), flush=True)
say(version=d.version()["ApiVersion"], ping=d.ping(), os=d.info()["OperatingSystem"])
with open(sys.argv[1], "rb") as f:
    say(loaded=d.images.load(f)[0].tags)
say(out=d.containers.run("client:1", "echo hello", remove=True).decode())
try:
    d.containers.run("client:1", ["sh", "-c", "echo bad >&2; exit 9"], remove=True)
except docker.errors.ContainerError as e:
    say(status=e.exit_status, err=e.stderr.decode())
begun = low.events(decode=True, filters={"type": "container"})
seen = []
def listen():
    for e in begun:
        seen.append(e["Action"].split(":")[0])
        if e["Action"] == "destroy": return
thread = threading.Thread(target=listen); thread.start()
c = d.containers.create("client:1", ["sh", "-c", "echo one; echo two >&2; read x; echo got $x; exec sleep 1000"],
    name="py", environment={"A": "b"}, labels={"k": "v"}, stdin_open=True, mem_limit="64m", working_dir="/tmp",
    volumes={"pyvol": {"bind": "/data", "mode": "rw"}}, healthcheck=None, hostname="pyhost")
attach = c.attach_socket(params={"stdin": 1, "stream": 1})
c.start()
attach._sock.sendall(b"word\n")
logs = c.logs(stream=True, follow=True)
text = b""
for piece in logs:
    text += piece
    if b"got word" in text: break
say(logs=sorted(text.decode().split("\n")))
c.reload()
say(status=c.status, name=c.name, labels=c.labels, image=c.image.tags, env="A=b" in c.attrs["Config"]["Env"], hostname=c.attrs["Config"]["Hostname"])
code, output = c.exec_run(["sh", "-c", "echo $A; pwd; echo err >&2; exit 5"], demux=True)
say(exec=code, out=output[0].decode(), err=output[1].decode())
code, sock = c.exec_run("cat", stdin=True, socket=True)
sock._sock.sendall(b"through a socket"); import socket as S; sock._sock.shutdown(S.SHUT_WR)
say(socket=sock.read()[8:].decode())
s = c.stats(stream=False)
say(pids=s["pids_stats"].get("current", 0) >= 0, stats=s["name"])
say(stream=[x["name"] for x, _ in zip(c.stats(stream=True, decode=True), range(2))])
say(top=[p[-1] for p in c.top()["Processes"]][-1])
c.pause(); c.reload(); say(paused=c.status); c.unpause()
c.rename("py2"); c.update(mem_limit="96m", memswap_limit="192m")
say(listed=[x.name for x in d.containers.list(all=True, filters={"label": "k=v", "status": "running"})])
c.kill("TERM"); 
say(killed="alive")
c.stop(timeout=0)
say(wait=c.wait()["StatusCode"])
c.restart(timeout=0); c.reload(); say(again=c.status)
c.remove(force=True, v=True)
thread.join(30)
say(events=[e for e in ("create", "attach", "start", "exec_create", "exec_start", "pause", "unpause", "rename", "update", "kill", "die", "stop", "restart", "destroy") if e in seen])
try:
    d.containers.get("nosuch")
except docker.errors.NotFound as e:
    say(missing=str(e.explanation))
v = d.volumes.create("pyvol2", labels={"a": "1"}); say(volumes=[x.name for x in d.volumes.list(filters={"label": "a=1"})]); v.remove()
say(networks=sorted(n.name for n in d.networks.list())[:1])
i = d.images.get("client:1"); i.tag("other", "x"); say(tags=sorted(d.images.get("client:1").tags)); say(history=len(i.history()))
d.images.remove("other:x"); d.images.remove("client:1")
say(df=sorted(low.df())[:2], prune=d.containers.prune().get("ContainersDeleted"))
d.volumes.get("pyvol").remove()
'''


def test_docker_py(engine):
    if subprocess.run([PYTHON, "-c", "import docker"], capture_output=True).returncode:
        raise Skip("python3-docker is not installed")
    got = {}
    for what in lines_of(run([PYTHON, "-c", DOCKER_PY, archive(engine)])):
        got.update({k if k not in got else k + "+": v for k, v in what.items()})
    for key, want in (("version", "1.47"), ("ping", True), ("os", "Bothy"), ("loaded", ["client:1"]), ("out", "hello\n"),
                      ("err", "bad\n"), ("logs", ["", "got word", "one", "two"]), ("name", "py"),
                      ("labels", {"for": "clients", "k": "v"}), ("image", ["client:1"]), ("env", True), ("hostname", "pyhost"), ("exec", 5),
                      ("out+", "b\n/tmp\n"), ("err+", "err\n"), ("socket", "through a socket"), ("stats", "/py"),
                      ("stream", ["/py", "/py"]), ("top", "sleep 1000"), ("paused", "paused"), ("listed", ["py2"]), ("wait", 137),
                      ("again", "running"), ("missing", "No such container: nosuch"), ("volumes", ["pyvol2"]),
                      ("networks", ["bridge"]), ("tags", ["client:1", "other:x"]), ("history", 0)):
        expect(got.get(key), want, key)
    expect(got["events"], ["create", "attach", "start", "exec_create", "exec_start", "pause", "unpause", "rename", "update", "kill",
                           "die", "stop", "restart", "destroy"])


# --- Node's: dockerode and testcontainers -------------------------------------------------------


def node_modules():
    """Once from npm's registry, below build/packages."""
    folder = os.path.join(PACKAGES, "npm")
    if not shutil.which("npm"):
        raise Skip("no npm")
    if not os.path.isdir(os.path.join(folder, "node_modules/testcontainers")):
        os.makedirs(folder, exist_ok=True)
        p = subprocess.run(["npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--ignore-scripts", *NPM],
                           capture_output=True, text=True, timeout=300)
        if p.returncode:
            raise Skip(f"npm: {p.stderr[-200:]}")
    return os.path.join(folder, "node_modules")


DOCKERODE = r'''
const Docker = require("dockerode"), fs = require("fs"), stream = require("stream");
const d = new Docker({ host: "127.0.0.1", port: process.env.PORT });
const say = (x) => console.log(JSON.stringify(x));
const text = (s) => new Promise((ok, bad) => { let t = ""; s.on("data", (x) => (t += x)); s.on("end", () => ok(t)); s.on("error", bad); });
function sink() { const s = new stream.PassThrough(); s.text = text(s); return s; }
async function main() {
  say({ version: (await d.version()).ApiVersion, ping: (await d.ping()).toString(), os: (await d.info()).OperatingSystem });
  say({ loaded: JSON.parse((await text(await d.loadImage(fs.createReadStream(process.argv[2])))).split("\n")[0]).stream });
  const out = sink(), err = sink();
  const [data, c0] = await d.run("client:1", ["sh", "-c", "echo out; echo err >&2; exit 4"], [out, err], { Tty: false });
  out.end(); err.end();
  say({ status: data.StatusCode, out: await out.text, err: await err.text });
  await c0.remove();
  const events = await d.getEvents({ filters: { type: ["container"] } });
  const seen = []; events.on("data", (x) => x.toString().split("\n").filter(Boolean).forEach((l) => seen.push(JSON.parse(l).Action.split(":")[0])));
  const c = await d.createContainer({ Image: "client:1", name: "ode", Cmd: ["sh", "-c", "read x; echo got $x; exec sleep 1000"],
    OpenStdin: true, StdinOnce: true, Env: ["A=b"], Labels: { l: "1" }, HostConfig: { Memory: 64 << 20 } });
  const a = await c.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
  const first = new Promise((ok) => { let t = ""; const s = new stream.PassThrough(); s.on("data", (x) => { t += x; if (t.includes("got")) ok(t); });
    c.modem.demuxStream(a, s, s); });
  await c.start(); a.write("word\n");
  say({ attach: await first }); a.end();
  const i = await c.inspect();
  say({ state: i.State.Status, env: i.Config.Env.includes("A=b"), name: i.Name });
  const e = await c.exec({ Cmd: ["sh", "-c", "cat; echo done; exit 6"], AttachStdin: true, AttachStdout: true, AttachStderr: true });
  const es = await e.start({ hijack: true, stdin: true }), eo = sink();
  d.modem.demuxStream(es, eo, eo); es.on("end", () => eo.end());
  es.write("to exec\n"); es.end();
  say({ exec: await eo.text, code: (await e.inspect()).ExitCode });
  const e2 = await c.exec({ Cmd: ["echo", "plain"], AttachStdout: true }), p = sink(), ps = await e2.start({});
  d.modem.demuxStream(ps, p, p); ps.on("end", () => p.end());
  say({ plain: await p.text });
  say({ logs: (await c.logs({ stdout: true, stderr: true })).slice(8).toString(), stats: (await c.stats({ stream: false })).name });
  say({ list: (await d.listContainers({ filters: { label: ["l=1"] } })).map((x) => x.Names[0]), top: (await c.top()).Processes.length > 0 });
  await c.stop({ t: 0 }); say({ wait: (await c.wait()).StatusCode });
  await c.remove({ v: true });
  await d.getContainer("ode").inspect().catch((x) => say({ missing: x.statusCode, why: x.json.message }));
  while (!seen.includes("destroy")) await new Promise((ok) => events.once("data", () => ok()));
  events.destroy();
  say({ events: ["create", "attach", "start", "exec_create", "kill", "die", "stop", "destroy"].filter((x) => seen.includes(x)) });
  const v = await d.createVolume({ Name: "odevol" }); say({ volume: (await v.inspect()).Name }); await v.remove();
  await d.getImage("client:1").remove();
}
main().catch((x) => { console.error(x); process.exit(1); });
'''


def test_dockerode(engine):
    modules, got = node_modules(), {}
    for what in lines_of(run(["node", engine.path("ode.js", DOCKERODE.encode()), archive(engine)], NODE_PATH=modules)):
        got.update(what)
    for key, want in (("version", "1.47"), ("ping", "OK"), ("os", "Bothy"), ("loaded", "Loaded image: client:1\n"), ("status", 4),
                      ("out", "out\n"), ("err", "err\n"), ("attach", "got word\n"), ("state", "running"), ("env", True),
                      ("name", "/ode"), ("exec", "to exec\ndone\n"), ("code", 6), ("plain", "plain\n"), ("logs", "got word\n"),
                      ("stats", "/ode"), ("list", ["/ode"]), ("top", True), ("wait", 137), ("missing", 404),
                      ("why", "No such container: ode"), ("volume", "odevol")):
        expect(got.get(key), want, key)
    expect(got["events"], ["create", "attach", "start", "exec_create", "kill", "die", "stop", "destroy"])


TESTCONTAINERS = r'''
const { GenericContainer, Wait } = require("testcontainers");
async function main() {
  const c = await new GenericContainer("client:1").withCommand(["sh", "-c", "echo ready; exec sleep 1000"])
    .withEnvironment({ A: "b" }).withLabels({ l: "1" }).withWaitStrategy(Wait.forLogMessage("ready")).withStartupTimeout(30000).start();
  const e = await c.exec(["sh", "-c", "echo $A; exit 3"]);
  console.log(JSON.stringify({ exec: e.output, code: e.exitCode, name: c.getName().length > 1 }));
  await c.stop({ timeout: 0 });
}
main().catch((x) => { console.error(x); process.exit(1); });
'''


def test_testcontainers(engine):
    modules = node_modules()
    engine.run("load", "-i", archive(engine))
    text = run(["node", engine.path("tc.js", TESTCONTAINERS.encode())], NODE_PATH=modules, TESTCONTAINERS_RYUK_DISABLED="true")
    expect(lines_of(text), [{"exec": "b\n", "code": 3, "name": True}])
    expect(engine.run("ps", "-aq").stdout, "")


# --- skopeo -------------------------------------------------------------------------------------


def test_skopeo_copies_an_image_into_the_engine(engine):
    if not shutil.which("skopeo"):
        raise Skip("skopeo is not installed")
    engine.run("rmi", "client:1")
    run(["skopeo", "copy", "--insecure-policy", "--dest-daemon-host", f"http://127.0.0.1:{PORT}",
         f"docker-archive:{archive(engine)}", "docker-daemon:skopeo:1"])
    expect(engine.run("run", "--rm", "skopeo:1", "echo", "copied").stdout, "copied\n")
    engine.run("rmi", "skopeo:1")


# --- Ansible ------------------------------------------------------------------------------------

PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - community.docker.docker_host_info: {containers: true}
      register: host
    - community.docker.docker_image: {name: client, tag: "1", source: load, load_path: "%(archive)s"}
    - community.docker.docker_volume: {name: playvol, labels: {a: "b"}}
    - &begin
      community.docker.docker_container:
        name: play
        image: client:1
        command: ["sleep", "1000"]
        env: {A: b}
        labels: {l: "1"}
        memory: 64m
        volumes: ["playvol:/data"]
        restart_policy: unless-stopped
      register: first
    - <<: *begin
      register: second
    - community.docker.docker_container_exec: {container: play, argv: [sh, -c, "echo $A"]}
      register: ran
    - community.docker.docker_container_info: {name: play}
      register: info
    - community.docker.docker_container: {name: play, state: stopped, stop_timeout: 1}
    - community.docker.docker_container: {name: play, state: absent}
      register: gone
    - community.docker.docker_volume: {name: playvol, state: absent}
    - community.docker.docker_image: {name: client, tag: "1", state: absent}
    - copy:
        dest: "%(result)s"
        content: "{{ {'first': first.changed, 'second': second.changed, 'ran': ran.stdout, 'gone': gone.changed,
                      'os': host.host_info.OperatingSystem, 'running': info.container.State.Running} | to_json }}"
"""


def test_ansible(engine):
    if not shutil.which("ansible-playbook"):
        raise Skip("ansible is not installed")
    result = engine.path("result")
    play = engine.path("play.yml", (PLAY % {"archive": archive(engine), "result": result}).encode())
    with tempfile.TemporaryDirectory() as home:
        run(["ansible-playbook", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={PYTHON}", play],
            HOME=home, ANSIBLE_HOME=home, ANSIBLE_NOCOLOR="1", LC_ALL="C.UTF-8")
    with open(result) as f:
        expect(json.load(f), {"first": True, "second": False, "ran": "b", "gone": True, "os": "Bothy", "running": True})


# --- docker-compose 1.29 ------------------------------------------------------------------------

COMPOSE = """
version: "2.4"
services:
  one:
    image: client:1
    command: ["sh", "-c", "echo one is up; exec sleep 1000"]
    environment: {A: b}
    network_mode: none
    volumes: ["data:/data"]
  two:
    image: client:1
    command: ["sh", "-c", "echo two is up; exec sleep 1000"]
    network_mode: none
    mem_limit: 64m
    depends_on: [one]
volumes: {data: {}}
"""


def test_docker_compose(engine):
    """Without networks of its own, which this engine does not have yet."""
    compose = shutil.which("docker-compose")
    if not compose:
        raise Skip("docker-compose is not installed")
    engine.run("load", "-i", archive(engine))
    words = [PYTHON, compose, "--no-ansi", "-p", "proj", "-f", engine.path("docker-compose.yml", COMPOSE.encode())]
    run([*words, "up", "-d"])
    expect_in("two is up", run([*words, "logs", "two"]))
    rows = run([*words, "ps"])
    expect(rows.count(" Up "), 2, rows)
    run([*words, "up", "-d", "--scale", "two=3"])
    expect(len(run([*words, "ps", "-q"]).split()), 4)
    run([*words, "restart", "-t", "0", "one"])
    run([*words, "stop", "-t", "0"])
    run([*words, "down", "-v", "-t", "0"])
    expect((engine.run("ps", "-aq").stdout, engine.run("volume", "ls", "-q").stdout), ("", ""))


if __name__ == "__main__":
    main(sys.modules[__name__], options=["-H", f"tcp://127.0.0.1:{PORT}"])
