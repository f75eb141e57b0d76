#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Registries that want to know who asks, send elsewhere, break off, stall or lie; mirrors and the HTTPS proxy. Most of them are a
few lines of Python here; the passwords are Debian's docker-registry's."""
import base64
import http.server
import json
import os
import re
import shutil
import socket
import socketserver
import stat
import subprocess
import sys
import tarfile
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import USER, Engine, Skip, clean, config, docker_archive, expect, expect_in, main, sha, tar, until
from http_unix import Connection, request
from netns import Space, run
from registry_fixture import LIST, REGISTRY, V2, Registry, Rogue, Store, basic

DOCKER = shutil.which("docker")
SET_IDS = 1 << 6 | 1 << 7  # CAP_SETGID, CAP_SETUID


def layer_of(n, size=10):
    return tar([(f"f{n}", tarfile.REGTYPE, (str(n) * size)[:size])])


def pull(engine, name, auth=None):
    """(status, text, lines): of one whole answer."""
    repo, _, tag = name.rpartition(":")
    headers = {"X-Registry-Auth": auth} if auth else {}
    status, text = request(engine.socket, "POST", f"/images/create?fromImage={repo}&tag={tag}", headers=headers)
    text = text if isinstance(text, str) else json.dumps(text)
    return status, text


def auth_header(**fields):
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


def pulled(engine, name, auth=None):
    status, text = pull(engine, name, auth)
    expect((status, '"error"' in text), (200, False), text)
    return text


def failed(engine, name, words, auth=None):
    text = pull(engine, name, auth)[1]
    expect_in(words, text)
    expect(request(engine.socket, "GET", "/images/json")[1], [])
    until(lambda: not engine.idle(), "nothing is left of the pull")
    return text


def remove(engine, *names):
    for name in names:
        expect(request(engine.socket, "DELETE", "/images/" + name)[0], 200, name)
    expect(request(engine.socket, "GET", "/images/json")[1], [])
    clean(engine)


# ---- who asks ----

def test_passwords_of_docker_registry(engine):
    if not REGISTRY or not DOCKER:
        raise Skip("docker or docker-registry is not installed")
    path = engine.path("htpasswd", b"user:$2b$04$zvbuIGxOfVDRBhAnSyUZTuNIzoOlOeqm7eDr8RaOs.Az/3znWPUGe\n")
    registry = Registry(f"auth:\n  htpasswd:\n    realm: test\n    path: {path}\n")
    try:
        folder, layer = engine.path("docker-config"), layer_of("auth")
        engine.load(docker_archive(registry.host + "/p:1", [layer]))

        def docker(*args, **kw):
            return engine.run("--config", folder, *args, client=DOCKER, **kw)
        p = docker("login", "-u", "user", "--password-stdin", registry.host, input="wrong")
        expect(p.returncode, 1)
        expect_in(f"login attempt to http://{registry.host}/v2/ failed with status: 401 Unauthorized", p.stderr)
        expect_in("no basic auth credentials", docker("push", registry.host + "/p:1").stderr)
        p = docker("login", "-u", "user", "--password-stdin", registry.host, input="pass:word")
        expect((p.returncode, "Login Succeeded" in p.stdout), (0, True), p.stderr)
        p = docker("push", registry.host + "/p:1")
        expect(p.returncode, 0, p.stderr)
        expect(docker("rmi", registry.host + "/p:1").returncode, 0)
        p = docker("pull", registry.host + "/p:1")
        expect(p.returncode, 0, p.stderr)
        expect(docker("rmi", registry.host + "/p:1").returncode, 0)
        engine.env["DOCKER_CONFIG"] = engine.path("bothy-config")
        for password, status in (("wrong", 1), ("pass:word", 0)):
            p = engine.run("login", "-u", "user", "--password-stdin", registry.host, input=password + "\n")
            expect((p.returncode, p.stdout), (status, "" if status else "Login Succeeded\n"), p.stderr)
        p = engine.run("pull", registry.host + "/p:1")
        expect(p.returncode, 0, p.stderr)
        p = engine.run("push", registry.host + "/p:1")
        expect(p.returncode, 0, p.stderr)
        expect(engine.run("rmi", registry.host + "/p:1").returncode, 0)
        del engine.env["DOCKER_CONFIG"]
        p = engine.run("--config", engine.path("none"), "pull", registry.host + "/p:1", client=DOCKER)
        expect_in(f'Get "http://{registry.host}/v2/p/manifests/1": no basic auth credentials', p.stderr)
    finally:
        registry.close()
    clean(engine)


class Tokens:
    """A registry that wants tokens, and the server, at another origin, that gives them."""

    def __init__(self, store, uses=None):
        self.store, self.uses, self.given = store, uses, {}
        self.server = Rogue(self.give)
        self.registry = Rogue(self.serve)
        self.forms = []

    def give(self, r):
        form = r.path.partition("?")[2]
        if r.command == "POST":
            form = r.rfile.read(int(r.headers["Content-Length"])).decode()
        self.forms.append(form)
        known = r.headers.get("Authorization") in (None, basic("user", "secret")) or r.command == "POST"
        if not known:
            r.reply(401, json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]}).encode())
            return
        token = f"token{len(self.given)}"
        self.given[token] = self.uses
        r.reply(200, json.dumps({"access_token" if r.command == "POST" else "token": token}).encode())

    def serve(self, r):
        token = (r.headers.get("Authorization") or "").removeprefix("Bearer ")
        left = self.given.get(token, 0)
        if token not in self.given or left == 0:
            r.reply(401, WWW_Authenticate=f'Bearer realm="http://{self.server.host}/token?x=1",service="the registry",'
                    f'scope="repository:t:pull"')
            return
        if left:
            self.given[token] = left - 1
        self.store.serve(r)

    def close(self):
        self.server.close()
        self.registry.close()


def test_a_token_is_asked_for_once(engine):
    store, layers = Store(), [layer_of(i) for i in range(5)]
    store.image("1", layers, config(layers))
    tokens = Tokens(store)
    name = tokens.registry.host + "/t:1"
    pulled(engine, name)
    expect(tokens.forms, ["x=1&service=the%20registry&scope=repository%3At%3Apull"])
    remove(engine, name)
    pulled(engine, name, auth_header(username="user", password="secret"))
    expect(tokens.server.seen[-1][2].get("Authorization"), basic("user", "secret"))
    expect_in("account=user", tokens.forms[-1])
    expect([h["Authorization"] for _, _, h in tokens.registry.seen if "Basic" in h.get("Authorization", "")], [], "a password")
    remove(engine, name)
    pulled(engine, name, auth_header(identitytoken="refresh"))
    expect(tokens.forms[-1], "service=the%20registry&scope=repository%3At%3Apull&grant_type=refresh_token&refresh_token=refresh&client_id=docker")
    remove(engine, name)
    tokens.given["mine"] = None
    before = len(tokens.forms)
    pulled(engine, name, auth_header(registrytoken="mine"))
    expect(len(tokens.forms), before)
    remove(engine, name)
    failed(engine, name, "unauthorized: incorrect username or password", auth_header(username="user", password="no"))
    for password, status in (("secret", 200), ("wrong", 401)):
        answer = request(engine.socket, "POST", "/auth", {"username": "user", "password": password, "serveraddress": tokens.registry.host})
        expect(answer[0], status, str(answer))
    tokens.close()


def test_a_token_that_ends_is_renewed(engine):
    store, layers = Store(), [layer_of(i) for i in range(4)]
    store.image("1", layers, config(layers))
    tokens = Tokens(store, uses=2)
    pulled(engine, tokens.registry.host + "/t:1")
    expect(len(tokens.forms) > 1, True)
    remove(engine, tokens.registry.host + "/t:1")
    tokens.close()


def test_challenges_that_lead_nowhere(engine):
    answers = {"none": {}, "realm": {"WWW_Authenticate": 'Bearer realm="ftp://x/"'}, "unknown": {"WWW_Authenticate": "Negotiate x"},
               "open": {"WWW_Authenticate": 'Bearer realm="http://x'}, "long": {"WWW_Authenticate": 'Bearer realm="http://' + "x" * 5000 + '"'}}
    for kind, headers in answers.items():
        rogue = Rogue(lambda r: r.reply(401, b"", **headers))
        failed(engine, rogue.host + "/x:1", "no token" if kind in ("realm", "open", "long") else "unauthorized: authentication required")
        rogue.close()
    rogue = Rogue(lambda r: r.reply(200, json.dumps({"token": "a\r\nX: y"}).encode()) if "token" in r.path else
                  r.reply(401, WWW_Authenticate=f'Bearer realm="http://{rogue.host}/token"'))
    failed(engine, rogue.host + "/x:1", "did not include a token")
    rogue.close()
    rogue = Rogue(lambda r: r.reply(401, json.dumps({"details": "incorrect username or password"}).encode()) if "token" in r.path else
                  r.reply(401, WWW_Authenticate=f'Bearer realm="http://{rogue.host}/token"'))
    failed(engine, rogue.host + "/x:1", "unauthorized: incorrect username or password")
    rogue.close()


# ---- elsewhere ----

def test_redirects_get_no_credentials(engine):
    store, layer = Store(), layer_of("r")
    store.image("1", [layer], config([layer]))
    far = Rogue(lambda r: store.serve(r) if not r.headers.get("Authorization") else r.reply(400))

    def handle(r):
        if r.headers.get("Authorization") != basic("user", "secret"):
            r.reply(401, WWW_Authenticate='Basic realm="x"')
        elif "/blobs/" in r.path:
            r.reply(307, Location=f"http://{far.host}{r.path}?signature=a%2Fb")
        else:
            store.serve(r)
    near = Rogue(handle)
    pulled(engine, near.host + "/r:1", auth_header(username="user", password="secret"))
    expect(len(far.paths("signature=a%2Fb")), 2)
    expect([h for _, _, h in far.seen if "Authorization" in h], [])
    remove(engine, near.host + "/r:1")
    far.close()
    near.close()


def test_redirects_end(engine):
    rogue = Rogue(lambda r: r.reply(302, Location=r.path + "x"))
    failed(engine, rogue.host + "/x:1", "stopped after 10 redirects")
    expect(len(rogue.seen), 11)
    for place in ("ftp://x/", "http://a b/", "//", "https://x.invalid/", ""):
        rogue.close()
        rogue = Rogue(lambda r: r.reply(302, Location=place))
        expect(pull(engine, rogue.host + "/x:1")[0], 500, place)
    rogue.close()
    clean(engine)


def with_engine(engine, options, test):
    engine.stop()
    engine.start(*options)
    try:
        test()
    finally:
        engine.stop()
        engine.start()
    until(lambda: not engine.idle(), "the next engine has cleaned up")


def test_mirrors_come_first_for_dockers_own(engine):
    store, layer = Store(), layer_of("m")
    store.image("1", [layer], config([layer]))
    empty, full = Rogue(Store().serve), Rogue(lambda r: (setattr(r, "path", r.path.removeprefix("/base")), store.serve(r)))

    def test():
        text = pulled(engine, "docker.io/library/thing:1", auth_header(username="user", password="secret"))
        expect_in("Pulling from library/thing", text)
        expect(empty.paths(), ["/v2/library/thing/manifests/1"])
        expect(full.paths("/base/v2/library/thing/manifests/1"), ["/base/v2/library/thing/manifests/1"])
        expect([h for _, _, h in empty.seen + full.seen if "Authorization" in h], [])
        expect_in("no HTTPS proxy", pull(engine, "docker.io/library/thing:2")[1])
        before = len(full.seen)
        expect_in("no HTTPS proxy", pull(engine, "quay.io/thing:1")[1])
        expect(len(full.seen), before)
        remove(engine, "thing:1")
    with_engine(engine, ["--mirror", "http://" + empty.host, "--mirror", f"http://{full.host}/base/"], test)
    empty.close()
    full.close()


def test_insecure_registries_are_plain(engine):
    def test():
        for name in ("nosuch.invalid:5000/x:1", "other.invalid/x:1"):
            text = pull(engine, name)[1]
            expect_in("http://" + name.split("/")[0], text)
            expect_in("dial tcp: lookup", text)
        expect_in("https://third.invalid", pull(engine, "third.invalid/x:1")[1])
    with_engine(engine, ["--insecure-registry", "nosuch.invalid:5000", "--insecure-registry", "other.invalid"], test)


class Proxy:
    """An HTTPS proxy's side of the contract: absolute URIs over a unix socket; `serve` answers."""

    def __init__(self, path, serve):
        proxy = self
        self.seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            reply = Rogue(lambda r: None).server.RequestHandlerClass.reply

            def do_GET(self):
                proxy.seen.append((self.path, self.headers.get("Host"), self.headers.get("Authorization")))
                serve(self)
            do_HEAD = do_GET

            def address_string(self):
                return "unix"

            def log_message(self, *args):
                pass

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True
            handle_error = lambda *args: None
        self.server = Server(path, Handler)
        os.chmod(path, 0o600)  # root's alone: it is not opened by those who talk
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def test_https_goes_by_the_proxy(engine):
    store, layer = Store(), layer_of("s")
    store.image("1", [layer], config([layer]))
    cdn = Rogue(store.serve)

    def serve(r):
        host, path = re.fullmatch(r"https://([^/]+)(/.*)", r.path).groups()
        r.path = path
        if host == "untrusted.example":
            r.reply(502, b"certificate verify failed: self-signed certificate\n", Content_Type="text/plain")
        elif host == "downgrade.example":
            r.reply(302, Location=f"http://{cdn.host}{path}")
        elif host == "slow.example":
            asked.set()
            go.wait()
            r.reply(404)
        elif host == "auth.example" and path.startswith("/token"):
            r.reply(200, b'{"token":"good"}')
        elif r.headers.get("Authorization") != "Bearer good" and host == "reg.example:8443":
            r.reply(401, WWW_Authenticate='Bearer realm="https://auth.example/token"')
        elif "/blobs/" in path and host != "cdn.example":
            r.reply(307, Location="https://cdn.example" + path)
        else:
            store.serve(r)
    folder = engine.path("proxy")
    path = folder + "/sock"
    os.mkdir(folder)
    proxy, asked, go = Proxy(path, serve), threading.Event(), threading.Event()

    def dialer():
        """Of what belongs to a pull, the one that has root's number and no capability: no other of that number may look into it."""
        c = begin(engine, "slow.example/s:1")
        asked.wait()
        found = [p for p, s in processes_below(engine.process.pid).items() if s["Uid"].split()[0] == "0" and not int(s["CapPrm"], 16)]
        expect(len(found), 1)
        p = subprocess.run(["setpriv", "--bounding-set=-all", "--inh-caps=-all", "readlink", f"/proc/{found[0]}/root"],
                           capture_output=True, text=True)
        go.set()
        expect(p.stdout, "", "its root")
        c.getresponse().read()

    def test():
        pulled(engine, "reg.example:8443/s:1")
        expect(proxy.seen[0][:2], ("https://reg.example:8443/v2/s/manifests/1", "reg.example:8443"))
        expect([a for p, _, a in proxy.seen if "cdn.example" in p], [None, None])
        remove(engine, "reg.example:8443/s:1")
        text = failed(engine, "untrusted.example/s:1", "certificate verify failed: self-signed certificate")
        expect_in('Get \\"https://untrusted.example/v2/s/manifests/1\\"', text)
        failed(engine, "downgrade.example/s:1", "redirects from https to http")

    def led_astray():
        """A link of the socket's name, and one of its directory's."""
        before = len(proxy.seen)
        for name, other, where in ((path, folder + "/other", "other"), (folder, folder + "2", folder + "2")):
            os.rename(name, other)
            os.symlink(where, name)
            failed(engine, "reg.example:8443/s:1", "symbolic link")
            os.unlink(name)
            os.rename(other, name)
        expect(len(proxy.seen), before)
    with_engine(engine, ["--https", "unix:" + path], lambda: (test(), dialer(), led_astray()))
    proxy.close()
    cdn.close()
    os.unlink(path)
    with_engine(engine, ["--https", path], lambda: failed(engine, "reg.example/s:1", f"no HTTPS proxy serves {path}"))


def test_run_pulls_when_it_is_told_to(engine):
    store, layer = Store(), layer_of("when")
    store.image("1", [layer], config([layer]))
    rogue = Rogue(store.serve)
    name = rogue.host + "/when:1"
    p = engine.run("create", "--pull", "never", name)
    expect((p.returncode, rogue.seen), (125, []), p.stderr)
    expect(engine.run("create", "--name", "w1", name).returncode, 0)
    before = len(rogue.seen)
    expect((engine.run("create", "--name", "w2", name).returncode, len(rogue.seen)), (0, before))
    p = engine.run("create", "--name", "w3", "--pull=always", name)
    expect((p.returncode, len(rogue.seen) > before), (0, True), p.stderr)
    p = engine.run("create", "--pull=often", name)
    expect(p.returncode, 125)
    expect_in("must be one of", p.stderr)
    expect_in("[--shm-size V]", engine.run("help").stdout)
    engine.run("rm", "w1", "w2", "w3")
    rogue.close()
    remove(engine, name)


def test_names_below_localhost_are_this_machine(engine):
    """No name server is asked for them, whatever it would say."""
    store, layer = Store(), layer_of("here")
    store.image("1", [layer], config([layer]))
    rogue = Rogue(store.serve)
    for name in ("localhost", "a.localhost", "x.y.localhost"):
        pulled(engine, f"{name}:{rogue.port}/h:1")
        remove(engine, f"{name}:{rogue.port}/h:1")
    rogue.close()


def push(engine, name):
    repo, _, tag = name.rpartition(":")
    return request(engine.socket, "POST", f"/images/{repo}/push?tag={tag}", headers={"X-Registry-Auth": "e30="})[1]


def test_what_is_sent_follows_no_redirect(engine):
    far = Rogue(lambda r: r.reply(202, Location="/upload"))
    for status in (301, 303, 307, 308):
        def handle(r):
            if r.command == "HEAD":
                r.reply(404)
            else:
                r.reply(status, Location=f"http://{far.host}{r.path}")
        near = Rogue(handle)
        engine.load(docker_archive(near.host + "/p:1", [layer_of("sent")]))
        expect_in(f"unexpected HTTP status: {status}", str(push(engine, near.host + "/p:1")))
        remove(engine, near.host + "/p:1")
        near.close()
    expect(far.seen, [])
    far.close()


def test_what_follows_a_layer_is_no_request(engine):
    """A manifest that is wrong of the length of a layer that is here already: what is sent for the layer is its length, no more."""
    store = Store()
    inner = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    layer = tar([("f", tarfile.REGTYPE, "0123456789" + inner.decode())])  # which stands behind a header of 512 bytes
    conf = config([layer])

    def handle(r):
        sent = r.rfile.read(int(r.headers.get("Content-Length", 0)))
        if r.command == "POST":
            r.reply(202, Location="/v2/l/blobs/uploads/1")
        elif r.command == "PUT":
            r.reply(201)
            if "/blobs/" in r.path:
                taken[r.path.rpartition(":")[2]] = sent
        elif r.command == "HEAD":
            r.reply(404)
        else:
            store.serve(r)
    taken, rogue = {}, Rogue(handle)
    name = rogue.host + "/l:1"
    engine.load(docker_archive("own:1", [layer], conf=config([layer], Env=["OTHER=image"])))
    m = {"schemaVersion": 2, "mediaType": V2, "config": {"mediaType": "application/vnd.docker.container.image.v1+json",
                                                         "size": len(conf), "digest": store.put(conf)},
         "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar", "size": 522, "digest": store.put(layer)}]}
    store.manifest("1", m)
    expect_in("Already exists", pulled(engine, name))
    expect_in("digest", str(push(engine, name)))
    expect((taken.get(sha(layer)) == layer, rogue.paths("smuggled")), (True, []))
    rogue.close()
    remove(engine, name, "own:1")


def test_a_registry_sends_nobody_to_this_machine(engine):
    """By a redirect, a token's realm or a place for an upload, of a registry that is elsewhere: an address of a namespace's lo here."""
    space = Space("registry")
    space.ip("addr", "add", "10.9.8.7/32", "dev", "lo")
    store, layer = Store(), layer_of("inward")
    store.image("1", [layer], config([layer]))
    inward = Rogue(store.serve, space.listener("127.0.0.1"))
    elsewhere = Rogue(store.serve, space.listener("10.9.8.7"))
    ways = {}

    def handle(r):
        place = ways["host"] + r.path
        if ways["kind"] == "token":
            r.reply(401, WWW_Authenticate=f'Bearer realm="http://{place}"')
        elif ways["kind"] == "upload" and r.command == "POST":
            r.reply(202, Location=f"http://{place}")
        elif ways["kind"] == "upload":
            r.reply(404)
        elif "/blobs/" in r.path:
            r.reply(307, Location=f"http://{place}")
        else:
            store.serve(r)
    near = Rogue(handle, space.listener("10.9.8.7"))
    other = Engine(options=["--insecure-registry", "10.9.0.0/16"], under=("nsenter", f"--net=/run/netns/{space.name}"))
    beyond = Space("beyond")
    run("ip", "link", "add", "wire", "netns", space.name, "type", "veth", "peer", "name", "wire", "netns", beyond.name)
    for end, own in ((space, "10.9.9.1/24"), (beyond, "10.9.9.2/24")):
        end.ip("addr", "add", own, "dev", "wire")
        end.ip("link", "set", "wire", "up")
    far = Rogue(handle, beyond.listener("10.9.9.2"))
    try:
        for host in (f"127.0.0.1:{inward.port}", f"localhost:{inward.port}", f"0.0.0.0:{inward.port}", f"[::ffff:127.0.0.1]:{inward.port}",
                     "169.254.169.254"):
            ways.update(host=host, kind="redirect")
            expect_in("permission denied", pull(other, near.host + "/i:1")[1].lower(), host)
        ways.update(host=inward.host, kind="token")
        expect_in("permission denied", pull(other, near.host + "/i:1")[1].lower())
        ways.update(kind="upload")
        other.load(docker_archive(near.host + "/p:1", [layer]))
        expect_in("permission denied", str(push(other, near.host + "/p:1")).lower())
        expect(inward.seen, [])
        ways.update(host=elsewhere.host, kind="redirect")
        expect('"error"' in pull(other, near.host + "/i:1")[1], False, "to another address it may")
        for name in ("/i:1", "/p:1"):
            expect(request(other.socket, "DELETE", "/images/" + near.host + name)[0], 200)
        before = len(elsewhere.seen)
        expect_in("permission denied", pull(other, far.host + "/i:1")[1].lower(), "from beyond to an address that this machine has")
        expect(len(elsewhere.seen), before)
    finally:
        other.close()
        for rogue in (inward, elsewhere, near, far):
            rogue.close()
        space.delete()
        beyond.delete()


def test_a_list_of_tags_names_no_digest_and_no_other_repository(engine):
    store, layer = Store(), tar([("f", tarfile.REGTYPE, "x")])
    pinned = "sha256:" + "0" * 64
    tags = ["a@" + pinned, "5000/a:latest", "good"]
    for tag in tags:
        store.image(tag, [layer], config([layer]))

    def handle(r):
        if "/tags/list" in r.path:
            r.reply(200, json.dumps({"name": "all", "tags": tags}).encode())
        else:
            store.serve(r)
    rogue = Rogue(handle)
    status, text = request(engine.socket, "POST", f"/images/create?fromImage={rogue.host}/all")
    expect((status, '"error"' in str(text)), (200, False), text)
    status = request(engine.socket, "GET", f"/images/{rogue.host}/all@{pinned}/json")[0]
    expect(status, 404, "a digest that is no one's")
    expect([path for path in rogue.paths("/manifests/") if "5000" in path or "@" in path], [], "tags that are none")
    remove(engine, rogue.host + "/all:good")
    rogue.close()


def test_a_mirror_that_lies_is_passed_over(engine):
    """A manifest by its digest, a list without us, a configuration, a layer that is another or longer: the next one is asked."""
    good, layer = Store(), layer_of("true", 3000)
    digest = good.image("1", [layer], config([layer]))
    blob, conf = "sha256:" + sha(layer), "sha256:" + sha(config([layer]))
    lies = {"manifest": lambda r: r.reply(200, b"{}") if "/manifests/" in r.path else good.serve(r),
            "list": lambda r: r.reply(200, json.dumps({"schemaVersion": 2, "mediaType": LIST, "manifests": []}).encode(), Content_Type=LIST)
            if "/manifests/" in r.path else good.serve(r),
            "config": lambda r: r.reply(200, b"{}") if conf in r.path else good.serve(r),
            "layer": lambda r: r.reply(200, layer[:-1] + b"?") if blob in r.path else good.serve(r),
            "longer": lambda r: r.reply(200, layer + b"?") if blob in r.path else good.serve(r)}
    honest = Rogue(good.serve)
    for lie, handle in lies.items():
        liar = Rogue(handle)

        def test():
            for reference in ("docker.io/library/thing:1", "docker.io/library/thing@" + digest):
                if lie == "list" and "@" in reference:
                    continue
                name = "thing:1" if "@" not in reference else "thing@" + digest
                before = len(honest.seen)
                repo, _, tag = reference.partition("@") if "@" in reference else reference.rpartition(":")
                status, text = request(engine.socket, "POST", f"/images/create?fromImage={repo}&tag={tag}")
                expect((status, '"error"' in str(text), len(honest.seen) > before), (200, False, True), f"{lie}: {text}")
                remove(engine, name)
        with_engine(engine, ["--mirror", "http://" + liar.host, "--mirror", "http://" + honest.host], test)
        liar.close()
    honest.close()


def test_what_comes_too_slowly_is_given_up(engine):
    """A byte now and then holds no worker: of a layer, and of a head."""
    store, layer = Store(), layer_of("slow", 100000)
    store.image("1", [layer], config([layer]))
    over = threading.Event()

    def drip(r, data):
        for i in range(len(data)):
            if over.wait(0.05):
                return
            r.wfile.write(data[i:i + 1])

    def handle(r):
        if sha(layer) in r.path:
            r.send_response(200)
            r.send_header("Content-Length", str(len(layer)))
            r.end_headers()
            drip(r, layer)
        elif "heads" in r.path:
            drip(r, b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100000)
        else:
            store.serve(r)
    rogue = Rogue(handle)

    def test():
        expect_in("i/o timeout", pull(engine, rogue.host + "/heads:1")[1])
        text = pull(engine, rogue.host + "/s:1")[1]
        expect_in("i/o timeout", text)
        expect(len(rogue.paths(sha(layer))), 5, "tries")
        until(lambda: not engine.idle(), "nothing is left of the pull")
    with_engine(engine, ["--registry-idle", "1"], test)
    over.set()
    rogue.close()


# ---- broken ----

def test_a_broken_layer_is_resumed(engine):
    store, layer = Store(), layer_of("b", 400000)
    store.image("1", [layer], config([layer]))
    asked = []

    def handle(r, ranges=True):
        data = store.blobs.get("sha256:" + sha(layer))
        if sha(layer) not in r.path:
            return store.serve(r)
        asked.append(r.headers.get("Range"))
        first = int(re.fullmatch(r"bytes=(\d+)-", asked[-1])[1]) if asked[-1] and ranges else 0
        rest = data[first:]
        r.send_response(206 if first else 200)
        if first:
            r.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        r.send_header("Content-Length", str(len(rest)))
        r.end_headers()
        part = rest[:150000] if len(asked) < 3 or ranges else rest
        r.wfile.write(part)
        r.close_connection = len(part) < len(rest)
    rogue = Rogue(handle)
    text = pulled(engine, rogue.host + "/b:1")
    expect_in("Retrying in 1 seconds", text)
    expect(asked[0], None)
    expect([bool(re.fullmatch(r"bytes=\d+-", x)) for x in asked[1:]], [True] * (len(asked) - 1))
    remove(engine, rogue.host + "/b:1")
    rogue.close()
    asked.clear()
    rogue = Rogue(lambda r: handle(r, ranges=False))
    pulled(engine, rogue.host + "/b:1")
    expect(len(asked), 3)
    remove(engine, rogue.host + "/b:1")
    rogue.close()


def test_layers_come_three_at_a_time(engine):
    store, layers = Store(), [layer_of(i) for i in range(7)]
    store.image("1", layers, config(layers))
    lock, inside, most = threading.Condition(), [0], [0]
    digests = {sha(x) for x in layers}

    def handle(r):
        if r.path.rpartition(":")[2] in digests:
            with lock: # the first three wait for each other
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                lock.notify_all()
                lock.wait_for(lambda: most[0] >= 3)
                inside[0] -= 1
        store.serve(r)
    rogue = Rogue(handle)
    text = pulled(engine, rogue.host + "/p:1")
    expect(most[0], 3)
    expect(text.count('"Waiting"'), 4)
    remove(engine, rogue.host + "/p:1")
    rogue.close()


def test_a_busy_registry_is_asked_again(engine):
    """At an IPv6 address, where it is named as anywhere else."""
    store, layer, asked = Store(), layer_of("busy"), {}
    store.image("1", [layer], config([layer]))

    def handle(r, times=2):
        asked[r.path] = asked.get(r.path, 0) + 1
        if asked[r.path] <= times:
            r.reply(503 if asked[r.path] % 2 else 429, b"<html>busy</html>", Content_Type="text/html")
        else:
            store.serve(r)
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    rogue, name = Rogue(handle, listener), f"[::1]:{listener.getsockname()[1]}/b:1"
    expect_in(f"Downloaded newer image for {name}", pulled(engine, name))
    expect(set(asked.values()), {3})
    expect(request(engine.socket, "GET", "/images/json")[1][0]["RepoTags"], [name])
    remove(engine, name)
    rogue.close()
    asked.clear()
    rogue = Rogue(lambda r: handle(r, 100))
    failed(engine, rogue.host + "/b:1", "the registry asks for patience")
    expect(set(asked.values()), {4})
    rogue.close()


def test_a_registry_that_is_silent_is_given_up(engine):
    over = threading.Event()
    rogue = Rogue(lambda r: over.wait())

    def test():
        done = []
        t = threading.Thread(target=lambda: done.append(pull(engine, rogue.host + "/x:1")))
        t.start()
        until(lambda: rogue.seen, "the registry is asked")
        expect(request(engine.socket, "GET", "/_ping")[0], 200)
        t.join()
        expect_in("i/o timeout", done[0][1])
        until(lambda: not engine.idle(), "nothing is left of the pull")
        clean(engine)
    with_engine(engine, ["--registry-idle", "1"], test)
    over.set()
    rogue.close()


# ---- clients and engines that end ----

class Held:
    """A registry whose layer does not come before `go` is set."""

    def __init__(self, n=1):
        self.store, self.go, self.asked = Store(), threading.Event(), threading.Event()
        layers = [layer_of(f"held{i}", 100000) for i in range(n)]
        self.store.image("1", layers, config(layers))
        digests = {sha(x) for x in layers}

        def handle(r):
            if r.path.rpartition(":")[2] in digests:
                self.asked.set()
                self.go.wait()
            self.store.serve(r)
        self.rogue = Rogue(handle)
        self.name = self.rogue.host + "/h:1"

    def close(self):
        self.go.set()
        self.rogue.close()


def begin(engine, name):
    c = Connection(engine.socket)
    repo, _, tag = name.rpartition(":")
    c.request("POST", f"/images/create?fromImage={repo}&tag={tag}")
    return c


def processes_below(pid):
    """{pid: what /proc says} of all that descend from it."""
    found, parents = {}, {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/status") as f:
                status = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
            parents[int(name)] = int(status["PPid"])
            found[int(name)] = status
        except (FileNotFoundError, ProcessLookupError):
            pass
    below = {pid}
    while more := {p for p, parent in parents.items() if parent in below} - below:
        below |= more
    return {p: found[p] for p in below - {pid}}


def expect_confined(pid, status):
    expect((status["Uid"].split(), int(status["CapEff"], 16), int(status["CapPrm"], 16), status["NoNewPrivs"]), (["102"] * 4, 0, 0, "1"))
    expect(status["Seccomp"] == "2" or "asan" in USER, True)
    root, here = os.stat(f"/proc/{pid}/root"), f"/proc/{pid}/fd"
    for fd in os.listdir(here):
        st = os.stat(f"{here}/{fd}")
        if stat.S_ISDIR(st.st_mode):
            expect((st.st_dev, st.st_ino), (root.st_dev, root.st_ino), os.readlink(f"{here}/{fd}"))


def test_what_talks_to_a_registry_may_do_nothing_else(engine):
    """A user of its own, no capability, a filter, and no descriptor of a directory outside of its root."""
    held = Held(2)
    c = begin(engine, held.name)
    held.asked.wait()

    def talkers():
        return {p: s for p, s in processes_below(engine.process.pid).items() if s["Uid"].split()[0] == "102"}
    until(lambda: len(talkers()) == 3, "one asks, two fetch")
    for pid, status in talkers().items():
        expect_confined(pid, status)
    worker = next(s["PPid"] for s in talkers().values())

    def unpackers():
        return [int(s["CapPrm"], 16) for s in processes_below(int(worker)).values() if s["Uid"].split()[0] == "0"]
    until(lambda: [caps & SET_IDS for caps in unpackers()] == [0], "what unpacks becomes nobody else")
    for pid in (p for p, s in processes_below(int(worker)).items() if s["Uid"].split()[0] == "0"):
        names = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        expect([name for name in names if name.startswith("socket:")], [], "what unpacks has nobody to talk to")
    held.go.set()
    expect_in("Downloaded newer image", c.getresponse().read().decode())
    expect(talkers(), {})
    remove(engine, held.name)
    held.close()


def remembers(pid, words):
    """Which of them are in a process's memory."""
    found = set()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for place, mode, *name in map(str.split, maps):
            first, last = (int(x, 16) for x in place.split("-"))
            if mode.startswith("rw"):
                memory.seek(first)
                data = memory.read(last - first)
                found |= {word for word in words if word.encode() in data}
    return found


def test_what_unpacks_knows_no_password(engine):
    """Those who talk do, which shows that it would be found."""
    words = ["verysecretword", base64.b64encode(b"user:verysecretword").decode(), "tokenthatnobodyguesses"]
    held, server = Held(2), Rogue(lambda r: r.reply(200, json.dumps({"token": words[2]}).encode()))
    handler = held.rogue.server.RequestHandlerClass
    serve = handler.do_GET

    def ask(r):
        if "Authorization" in r.headers:
            serve(r)
        else:
            r.reply(401, WWW_Authenticate=f'Bearer realm="http://{server.host}/",service="s"')
    handler.do_GET = ask
    c = Connection(engine.socket)
    c.request("POST", f"/images/create?fromImage={held.rogue.host}/h&tag=1", headers={
        "X-Registry-Auth": auth_header(username="user", password=words[0])})
    held.asked.wait()

    def talkers():
        return {p: s for p, s in processes_below(engine.process.pid).items() if s["Uid"].split()[0] == "102"}
    until(lambda: len(talkers()) == 3, "one asks, two fetch")
    worker = int(next(s["PPid"] for s in talkers().values()))

    def unpackers():
        return [p for p, s in processes_below(worker).items() if s["Uid"].split()[0] == "0" and not int(s["CapPrm"], 16) & SET_IDS]
    until(lambda: len(unpackers()) == 1, "what unpacks is at work")
    if "asan" not in USER:
        found = set().union(*(remembers(p, words) for p in talkers()))
        expect({words[0], words[2]} <= found, True, str(found))
        expect(remembers(unpackers()[0], words), set())
    expect(server.seen[0][2].get("Authorization"), "Basic " + words[1])
    held.go.set()
    expect_in("Downloaded newer image", c.getresponse().read().decode())
    remove(engine, held.name)
    server.close()
    held.close()


def test_a_client_that_leaves_ends_its_pull(engine):
    held = Held()
    c = begin(engine, held.name)
    held.asked.wait()
    c.sock.close()
    until(lambda: not engine.idle(), "nothing is left of the pull")
    expect(request(engine.socket, "GET", "/images/json")[1], [])
    held.close()


def test_clients_share_a_pull(engine):
    held = Held()
    first, second = begin(engine, held.name), None
    held.asked.wait()
    second = begin(engine, held.name)
    answer = second.getresponse()
    expect_in("Pulling from h", answer.readline().decode(), "what was said before")
    first.sock.close()
    held.go.set()
    expect_in("Downloaded newer image", answer.read().decode())
    expect(len(held.rogue.paths("/manifests/")), 1)
    held.close()
    remove(engine, held.name)


def test_a_killed_engine_leaves_nothing(engine):
    held = Held(2)
    c = begin(engine, held.name)
    held.asked.wait()
    engine.again()
    c.close()
    until(lambda: not engine.idle(), "the next engine has cleaned up")
    expect(request(engine.socket, "GET", "/images/json")[1], [])
    expect(os.listdir(os.path.join(engine.root, "layers")), [])
    held.go.set()
    pulled(engine, held.name)
    remove(engine, held.name)
    held.close()


def test_a_client_that_leaves_ends_its_push(engine):
    over, asked = threading.Event(), threading.Event()

    def handle(r):
        asked.set()
        over.wait()
    rogue = Rogue(handle)
    engine.load(docker_archive(rogue.host + "/x:1", [layer_of("x")]))
    c = Connection(engine.socket)
    c.request("POST", f"/images/{rogue.host}/x/push?tag=1")
    answer, sock = c.getresponse(), c.sock
    expect_in("The push refers to repository", answer.readline().decode())
    asked.wait()
    below = processes_below(engine.process.pid)
    talks = [(p, s) for p, s in below.items() if s["Uid"].split()[0] == "102"]
    expect(len(talks), 1)
    expect_confined(*talks[0])
    reads = [s for s in below.values() if s["PPid"] == str(talks[0][0])]
    expect([(s["Uid"].split(), int(s["CapEff"], 16)) for s in reads], [(["0"] * 4, 1 << 2)], "CAP_DAC_READ_SEARCH")
    answer.close()  # which holds the socket as well
    sock.close()
    until(lambda: not engine.idle(), "nothing is left of the push")
    over.set()
    rogue.close()
    remove(engine, rogue.host + "/x:1")


def test_an_image_goes_while_it_is_pulled_again(engine):
    held = Held()
    held.go.set()
    pulled(engine, held.name)
    held.go.clear()
    other = layer_of("more")
    held.store.image("2", [layer_of("held0", 100000), other], config([layer_of("held0", 100000), other]))
    pulled(engine, held.name[:-1] + "2")
    expect(request(engine.socket, "DELETE", "/images/" + held.name)[0], 200)
    held.close()
    remove(engine, held.name[:-1] + "2")


# ---- liars ----

def test_lies_are_found_out(engine):
    layer, other = layer_of("good", 2000), layer_of("evil", 2000)

    def lie(words, change, **fields):
        store = Store()
        store.image("1", [layer], config([layer]))
        rogue = Rogue(store.serve)
        change(store)
        failed(engine, rogue.host + "/l:1", words)
        rogue.close()

    def manifest(store, **fields):
        m = json.loads(store.manifests["1"][1])
        m.update(fields)
        store.manifest("1", m)

    def blob(data):
        return lambda s: s.blobs.update({"sha256:" + sha(layer): data})
    lie("its digest is another", blob(other))
    lie("sends more than the manifest says", blob(layer + b"x"))
    lie("unexpected EOF", blob(layer[:-1]))
    lie("BLOB_UNKNOWN".lower().replace("_", " "), lambda s: s.blobs.pop("sha256:" + sha(layer)))
    lie("digest does not match", lambda s: s.image("1", [layer], config([other])))
    lie("does not fit its manifest", lambda s: s.image("1", [layer], config([layer, other])))
    lie("linux/arm64", lambda s: s.image("1", [layer], config([layer]).replace(b"amd64", b"arm64")))
    lie("no sha256 digest or no size", lambda s: manifest(s, layers=[{"digest": "sha256:../../x", "size": 1}]))
    lie("no sha256 digest or no size", lambda s: manifest(s, config={"digest": "sha256:" + "0" * 64, "size": -1}))
    lie("too many layers", lambda s: manifest(s, layers=[{"digest": "sha256:" + "0" * 64, "size": 1}] * 126))
    lie("schema version 1", lambda s: manifest(s, schemaVersion=1))
    lie("no container image", lambda s: manifest(s, config={"digest": "sha256:" + "0" * 64, "size": 1, "mediaType": "application/vnd.x"}))
    lie("the manifest of 1 is of no use", lambda s: s.manifest("1", b"{"))
    lie("the manifest of 1 is of no use", lambda s: s.manifest("1", b"[" * 100000))
    lie("the answer is too long", lambda s: s.manifest("1", b" " * 5000000))


def test_garbage_is_no_answer(engine):
    for data in (b"", b"\0" * 5000, b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"HTTP/1.1 999\r\n\r\n", b"A" * 300000,
                 b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n", b"HTTP/1.1 100 C\r\n\r\n" * 20, b"HTTP/1.1 101 U\r\n\r\n",
                 b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}"):
        def handle(r):
            r.wfile.write(data)
            r.close_connection = True
        rogue = Rogue(handle)
        status, text = pull(engine, rogue.host + "/x:1")
        expect((status, "message" in text), (500, True), f"{data[:40]}: {text}")
        rogue.close()
    until(lambda: not engine.idle(), "nothing is left of the pulls")
    clean(engine)


if __name__ == "__main__":
    main(sys.modules[__name__], with_busybox=False)
