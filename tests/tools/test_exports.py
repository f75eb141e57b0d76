#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/check-exports can fail."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tree import Tree, expect, expect_in, main


def judge(files, objects=None):
    with Tree(files) as tree:
        made = tree.compile()
        return tree.run("tools/check-exports", *(objects or made))


ALONE = {"kernel/mm/a.c": "int lone(void) { return 1; }\n"}


def test_an_export_that_no_other_file_names_is_refused():
    expect(judge(ALONE), (1, "kernel/mm/a.c: lone is used by no other file\n"))
    expect(judge({"kernel/mm/a.c": "int lone;\n"}), (1, "kernel/mm/a.c: lone is used by no other file\n"))
    expect(judge({"userland/lib/a.c": "int lone;\n"}), (1, "userland/lib/a.c: lone is used by no other file\n"))


def test_a_use_in_its_own_file_is_none():
    expect(judge({"kernel/mm/a.c": "int lone(void) { return 1; }\nstatic int b(void) { return lone(); }\n"})[0], 1)


def test_what_another_file_names_passes():
    uses = {"kernel/vm/b.c": "int lone(void); static int b(void) { return lone(); } int (*p(void))(void); static void *q = b;\n"}
    expect(judge({**ALONE, **uses}), (0, ""))


def test_what_only_tests_use_is_told():
    said = (1, "kernel/mm/a.c: lone is for tests alone\n")
    expect(judge({**ALONE, "tests/kernel/t.c": "int lone(void); int t(void) { return lone(); }\n"}), said)
    expect(judge({**ALONE, "tests/unit/t.c": "int lone(void); int t(void) { return lone(); }\n"}, ["obj"]), said)


def test_a_declaration_is_no_use_and_a_macro_is():
    expect(judge({**ALONE, "kernel/mm/a.h": "/* lone */ int lone(void);\n"})[0], 1)
    expect(judge({**ALONE, "kernel/mm/a.h": "int lone(void);\n#define SURE(x) \\\n    lone()\n"}), (0, ""))
    expect(judge({**ALONE, "kernel/mm/a.h": "int lone(void);\nstatic inline int two(void)\n{\n    return lone();\n}\n"}),
           (0, ""))


def test_what_the_debug_build_alone_uses_passes():
    expect(judge({**ALONE, "kernel/mm/b.c": "#ifdef DEBUG\nint b(void) { return lone(); }\n#endif\n"}), (0, ""))


def test_another_program_s_use_is_of_its_own():
    files = {"userland/cli/a.c": "int run(void) { return 0; }\n",
             "userland/vmm/b.c": "int run(void) { return 0; }\n",
             "userland/vmm/c.c": "int run(void); int main(void) { return run(); }\n"}
    expect(judge(files), (1, "userland/cli/a.c: run is used by no other file\n"))


def test_an_exception_that_is_not_needed_is_told():
    status, said = judge({"kernel/mm/a.c": "", "userland/cli/b.c": ""})
    expect(status, 1)
    expect_in("crc32c needs no exception any more", said)


if __name__ == "__main__":
    main(sys.modules[__name__])
