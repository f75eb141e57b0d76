#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The passes of compilers in tools.mk, check-static and check-format can fail."""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tree import ROOT, Tree, expect, expect_in, main


def passes(tree, *goals):
    """(status, output) of make's passes into that tree; a goal: PASS, and a file of the tree."""
    made = [tree.path(f"out/{kind}/{tree.path(path)}.ok") for kind, path in goals]
    outer = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}  # this may run below a make
    p = subprocess.run(["make", "-s", "-k", "-C", ROOT, f"CHECKED={tree.path('out')}",
                        f"CLANG_STAMPS={' '.join(made)}", "HEADER_STAMPS=", *made], text=True,
                       env={k: v for k, v in os.environ.items() if k not in outer}, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
    return p.returncode, p.stdout


def test_a_header_that_does_not_stand_alone_is_refused_by_both_compilers():
    with Tree({"a.h": "#pragma once\nu32 f(void);\n"}) as tree:
        status, said = passes(tree, ("alone-gcc", "a.h"), ("alone-clang", "a.h"))
    expect(status, 2, "status")
    expect_in("a.h:2:1: error: unknown type name", said)
    expect(said.count("unknown type name"), 2, "complaints")


def test_a_header_that_stands_alone_passes():
    with Tree({"a.h": '#pragma once\n#include "lib/types.h"\nu32 f(void);\n'}) as tree:
        expect(passes(tree, ("alone-gcc", "a.h"), ("alone-clang", "a.h")), (0, ""))


def test_what_clang_alone_warns_of_is_refused():
    with Tree({"a.c": "int f(int x);\nint f(int x)\n{\n    x = x;\n    return x;\n}\n"}) as tree:
        status, said = passes(tree, ("clang", "a.c"))
    expect(status, 2, "status")
    expect_in("self-assign", said)


def test_a_pass_is_done_again_when_what_is_included_changed():
    files = {"a.c": '#include "b.h"\nint f(void)\n{\n    return 0;\n}\n', "b.h": "int f(void);\n"}
    with Tree(files) as tree:
        expect(passes(tree, ("clang", "a.c")), (0, ""))
        tree.write("b.h", "long f(void);\n")
        now = os.stat(tree.path("b.h")).st_mtime + 1
        os.utime(tree.path("b.h"), (now, now))
        expect(passes(tree, ("clang", "a.c"))[0], 2, "status")


MAIN = {"a.c": "int main(void) { return 0; }\n"}


def linked(tree, *how):
    subprocess.run(["gcc", *how, "-o", tree.path("bin/a"), tree.path("a.c")], check=True)
    os.remove(tree.path("a.c"))
    return tree.run("tools/check-static", "bin")


def test_a_program_that_needs_a_loader_is_refused():
    with Tree({**MAIN, "bin/text": "no program"}) as tree:
        status, said = linked(tree)
    expect(status, 1, "status")
    expect_in("bin/a: asks for the interpreter /lib64/ld-linux-x86-64.so.2\n", said)
    expect_in("bin/a: needs a library\n", said)


def test_a_program_that_needs_a_library_is_refused():
    with Tree({**MAIN, "bin/text": ""}) as tree:
        expect(linked(tree, "-shared", "-fPIC", "-Wl,--no-as-needed"), (1, "bin/a: needs a library\n"))


def test_a_static_program_passes():
    with Tree({**MAIN, "bin/text": ""}) as tree:
        expect(linked(tree, "-static-pie"), (0, ""))


def table(width):
    """A comment with a table, one of whose rows has words of that width."""
    words = ("word " * width)[:width].rstrip()
    return f"/*\n * name      what it is\n * first     {words}\n * second    short\n */\n"


def checked_format(tree, *words):
    p = subprocess.run([tree.path("tools/check-format"), *words], text=True, capture_output=True, cwd=tree.path("."))
    return p.returncode


def test_what_the_formatter_would_change_is_refused_until_it_is_mended():
    files = {path: open(os.path.join(ROOT, path), encoding="utf-8").read() for path in (".clang-format", "tools/check-format", "tools/ranks.py")}
    folders = {f"{d}/x.h": "" for d in ("boot", "kernel", "drivers", "container", "userland", "tests")}
    with Tree({**files, **folders, "kernel/a.c": "int  x;\n"}) as tree:
        os.chmod(tree.path("tools/check-format"), 0o755)
        since = ["--since", tree.path("out/format")]
        for words in ([], since, since):
            expect(checked_format(tree, *words) != 0, True, "refused")
        checked_format(tree, "--fix")
        expect(checked_format(tree, *since), 0, "status")
        tree.write("kernel/b.c", "int  y;\n")
        expect(checked_format(tree, *since) != 0, True, "refused")


def test_what_the_formatter_maims_is_refused():
    files = {path: open(os.path.join(ROOT, path), encoding="utf-8").read()
             for path in (".clang-format", "tools/check-format", "tools/ranks.py")}
    body = "void f(int a, int b)\n{{\n    %s\n}}\n".replace("{{", "{").replace("}}", "}")
    wrong = (body % "a &B;", body % "a ? g() : h();", body % "a->b[2] ? g(\"x\") : h();",
             "/* " + "-" * 97 + "\n */\n", body % "return !(a &B);", "/* --- words\n * " + "-" * 60 + " */\n", table(90))
    right = (body % "return &a[b] ? a & b : 1;", body % "a = b ? 1 : 2;", body % "g(a ? b : 1, &b);", body % "a = b && &b;",
             "/* " + "-" * 94 + " */\n", body % 'g("a &b ? c : d;");', table(70))
    folders = {f"{d}/x.h": "" for d in ("boot", "kernel", "drivers", "container", "userland", "tests")}
    with Tree({**files, **folders}) as tree:
        os.chmod(tree.path("tools/check-format"), 0o755)
        for texts, ok in ((wrong, False), (right, True)):
            for text in texts:
                tree.write("kernel/a.c", text)
                said = tree.run("tools/check-format")[1]
                expect((text, "kernel/a.c:" in said), (text, not ok))


def test_a_table_that_the_formatter_would_join_is_left_alone():
    files = {path: open(os.path.join(ROOT, path), encoding="utf-8").read()
             for path in (".clang-format", "tools/check-format", "tools/ranks.py")}
    folders = {f"{d}/x.h": "" for d in ("boot", "kernel", "drivers", "container", "userland", "tests")}
    with Tree({**files, **folders, "kernel/a.c": table(90), "kernel/b.c": "int  y;\n"}) as tree:
        os.chmod(tree.path("tools/check-format"), 0o755)
        expect(checked_format(tree, "--fix"), 1, "status")
        expect(open(tree.path("kernel/a.c"), encoding="utf-8").read(), table(90), "the table")
        expect(open(tree.path("kernel/b.c"), encoding="utf-8").read(), "int y;\n", "the other file")


if __name__ == "__main__":
    main(sys.modules[__name__])
