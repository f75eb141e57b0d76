#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Pull, push and run on Bothy itself, from a registry behind the HTTPS proxy's socket."""
import gzip
import json
import os
import subprocess
import sys
import tarfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import Batch
from engine_fixture import ROOT, busybox_layer, config, sha, tar
from registry_fixture import V2
from suite import expect, expect_in, main

BATCH = Batch()
SERVER = os.path.join(BATCH.folder.name, "registry")
subprocess.run(["gcc", "-O1", "-static", "-Wall", "-Wextra", "-o", SERVER, os.path.join(ROOT, "tests/system/registry_behind_proxy.c")],
               check=True)
LAYERS = [busybox_layer(), tar([("f", tarfile.REGTYPE, "text\n"), ("big", tarfile.REGTYPE, bytes(5 << 20))])]
CONF = config(LAYERS)


def manifest(conf, blobs):
    entry = [{"digest": "sha256:" + sha(x), "size": len(x)} for x in [conf, *blobs]]
    for data in (conf, *blobs):
        if not os.path.exists(os.path.join(BATCH.folder.name, sha(data))):
            BATCH.file(sha(data), data)
    return json.dumps({"schemaVersion": 2, "mediaType": V2, "config": entry[0], "layers": entry[1:]}).encode()


def files():
    blobs = [gzip.compress(x, 1, mtime=0) for x in LAYERS]
    good = manifest(CONF, blobs)
    BATCH.file("1", good)
    BATCH.file("spoilt", manifest(config([LAYERS[0], b"another"]), blobs))
    return sha(good)


BATCH.options += ["--file", SERVER + ":registry"]
DIGEST = files()
BATCH.case("refused", "bothy pull reg.example/app:1")
BATCH.case("pull", """mkdir -p /run/https-proxy; /boot/files/registry /run/https-proxy/sock /boot/files || echo no registry
bothy pull reg.example/app:1 && bothy run --rm reg.example/app:1 sh -c 'cat /f; wc -c </big' && bothy pull reg.example/app:1""")
BATCH.case("spoilt", "bothy pull reg.example/app:spoilt; bothy images")
BATCH.case("push", "bothy tag reg.example/app:1 reg.example/other:2; bothy push reg.example/other:2; bothy inspect -f '{{.RepoDigests}}' reg.example/app:1")
BATCH.case("remove", """bothy rmi reg.example/other:2 reg.example/app:1; ls /var/lib/bothy/tars /var/lib/bothy/tmp 2>/dev/null
bothy run --rm reg.example/app:1 cat /f""")


def test_without_a_proxy_it_is_said():
    status, text = BATCH.result("refused")
    expect_in("no HTTPS proxy serves /run/https-proxy/sock", text)
    expect(status, 1)


def test_an_image_is_pulled_and_runs():
    status, text = BATCH.result("pull")
    expect(status, 0, text)
    expect_in("Pull complete", text)
    expect_in(f"Digest: sha256:{DIGEST}\nStatus: Downloaded newer image for reg.example/app:1\nreg.example/app:1\ntext\n5242880\n", text)
    expect_in("Status: Image is up to date", text)


def test_a_lie_leaves_nothing():
    _, text = BATCH.result("spoilt")
    expect_in("digest does not match", text)
    expect("spoilt" in text.split("REPOSITORY")[1], False, text)


def test_it_is_pushed_layer_by_layer():
    _, text = BATCH.result("push")
    for layer in LAYERS:
        expect_in(f"{sha(layer)[:12]}: Pushed\n", text)
    expect_in("2: digest: sha256:", text)
    expect_in("reg.example/other@sha256:", text.splitlines()[-1])


def test_what_is_removed_is_pulled_again():
    status, text = BATCH.result("remove")
    expect(status, 0, text)
    expect_in("Unable to find image", text)
    expect(text.endswith("text\n"), True, text)


if __name__ == "__main__":
    main(sys.modules[__name__])
