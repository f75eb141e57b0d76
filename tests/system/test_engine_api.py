#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The API on the wire: versions, framing, early heads, half-closes, and bytes that are no HTTP."""
import json
import os
import socket
import struct
import sys
import time
from urllib.parse import quote

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import clean, expect, expect_in, main, until
from http_unix import Connection, dial, raw, request


def call(engine, *args, **kw):
    return request(engine.socket, *args, **kw)


def create(engine, **body):
    body.setdefault("Image", "busybox")
    status, j = call(engine, "POST", "/v1.41/containers/create", body)
    expect(status, 201, f"create: {j}")
    return j["Id"]


def upgrade(engine, method, url, body=b""):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(120)
    s.connect(engine.socket)
    s.sendall(f"{method} {url} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
              f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
              + body)
    head = b""
    while b"\r\n\r\n" not in head:
        head += s.recv(1)
    expect(head.split(b"\r\n")[0], b"HTTP/1.1 101 UPGRADED")
    return s


def frames(s):
    data, out = b"", []
    while True:
        piece = s.recv(65536)
        if not piece:
            break
        data += piece
    while data:
        kind, size = struct.unpack(">B3xI", data[:8])
        out.append((kind, data[8:8 + size]))
        data = data[8 + size:]
    return out


def test_too_many_parameters_are_told(engine):
    status, answer = request(engine.socket, "GET", "/_ping?" + "a&" * 257)
    expect((status, answer["message"]), (400, "request has too many query parameters"))


def test_any_version_prefix_or_none(engine):
    for prefix in ("", "/v1.12", "/v1.22", "/v1.41", "/v1.47", "/v1.51", "/v2.0"):
        expect(call(engine, "GET", prefix + "/version")[0], 200, prefix)
    c = Connection(engine.socket)
    c.request("HEAD", "/_ping")
    r = c.getresponse()
    r.read()
    expect((r.status, r.getheader("Api-Version"), r.getheader("Ostype")), (200, "1.47", "linux"))
    c.request("GET", "/_ping")  # the same connection
    expect(c.getresponse().read(), b"OK")


def test_errors_are_json(engine):
    expect(call(engine, "GET", "/nosuch")[0], 404)
    expect(call(engine, "PUT", "/version")[0], 405)
    expect(call(engine, "GET", "/containers/zz/json"),
           (404, {"message": "No such container: zz"}))
    expect(call(engine, "POST", "/containers/create", b"{bad")[0], 400)
    expect(call(engine, "POST", "/containers/create", b"[]")[0], 400)
    expect(call(engine, "POST", "/containers/create", b"[" * 5000)[0], 400)
    expect(call(engine, "POST", "/containers/create", {"Image": 5})[0], 400)
    expect(call(engine, "GET", "/nodes")[0], 503)


def test_bytes_that_are_no_http(engine):
    expect_in(b"400", raw(engine.socket, b"\x00\x01\x02\r\n\r\n"))
    expect_in(b"400", raw(engine.socket, b"GET\r\n\r\n"))
    expect_in(b"400", raw(engine.socket, b"GET / HTTP/1.1\r\nnocolon\r\n\r\n"))
    expect_in(b"400", raw(engine.socket, b"GET / HTTP/1.1\r\n" + b"a" * 300000))
    expect_in(b"400", raw(engine.socket, b"POST /images/load HTTP/1.1\r\n"
                                         b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"))
    expect_in(b"413", raw(engine.socket, b"POST /containers/create HTTP/1.1\r\n"
                                         b"Content-Length: 9000000\r\n\r\n" + b" " * 5000000))
    expect(raw(engine.socket, b"GET / HTT", shut=True), b"")


def test_requests_as_proxies_and_old_libraries_make_them(engine):
    for text, answer in (("GET http://localhost:2375/_ping HTTP/1.1\r\nConnection: TE, close\r\nTE: trailers", b"OK"),
                         ("GET //_ping HTTP/1.1\r\nConnection: Close", b"OK"), ("GET /v1.41//_ping HTTP/1.2\r\nConnection: close", b"OK"),
                         ("GET /_ping HTTP/1.0\r\nConnection: keep-alive", b"OK"), ("GET /containers//json HTTP/1.0", b"[]"),
                         ("GET /_ping HTTP/1.1\r\nConnection: close\r\n" + "\r\n".join(f"X-{i}: y" for i in range(100)), b"OK")):
        out = raw(engine.socket, f"{text}\r\n\r\n".encode())
        expect((out.split(b"\r\n")[0], out.split(b"\r\n\r\n")[1]), (b"HTTP/1.1 200 OK", answer), text)
        expect(b"\r\nConnection: close\r\n" in out, "1.0" not in text, text)


def test_pipelined_and_dribbled_requests(engine):
    one = b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"
    out = raw(engine.socket, one + one.replace(b"Host: x", b"Connection: close"))
    expect(out.count(b"\r\n\r\nOK"), 2)
    s = socket.socket(socket.AF_UNIX)
    s.connect(engine.socket)
    for i in range(len(one)):
        s.send(one[i:i + 1])
    expect_in(b"OK", s.recv(4096))


def test_wait_answers_its_head_at_once(engine):
    ident = create(engine, Cmd=["sh", "-c", "exit 7"])
    c = Connection(engine.socket)
    c.request("POST", f"/containers/{ident}/wait?condition=next-exit")
    r = c.getresponse()  # before the container is even started
    expect(r.status, 200)
    expect(call(engine, "POST", f"/containers/{ident}/start")[0], 204)
    expect(json.loads(r.read()), {"StatusCode": 7})
    expect(call(engine, "POST", f"/containers/{ident}/wait"), (200, {"StatusCode": 7}))
    expect(call(engine, "DELETE", f"/containers/{ident}")[0], 204)


def test_attach_is_live_from_the_first_byte(engine):
    ident = create(engine, Cmd=["sh", "-c", "echo out; echo err >&2; cat"], OpenStdin=True,
                   StdinOnce=True)
    s = upgrade(engine, "POST", f"/containers/{ident}/attach?stream=1&stdin=1&stdout=1&stderr=1")
    s.sendall(b"early")
    expect(call(engine, "POST", f"/containers/{ident}/start")[0], 204)
    s.shutdown(socket.SHUT_WR)
    got = frames(s)
    expect(b"".join(d for k, d in got if k == 1), b"out\nearly")
    expect(b"".join(d for k, d in got if k == 2), b"err\n")
    call(engine, "DELETE", f"/containers/{ident}?force=1")


def test_half_close_does_not_end_the_output(engine):
    ident = create(engine, Cmd=["sleep", "100"])
    call(engine, "POST", f"/containers/{ident}/start")
    _, x = call(engine, "POST", f"/containers/{ident}/exec",
                {"Cmd": ["sh", "-c", "sleep 0.3; echo late"], "AttachStdout": True})
    s = upgrade(engine, "POST", f"/exec/{x['Id']}/start", b"{}")
    s.shutdown(socket.SHUT_WR)
    expect(frames(s), [(1, b"late\n")])
    expect(call(engine, "GET", f"/exec/{x['Id']}/json")[1]["ExitCode"], 0)
    expect(call(engine, "POST", f"/exec/{x['Id']}/start", {})[0], 409)
    call(engine, "DELETE", f"/containers/{ident}?force=1")


def test_attach_without_upgrade_is_a_plain_stream(engine):
    ident = create(engine, Cmd=["echo", "x"], Tty=True)
    with dial(engine.socket) as s:
        s.sendall(f"POST /containers/{ident}/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        out = s.recv(65536)  # it is attached
        expect_in(b"HTTP/1.1 200 OK", out)
        call(engine, "POST", f"/containers/{ident}/start")
        while piece := s.recv(65536):
            out += piece
    expect(out.split(b"\r\n\r\n", 1)[1], b"x\r\n")
    call(engine, "DELETE", f"/containers/{ident}?force=1")


def test_what_a_client_typed_before_the_start_goes_with_it(engine):
    """It left by the detach keys; the next one's input is another."""
    ident = create(engine, Cmd=["sh", "-c", "read x; echo [$x]"], OpenStdin=True, Tty=True)
    s = upgrade(engine, "POST", f"/containers/{ident}/attach?stream=1&stdin=1")
    s.sendall(b"one\x10\x11two")
    expect(s.recv(1), b"", "it is detached")
    s = upgrade(engine, "POST", f"/containers/{ident}/attach?stream=1&stdin=1&stdout=1")
    s.sendall(b"three\n")
    expect(call(engine, "POST", f"/containers/{ident}/start")[0], 204)
    out = b""
    while piece := s.recv(65536):
        out += piece
    expect_in(b"[three]", out)
    call(engine, "DELETE", f"/containers/{ident}?force=1")


def test_top_has_the_columns_that_are_asked_for(engine):
    ident = create(engine, Cmd=["sleep", "1000"], Tty=True)
    call(engine, "POST", f"/containers/{ident}/start")

    def top(args):
        status, answer = call(engine, "GET", f"/containers/{ident}/top?ps_args={args}")
        return status, answer.get("Titles", answer.get("message")), answer.get("Processes")

    pid = str(call(engine, "GET", f"/containers/{ident}/json")[1]["State"]["Pid"])
    status, titles, rows = top("")
    expect((status, titles), (200, "UID PID PPID C STIME TTY TIME CMD".split()))
    expect((len(rows), rows[0][0], rows[0][1], rows[0][5], rows[0][-1]), (1, "root", pid, "pts/0", "sleep 1000"))
    status, titles, rows = top("aux")
    expect((status, titles), (200, "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND".split()))
    expect((rows[0][:2], rows[0][-1], len(rows[0])), (["root", pid], "sleep 1000", 11))
    expect(top("-eo+pid,comm"), (200, ["PID", "COMMAND"], [[pid, "sleep"]]))
    expect(top("-o+comm"), (400, "Couldn't find PID field in ps output", None))
    expect(top("--nonsense"), (400, "option '--nonsense' of ps is not supported", None))
    call(engine, "DELETE", f"/containers/{ident}?force=1")


def test_events_have_what_docker_s_have(engine):
    events = Connection(engine.socket)
    events.request("GET", "/events?filters=" + quote('{"type":["container","volume"]}'))
    heard = events.getresponse()
    _, made = call(engine, "POST", "/containers/create?name=heard", {"Image": "busybox", "Cmd": ["sleep", "1000"], "Tty": True,
                                                                     "HostConfig": {"Binds": ["heardvol:/v:ro"]}})
    ident = made["Id"]
    call(engine, "POST", f"/containers/{ident}/start")
    expect(call(engine, "POST", f"/containers/{ident}/resize?h=20&w=70")[0], 200)
    execs = []
    for command in (["true"], ["sh", "-c", "exit 3"]):
        _, x = call(engine, "POST", f"/containers/{ident}/exec", {"Cmd": command, "AttachStdout": True})
        execs.append(x["Id"])
        s = upgrade(engine, "POST", f"/exec/{x['Id']}/start", b"{}")
        expect(frames(s), [])
    expect(call(engine, "GET", f"/containers/{ident}/top")[0], 200)
    call(engine, "POST", f"/containers/{ident}/rename?name=heard2")
    call(engine, "DELETE", f"/containers/{ident}?force=1")
    call(engine, "POST", "/containers/prune")
    seen = []
    while not seen or seen[-1][0] != "prune":
        e = json.loads(heard.readline())
        seen.append((e["Action"], {k: v for k, v in e["Actor"]["Attributes"].items() if k not in ("image", "name")}))
    events.close()
    mounted = {"container": ident, "destination": "/v", "driver": "local", "propagation": "", "read/write": "false"}
    expect([x for x in seen if x[0] != "exec_die"], [
        ("create", {"driver": "local"}), ("create", {}), ("mount", mounted), ("start", {}), ("resize", {"height": "20", "width": "70"}),
        ("exec_create: true ", {"execID": execs[0]}), ("exec_start: true ", {"execID": execs[0]}),
        ("exec_create: sh -c exit 3", {"execID": execs[1]}), ("exec_start: sh -c exit 3", {"execID": execs[1]}),
        ("top", {}), ("rename", {"oldName": "/heard"}), ("kill", {"signal": "9"}), ("die", {"exitCode": "137"}),
        ("unmount", {"container": ident, "driver": "local"}), ("destroy", {}), ("prune", {"reclaimed": "0"})])
    expect([x[1] for x in seen if x[0] == "exec_die"], [{"execID": execs[0], "exitCode": "0"}, {"execID": execs[1], "exitCode": "3"}])
    now = f"{time.time():.9f}"
    for wanted, count in (("exec_create", 2), ("exec_create: true ", 1), ("exec_cre", 0), ("exec_die", 2), ("exec_start", 2)):
        _, text = call(engine, "GET", f"/events?since=0&until={now}&filters=" +
                       quote(json.dumps({"event": [wanted], "container": [ident]})))
        expect(len((text if isinstance(text, str) else json.dumps(text)).splitlines()), count, wanted)
    call(engine, "DELETE", "/volumes/heardvol")


def test_attach_begins_with_the_log_where_that_is_asked_for(engine):
    ident = create(engine, Cmd=["sh", "-c", "echo one; echo two >&2; printf thr; read x; echo ee $x"], OpenStdin=True)
    call(engine, "POST", f"/containers/{ident}/start")
    s = upgrade(engine, "POST", f"/containers/{ident}/attach?stream=1&stdout=1&logs=1")
    until(lambda: b"two" in raw(engine.socket, f"GET /containers/{ident}/logs?stderr=1 HTTP/1.0\r\n\r\n".encode()), "it is logged")
    # the log alone, raw, at both heads
    for ask in (upgrade(engine, "POST", f"/containers/{ident}/attach?stdout=1&stderr=1&logs=1"),):
        expect(sorted(frames(ask)), [(1, b"one\n"), (2, b"two\n")])
    out = raw(engine.socket, f"POST /containers/{ident}/attach?stderr=1&logs=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    expect((out[:15], out.split(b"\r\n\r\n", 1)[1]), (b"HTTP/1.1 200 OK", b"\x02\0\0\0\0\0\0\x04two\n"))
    # neither the log nor what comes: there is nothing
    expect(frames(upgrade(engine, "POST", f"/containers/{ident}/attach?stdout=1")), [])
    # the log, what is no line yet, and then what comes; input that was sent at once waits for that
    t = upgrade(engine, "POST", f"/containers/{ident}/attach?stream=1&stdin=1&stdout=1&logs=1", b"")
    t.sendall(b"times\n")
    for one in (s, t):
        expect(b"".join(text for _, text in frames(one)), b"one\nthree times\n")
    # it has ended: the log is what there is
    expect(sorted(frames(upgrade(engine, "POST", f"/containers/{ident}/attach?stdout=1&stderr=1&logs=1"))),
           [(1, b"one\n"), (1, b"three times\n"), (2, b"two\n")])
    call(engine, "DELETE", f"/containers/{ident}?force=1")


def test_list_shows_mounts_and_refuses_what_is_no_filter(engine):
    ident = create(engine, Cmd=["true"], HostConfig={"Binds": ["/tmp:/t:ro"]})
    _, listed = call(engine, "GET", "/containers/json?all=1&filters=" + quote('{"health":["none"],"status":["created"]}'))
    expect([(c["Id"], c["Mounts"][0]["Source"], c["Mounts"][0]["RW"]) for c in listed], [(ident, "/tmp", False)])
    for url, what in (("filters=" + quote('{"status":["bogus"]}'), "invalid filter 'status=bogus'"),
                      ("filters=" + quote('{"exited":["x"]}'), "invalid filter 'exited=x'"),
                      ("filters=" + quote('{"health":["x"]}'), "invalid filter 'health=x'"), ("limit=x", "invalid limit: x")):
        expect(call(engine, "GET", "/containers/json?" + url), (400, {"message": what}))
    expect(call(engine, "GET", f"/containers/{ident}/stats?stream=1&one-shot=1")[0], 400)
    call(engine, "DELETE", f"/containers/{ident}?force=1")


def test_list_filters_in_both_shapes(engine):
    ident = create(engine, Cmd=["true"], Labels={"a": "b"})
    for f in ('{"label":{"a=b":true}}', '{"label":["a=b"]}', '{"status":["created"],"label":["a"]}'):
        status, j = call(engine, "GET", "/containers/json?all=1&limit=-1&filters=" +
                         f.replace("{", "%7B").replace('"', "%22").replace("=", "%3D"))
        expect((status, [c["Id"] for c in j]), (200, [ident]), f)
    expect(call(engine, "GET", '/containers/json?filters=%7B%22x%22:%5B%5D%7D')[0], 400)
    call(engine, "DELETE", f"/containers/{ident}")


def test_huge_request_line_is_taken(engine):
    status, _ = call(engine, "GET", "/version?junk=" + "x" * 100000)
    expect(status, 200)


def test_client_gone_while_loading(engine):
    s = socket.socket(socket.AF_UNIX)
    s.connect(engine.socket)
    s.sendall(b"POST /images/load HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    until(engine.idle, "it is being loaded")
    s.close()
    until(lambda: engine.idle() == [], "nothing is left")


def test_clients_gone_while_waiting(engine):
    ident = create(engine, Cmd=["sleep", "100"])
    call(engine, "POST", f"/containers/{ident}/start")
    for url in (f"/containers/{ident}/wait", f"/containers/{ident}/stop?t=60"):
        s = socket.socket(socket.AF_UNIX)
        s.connect(engine.socket)
        s.sendall(f"POST {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(0.1)
        s.close()
    for url in (f"/containers/{ident}/logs?stdout=1&follow=1", "/events",
                f"/containers/{ident}/stats"):
        s = socket.socket(socket.AF_UNIX)
        s.connect(engine.socket)
        s.sendall(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        s.recv(10)
        s.close()
    time.sleep(0.2)
    expect(call(engine, "DELETE", f"/containers/{ident}?force=1")[0], 204)
    clean(engine)


def test_vm_runtime_refuses_what_it_cannot(engine):
    for host, word in (({"NetworkMode": "host"}, "--network host"),
                       ({"Devices": [{"PathOnHost": "/dev/null"}]}, "--device"),
                       ({"Memory": 16 << 20}, "memory limit"), ({"NanoCpus": 65 * 10**9}, "CPUs"),
                       ({"Binds": ["/a:/b"]}, "volumes")):
        status, j = call(engine, "POST", "/containers/create",
                         {"Image": "busybox", "HostConfig": {"Runtime": "vm", **host}})
        expect(status, 400)
        expect_in(word, j["message"])


if __name__ == "__main__":
    main(sys.modules[__name__])
