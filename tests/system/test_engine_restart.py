#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Restart policies: which containers run again, when, how often, and how a client ends that."""
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import expect, expect_in, main, until
from http_unix import Connection, request
from test_engine_killed import api, inspect, remove, state


def run(engine, name, policy, command):
    p = engine.run("run", "-d", "--name", name, "--restart", policy, "busybox", "sh", "-c", command)
    expect((p.returncode, p.stderr), (0, ""), "run")


def count(engine, name):
    return inspect(engine, name)["RestartCount"]


def test_always_runs_again_with_growing_pauses(engine):
    run(engine, "alw", "always", "echo up; exit 0")
    until(lambda: count(engine, "alw") >= 4, "four restarts")
    s = state(engine, "alw")
    expect((s["Running"], s["ExitCode"]), (True, 0))
    times = [line.split()[0] for line in engine.run("logs", "-t", "alw").stdout.splitlines()][:4]
    seconds = [int(t[11:13]) * 3600 + int(t[14:16]) * 60 + float(t[17:].rstrip("Z")) for t in times]
    gaps = [b - a for a, b in zip(seconds, seconds[1:])]
    for gap, least in zip(gaps, (0.1, 0.2, 0.4)):
        expect(gap >= least, True, f"pauses {gaps}")
    remove(engine, "alw")


def test_state_between_runs_is_restarting(engine):
    run(engine, "btw", "always", "exit 4")
    until(lambda: count(engine, "btw") >= 6 and state(engine, "btw")["Status"] == "restarting", "it waits")
    s = state(engine, "btw")
    expect((s["Running"], s["Restarting"], s["ExitCode"], s["Pid"]), (True, True, 4, 0))
    expect_in("Restarting (4)", engine.run("ps").stdout)
    for method, url, words in (("POST", "exec", "is restarting"), ("POST", "pause", "is restarting"),
                               ("DELETE", "", "container is restarting")):
        status, body = api(engine, method, f"/containers/btw/{url}".rstrip("/"), {"Cmd": ["true"]})
        expect(status, 409, url)
        expect_in(words, body["message"])
    expect(api(engine, "POST", "/containers/btw/start")[0], 304)
    expect(api(engine, "POST", "/containers/btw/stop")[0], 204)
    s = state(engine, "btw")
    expect((s["Status"], s["Restarting"], s["ExitCode"]), ("exited", False, 4))
    remove(engine, "btw")


def test_on_failure_gives_up(engine):
    run(engine, "of", "on-failure:2", "echo try; exit 3")
    until(lambda: state(engine, "of")["Status"] == "exited", "it gives up")
    expect((count(engine, "of"), engine.run("logs", "of").stdout), (2, "try\n" * 3))
    expect(inspect(engine, "of")["HostConfig"]["RestartPolicy"], {"Name": "on-failure", "MaximumRetryCount": 2})
    expect(engine.run("start", "of").returncode, 0)  # counts anew
    until(lambda: engine.run("logs", "of").stdout == "try\n" * 6, "it tries again")
    remove(engine, "of")


def test_on_failure_does_not_mind_success(engine):
    run(engine, "ok", "on-failure", "exit 0")
    until(lambda: state(engine, "ok")["Status"] == "exited", "it ends")
    time.sleep(0.3)
    expect((count(engine, "ok"), state(engine, "ok")["Status"]), (0, "exited"))
    remove(engine, "ok")


def test_what_a_client_stops_stays_stopped(engine):
    for policy in ("always", "unless-stopped", "on-failure"):
        run(engine, "st", policy, "sleep 100")
        expect(engine.run("stop", "-t", "0", "st").returncode, 0)
        time.sleep(0.3)
        expect((count(engine, "st"), state(engine, "st")["Status"]), (0, "exited"), policy)
        expect(engine.run("start", "st").returncode, 0)
        expect(engine.run("kill", "st").returncode, 0)
        time.sleep(0.3)
        expect(state(engine, "st")["Status"], "exited", policy)
        remove(engine, "st")


def test_what_dies_by_itself_does_not(engine):
    run(engine, "die", "unless-stopped", "[ -e /died ] && exec sleep 100; touch /died; kill -9 $$")
    until(lambda: count(engine, "die") >= 1 and state(engine, "die")["Status"] == "running", "it runs again")
    remove(engine, "die")


def test_waiters_hear_of_each_end(engine):
    run(engine, "wt", "always", "sleep 0.3; exit 6")
    expect(api(engine, "POST", "/containers/wt/wait?condition=next-exit"), (200, {"StatusCode": 6}))
    expect(api(engine, "POST", "/containers/wt/wait"), (200, {"StatusCode": 6}))
    c = Connection(engine.socket)
    c.request("POST", "/containers/wt/wait?condition=removed")
    r = c.getresponse()
    remove(engine, "wt")
    expect_in('"StatusCode":', r.read().decode())
    c.close()


def test_bad_policies_are_refused(engine):
    for policy, words in (({"Name": "sometimes"}, "unknown policy 'sometimes'"),
                          ({"Name": "always", "MaximumRetryCount": 3}, "can only be used with 'on-failure'"),
                          ({"Name": "on-failure", "MaximumRetryCount": -1}, "cannot be negative")):
        status, body = api(engine, "POST", "/containers/create", {
            "Image": "busybox", "HostConfig": {"RestartPolicy": policy}})
        expect(status, 400, policy)
        expect_in(words, body["message"])
    status, body = api(engine, "POST", "/containers/create", {
        "Image": "busybox", "HostConfig": {"RestartPolicy": {"Name": "always"}, "AutoRemove": True}})
    expect((status, body["message"]), (400, "can't create 'AutoRemove' container with restart policy"))


def test_policy_is_updated(engine):
    expect(engine.run("run", "-d", "--name", "up", "busybox", "sh", "-c",
                      "until [ -e /go ]; do sleep 0.02; done; exit 1").returncode, 0)
    expect(api(engine, "POST", "/containers/up/update", {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 1}})[0], 200)
    expect(engine.run("exec", "up", "touch", "/go").returncode, 0)
    until(lambda: count(engine, "up") == 1, "it runs again")
    until(lambda: state(engine, "up")["Status"] == "exited", "it gives up")
    remove(engine, "up")
    expect(engine.run("run", "-d", "--rm", "--name", "ar", "busybox", "sleep", "100").returncode, 0)
    status, body = api(engine, "POST", "/containers/ar/update", {"RestartPolicy": {"Name": "always"}})
    expect(status, 409)
    expect_in("AutoRemove", body["message"])
    remove(engine, "ar")


def test_start_that_fails_ends_it(engine):
    p = engine.run("run", "-d", "--name", "bad", "--restart", "always", "busybox", "/nowhere")
    expect(p.returncode, 127)
    time.sleep(0.3)
    expect((count(engine, "bad"), state(engine, "bad")["Status"]), (0, "created"))
    remove(engine, "bad")


def test_next_engine_goes_on_with_policies(engine):
    run(engine, "a1", "always", "sleep 100")
    run(engine, "a2", "always", "sleep 100")
    run(engine, "u1", "unless-stopped", "sleep 100")
    run(engine, "u2", "unless-stopped", "sleep 100")
    run(engine, "f1", "on-failure", "sleep 100")
    run(engine, "w1", "always", "exit 1")
    expect(engine.run("create", "--name", "n1", "--restart", "always", "busybox", "true").returncode, 0)
    expect(engine.run("stop", "-t", "0", "a2", "u2").returncode, 0)
    until(lambda: count(engine, "w1") >= 2 and state(engine, "w1")["Status"] == "restarting", "w1 waits")
    waited = count(engine, "w1")
    engine.stop()  # all end; nobody has stopped them
    engine.start()
    until(lambda: [state(engine, n)["Status"] for n in ("a1", "a2", "u1")] == ["running"] * 3, "they run")
    expect([state(engine, n)["Status"] for n in ("u2", "n1")], ["exited", "created"])
    until(lambda: count(engine, "w1") > waited, "w1 goes on, and counts on")
    remove(engine, "a1", "a2", "u1", "u2", "f1", "w1", "n1")


def test_end_while_no_engine_is_there_is_restarted(engine):
    run(engine, "mw", "on-failure", "sleep 0.3; exit 2")
    engine.kill()
    time.sleep(0.6)
    engine.start()
    until(lambda: count(engine, "mw") >= 1, "it runs again")
    remove(engine, "mw")


if __name__ == "__main__":
    main(sys.modules[__name__])
