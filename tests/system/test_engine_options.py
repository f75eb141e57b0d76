#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Options: each reaches the container, or is refused by its name; and --format."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import clean, config, docker_archive, expect, expect_in, main, sh, tar
from http_unix import request


def test_format_of_go_templates(engine):
    engine.run("create", "--name", "fmt", "-l", "a=b", "-l", "c=d", "-v", "/v", "busybox", "sh", "-c", "x y")
    for form, want in (("{{.Config.Cmd}}", "[sh -c x y]"), ("{{json .Config.Cmd}}", '["sh","-c","x y"]'),
                       ("{{.Config.Labels}}", "map[a:b c:d]"), ("{{index .Config.Labels \"a\"}}", "b"),
                       ("{{index .Config.Cmd 1}}|{{len .Config.Cmd}}", "-c|3"), ("{{.Config.Entrypoint}}", "[]"),
                       ("{{range .Mounts}}{{.Destination}} {{end}}.", "/v ."), ('{{join .Config.Cmd ","}}', "sh,-c,x y"),
                       ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}", "a=b;c=d;"),
                       ("{{if .State.Running}}up{{else if eq .State.Status \"created\"}}new{{else}}no{{end}}", "new"),
                       ("{{.State.Status | upper}} {{- \" x\" -}} {{with .Config.Cmd}}{{len .}}{{end}}", "CREATED x3"),
                       ('{{printf "%s:%d" .Name (len .Mounts)}}', "/fmt:1"), ("{{range .Args}}{{end}}{{/* no */}}", "")):
        expect((engine.run("inspect", "-f", form, "fmt").stdout, form), (want + "\n", form))
    for verb, form, code, words in (("inspect", "{{.Nosuch}}", 1, "can't evaluate field Nosuch"),
                                    ("inspect", "{{nosuch .Id}}", 64, 'function "nosuch" not defined'),
                                    ("inspect", "{{.Id", 64, "unclosed action"), ("inspect", "{{end}}", 64, "unexpected"),
                                    ("inspect", "{{if .Id}}x", 64, "unexpected EOF"), ("ps", "{{.Nosuch}}", 1, "Nosuch"),
                                    ("images", "table {{.Nosuch}}", 1, "Nosuch")):
        p = engine.run(verb, *(["-f", form, "fmt"] if verb == "inspect" else ["--format", form]))
        expect((p.returncode, p.stdout), (code, ""), form)
        expect_in(words, p.stderr)
    expect(engine.run("ps", "-a", "--format", "{{.Names}} {{.Labels}}").stdout, "fmt a=b,c=d\n")
    engine.run("rm", "fmt")


def test_options_reach_the_container_or_are_refused_by_name(engine):
    p = sh(engine, "grep extra /etc/hosts; cat /etc/resolv.conf; hostname -f; cat /proc/self/oom_score_adj; "
           "cat /proc/sys/kernel/domainname; ls /dev/shm 2>&1; cat /proc/self/cgroup",
           "--add-host", "extra:10.0.0.9", "--add-host", "six:::1", "--dns", "10.0.0.1", "--dns-search", "example.com",
           "--dns-option", "ndots:2", "-h", "me", "--domainname", "example.com", "--oom-score-adj", "77", "--ipc", "none")
    expect(p.stdout.splitlines()[:6], ["10.0.0.9\textra", "nameserver 10.0.0.1", "search example.com", "options ndots:2",
                                       "me.example.com", "77"], p.stderr)
    expect_in("ls: /dev/shm: No such file", p.stdout)
    expect(sh(engine, "cat /proc/self/cgroup", "--cgroupns", "host").stdout.strip().endswith("/"), False)
    for options, words in ((["--cpuset-cpus", "0-4096"], "Requested CPUs are not available - requested 0-4096"),
                           (["--cpuset-cpus", "0,"], "Invalid value 0, for cpuset cpus"),
                           (["--cpuset-cpus", "1-0"], "Invalid value 1-0 for cpuset cpus"),
                           (["--cpuset-mems", "77"], "Requested memory nodes are not available"),
                           (["--memory-reservation", "5m"], "Minimum memory reservation allowed is 6MB"),
                           (["-m", "32m", "--memory-reservation", "64m"], "less than memory reservation"),
                           (["--blkio-weight", "300"], "--blkio-weight"),
                           (["--cgroup-parent", "x"], "--cgroup-parent"), (["--health-cmd", "true"], "--health-cmd"),
                           (["--pid", "host"], 'PID mode "host"'), (["--ipc", "host"], 'IPC mode "host"'),
                           (["--uts", "host"], 'UTS mode "host"'), (["--volumes-from", "x"], "No such container: x"),
                           (["--link", "a:b"], "--link"), (["--gpus", "all"], "--gpus"), (["--init"], "--init"),
                           (["--add-host", "x"], "add-host"), (["--add-host", "x:y"], "invalid IP address"),
                           (["--dns", "x"], "nameserver"), (["--oom-score-adj", "1001"], "oom score"),
                           (["--log-driver", "syslog"], "syslog"), (["--log-opt", "tag=x"], "tag"),
                           (["--cgroupns", "x"], "cgroup namespace"), (["--mac-address", "a:b"], "MacAddress"),
                           (["--mount", "type=bind,src=/nosuch,dst=/x"], "bind source path does not exist: /nosuch"),
                           (["--mount", "type=bind,src=/tmp,dst=/x,bind-propagation=rshared"], "rshared"),
                           (["--mount", "type=npipe,src=a,dst=/x"], "npipe"), (["--mount", "dst=/x,nosuch=1"], "nosuch"),
                           (["--mount", "type=tmpfs,src=a,dst=/x"], "Source"), (["-e", "=x"], "invalid environment variable: =x"),
                           (["--device", "/dev/null:/dev/x:q"], "invalid device mode")):
        p = sh(engine, "true", *options)
        expect(p.returncode, 125, str(options))
        expect_in(words, p.stderr)
    os.makedirs(engine.path("mnt"))
    engine.path("mnt/f", b"F")
    p = sh(engine, "grep ' /t ' /proc/mounts; stat -c %a /t; cat /b/f; touch /b/g", "--mount",
           "type=tmpfs,dst=/t,tmpfs-size=64k,tmpfs-mode=1700,ro", "--mount",
           "type=bind,source=" + engine.path("mnt") + ",target=/b,readonly")
    expect_in("tmpfs ro", p.stdout)
    expect_in("\n1700\nF", p.stdout)
    expect_in("Read-only", p.stderr)
    for field, value in (("Nosuch", 1), ("KernelMemory", 1), ("CpuRealtimeRuntime", 5),
                         ("BlkioDeviceReadBps", [{"Path": "/dev/sda", "Rate": 1}]), ("PortBindings", {"80/tcp": [{}]})):
        body = {"Image": "busybox", "HostConfig": {field: value}}
        status, answer = request(engine.socket, "POST", "/containers/create", body)
        expect((status, field), (400, field), str(answer))
    for platform, status in (("linux/amd64", 201), ("linux", 201), ("linux/arm64", 404), ("windows", 404), ("", 201)):
        got, answer = request(engine.socket, "POST", "/containers/create?name=plat&platform=" + platform,
                              {"Image": "busybox"})
        expect((platform, got), (platform, status), str(answer))
        engine.run("rm", "plat")
    expect(engine.run("rm", "-f", "nosuch").returncode, 0, "rm -f of nothing")
    clean(engine)


def test_commands_are_merged_as_docker_does(engine):
    layer = tar([])
    for image, fields in (("both:1", {"Entrypoint": ["ie"], "Cmd": ["ic"]}), ("text:1", {"Entrypoint": "ie", "Cmd": "ic"}),
                          ("none:1", {"Entrypoint": [""], "Cmd": ["ic"], "StopSignal": ""})):
        conf = config([layer], **fields)
        expect(engine.load(docker_archive(image, [layer], conf)).returncode, 0)
    for image, body, entry, cmd in (
            ("both:1", {}, ["ie"], ["ic"]), ("text:1", {}, ["ie"], ["ic"]), ("none:1", {}, None, ["ic"]),
            ("both:1", {"Cmd": "a b"}, ["ie"], ["a b"]), ("both:1", {"Cmd": ["a", "b"]}, ["ie"], ["a", "b"]),
            ("both:1", {"Cmd": [], "Entrypoint": None}, ["ie"], ["ic"]), ("both:1", {"Entrypoint": "e"}, ["e"], None),
            ("both:1", {"Entrypoint": ["e", "f"], "Cmd": "c"}, ["e", "f"], ["c"]),
            ("both:1", {"Entrypoint": []}, [], ["ic"]), ("both:1", {"Entrypoint": [], "Cmd": ["c"]}, [], ["c"]),
            ("both:1", {"Entrypoint": [""], "Cmd": ["c"]}, None, ["c"]), ("both:1", {"Entrypoint": "", "Cmd": ["c"]}, None, ["c"])):
        status, answer = request(engine.socket, "POST", "/containers/create", {"Image": image, **body})
        expect((status, body), (201, body), str(answer))
        shown = request(engine.socket, "GET", f"/containers/{answer['Id']}/json")[1]
        expect((shown["Config"]["Entrypoint"], shown["Config"]["Cmd"], body), (entry, cmd, body))
        expect([shown["Path"]] + shown["Args"], (entry or []) + (cmd or []), str(body))
        engine.run("rm", answer["Id"])
    for body in ({"Entrypoint": [""]}, {"Entrypoint": ""}): # the image's command goes with its entry point
        expect(request(engine.socket, "POST", "/containers/create", {"Image": "both:1", **body})[0], 400)
    for image in ("both:1", "text:1", "none:1"):
        engine.run("rmi", image)
    clean(engine)


def test_what_an_image_says_can_be_read_by_every_client(engine):
    layer = tar([])
    conf = config([layer], Labels={"MARK": "MARK"}, Cmd=["MARK"])
    conf = conf.replace(b"MARK", b"a\xffb").replace(b"2024-01-02T03:04:05Z", b"99999999999999999999")
    expect(engine.load(docker_archive("odd:1", [layer], conf)).stdout, "Loaded image: odd:1\n")
    expect(engine.run("create", "--name", "odd", "odd:1").returncode, 0)
    # request() decodes strictly: a byte that is no text would hide all that there is
    containers = request(engine.socket, "GET", "/containers/json?all=1")[1]
    expect(containers[0]["Labels"], {"a\ufffdb": "a\ufffdb"})
    images = request(engine.socket, "GET", "/images/json")[1]
    expect([x["Created"] for x in images if x["RepoTags"] == ["odd:1"]], [0])
    p = engine.run("images", "--format", "{{.Repository}} {{.CreatedAt}}")
    expect(p.returncode, 0, p.stderr)
    expect_in("odd 1970-01-01", p.stdout)
    engine.run("rm", "odd")
    engine.run("rmi", "odd:1")


def test_what_a_container_leaves_for_its_dev_leads_nowhere(engine):
    outside = engine.path("outside")
    os.makedirs(outside)
    script = f"[ -e /again ] && exec stat -c %F /dev/null; touch /again; umount -l /dev; rmdir /dev; ln -s {outside} /dev"
    engine.run("create", "--name", "left", "--privileged", "busybox", "sh", "-c", script)
    p = engine.run("start", "-a", "left")
    expect((p.returncode, p.stdout), (0, ""), p.stderr)
    p = engine.run("start", "-a", "left")
    expect((p.returncode, p.stdout), (0, "character special file\n"), p.stderr)
    expect(os.listdir(outside), [])
    engine.run("rm", "left")


if __name__ == "__main__":
    main(sys.modules[__name__])
