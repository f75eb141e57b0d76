#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The real docker command against the engine. Says so and passes where it is not installed."""
import os
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import BRIEF, config, docker_archive, expect, expect_in, main, tar, until

DOCKER = shutil.which("docker")


def docker(engine, *args, **kw):
    return engine.run(*args, client=DOCKER, **kw)


def test_version_and_info(engine):
    p = docker(engine, "version", "-f", "{{.Server.Version}} {{.Server.APIVersion}}")
    expect(p.stdout, "0.1.0 1.47\n", p.stderr)
    expect_in("Operating System: Bothy", docker(engine, "info").stdout)


def test_run(engine):
    p = docker(engine, "run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3")
    expect((p.returncode, p.stdout, p.stderr), (3, "out\n", "err\n"))
    p = docker(engine, "run", "--rm", "-i", "busybox", "cat", input="data")
    expect((p.returncode, p.stdout), (0, "data"))


def test_run_fails_as_docker_does(engine):
    for command, status in ((["nosuch"], 127), (["/etc/passwd"], 126), (["/etc"], 126)):
        expect(docker(engine, "run", "--rm", "busybox", *command).returncode, status, str(command))
    for options in (["--runtime", "x"], ["--network", "foo"], ["-m", "1m"], ["-p", "80:80"]):
        p = docker(engine, "run", "--rm", *options, "busybox", "true")
        expect(p.returncode, 125, str(options))
        expect_in("Error response from daemon", p.stderr)
    p = docker(engine, "run", "--rm", "nosuchimage")
    expect(p.returncode, 125)


def test_ports_are_discarded_on_the_hosts_network(engine):
    for options in (["-p", "80:80"], ["-P"], ["-p", "80:80", "-P"]):
        p = docker(engine, "run", "--rm", "--network", "host", *options, "busybox", "echo", "ran")
        expect((p.returncode, p.stdout), (0, "ran\n"), p.stderr)
        expect_in("WARNING: Published ports are discarded when using host network mode", p.stderr)
    p = docker(engine, "run", "--rm", "--network", "host", "busybox", "echo", "ran")
    expect((p.stdout, p.stderr), ("ran\n", ""))


def test_host_network_has_the_hosts_name_and_hosts(engine):
    script = "hostname; cat /etc/hostname; echo $HOSTNAME; cat /etc/hosts"
    with open("/etc/hosts") as f:
        hosts = f.read().rstrip("\n") + "\n"
    for options, name, more in ((["--add-host", "extra:10.0.0.9"], os.uname().nodename[:63], "10.0.0.9\textra\n"),
                                (["--hostname", "given"], "given", "")):
        p = docker(engine, "run", "--rm", "--network", "host", *options, "busybox", "sh", "-c", script)
        expect(p.stdout, f"{name}\n" * 3 + hosts + more, p.stderr)


def test_life_of_a_detached_container(engine):
    p = docker(engine, "run", "-d", "--name", "web", "-e", "DB_HOST=db.example.com",
               "--label", "x=y", "--cpus", "1.5", "-m", "64m", "busybox", "sh", "-c",
               "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done")
    expect(p.returncode, 0, p.stderr)
    expect_in("web", docker(engine, "ps", "--filter", "label=x=y").stdout)
    expect(docker(engine, "exec", "web", "sh", "-c", "echo $DB_HOST; exit 4").returncode, 4)
    until(lambda: docker(engine, "logs", "web").stdout == "up\n", "what it says is logged")
    expect_in("sh -c", docker(engine, "top", "web").stdout)
    p = docker(engine, "stats", "--no-stream", "web")
    expect_in("web", p.stdout, p.stderr)
    p = docker(engine, "rename", "web", "web2")
    expect(p.returncode, 0, p.stderr)
    expect(docker(engine, "stop", "web2").stdout, "web2\n")
    expect(docker(engine, "inspect", "-f", "{{.State.ExitCode}} {{.HostConfig.NanoCpus}}",
                  "web2").stdout, "0 1500000000\n")
    expect(docker(engine, "start", "web2").returncode, 0)
    expect(docker(engine, "restart", "-t", "1", "web2").returncode, 0)
    expect(docker(engine, "rm", "-f", "web2").returncode, 0)
    expect(engine.idle(), [])


def test_start_attached_and_wait(engine):
    docker(engine, "create", "--name", "sa", "busybox", "sh", "-c", "echo x; exit 2")
    p = docker(engine, "start", "-a", "sa")
    expect((p.returncode, p.stdout), (2, "x\n"), p.stderr)
    expect(docker(engine, "wait", "sa").stdout, "2\n")
    expect(docker(engine, "container", "prune", "-f").returncode, 0)
    expect(engine.idle(), [])


def test_images(engine):
    layer = tar([("f", b"0", "text")])
    path = engine.path("i.tar", docker_archive("img:1", [layer]))
    expect(docker(engine, "load", "-i", path).stdout, "Loaded image: img:1\n")
    expect(docker(engine, "tag", "img:1", "other:2").returncode, 0)
    expect(docker(engine, "images", "-q", "other").stdout.count("\n"), 1)
    expect_in("sha256:", docker(engine, "image", "inspect", "-f", "{{.Id}}", "other:2").stdout)
    expect(docker(engine, "history", "img:1").returncode, 0)
    expect_in("Untagged: other:2", docker(engine, "rmi", "other:2").stdout)
    expect_in("Deleted: sha256:", docker(engine, "rmi", "img:1").stdout)
    path = engine.path("i.tar", docker_archive("img:1", [layer], stored=[layer + b"x"]))
    p = docker(engine, "load", "-i", path)
    expect(p.returncode, 1)
    expect_in("digest does not match", p.stderr)


def test_prune(engine):
    """`system prune` asks for four of them; `-a` also takes what has a name and no container."""
    names = lambda: docker(engine, "images", "-a", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    layers = [tar([("f", b"0", "x" * n)]) for n in (1000, 2000, 3000)]
    for layer, name in zip(layers, ("moves:1", "moves:1", "stays:1")):
        engine.load(docker_archive(name, [layer]))
    docker(engine, "create", "--name", "made", "busybox", "true")
    expect(names().count("<none>:<none>"), 1)
    p = docker(engine, "image", "prune", "-f", "--filter", "label=nosuch")
    expect(p.stdout, "Total reclaimed space: 0B\n", p.stderr)
    p = docker(engine, "image", "prune", "-f", "--filter", "until=nonsense")
    expect_in("invalid filter 'until'", p.stderr)
    for n in "12":  # they share a layer, which another one has twice, and another that stays
        shared = [layers[2], tar([("s", b"0", "x" * 4000)])]
        shared += shared[1:] if n == "1" else []
        engine.load(docker_archive("moves:1", shared, config(shared, Labels={"n": n})))
    engine.load(docker_archive("moves:1", [layers[1]]))
    p = docker(engine, "image", "prune", "-f", "--filter", "label=n")
    expect_in(f"Total reclaimed space: {len(shared[1]) / 1000:.4g}kB\n", p.stdout, p.stderr)
    p = docker(engine, "system", "prune", "-f")
    expect(p.returncode, 0, p.stderr)
    expect_in("Deleted Images:\ndeleted: sha256:", p.stdout)
    expect_in("Deleted Containers:", p.stdout)
    expect(sorted(names()), ["busybox:latest", "moves:1", "stays:1"])
    docker(engine, "create", "--name", "made", "busybox", "true")
    p = docker(engine, "image", "prune", "-a", "-f")
    expect_in("untagged: stays:1", p.stdout, p.stderr)
    expect(names(), ["busybox:latest"], "a container uses it")
    expect(docker(engine, "builder", "prune", "-f").returncode, 0)
    docker(engine, "rm", "made")


def test_what_is_later_work_is_told_in_one_sentence(engine):
    docker(engine, "create", "--name", "made", "busybox", "true")
    for what, command in (("commit", ["commit", "made", "new:1"]), ("diff", ["diff", "made"]), ("export", ["export", "made"]),
                          ("cp", ["cp", "made:/etc/passwd", "-"]), ("cp", ["cp", "/etc/passwd", "made:/x"]), ("search", ["search", "x"]),
                          ("save", ["save", "busybox"]), ("import", ["import", "-"])):
        p = docker(engine, *command, input="")
        expect_in(f"Error response from daemon: {what} is not supported yet", p.stderr, str(command))
    docker(engine, "rm", "made")


def test_addresses_and_options_of_ps_are_not_dropped(engine):
    p = docker(engine, "run", "--rm", "--network", "none", "--ip", "1.2.3.4", "busybox", "true")
    expect_in("user specified IP address is supported on user defined networks only", p.stderr)
    docker(engine, "run", "-d", "--name", "stays", "busybox", "sleep", "1000")
    expect_in("option 'f' of ps is not supported", docker(engine, "top", "stays", "f").stderr)
    for options in ([], ["-ef"], ["aux"], ["-o", "pid,args"]):
        expect_in("sleep 1000", docker(engine, "top", "stays", *options).stdout, f"top {options}")
    used = [line for line in docker(engine, "system", "df").stdout.splitlines() if line.startswith("Images")]
    expect_in("0B (0%)", used[0], "an image that is in use")
    docker(engine, "rm", "-f", "stays")


def test_system_commands(engine):
    for args in (["system", "df"], ["network", "ls"], ["volume", "ls"],
                 ["events", "--since", "1", "--until", str(int(time.time()))]):
        p = docker(engine, *args)
        expect(p.returncode, 0, f"{args}: {p.stderr}")
    p = docker(engine, "swarm", "init")
    expect_in("not a swarm manager", p.stderr)


def test_events_follow(engine):
    p = subprocess.Popen([DOCKER, "events", "--since", str(time.time()), "--format", "{{.Action}}"], env=engine.env,
                         text=True, stdout=subprocess.PIPE)
    docker(engine, "run", "--rm", "busybox", "true")
    got = [p.stdout.readline().strip() for _ in range(5)]
    p.kill()
    p.wait()
    expect(got, ["create", "attach", "start", "die", "destroy"])


def test_bothy_lists_as_docker_does(engine):
    """The same listing by both clients; what an age may differ by is left out. BRIEF: a few, which differ in what is listed."""
    for i, options in enumerate((["--label", "a=b", "--label", "c=d"], ["-e", "X=1"])):
        docker(engine, "create", "--name", f"listed{i}", *options, "busybox", *(("echo", "a b", "c" * 30) if i else ("printf", "\t\"\\")))
    commands = (
            ["ps", "-aq"], ["ps", "-aq", "--no-trunc"], ["ps", "-l", "--format", "{{.Names}}"],
            ["ps", "-a", "--format", r"{{.ID}}\t{{.Names}} {{ .Image }} {{.Command}}|{{.State}}|{{.Ports}}"],
            ["ps", "-a", "--no-trunc", "--format", "{{.Command}} {{json .Names}} {{.CreatedAt}}"],
            ["ps", "-a", "-f", "label=a=b", "--format", "table {{.Names}}\t{{.Labels}}\t{{.Status}}"],
            ["ps", "-a", "-f", "name=nosuch", "--format", r"table {{.ID}}\t{{.Names}}"],
            ["images"], ["images", "-q", "--no-trunc"], ["images", "busybox"],
            ["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}} {{.CreatedAt}}"],
            ["images", "--format", r"table {{.Repository}}\t{{.Size}}"])
    for command in commands[::4 if BRIEF else 1]:
        theirs, ours = docker(engine, *command), engine.run(*command)
        expect((ours.returncode, ours.stdout), (theirs.returncode, theirs.stdout), str(command))
    for bad in ("{{.Names", "{{nix .Names}}"):
        p = engine.run("ps", "--format", bad)
        expect_in("template parsing error", p.stderr)
        expect(p.returncode != 0, True)
    docker(engine, "rm", "listed0", "listed1")


if __name__ == "__main__":
    if not DOCKER:
        print("skip docker: it is not installed")
        sys.exit(0)
    main(sys.modules[__name__])
