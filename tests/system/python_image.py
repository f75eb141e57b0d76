# SPDX-License-Identifier: MIT
"""An image in which the engine's own tests run: Debian's Python, as dynamic as it comes, the programs, the tests."""
import io
import os
import shutil
import subprocess
import tarfile
import tempfile

from engine_fixture import BUSYBOX, ROOT, USER, busybox_layer, docker_archive

PYTHON = "/usr/bin/python3"
# What is imported only when it is first used.
LATE = ["encodings.ascii", "encodings.idna", "encodings.latin_1", "encodings.utf_8", "_strptime", "runpy", "traceback"]


def loaded_files(tests):
    """The files of every module that these tests have loaded once they are imported."""
    script = ("import sys, importlib; sys.path.insert(0, 'tests/system')\n"
              f"for m in {tests + LATE}: importlib.import_module(m)\n"
              "for m in list(sys.modules.values()):\n"
              "    f = getattr(m, '__file__', None)\n"
              "    if f and f.startswith('/usr/'): print(f)\n"
              "import os; print(os.path.realpath(sys.executable))")
    out = subprocess.run([PYTHON, "-IBc", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return out.stdout.split()


def libraries(paths):
    """The shared libraries and the loader that these programs name, theirs included."""
    found = set()
    for path in paths:
        out = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
        found |= {word for word in out.split() if word.startswith("/")}
    return sorted(found)


class Layer:
    """A tar in which a file stands where it stands here, below directories made as needed."""

    def __init__(self):
        self.out, self.seen = io.BytesIO(), set()
        self.tar = tarfile.open(fileobj=self.out, mode="w", format=tarfile.PAX_FORMAT)

    def folder(self, path):
        if path in ("", "/") or path in self.seen:
            return
        self.folder(os.path.dirname(path))
        self.seen.add(path)
        info = tarfile.TarInfo(path.lstrip("/"))
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        self.tar.addfile(info)

    def file(self, path, name=None):
        name = name or path
        if name in self.seen:
            return
        self.folder(os.path.dirname(name))
        self.seen.add(name)
        info = tarfile.TarInfo(name.lstrip("/"))
        stat = os.stat(path)
        info.size, info.mtime, info.mode = stat.st_size, int(stat.st_mtime), stat.st_mode & 0o7777
        with open(path, "rb") as f:
            self.tar.addfile(info, f)

    def link(self, name, target):
        self.folder(os.path.dirname(name))
        info = tarfile.TarInfo(name.lstrip("/"))
        info.type, info.linkname = tarfile.SYMTYPE, target
        self.tar.addfile(info)

    def bytes(self):
        self.tar.close()
        return self.out.getvalue()


def python_layer(tests):
    layer = Layer()
    files = loaded_files(tests)
    programs = [f for f in files if not f.endswith(".py")]
    for path in files + libraries(programs):
        layer.file(path)
        folder, base = os.path.split(path)
        cached = f"{folder}/__pycache__/{base[:-3]}.cpython-311.pyc"
        if base.endswith(".py") and os.path.exists(cached):
            layer.file(cached)
    layer.link(PYTHON, os.path.basename(os.path.realpath(PYTHON)))
    layer.file(BUSYBOX, "/usr/bin/busybox")
    return layer.bytes()


def add_compiled(layer, folder, names):
    """These sources as Python keeps them once it has compiled them, which takes it a second each where the processor is emulated."""
    with tempfile.TemporaryDirectory(prefix="bothy-compiled-") as tmp:
        script = ("import py_compile, sys\n"
                  "for source, target in zip(sys.argv[1::2], sys.argv[2::2]):\n"
                  "    py_compile.compile(source, target, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)")
        targets = [f"{name.removesuffix('.py')}.cpython-311.pyc" for name in names]
        pairs = [os.path.join(where, name) for both in zip(names, targets) for where, name in zip((folder, tmp), both)]
        subprocess.run([PYTHON, "-IBc", script, *pairs], check=True)
        for target in targets:
            layer.file(os.path.join(tmp, target), f"/tests/system/__pycache__/{target}")


def tests_layer(with_docker):
    """Below / what stands below the repository here: the tests find their programs the same way."""
    layer = Layer()
    for name in sorted(os.listdir(USER)):
        layer.file(os.path.join(USER, name), f"/build/user/{name}")
    folder = os.path.join(ROOT, "tests/system")
    sources = sorted(name for name in os.listdir(folder) if name.endswith(".py"))
    for name in sources:
        layer.file(os.path.join(folder, name), f"/tests/system/{name}")
    add_compiled(layer, folder, sources)
    docker, tar = with_docker and shutil.which("docker"), shutil.which("tar")
    if docker:
        layer.file(os.path.realpath(docker), "/bin/docker")
    if tar:  # GNU's: busybox has no sparse archives
        layer.file(os.path.realpath(tar), "/bin/tar")
        for path in libraries([os.path.realpath(tar)]):
            layer.file(path)
    return layer.bytes()


def image(tag, tests, with_docker):
    """An archive of it. Docker's client is large, and who loads an image reads all of it."""
    return docker_archive(tag, [busybox_layer(), python_layer(tests), tests_layer(with_docker)])
