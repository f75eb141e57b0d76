#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docker push to Debian's docker-registry, by the real docker command; skopeo reads what came of it. Says so and passes where one of
them is not installed."""
import gzip
import json
import os
import shutil
import subprocess
import sys
import tarfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import busybox_layer, clean, config, docker_archive, expect, expect_in, main, sha, tar
from http_unix import request
from registry_fixture import OCI, REGISTRY, V2, Registry, Rogue, Store

DOCKER, SKOPEO = shutil.which("docker"), shutil.which("skopeo")
REG = OTHER = None


def docker(engine, *args, **kw):
    return engine.run(*args, client=DOCKER, **kw)


def well(engine, *args):
    p = docker(engine, *args)
    expect(p.returncode, 0, f"{args}: {p.stderr}{p.stdout}")
    return p.stdout


def digest_of(out):
    return [w for w in out.split() if w.startswith("sha256:")][-1]


def remove(engine, *names):
    well(engine, "rmi", *names)
    expect(docker(engine, "images", "-aq").stdout, "")
    clean(engine)


def odd_layer():
    """All that a tar may have and a directory may forget: order, owners, links, times, attributes, odd headers."""
    def info(name, **fields):
        t = tarfile.TarInfo(name)
        for k, v in fields.items():
            setattr(t, k, v)
        return t
    out = [info("z/", type=tarfile.DIRTYPE, mode=0o1777, mtime=5), info("a", type=tarfile.SYMTYPE, linkname="z"),
           info("./z/link/../f2", type=tarfile.SYMTYPE, linkname="/etc/x"), info("dev", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
           info("fifo", type=tarfile.FIFOTYPE), info("z/.wh.gone", mode=0), info("n" * 180 + "/", type=tarfile.DIRTYPE, mode=0o700)]
    data = tar(out)[:-10240]
    plain = [("b/set", tarfile.REGTYPE, "x" * 5000, 0o4755), ("b/secret", tarfile.REGTYPE, os.urandom(70000), 0o000),
             ("b/empty", tarfile.REGTYPE, ""), ("b/hard", tarfile.LNKTYPE, "b/set"), ("z/zeros", tarfile.REGTYPE, bytes(100000))]
    return data.rstrip(b"\0") + b"\0" * (-len(data.rstrip(b"\0")) % 512) + tar(plain) + b"\0" * 1536


def test_a_loaded_image_is_pushed_and_pulled_again(engine):
    layers = [busybox_layer(), odd_layer()]
    name = REG.host + "/up/app:1"
    expect_in("Loaded", engine.load(docker_archive(name, layers)).stdout)
    out = well(engine, "push", name)
    expect_in(f"The push refers to repository [{REG.host}/up/app]\n", out)
    for layer in layers:
        for status in ("Preparing", "Pushed"):
            expect_in(f"{sha(layer)[:12]}: {status}\n", out)
    headers, body = REG.call("GET", "/v2/up/app/manifests/1", Accept=V2)
    digest = headers["Docker-Content-Digest"]
    expect_in(f"1: digest: {digest} size: {len(body)}\n", out)
    expect([x["digest"] for x in json.loads(body)["layers"]], ["sha256:" + sha(x) for x in layers])
    expect(docker(engine, "image", "inspect", "-f", "{{.RepoDigests}}", name).stdout, f"[{REG.host}/up/app@{digest}]\n")
    out = well(engine, "push", name)
    for layer in layers:
        expect_in(f"{sha(layer)[:12]}: Layer already exists\n", out)
    expect(digest_of(out), digest, "the same image has the same digest")
    p = subprocess.run([SKOPEO, "inspect", "--tls-verify=false", "docker://" + name], capture_output=True, text=True)
    expect(json.loads(p.stdout)["Digest"], digest, p.stderr)
    target = engine.path("skopeo.tar")
    p = subprocess.run([SKOPEO, "copy", "-q", "--src-tls-verify=false", "docker://" + name, f"docker-archive:{target}:back:1"],
                       capture_output=True, text=True)
    expect(p.returncode, 0, p.stderr)
    well(engine, "rmi", name)
    expect_in(f"Digest: {digest}\n", well(engine, "pull", name))
    expect(well(engine, "run", "--rm", name, "sh", "-c", "stat -c %a /b/set /b/secret; wc -c </z/zeros"), "4755\n0\n100000\n")
    remove(engine, name)


def test_what_was_pulled_keeps_its_digest(engine):
    """In the registry that it came from, in another repository and by another tag, though its layers are packed."""
    layers = [tar([("f", tarfile.REGTYPE, "1" * 5000)]), tar([("g", tarfile.REGTYPE, "2")])]
    for kind in (V2, OCI):
        digest, _ = REG.image("from/here", "1", layers, config(layers), [gzip.compress(x, mtime=0) for x in layers], kind=kind)
        name = REG.host + "/from/here:1"
        well(engine, "pull", name)
        well(engine, "tag", name, REG.host + "/from/here:2")
        out = well(engine, "push", REG.host + "/from/here:2")
        expect_in(f"{sha(layers[0])[:12]}: Layer already exists\n", out)
        expect(digest_of(out), digest)
        new = f"{REG.host}/to/{kind.split('.')[1]}:1"
        well(engine, "tag", name, new)
        out = well(engine, "push", new)
        expect_in(f"{sha(layers[0])[:12]}: Mounted from from/here\n", out)
        expect(digest_of(out), digest)
        expect(REG.call("GET", f"/v2/{new.split('/', 1)[1].split(':')[0]}/manifests/1", Accept=kind)[0]["Docker-Content-Digest"], digest)
        engine.again()
        far = f"{OTHER.host}/far/{kind.split('.')[1]}:1"
        well(engine, "tag", name, far)
        out = well(engine, "push", far) # the other one has nothing of it: a manifest of its own
        expect_in(f"{sha(layers[0])[:12]}: Pushed\n", out)
        well(engine, "rmi", far)
        expect_in(f"{digest_of(out)}\n", well(engine, "pull", far))
        remove(engine, name, REG.host + "/from/here:2", new, far)


def test_all_tags_are_pushed(engine):
    layer = tar([("f", tarfile.REGTYPE, "tags")])
    for tag in "ab":
        engine.load(docker_archive(f"{REG.host}/tags:{tag}", [layer], config([layer], Labels={"tag": tag})))
    out = well(engine, "push", "-a", REG.host + "/tags")
    for tag in "ab":
        expect_in(f"\n{tag}: digest: sha256:", out)
    expect(sorted(json.loads(REG.call("GET", "/v2/tags/tags/list")[1])["tags"]), ["a", "b"])
    remove(engine, REG.host + "/tags:a", REG.host + "/tags:b")


def test_the_aux_line(engine):
    layer = tar([("f", tarfile.REGTYPE, "aux")])
    engine.load(docker_archive(REG.host + "/aux:1", [layer]))
    status, text = request(engine.socket, "POST", f"/images/{REG.host}/aux/push?tag=1", headers={"X-Registry-Auth": "e30="})
    lines = [json.loads(x) for x in text.splitlines()]
    expect(status, 200)
    expect(sorted(lines[-1]["aux"]), ["Digest", "Size", "Tag"])
    expect(lines[0], {"status": f"The push refers to repository [{REG.host}/aux]"})
    expect(all(set(x) <= {"status", "id", "progressDetail", "aux"} for x in lines), True, text)
    remove(engine, REG.host + "/aux:1")


def test_bothy_pushes_as_docker_does(engine):
    layer = tar([("f", tarfile.REGTYPE, "both")])
    name = REG.host + "/both:1"
    engine.load(docker_archive(name, [layer]))
    for args in (["-q", name], [name], ["-a", REG.host + "/both"], [REG.host + "/both"], [REG.host + "/nosuch:1"]):
        theirs, ours = docker(engine, "push", *args), engine.run("push", *args)
        expect((ours.returncode, ours.stderr.strip()), (theirs.returncode, theirs.stderr.strip()), str(args))
        expect(ours.stdout, theirs.stdout, str(args)) if args[0] != "-q" else None
    remove(engine, name)


def test_errors(engine):
    p = docker(engine, "push", REG.host + "/nosuch:1")
    expect((p.returncode, "An image does not exist locally with the tag: " + REG.host + "/nosuch" in p.stderr), (1, True), p.stderr)
    twice = tar([("f", tarfile.REGTYPE, "1"), ("f", tarfile.REGTYPE, "2")])
    engine.load(docker_archive(REG.host + "/twice:1", [twice]))
    p = docker(engine, "push", REG.host + "/twice:1")
    expect_in("its archive cannot be made again", p.stderr)
    engine.load(docker_archive("127.0.0.1:1/x:1", []))
    expect_in("connection refused", docker(engine, "push", "127.0.0.1:1/x:1").stderr)
    remove(engine, REG.host + "/twice:1", "127.0.0.1:1/x:1")


def test_relative_places_and_broken_uploads(engine):
    """A registry that names places relative to the request, with a query, and drops the first upload of each blob."""
    store, taken = Store(), {}

    def handle(r):
        path, _, query = r.path.partition("?")
        if r.command == "POST" and path == "/v2/rel/blobs/uploads/":
            r.reply(202, Location="../uploads/place?state=a%2Fb")
        elif r.command == "PUT" and "/blobs/uploads/" in path:
            expect(query.startswith("state=a%2Fb&digest=sha256:"), True)
            digest = query.split("digest=")[1]
            if digest not in taken:
                taken[digest] = r.rfile.read(10)
                r.close_connection = True
                return
            data = r.rfile.read(int(r.headers["Content-Length"]))
            expect(store.put(data), digest)
            r.reply(201)
        elif r.command == "PUT":
            store.manifest("1", r.rfile.read(int(r.headers["Content-Length"])))
            r.reply(201)
        else:
            store.serve(r)
    rogue = Rogue(handle)
    layer = tar([("f", tarfile.REGTYPE, os.urandom(300000))])
    name = rogue.host + "/rel:1"
    engine.load(docker_archive(name, [layer]))
    out = well(engine, "push", name)
    expect(store.blobs["sha256:" + sha(layer)] == layer, True)
    expect(digest_of(out), "sha256:" + sha(store.manifests["1"][1]))
    rogue.close()
    remove(engine, name)


if __name__ == "__main__":
    if not DOCKER or not REGISTRY or not SKOPEO:
        print("skip push: docker, docker-registry or skopeo is not installed")
        sys.exit(0)
    REG, OTHER = Registry(), Registry()
    try:
        main(sys.modules[__name__], with_busybox=False)
    finally:
        REG.close()
        OTHER.close()
