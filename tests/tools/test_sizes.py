#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/check-sizes sees what is too large."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tree import Tree, expect, main


def said(text):
    with Tree({"kernel/a.c": text}) as tree:
        return tree.run("tools/check-sizes", "kernel")[1].splitlines()[:-1]


def function(lines):
    return "static int\nf(int a,\n  int b)\n{\n" + "    a++;\n" * (lines - 5) + "}\n"


def nested(levels):
    text = "".join("    " * (i + 1) + f"if (a &&\n{'    ' * (i + 1)}    b)\n" for i in range(levels))
    return "void f(void)\n{\n" + text + "    " * (levels + 1) + "a(\n            c);\n}\n"


def test_a_long_function_is_named():
    expect(said(function(60)), [])
    expect(said("int x;\n\n" + function(61)), ["kernel/a.c:3: f: 61 lines"])


def test_deep_nesting_is_named():
    expect(said(nested(3)), [])
    expect(said(nested(4)), ["kernel/a.c:11: f: 4 levels"])


def test_a_continued_expression_is_no_level():
    expect(said("void f(void)\n{\n    a = b ? (struct s){1}\n" + " " * 20 + ": (struct s){2};\n}\n"), [])


def test_long_files_and_lines_are_named():
    expect(said("\n" * 600 + "/* " + "x" * 95 + " */\n"), ["kernel/a.c:1: 601 lines", "kernel/a.c:601: 101 columns"])


def test_the_summary_counts():
    with Tree({"kernel/a.c": function(61) + nested(4)}) as tree:
        expect(tree.run("tools/check-sizes", "--summary", "kernel"),
               (0, "sizes: 1 functions over 60 lines, 0 files over 600, 1 functions nested over 3, 0 lines over 100 columns "
                   "(tools/check-sizes names them)\n"))


if __name__ == "__main__":
    main(sys.modules[__name__])
