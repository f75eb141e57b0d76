# SPDX-License-Identifier: MIT
"""Small trees for the tests of the checks: files in a folder that is gone afterwards, and a tool of this tree run in it."""
import contextlib
import io
import os
import runpy
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests/system"), os.path.join(ROOT, "tools")]
from suite import expect, expect_in, main  # noqa: F401  (for those that import this)


class Tree:
    """With it: its files (path: text) stand in a folder."""

    def __init__(self, files):
        self.files, self.folder = files, tempfile.TemporaryDirectory(prefix="checks-test-")

    def __enter__(self):
        self.folder.__enter__()
        for path, text in self.files.items():
            self.write(path, text)
        return self

    def __exit__(self, *why):
        return self.folder.__exit__(*why)

    def write(self, path, text):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), "w", encoding="utf-8") as f:
            f.write(text)

    def path(self, path):
        return os.path.join(self.folder.name, path)

    def compile(self):
        """An object for each C file, laid as the build lays them: the folders of objects."""
        compilers, made = [], set()
        for path in self.files:
            if path.endswith(".c"):
                place = "uobj" if path.startswith(("userland/", "tests/hv/")) else "obj"
                out = self.path(f"{place}/{path}.o")
                os.makedirs(os.path.dirname(out), exist_ok=True)
                compilers.append(subprocess.Popen(["gcc", "-w", "-fno-builtin", "-c", self.path(path), "-o", out]))
                made.add(place)
        for compiler in compilers:
            if compiler.wait():
                raise AssertionError(f"{compiler.args} failed")
        return sorted(made)

    def run(self, tool, *words):
        """(status, what it printed) of a Python tool of this tree, run in the small one; in this process, since many are."""
        before, said, argv = os.getcwd(), io.StringIO(), sys.argv
        sys.argv = [os.path.join(ROOT, tool), *words]
        os.chdir(self.folder.name)
        try:
            with contextlib.redirect_stdout(said):
                runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            return end.code or 0, said.getvalue()
        finally:
            os.chdir(before)
            sys.argv = argv
        return 0, said.getvalue()
