#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What layers may hold, and how they may be packed: names that lead astray, links, devices, holes,
compression, and amounts that no machine has."""
import bz2
import errno
import gzip
import io
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import (BRIEF, BUSYBOX, Engine, Skip, busybox_layer, config, docker_archive, expect, expect_in,
                            main, oci_layout, sha, tar, until)
from http_unix import Connection, request
from registry_fixture import Rogue, Store

REG, DIR, SYM, LNK = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
BASE = busybox_layer()
GOOD = tar([("etc", DIR, None), ("etc/motd", REG, "hello\n", 0o644)])

def shell(engine, layers, script, *options):
    """What a shell says in an image of busybox and these layers."""
    p = engine.load(docker_archive("layers:1", [BASE] + layers))
    expect((p.returncode, p.stderr), (0, ""), "load")
    p = engine.run("run", "--rm", *options, "layers:1", "sh", "-c", script)
    engine.run("rmi", "-f", "layers:1")
    expect(p.stderr, "", "errors")
    return p.stdout


def refused(engine, data, *parts):
    p = engine.load(data)
    expect(p.returncode, 1, "status")
    expect(p.stderr.count("\n"), 1, f"number of lines in {p.stderr!r}")
    for part in parts:
        expect_in(part, p.stderr, "message")
    expect(engine.idle(), [], "leftovers")


def info(name, kind=REG, **fields):
    i = tarfile.TarInfo(name)
    i.type = kind
    for key, value in fields.items():
        setattr(i, key, value)
    return i


def test_names_are_clamped_to_the_root(engine):
    layer = tar([("/abs", REG, "1"), ("a", DIR, None), ("a/../b", REG, "2"), ("../x", REG, "3"),
                 ("a/../../../y", REG, "4"), ("hard", LNK, "/abs"), ("hard2", LNK, "../../x")])
    expect(shell(engine, [layer], "cat /abs /b /x /y /hard /hard2; ls -a /a"), "123413.\n..\n")


def test_entries_below_a_link_go_where_it_leads_inside(engine):
    layer = tar([("usr", DIR, None), ("usr/lib", DIR, None), ("lib", SYM, "usr/lib"),
                 ("lib/new", REG, "1"), ("out", SYM, "/../../tmp/../made"), ("out/evil", REG, "2"),
                 ("loop", SYM, "loop")])
    expect(shell(engine, [layer], "cat /usr/lib/new /made/evil; readlink /lib"), "12usr/lib\n")
    expect(os.path.exists("/made"), False, "a file of ours outside the root")


def test_refuse_entries_below_a_link_that_leads_nowhere(engine):
    for layer in ([("l", SYM, "l"), ("l/x", REG, "1")], [("f", REG, "1"), ("f/x", REG, "1")]):
        refused(engine, docker_archive("bad:1", [tar(layer)]), "/x", "parent of it is not a directory")


def test_devices_are_made(engine):
    layer = tar([("d", DIR, None), info("d/null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o622),
                 info("d/disk", tarfile.BLKTYPE, devmajor=8, devminor=17, mode=0o600),
                 info("d/pipe", tarfile.FIFOTYPE, mode=0o640)])
    expect(shell(engine, [layer], "cd /d; stat -c '%n %F %t:%T %a' *; echo x >null; cat disk 2>&1"),
           "disk block special file 8:11 600\nnull character special file 1:3 622\n"
           "pipe fifo 0:0 640\ncat: can't open 'disk': Operation not permitted\n")


def full_pipe():
    """(to read, to write): nothing can be written before it is read from."""
    r, w = os.pipe()
    os.set_blocking(w, False)
    try:
        while os.write(w, b" " * 4096):
            pass
    except BlockingIOError:
        os.set_blocking(w, True)
    return r, w


def ways_out(pid):
    """Of a process: (where a directory that it has open leads to, or a path of its root, that is neither its root nor below)."""
    up, root = "/.." * 16, os.stat(f"/proc/{pid}/root/.")
    places = [f"/proc/{pid}/fd/{n}" for n in os.listdir(f"/proc/{pid}/fd")] + [f"/proc/{pid}/root", f"/proc/{pid}/cwd"]
    return [(os.readlink(place), place) for place in places
            if os.path.isdir(place) and not os.path.samestat(os.stat(place + up), root)]


def test_who_unpacks_cannot_leave(engine):
    """Held where all is unpacked: its report finds no space. It has the engine's layers, which it cannot change, and opens no device."""
    layer = tar([("motd", LNK, "bin/busybox"), info("null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)])
    conf, place = config([BASE, layer]), engine.path("root/tmp/jail")
    expect(engine.load(docker_archive("below:1", [BASE])).returncode, 0)
    os.mkdir(place, 0o700)
    r, w = full_pipe()
    p = subprocess.Popen([engine.process.args[0], "--worker", str(os.getpid()), "load", place, "0"], stdin=subprocess.PIPE, stdout=w)
    os.close(w)
    try:
        p.stdin.write(sha(BASE).encode() + b"\n\n" + docker_archive("jail:1", [BASE, layer], conf))
        p.stdin.close()
        written = os.path.join(place, "images", sha(conf) + ".json")
        until(lambda: p.poll() is not None or os.path.exists(written) and os.path.getsize(written) == len(conf), "all is unpacked")
        expect(p.poll(), None, "end")
        with open(f"/proc/{p.pid}/mountinfo") as f:
            mounts = {words[4]: set(words[5].split(",")) for words in map(str.split, f)}
        expect(sorted(mounts), ["/", "/store"], "what is mounted")
        expect([("nodev" in m, "nosuid" in m, "noexec" in m, "ro" in m) for _, m in sorted(mounts.items())],
               [(True, True, True, False), (True, True, True, True)])
        expect(ways_out(p.pid), [])
        root = f"/proc/{p.pid}/root"
        expect(sorted(os.listdir(root)), ["images", "layers", "store", "tars"])
        expect(sorted(os.listdir(root + "/store")), sorted(os.listdir(os.path.join(engine.root, "layers"))))
        null = next(os.path.join(at, "null") for at, _, files in os.walk(root + "/layers") if "null" in files)
        expect(os.major(os.lstat(null).st_rdev), 1, "the device that was made")
        for path, flags in ((null, os.O_RDONLY), (root + "/store/new", os.O_WRONLY | os.O_CREAT)):
            try:
                os.close(os.open(path, flags))
            except OSError as e:
                expect(e.errno, errno.EACCES if path == null else errno.EROFS, path)
            else:
                raise AssertionError(f"{path} can be opened")
        with os.fdopen(r, "rb") as f:
            r = None
            report = json.loads(f.read())
        expect((p.wait(), [i["Id"] for i in report["Images"]]), (0, [sha(conf)]))
    finally:
        p.kill()
        p.wait()
        if r:
            os.close(r)
        shutil.rmtree(place)
        engine.run("rmi", "-f", "below:1")


def test_hard_links_reach_lower_layers(engine):
    lower = tar([("d", DIR, None), ("d/one", REG, "ONE", 0o4711), ("e", SYM, "d"), ("s", SYM, "d/one"),
                 ("gone", REG, "x"), ("o", DIR, None), ("o/hidden", REG, "x")])
    middle = tar([(".wh.gone", REG, ""), ("o", DIR, None), ("o/.wh..wh..opq", REG, "")])
    top = tar([("two", LNK, "d/one"), ("three", LNK, "e/one"), ("sym", LNK, "s")])
    expect(shell(engine, [lower, middle, top], "cat two three; stat -c %a:%h two; readlink sym"),
           "ONEONE4711:3\nd/one\n")
    for target in ("gone", "o/hidden", "none", "d"):
        refused(engine, docker_archive("bad:1", [BASE, lower, middle, tar([("l", LNK, target)])]),
                '"l"', "hard link")


def test_a_later_entry_replaces_a_tree(engine):
    layer = tar([("t", DIR, None), ("t/a", DIR, None), ("t/a/b", REG, "x"), ("t", REG, "file"),
                 ("l", SYM, "/bin"), ("l", DIR, None)])
    expect(shell(engine, [layer], "cat /t; ls -A /l"), "file")


def test_times_before_1970_are_1970(engine):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as t:
        t.addfile(info("old", mtime=-100))
        t.addfile(info("new", mtime=5000000000))
    layer = tar([info("pax", pax_headers={"mtime": "-7.5"}), info("nano", pax_headers={"mtime": "12.345678901"})])
    expect(shell(engine, [out.getvalue(), layer], "stat -c %Y old new pax; stat -c %y nano"),
           "0\n5000000000\n0\n1970-01-01 00:00:12.345678901 +0000\n")


def test_the_root_keeps_its_mode_and_owner(engine):
    layer = tar([info("./", DIR, mode=0o711, uid=7, gid=8)])
    expect(shell(engine, [layer], "stat -c %a:%u:%g /"), "711:7:8\n")


def test_file_capabilities_survive_the_owner(engine):
    value = b"\x01\x00\x00\x02\x00\x04\x00\x00" + b"\x00" * 12
    layer = tar([info("f", mode=0o755, uid=5, pax_headers={"SCHILY.xattr.security.capability":
                                                        value.decode("latin-1")})])
    engine.load(docker_archive("layers:1", [layer]))
    root = os.path.join(engine.root, "layers")
    found = [os.getxattr(os.path.join(root, d, "f"), "security.capability")
             for d in os.listdir(root) if os.path.exists(os.path.join(root, d, "f"))]
    engine.run("rmi", "layers:1")
    expect(found, [value], "attribute")


def sparse_tars():
    """The same file with holes, as GNU tar writes it in each format; BRIEF: in the oldest and the newest."""
    formats = (["--format=gnu"], ["--format=pax", "--sparse-version=1.0"],
               ["--format=pax", "--sparse-version=0.0"], ["--format=pax", "--sparse-version=0.1"])
    with open("/tmp/bothy-sparse-%d" % os.getpid(), "wb") as f:
        f.truncate(9 << 20)
        for at in range(40):
            f.seek(at * 200000)
            f.write(b"part %d" % at)
    data = open(f.name, "rb").read()
    try:
        for extra in formats[:2 if BRIEF else 4]:
            yield extra, data, subprocess.run(
                ["tar", "-cS", *extra, "--transform=s,.*,sparse,", f.name], check=True,
                capture_output=True).stdout
    finally:
        os.unlink(f.name)


def test_sparse_files_keep_bytes_and_holes(engine):
    for extra, data, layer in sparse_tars():
        expect(len(layer) < 1 << 20, True, f"{extra}: small")
        got = shell(engine, [layer], "sha256sum sparse; stat -c '%s %b' sparse").split()
        expect(got[0], sha(data), f"{extra}: content")
        expect(int(got[2]), len(data), f"{extra}: size")
        expect(int(got[3]) * 512 < len(data) // 4, True, f"{extra}: blocks {got[3]}")


def test_refuse_a_sparse_map_that_lies(engine):
    for change in ("5,10,3,4", "0,99999", "1,2,3", "-1,5", "99999999999999,4"):
        i = info("s", size=4, pax_headers={"GNU.sparse.size": "100", "GNU.sparse.map": change})
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
            t.addfile(i, io.BytesIO(b"abcd"))
        refused(engine, docker_archive("bad:1", [out.getvalue()]), "sparse")


def test_blobs_may_be_links_to_each_other(engine):
    conf = config([GOOD, GOOD])
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["l:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}])
    for link in (("b/layer.tar", LNK, "a/layer.tar"), ("b/layer.tar", SYM, "../a/layer.tar"),
                 ("b/layer.tar", LNK, "./a/./layer.tar")):
        p = engine.load(tar([("manifest.json", REG, manifest), ("c.json", REG, conf),
                             ("a/layer.tar", REG, GOOD), link]))
        expect((p.returncode, p.stdout), (0, "Loaded image: l:1\n"), p.stderr)
        engine.run("rmi", "l:1")


def test_a_hundred_and_twenty_five_layers(engine):
    layers = [tar([(f"f{n}", REG, str(n))]) for n in range(124)]
    expect(shell(engine, layers, "ls / | grep -c ^f; cat /f0 /f123"), "124\n0123")
    refused(engine, docker_archive("bad:1", layers + layers[:2]), "more than 125 layers")


# ---- compression -------------------------------------------------------------------------------

def filters():
    """Name, function: compressors in the forms that they have; BRIEF: one form of each."""
    found = [("gzip", lambda d: gzip.compress(d, 9)), ("bzip2", bz2.compress),
             ("gzip members", lambda d: gzip.compress(d[:1000]) + gzip.compress(d[1000:], 1)),
             ("bzip2 streams", lambda d: bz2.compress(d[:1000], 1) + bz2.compress(d[1000:])),
             ("xz", lzma.compress), ("xz -0", lambda d: lzma.compress(d, preset=0)),
             ("xz none", lambda d: lzma.compress(d, check=lzma.CHECK_NONE)),
             ("xz sha256", lambda d: lzma.compress(d, check=lzma.CHECK_SHA256, preset=9)),
             ("xz streams", lambda d: lzma.compress(d[:5000]) + b"\0" * 8 + lzma.compress(d[5000:]))]
    if BRIEF:
        return [(name, pack) for name, pack in found if name in ("gzip", "bzip2", "xz -0")]
    for args in (["-1"], ["-19"], ["--fast=5"], ["-3", "--check", "--long=24"], ["-9", "--no-check"]):
        found.append((f"zstd {args}", lambda d, args=args: subprocess.run(
            ["zstd", "-q", "-c", *args], input=d, capture_output=True, check=True).stdout))
    return found


def content():
    """A layer that exercises decoders: text, noise, zeros, repeats at a distance. BRIEF: a twentieth of it."""
    part = 20 if BRIEF else 1
    program = open(sys.executable, "rb").read()[:(3 << 20) // part]
    words = b"".join(b"%d bottles of beer on the wall, " % (n * n % 977) for n in range(20000 // part))
    return tar([("bin", REG, program), ("words", REG, words), ("zeros", REG, b"\0" * (3000000 // part)),
                ("noise", REG, os.urandom(300000 // part)), ("again", REG, program[:(1 << 20) // part] + words)])


def test_layers_and_archives_in_every_compression(engine):
    layer = content()
    for name, pack in filters():
        try:
            packed = pack(layer)
        except FileNotFoundError:
            continue
        for data in (docker_archive("c:1", [layer], stored=[packed]), pack(docker_archive("c:1", [layer]))):
            p = engine.load(data)
            expect((p.returncode, p.stdout), (0, "Loaded image: c:1\n"), f"{name}: {p.stderr}")
            engine.run("rmi", "c:1")


def load_in_pieces(engine, data, sizes):
    """A load whose body comes in chunks of these sizes, each in a packet of its own; then the rest."""
    c = Connection(engine.socket)
    c.putrequest("POST", "/images/load")
    c.putheader("Transfer-Encoding", "chunked")
    c.endheaders()
    for size in sizes + [len(data)]:
        piece, data = data[:size], data[size:]
        if piece:
            for part in (b"%x\r\n" % len(piece), piece, b"\r\n"):
                c.send(part)
    c.send(b"0\r\n\r\n")
    answer = c.getresponse().read().decode()
    c.close()
    return answer


def test_an_archive_may_come_in_any_pieces(engine):
    """Cut within the first member's head, its trailer, the second one's head; and byte by byte."""
    layer = tar([("etc", DIR, None), ("etc/motd", REG, os.urandom(20000), 0o644)])
    plain = docker_archive("pieces:1", [layer])
    first, second = gzip.compress(plain[:1000]), gzip.compress(plain[1000:])
    cuts = [1, 2, 3, 9, 10, 11] + [len(first) + n for n in (-9, -8, -7, -4, -1, 0, 1, 2, 3, 10, 18)]
    for sizes in [[n] for n in cuts[::3 if BRIEF else 1]] + [[1] * (len(first) + 20)]:
        expect((load_in_pieces(engine, first + second, sizes), sizes[:1]),
               ('{"stream":"Loaded image: pieces:1\\n"}\r\n', sizes[:1]))
        engine.run("rmi", "pieces:1")


def test_refuse_damaged_compression(engine):
    layer = content()
    packers = (("bzip2", bz2.compress), ("gzip", gzip.compress), ("xz", lzma.compress))
    for name, pack in packers[:2 if BRIEF else 3]:
        packed = bytearray(pack(layer))
        packed[len(packed) // 2] ^= 0x10
        refused(engine, docker_archive("c:1", [layer], stored=[bytes(packed)]), "layer 0/layer.tar")
        refused(engine, bytes(packed), "image archive")
        refused(engine, docker_archive("c:1", [layer], stored=[pack(layer)[:-2]]), name, "truncated")


# ---- amounts -----------------------------------------------------------------------------------

PART = 12 if BRIEF else 1


class SmallEngine:
    """An engine whose store is a tmpfs of 48 MB, or a part of that."""

    def __init__(self, part=PART):
        self.part = part

    def __enter__(self):
        self.engine = Engine()
        self.engine.stop()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={48 // self.part}m", "tmpfs", self.engine.root],
                          capture_output=True).returncode:
            self.engine.start()
            self.engine.close()
            raise Skip("no tmpfs can be mounted here")
        self.engine.start()
        return self.engine

    def __exit__(self, *failure):
        self.engine.stop()
        subprocess.run(["umount", self.engine.root], check=True)
        self.engine.start()
        self.engine.close()


def zeros(bytes_of_them):
    """A layer of one file of zeros, compressed, without ever holding it."""
    out, head = io.BytesIO(), info("zeros", size=bytes_of_them)
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9) as z:
        z.write(head.tobuf())
        for _ in range(bytes_of_them >> 20):
            z.write(b"\0" * (1 << 20))
        z.write(b"\0" * 1024)
    return out.getvalue()


def test_what_has_no_space_is_refused_and_nothing_stays(engine):
    bomb = zeros(200 // PART << 20)
    names = gzip.compress(tar([info(f"{n:06}") for n in range(60000 // PART)]))
    with SmallEngine() as small:
        conf = config([GOOD])
        refused(small, docker_archive("bomb:1", [GOOD], conf=conf, stored=[bomb]), "no space")
        refused(small, gzip.compress(b"\0" * (100 // PART << 20)), "image archive", "no space")
        refused(small, docker_archive("names:1", [GOOD], conf=conf, stored=[names]), "no space")
        rogue, store = Rogue(lambda r: store.serve(r)), Store()
        store.image("1", [GOOD], conf, stored=[os.urandom(60 // PART << 20)])
        p = small.run("pull", rogue.host + "/large:1")
        rogue.close()
        expect_in("layer: no space for it", p.stderr, "a pull")
        # the pull's processes hold files until they have died
        until(lambda: small.load(docker_archive("good:1", [GOOD])).stdout == "Loaded image: good:1\n", "space again")


def test_load_takes_no_more_than_the_archive_and_a_little(engine):
    """What has been read of an archive is given back: what it becomes has its place."""
    part = 3 if BRIEF else 1  # it is given back by the MiB
    large = [tar([(f"large{n}", REG, os.urandom((8 << 20) // part))]) for n in range(4)]
    top = tar([("top", REG, "1")])
    one, two = docker_archive("large:1", large), docker_archive("large:2", large + [top])
    with SmallEngine(part) as small:
        for archive in (one, two) if BRIEF else (one, gzip.compress(one, 1), two, oci_layout("large:1", large)):
            p = small.load(archive)
            expect(p.returncode, 0, p.stderr)
            small.run("rmi", "large:1", "large:2")
        size = (60 << 20) // part
        said = request(small.socket, "POST", "/images/load", b"", {"Content-Length": str(size)})
        expect_in(f"it needs {size >> 20} MB, and ", str(said), "before anything of it is sent")


def test_load_reads_a_layer_again_where_two_images_need_it(engine):
    """It brings up what it links to, another file in each of them."""
    link = info("link", LNK)
    link.linkname = "file"
    top = tar([link])
    entries, manifest = [("top", REG, top)], []
    for n, base in enumerate(tar([("bin/busybox", REG, open(BUSYBOX, "rb").read()), ("file", REG, f"{n}\n")])
                             for n in (1, 2)):
        conf = config([base, top], Entrypoint=["/bin/busybox"])
        entries += [(f"{n}.json", REG, conf), (f"{n}", REG, base)]
        manifest.append({"Config": f"{n}.json", "RepoTags": [f"again:{n}"], "Layers": [f"{n}", "top"]})
    p = engine.load(tar(entries + [("manifest.json", REG, json.dumps(manifest))]))
    expect(p.returncode, 0, p.stderr)
    expect([engine.run("run", "--rm", f"again:{n}", "cat", "/link").stdout for n in (0, 1)], ["1\n", "2\n"])
    engine.run("rmi", "again:0", "again:1")


def test_a_layer_that_is_fetched_anew_gives_its_space_back(engine):
    """A registry that breaks off twice and knows no ranges."""
    size, asked = (18 << 20) // PART, []
    layer = tar([("f", REG, os.urandom(size))])
    store = Store()
    store.image("1", [layer], config([layer]))

    def handle(r):
        if sha(layer) not in r.path:
            return store.serve(r)
        asked.append(r.path)
        r.reply(200, layer[:size] if len(asked) < 3 else layer, Content_Length=str(len(layer)))
        r.close_connection = True
    rogue = Rogue(handle)
    with SmallEngine() as small:
        status, text = request(small.socket, "POST", f"/images/create?fromImage={rogue.host}/b&tag=1")
        expect((status, '"error"' in str(text), len(asked)), (200, False, 3), str(text)[-500:])
    rogue.close()


def test_the_last_entry_of_a_name_counts(engine):
    kept = tar([("f", REG, "x")])
    conf = config([kept])
    manifest = json.dumps([{"Config": "c", "RepoTags": ["last:1"], "Layers": ["l"]}])
    for entries in ([("l", REG, "no layer"), ("c", REG, "{"), ("manifest.json", REG, "[]")],
                    [("l", SYM, "nothing"), ("manifest.json", LNK, "l")]):
        p = engine.load(tar(entries + [("l", REG, kept), ("c", REG, conf), ("manifest.json", REG, manifest)]))
        expect((p.returncode, engine.run("rmi", "last:1").returncode), (0, 0), p.stderr)


def test_refuse_an_index_that_names_itself(engine):
    blobs = {}

    def put(data):
        blobs["blobs/sha256/" + sha(data)] = data
        return {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": "sha256:" + sha(data),
                "size": len(data)}
    entry = put(b'{"manifests":[]}')
    for _ in range(4):
        entry = put(json.dumps({"schemaVersion": 2, "manifests": [entry] * 60}).encode())
    refused(engine, tar([("index.json", REG, json.dumps({"manifests": [entry] * 60}))] +
                        [(k, REG, v) for k, v in blobs.items()]), "index")


def test_refuse_json_of_too_many_values(engine):
    refused(engine, tar([("manifest.json", REG, "[" + "0," * 300000 + "0]")]), "too many values")


if __name__ == "__main__":
    main(sys.modules[__name__], with_busybox=False)
