#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docker pull from Debian's docker-registry, by the real docker command. Says so and passes where either is not installed."""
import bz2
import gzip
import shutil
import subprocess
import sys
import tarfile
import os

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import busybox_layer, clean, config, docker_archive, expect, expect_in, main, sha, tar, until
from registry_fixture import LIST, OCI, OCI_INDEX, REGISTRY, V2, Registry
from http_unix import request as call

DOCKER = shutil.which("docker")
REG = None
FILE = tar([("f", tarfile.REGTYPE, "text\n")])


def docker(engine, *args, **kw):
    return engine.run(*args, client=DOCKER, **kw)


def pulled(engine, *args, **kw):
    p = docker(engine, "pull", *args, **kw)
    expect(p.returncode, 0, p.stderr + p.stdout)
    return p.stdout


def ids(engine):
    return docker(engine, "images", "-aq", "--no-trunc").stdout.split()


def away(engine, *names):
    for name in names:
        p = docker(engine, "rmi", name)
        expect(p.returncode, 0, p.stderr)
    expect(ids(engine), [])
    clean(engine)


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout


def test_an_image_is_pulled_and_runs(engine):
    layers = [busybox_layer(), FILE]
    digest, _ = REG.image("app", "1", layers, config(layers), [gzip.compress(x, mtime=0) for x in layers])
    name = REG.host + "/app:1"
    out = pulled(engine, name)
    expect_in("1: Pulling from app\n", out)
    for layer in layers:
        short = sha(gzip.compress(layer, mtime=0))[:12]
        for status in ("Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"):
            expect_in(f"{short}: {status}\n", out)
    expect(out.splitlines()[-3:], [f"Digest: {digest}", f"Status: Downloaded newer image for {name}", name])
    expect(docker(engine, "run", "--rm", name, "cat", "/f").stdout, "text\n")
    expect_in(f"Status: Image is up to date for {name}", pulled(engine, name))
    p = docker(engine, "image", "inspect", "-f", "{{.RepoTags}} {{.RepoDigests}}", name)
    expect(p.stdout, f"[{name}] [{REG.host}/app@{digest}]\n")
    expect_in(digest, docker(engine, "images", "--digests").stdout)
    p = docker(engine, "rmi", name)
    expect_in(f"Untagged: {REG.host}/app@{digest}\n", p.stdout)
    expect(ids(engine), [])
    p = docker(engine, "run", "--rm", name, "cat", "/f") # what is absent is pulled
    expect((p.returncode, p.stdout), (0, "text\n"), p.stderr)
    engine.again()
    p = docker(engine, "image", "inspect", "-f", "{{.RepoTags}} {{.RepoDigests}}", name)
    expect(p.stdout, f"[{name}] [{REG.host}/app@{digest}]\n", "after the next engine's start")
    p = docker(engine, "run", "--rm", f"{REG.host}/app@{digest}", "cat", "/f")
    expect((p.returncode, p.stdout), (0, "text\n"), p.stderr)
    away(engine, name)


def test_every_kind_of_manifest_and_layer(engine):
    packers = {"plain": bytes, "gzip": gzip.compress, "bzip2": bz2.compress}
    if shutil.which("zstd"):
        packers["zstd"] = zstd
    for name, pack in packers.items():
        for kind in (V2, OCI):
            layer = tar([("kind", tarfile.REGTYPE, name + kind)])
            REG.image("kinds", name, [layer], config([layer]), [pack(layer)], kind=kind)
            pulled(engine, f"{REG.host}/kinds:{name}")
            expect(len(ids(engine)), 1, name)
            away(engine, f"{REG.host}/kinds:{name}")


def test_an_image_without_layers(engine):
    REG.image("none", "1", [], config([]))
    pulled(engine, "--platform", "amd64", REG.host + "/none:1")
    away(engine, REG.host + "/none:1")


def test_what_is_there_is_not_fetched(engine):
    other = tar([("g", tarfile.REGTYPE, "more\n")])
    REG.image("a", "1", [FILE], config([FILE]))
    REG.image("a", "2", [FILE, other, FILE], config([FILE, other, FILE]))
    pulled(engine, REG.host + "/a:1")
    out = pulled(engine, REG.host + "/a:2")
    expect_in(f"{sha(FILE)[:12]}: Already exists\n", out)
    expect(f"{sha(FILE)[:12]}: Pulling fs layer" in out, False)
    expect_in(f"{sha(other)[:12]}: Pull complete\n", out)
    REG.image("a", "1", [other], config([other])) # the tag moves on: the old image keeps its digest
    pulled(engine, REG.host + "/a:1")
    expect(len(ids(engine)), 3)
    p = docker(engine, "images", "-f", "dangling=true", "-q", "--no-trunc")
    expect(p.stdout, f"sha256:{sha(config([FILE]))}\n")
    away(engine, REG.host + "/a:1", REG.host + "/a:2", "sha256:" + sha(config([FILE])))


def test_a_blob_of_two_layers_is_kept_for_both(engine):
    link = tar([("linked", tarfile.LNKTYPE, "f")]) # with content of what is below it: unpacked for each place anew
    other = tar([("other", tarfile.REGTYPE, os.urandom(4 << 20))]) # the first one's end is heard of meanwhile
    layers = [FILE, link, other, link]
    REG.image("twice", "1", layers, config(layers))
    pulled(engine, REG.host + "/twice:1")
    away(engine, REG.host + "/twice:1")
    REG.image("twice", "below", layers[:2], config(layers[:2]))
    pulled(engine, REG.host + "/twice:below") # now the first of them is there, and its blob is not
    pulled(engine, REG.host + "/twice:1")
    away(engine, REG.host + "/twice:below", REG.host + "/twice:1")


def test_pull_by_digest(engine):
    digest, _ = REG.image("d", "1", [FILE], config([FILE]))
    name = f"{REG.host}/d@{digest}"
    out = pulled(engine, name)
    expect_in(f"{REG.host}/d@{digest}: Pulling from d\n".split("/d@")[1], out)
    expect_in(f"Status: Downloaded newer image for {name}", out)
    expect(docker(engine, "image", "inspect", "-f", "{{.RepoTags}} {{.RepoDigests}}", name).stdout, f"[] [{name}]\n")
    expect_in("Image is up to date", pulled(engine, name))
    for args in (["images"], ["images", "--digests"], ["images", "-q"]):
        expect(engine.run(*args).stdout, docker(engine, *args).stdout, str(args))
    pulled(engine, REG.host + "/d:1")
    for args in (["images"], ["images", "--digests"]):
        expect(engine.run(*args).stdout, docker(engine, *args).stdout, str(args))
    expect(docker(engine, "rmi", name).returncode, 0)
    pulled(engine, name)
    expect(docker(engine, "rmi", REG.host + "/d:1").returncode, 0)
    pulled(engine, name)
    p = docker(engine, "pull", f"{REG.host}/d@sha256:{'0' * 64}")
    expect_in("manifest unknown", p.stderr)
    away(engine, name)


def test_all_tags(engine):
    layers = [tar([("n", tarfile.REGTYPE, str(i))]) for i in range(3)]
    for i, layer in enumerate(layers):
        REG.image("all", f"t{i}", [FILE, layer], config([FILE, layer]))
    out = pulled(engine, "-a", REG.host + "/all")
    for i in range(3):
        expect_in(f"t{i}: Pulling from all\n", out)
    expect(out.count(f"{sha(FILE)[:12]}: Pull complete"), 1)
    expect_in(f"Status: Downloaded newer image for {REG.host}/all\n", out)
    away(engine, *(f"{REG.host}/all:t{i}" for i in range(3)))


def test_lists_have_one_for_this_machine(engine):
    def entry(name, kind, **platform):
        layer = tar([("which", tarfile.REGTYPE, name)])
        digest, size = REG.image("multi", None, [layer], config([layer]), kind=kind)
        found[name] = "sha256:" + sha(config([layer]))
        return {"mediaType": kind, "digest": digest, "size": size, "platform": {"os": "linux", **platform}}
    found = {}
    for outer, kind in ((LIST, V2), (OCI_INDEX, OCI)):
        entries = [entry("arm", kind, architecture="arm64"), entry("v3", kind, architecture="amd64", variant="v3"),
                   entry("amd", kind, architecture="amd64"), entry("v2", kind, architecture="amd64", variant="v2")]
        digest, _ = REG.manifest("multi", "1", {"schemaVersion": 2, "mediaType": outer, "manifests": entries}, outer)
        out = pulled(engine, REG.host + "/multi:1")
        expect_in(f"Digest: {digest}\n", out)
        expect(ids(engine), [found["amd"]])
        expect(docker(engine, "image", "inspect", "-f", "{{.RepoDigests}}", found["amd"]).stdout,
               f"[{REG.host}/multi@{digest}]\n")
        away(engine, REG.host + "/multi:1")
        nested = {"schemaVersion": 2, "mediaType": outer, "manifests": [{"mediaType": outer, "digest": digest, "size": 1}]}
        REG.manifest("multi", "2", nested, outer)
        pulled(engine, REG.host + "/multi:2")
        expect(ids(engine), [found["amd"]])
        away(engine, REG.host + "/multi:2")
        REG.manifest("multi", "3", {"schemaVersion": 2, "mediaType": outer, "manifests": entries[:1]}, outer)
        expect_in("no matching manifest for linux/amd64", docker(engine, "pull", REG.host + "/multi:3").stderr)


def test_errors_are_dockers(engine):
    for name, words in ((REG.host + "/nosuch", "manifest for {}:latest not found: manifest unknown"),
                        ("127.0.0.1:1/x", 'Get "http://127.0.0.1:1/v2/x/manifests/latest": dial tcp 127.0.0.1:1: '
                                          "connect: connection refused"),
                        ("nosuch.invalid/x", "no HTTPS proxy"),
                        ("-a " + REG.host + "/nosuch", "repository {} not found: name unknown")):
        p = docker(engine, "pull", *name.split())
        expect((p.returncode, p.stdout.replace("Using default tag: latest\n", "")), (1, ""), p.stderr)
        expect_in(words.format(name.split()[-1]), p.stderr)
    expect(docker(engine, "run", REG.host + "/nosuch").returncode, 125)
    p = docker(engine, "pull", "--platform", "linux/arm64", REG.host + "/app:1")
    expect_in("linux/amd64", p.stderr)
    for query, status in (("fromImage=UPPER&tag=1", 400), ("fromImage=x&tag=a%2Fb", 400), ("fromSrc=-", 501)):
        expect(call(engine.socket, "POST", "/images/create?" + query)[0], status, query)
    status, _ = call(engine.socket, "POST", f"/images/create?fromImage={REG.host}%2Fapp&tag=1", headers={"X-Registry-Auth": "!!"})[:2]
    expect(status, 400)
    clean(engine)


def test_bothy_pulls_as_docker_does(engine):
    layers = [busybox_layer(), FILE]
    for tag in "12":
        REG.image("both", tag, layers, config(layers, Labels={"tag": tag}))
    for args in ([REG.host + "/both:1"], ["-q", REG.host + "/both:1"], [REG.host + "/both:3"], ["-a", REG.host + "/both"], [REG.host + "/both"],
                 ["127.0.0.1:1/x:1"], ["x:y:z"]):
        outs = []
        for client in (DOCKER, None):
            p = engine.run("pull", *args, client=client)
            outs.append((p.returncode, sorted(p.stdout.splitlines()), p.stderr.strip() if "reference" not in p.stderr else "reference"))
            docker(engine, "rmi", "-f", *set(ids(engine)))
        expect(outs[1], outs[0], str(args))
    p = engine.run("run", "--rm", REG.host + "/both:1", "cat", "/f")
    expect((p.returncode, p.stdout), (0, "text\n"), p.stderr)
    expect_in("Status: Downloaded newer image", p.stderr)
    expect(engine.run("run", "--rm", REG.host + "/both:3", "true").returncode, 125)
    away(engine, REG.host + "/both:1")


def test_distribution(engine):
    digest, size = REG.image("dist", "1", [FILE], config([FILE]))
    status, body = call(engine.socket, "GET", f"/distribution/{REG.host}/dist:1/json")[:2]
    expect(status, 200, body)
    expect(body, {"Descriptor": {"mediaType": V2, "digest": digest, "size": size},
                              "Platforms": [{"architecture": "amd64", "os": "linux"}]})
    expect(call(engine.socket, "GET", f"/distribution/{REG.host}/dist:2/json")[0], 404)
    clean(engine)


if __name__ == "__main__":
    if not DOCKER or not REGISTRY:
        print("skip pull: docker or docker-registry is not installed")
        sys.exit(0)
    REG = Registry()
    try:
        main(sys.modules[__name__], with_busybox=False)
    finally:
        REG.close()
