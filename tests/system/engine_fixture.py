# SPDX-License-Identifier: MIT
"""What the engine's tests share: an engine of its own on this Linux, image tars, a runner.

The engine needs root and a cgroup2 mount; controllers that are bound elsewhere are left out.
"""
import functools
import gzip
import hashlib
import io
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile

from suite import Skip, expect, expect_in, one, tests_of, until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
USER = os.path.join(ROOT, os.environ.get("OUT", "build"), "user")
COUNT = itertools.count()
SANITIZED = "asan" in USER
# Where the processor is emulated (test_engine_on_bothy.py): the same programs over another kernel, which less of the same shows too.
BRIEF = "BRIEF" in os.environ
BUSYBOX = "/usr/bin/busybox" if os.path.exists("/usr/bin/busybox") else "/bin/busybox"


def cgroup_root():
    for path in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        if os.path.exists(os.path.join(path, "cgroup.controllers")):
            return path
    sys.exit("these tests need a cgroup2 mount")


def tar(entries):
    """(name, type, data or link, mode) tuples, or TarInfo objects -> tar bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                t.addfile(entry)
                continue
            name, kind, data = entry[:3]
            info = tarfile.TarInfo(name)
            info.type = kind
            info.mode = entry[3] if len(entry) > 3 else 0o755
            if kind == tarfile.REGTYPE:
                data = data.encode() if isinstance(data, str) else data
                info.size = len(data)
                t.addfile(info, io.BytesIO(data))
            else:
                info.linkname = data or ""
                t.addfile(info)
    return out.getvalue()


def sha(data):
    return hashlib.sha256(data).hexdigest()


def config(layers, **extra):
    c = {"architecture": "amd64", "os": "linux", "created": "2024-01-02T03:04:05Z",
         "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha(x) for x in layers]}}
    c["config"].update(extra)
    return json.dumps(c).encode()


def docker_archive(tag, layers, conf=None, stored=None):
    """A docker-archive; `stored` replaces the layers' bytes in the tar (gzip, corruption)."""
    conf = conf or config(layers)
    stored = stored or layers
    names = [f"{i}/layer.tar" for i in range(len(layers))]
    manifest = json.dumps([{"Config": sha(conf) + ".json", "RepoTags": [tag], "Layers": names}])
    return tar([("manifest.json", tarfile.REGTYPE, manifest),
                (sha(conf) + ".json", tarfile.REGTYPE, conf)] +
               [(n, tarfile.REGTYPE, d) for n, d in zip(names, stored)])


def oci_layout(name, layers, compress=True, spoil=None):
    blobs = {}

    def put(data, kind):
        blobs[sha(data)] = data
        return {"mediaType": kind, "digest": "sha256:" + sha(data), "size": len(data)}

    packed = [gzip.compress(x, mtime=0) if compress else x for x in layers]
    kind = "application/vnd.oci.image."
    manifest = {"schemaVersion": 2, "config": put(config(layers), kind + "config.v1+json"),
                "layers": [put(x, kind + "layer.v1.tar+gzip") for x in packed]}
    entry = put(json.dumps(manifest).encode(), kind + "manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": name}
    if spoil:
        spoil(blobs, sha(packed[0]))
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]})
    return tar([("oci-layout", tarfile.REGTYPE, '{"imageLayoutVersion":"1.0.0"}'),
                ("index.json", tarfile.REGTYPE, index)] +
               [("blobs/sha256/" + k, tarfile.REGTYPE, v) for k, v in blobs.items()])


@functools.cache  # where the processor is emulated (test_engine_on_bothy.py) it takes a second
def busybox_layer():
    with open(BUSYBOX, "rb") as f:
        program = f.read()
    names = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True,
                           check=True).stdout.split()
    entries = [(d, tarfile.DIRTYPE, None) for d in ("bin", "etc", "root")]
    entries.append(("tmp", tarfile.DIRTYPE, None, 0o1777))
    entries.append(("bin/busybox", tarfile.REGTYPE, program))
    entries += [("bin/" + n, tarfile.SYMTYPE, "busybox") for n in names if n != "busybox"]
    entries += [("etc/passwd", tarfile.REGTYPE,
                 "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n", 0o644),
                ("etc/group", tarfile.REGTYPE, "root:x:0:\nwheel:x:10:app\napp:x:1000:\n", 0o644)]
    return tar(entries)


class Engine:
    def __init__(self, where=None, options=(), under=()):
        self.tmp = tempfile.mkdtemp(prefix="bothy-engine-", dir=where)
        self.socket = os.path.join(self.tmp, "sock")
        self.root = os.path.join(self.tmp, "root")
        # a group of its own: other engines may run on this machine
        self.group = os.path.join(cgroup_root(), "engine-test-%d-%d" % (os.getpid(), next(COUNT)))
        os.makedirs(self.group, exist_ok=True)
        # a client may leave its memory to its end, the engine (OUT=build/asan) may not
        self.env = {**os.environ, "DOCKER_HOST": "unix://" + self.socket,
                    "ASAN_OPTIONS": "detect_leaks=0"}
        self.options = options
        self.start(under=under)

    def start(self, *more, files=None, under=()):
        """`files`: it gets no more descriptors than that. `under`: the command that executes it."""
        r, w = os.pipe()
        self.log = open(os.path.join(self.tmp, "log"), "ab")
        self.process = subprocess.Popen(
            [*under, os.path.join(USER, "engine"), "--socket", self.socket, "--root", self.root,
             "--cgroup", self.group, "--ready-fd", str(w), *self.options, *more],
            pass_fds=[w], stderr=self.log, stdout=self.log,
            preexec_fn=files and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))),
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=4"})
        os.close(w)
        ready = os.read(r, 1)
        os.close(r)
        if ready != b"R":
            raise RuntimeError("the engine does not come up")

    def kill(self):
        """As by the kernel, for want of memory: in the midst of whatever it does."""
        self.process.kill()
        self.process.wait()
        self.log.close()

    def again(self):
        """The next engine."""
        self.kill()
        self.start()

    def stop(self):
        self.process.terminate()
        code = self.process.wait(120)
        self.log.close()
        return code

    def last_words(self):
        with open(os.path.join(self.tmp, "log"), errors="replace") as f:
            return " | ".join(f.read().splitlines()[-40:])

    def close(self):
        code = self.stop()
        if code:
            print(f"FAIL the_engine_ends_well: status {code}: {self.last_words()}")
        self.cleanup()

    def cleanup(self):
        for path in (os.path.join(self.group, "bothy"), self.group):
            try:
                os.rmdir(path)
            except OSError as e:
                print(f"FAIL the_control_group_is_empty_at_the_end: {path}: {e}")
        shutil.rmtree(self.tmp, ignore_errors=True)

    def path(self, name, data=None):
        path = os.path.join(self.tmp, name)
        if data is not None:
            with open(path, "wb") as f:
                f.write(data)
        return path

    def run(self, *args, client=None, **kw):
        kw.setdefault("timeout", 300)
        kw.setdefault("stdin", subprocess.DEVNULL if "input" not in kw else None)
        if kw["stdin"] is None:
            del kw["stdin"]
        return subprocess.run([client or os.path.join(USER, "cli"), *args], capture_output=True,
                              text=True, errors="replace", env=self.env, **kw)

    def load(self, data):
        return self.run("load", "-i", self.path("image.tar", data))

    def idle(self):
        """Leftovers: files half made, processes, control groups."""
        left = os.listdir(os.path.join(self.root, "tmp"))
        left += os.listdir(os.path.join(self.root, "containers"))
        group = os.path.join(self.group, "bothy")
        left += [d for d in os.listdir(group) if os.path.isdir(os.path.join(group, d))]
        return left


def sh(engine, script, *options, **kw):
    return engine.run("run", "--rm", *options, "busybox", "sh", "-c", script, **kw)


def clean(engine):
    """Nothing is left but, for a moment, the group of a worker whose answer was passed on before it ended."""
    expect([name for name in engine.idle() if not name.startswith("job-")], [], "leftovers")
    until(lambda: not engine.idle(), "the workers' groups are gone")


def main(module, with_busybox=True, options=()):
    """Runs every function of the module that is named test_*; each gets the engine."""
    failed = 0
    engine = Engine(options=options)

    def run(fn):
        fn(engine)
        if engine.process.poll() is not None:
            raise AssertionError("the engine died: " + engine.last_words())
    try:
        if with_busybox:
            p = engine.load(docker_archive("busybox:latest", [busybox_layer()]))
            expect(p.stdout, "Loaded image: busybox:latest\n", "load")
        for name, fn in tests_of(module):
            failed += not one(name, lambda fn=fn: run(fn))
            if engine.process.poll() is not None:
                engine.start()
    finally:
        engine.close()
    sys.exit(1 if failed else 0)
