#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Image archives, good and hostile: what loads, and that the rest leaves nothing behind."""
import gzip
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import (Skip, config, docker_archive, expect, expect_in, main, oci_layout, sha, tar)
from http_unix import request

REG, DIR, SYM, LNK = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
GOOD = tar([("etc", DIR, None), ("etc/motd", REG, "hello\n", 0o644)])


def layers_of(engine):
    return sorted(os.listdir(os.path.join(engine.root, "layers")))


def refused(engine, data, *parts):
    """The archive is refused with one line that has every part, and nothing stays."""
    before = layers_of(engine), engine.run("images", "-q").stdout
    p = engine.load(data)
    expect(p.returncode, 1, "status")
    expect(p.stderr.count("\n"), 1, f"number of lines in {p.stderr!r}")
    for part in parts:
        expect_in(part, p.stderr, "message")
    expect(engine.idle(), [], "leftovers")
    expect((layers_of(engine), engine.run("images", "-q").stdout), before, "the store")


def layer_refused(engine, entries, *parts):
    layer = entries if isinstance(entries, bytes) else tar(entries)
    refused(engine, docker_archive("bad:1", [layer]), "layer 0/layer.tar", *parts)


def test_load_docker_archive(engine):
    p = engine.load(docker_archive("one:1", [GOOD]))
    expect((p.returncode, p.stdout), (0, "Loaded image: one:1\n"))
    expect(engine.run("rmi", "one:1").returncode, 0, "rmi")


def test_load_gzip_layer(engine):
    p = engine.load(docker_archive("gz:1", [GOOD], stored=[gzip.compress(GOOD)]))
    expect((p.returncode, p.stdout), (0, "Loaded image: gz:1\n"), p.stderr)
    engine.run("rmi", "gz:1")


def test_load_oci_layout(engine):
    p = engine.load(oci_layout("oci:2", [GOOD]))
    expect((p.returncode, p.stdout), (0, "Loaded image: oci:2\n"), p.stderr)
    engine.run("rmi", "oci:2")


def test_load_made_by_umoci_and_skopeo(engine):
    if not shutil.which("umoci") or not shutil.which("skopeo"):
        raise Skip("umoci or skopeo is not installed")
    with tempfile.TemporaryDirectory() as tmp:
        def sh(*a):
            subprocess.run(a, check=True, capture_output=True, cwd=tmp)
        sh("umoci", "init", "--layout", "o")
        sh("umoci", "new", "--image", "o:umo:1")
        sh("umoci", "unpack", "--rootless", "--image", "o:umo:1", "b")
        with open(os.path.join(tmp, "b/rootfs/file"), "w") as f:
            f.write("text" * 5000)
        sh("umoci", "repack", "--image", "o:umo:1", "b")
        sh("sh", "-c", "cd o && tar cf ../umo.tar .")
        sh("skopeo", "copy", "oci:o:umo:1", "docker-archive:sko.tar:sko:1")
        for name, want in (("umo.tar", "umo:1"), ("sko.tar", "sko:1")):
            with open(os.path.join(tmp, name), "rb") as f:
                p = engine.load(f.read())
            expect((p.returncode, p.stdout), (0, f"Loaded image: {want}\n"), p.stderr)
    expect(engine.run("rmi", "umo:1").stdout, "Untagged: umo:1\n")
    expect(engine.run("rmi", "sko:1").returncode, 0)


def test_load_twice_shares_layers(engine):
    engine.load(docker_archive("a:1", [GOOD]))
    n = len(layers_of(engine))
    engine.load(docker_archive("b:1", [GOOD], conf=config([GOOD], Labels={"x": "y"})))
    expect(len(layers_of(engine)), n, "layers")
    engine.run("rmi", "a:1")
    expect(len(layers_of(engine)), n, "layers after one rmi")
    engine.run("rmi", "b:1")
    expect(len(layers_of(engine)), n - 1, "layers after both")


def test_whiteouts_hide_lower_files(engine):
    from engine_fixture import busybox_layer
    lower = tar([("d", DIR, None), ("d/a", REG, "a"), ("d/b", REG, "b"), ("o", DIR, None),
                 ("o/x", REG, "x")])
    upper = tar([("d/.wh.a", REG, ""), ("o", DIR, None), ("o/.wh..wh..opq", REG, ""),
                 ("o/y", REG, "y")])
    engine.load(docker_archive("wh:1", [busybox_layer(), lower, upper]))
    p = engine.run("run", "--rm", "wh:1", "sh", "-c", "echo /d/* /o/*; cat /o/y")
    expect(p.stdout, "/d/b /o/y\ny", p.stderr)
    engine.run("rmi", "wh:1")


def test_tar_long_names_links_and_modes(engine):
    from engine_fixture import busybox_layer
    long = "/".join(["n" * 60] * 4)
    lower = busybox_layer()
    top = tar([(long, REG, "deep", 0o4750), ("f", REG, "x"), ("hard", LNK, "f"),
               ("sym", SYM, "/etc/passwd")])
    engine.load(docker_archive("long:1", [lower, top]))
    p = engine.run("run", "--rm", "long:1", "sh", "-c",
                   f"cat /{long}; stat -c %a /{long}; stat -c %h /hard; head -c 4 /sym")
    expect(p.stdout, "deep4750\n2\nroot", p.stderr)
    engine.run("rmi", "long:1")


def test_refuse_truncated_archive(engine):
    data = docker_archive("t:1", [GOOD])
    refused(engine, data[:3000], "truncated")
    refused(engine, data[:700], "truncated")


def test_refuse_truncated_layer(engine):
    layer = GOOD[:1500]
    layer_refused(engine, layer, "truncated")


def test_refuse_digest_mismatch(engine):
    refused(engine, docker_archive("d:1", [GOOD], stored=[tar([("x", REG, "y")])]),
            "digest does not match", sha(GOOD))


def test_refuse_blob_digest_mismatch(engine):
    def spoil(blobs, digest):
        blobs[digest] = gzip.compress(GOOD, 1, mtime=77)
        blobs[digest] = blobs[digest].ljust(len(blobs[digest]))
    refused(engine, oci_layout("d:2", [GOOD], spoil=spoil), "blobs/sha256")


def test_refuse_bad_gzip(engine):
    packed = bytearray(gzip.compress(os.urandom(50000)))
    packed[20000] ^= 0xff
    refused(engine, docker_archive("g:1", [GOOD], stored=[bytes(packed)]), "layer 0/layer.tar")
    refused(engine, docker_archive("g:1", [GOOD], stored=[gzip.compress(GOOD)[:60]]), "truncated")


def test_refuse_not_an_archive(engine):
    refused(engine, b"", "neither manifest.json nor index.json")
    refused(engine, os.urandom(5000), "not a tar archive")
    refused(engine, tar([("x", REG, "y")]), "neither manifest.json nor index.json")


def test_refuse_bad_json(engine):
    refused(engine, tar([("manifest.json", REG, "[{")]), "manifest.json", "not JSON")
    refused(engine, tar([("manifest.json", REG, "[" * 100000)]), "nested too deeply")


def test_refuse_missing_members(engine):
    m = json.dumps([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["l"]}])
    refused(engine, tar([("manifest.json", REG, m)]), '"c.json"', "not in the archive")


def test_refuse_wrong_layer_count(engine):
    conf = config([GOOD, GOOD])
    refused(engine, docker_archive("n:1", [GOOD], conf=conf), "2 diff_ids for 1 layers")


def test_refuse_other_architecture(engine):
    conf = config([GOOD]).replace(b'"amd64"', b'"arm64"')
    refused(engine, docker_archive("arm:1", [GOOD], conf=conf), "linux/arm64")


def test_refuse_bad_tag(engine):
    refused(engine, docker_archive("Bad Tag!", [GOOD]), "bad tag")


def test_digest_is_no_name_that_an_archive_or_a_client_gives(engine):
    name = "pinned@sha256:" + "0" * 64
    refused(engine, docker_archive(name, [GOOD]), "bad tag")
    p = engine.load(oci_layout(name, [GOOD]))
    expect((p.returncode, p.stderr), (0, ""))
    expect(engine.run("image", "inspect", name).returncode == 0, False, "a name that is not the manifest's digest")
    status, answer = request(engine.socket, "POST", f"/images/{p.stdout.split()[-1]}/tag?repo={name}")
    expect((status, answer["message"]), (400, "refusing to create a tag with a digest reference"))
    expect(engine.run("rmi", p.stdout.split()[-1].removeprefix("sha256:")).returncode, 0)


def test_refuse_an_id_for_a_name(engine):
    other = engine.run("images", "-q", "--no-trunc").stdout.split()[0][7:]
    refused(engine, docker_archive(other, [GOOD]), "bad tag")
    refused(engine, docker_archive(other + ":1", [GOOD]), "bad tag")
    expect_in("invalid reference format", engine.run("tag", other, other).stderr)


def test_names_have_the_form_of_docker(engine):
    engine.load(docker_archive("form:1", [GOOD]))
    long = "n/" + "x" * 253
    good = ("a.b_c__d---e/f:1", "host.name:5000/a/b", long, long + ":" + "t" * 128, "docker.io/library/form:2", "a:_T.-")
    for name in good:
        expect((name[:40], engine.run("tag", "form:1", name).returncode), (name[:40], 0))
    for name in ("n" + long, "a:" + "t" * 129, "a..b", "a___b", "a._b", "a-", "a/-b", "a/", "a//b", "a/_b", "a./b", "h:/a", "h:5x/a",
                 "a:1:2", "A/b", "docker.io/docker.io/x", "index.docker.io/docker.io/library/x", "a:.b", "a/b:5000/c"):
        p = engine.run("tag", "form:1", name)
        expect((name[:40], p.returncode, "invalid reference format" in p.stderr), (name[:40], 1, True))
    before = engine.run("inspect", "-f", "{{.RepoTags}}", "form:1").stdout
    expect(len(before.split()), len(good) + 1, before)
    engine.stop()
    engine.start()
    expect(engine.run("inspect", "-f", "{{.RepoTags}}", "form:1").stdout, before, "after a restart")
    expect(engine.run("rmi", "-f", before.strip("[]\n").split()[0]).returncode, 0)
    image = request(engine.socket, "GET", "/images/form:1/json")[1]["Id"]
    expect(request(engine.socket, "DELETE", f"/images/{image}?force=1")[0], 200)


def test_store_survives_a_restart(engine):
    engine.load(docker_archive("keep:1", [GOOD]))
    before = engine.run("images").stdout
    engine.stop()
    engine.start()
    expect(engine.run("images").stdout, before, "images")
    expect(engine.run("rmi", "keep:1").returncode, 0)


def test_names_that_docker_takes_for_one(engine):
    expect(engine.load(docker_archive("index.docker.io/library/t:1", [GOOD])).stdout, "Loaded image: t:1\n")
    for name in ("t:1", "library/t:1", "docker.io/t:1", "docker.io/library/t:1", "index.docker.io/t:1"):
        expect((name, engine.run("inspect", "-f", "{{.RepoTags}}", name).stdout), (name, "[t:1]\n"))
    expect(engine.run("inspect", "library/x/t:1").returncode, 1)
    expect(engine.run("tag", "t:1", "library/u").returncode, 0)
    expect(engine.run("rmi", "u").stdout, "Untagged: u:latest\n")
    for name, code in (("localhost:5000/t:1", 0), ("t:1:2", 1), ("a:5000/b:6000/t", 1), ("a:b/t", 1), ("a/b:5000/t", 1), ("a:/t", 1)):
        expect((name, engine.run("tag", "t:1", name).returncode), (name, code))
    expect(engine.run("rmi", "localhost:5000/t:1").stdout, "Untagged: localhost:5000/t:1\n")
    expect(engine.run("rmi", "library/t:1").returncode, 0)


def test_history_is_whole(engine):
    conf = json.loads(config([GOOD]))
    conf["history"] = [{"created_by": f"step {n}", "empty_layer": n != 7} for n in range(300)]
    expect(engine.load(docker_archive("h:1", [GOOD], conf=json.dumps(conf).encode())).returncode, 0)
    status, rows = request(engine.socket, "GET", "/images/h:1/history")
    expect((status, [r["CreatedBy"] for r in rows]), (200, [f"step {n}" for n in range(299, -1, -1)]))
    expect([(r["CreatedBy"], r["Size"]) for r in rows if r["Size"]], [("step 7", len(GOOD))])
    expect([r["Id"] != "<missing>" for r in rows], [True] + [False] * 299)
    engine.run("rmi", "h:1")


def test_tag_and_untag(engine):
    engine.load(docker_archive("t:1", [GOOD]))
    expect(engine.run("tag", "t:1", "docker.io/library/other:2").returncode, 0)
    expect_in("other", engine.run("images").stdout)
    expect(engine.run("rmi", "other:2").stdout, "Untagged: other:2\n")
    expect(engine.run("rmi", "t:1").returncode, 0)
    p = engine.run("rmi", "t:1")
    expect((p.returncode, p.stderr), (1, "Error response from daemon: No such image: t:1\n"))


if __name__ == "__main__":
    main(sys.modules[__name__])
