#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/check-fails can fail."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tree import Tree, expect, main


def judge(files, *words):
    with Tree(files) as tree:
        return tree.run("tools/check-fails", *words)


def function(name, body, head="void *"):
    return f"{head}{name}(int n)\n{{\n    {body}\n}}\n"


POINT = {"kernel/mm/page.c": function("page_alloc", "return FAILPOINT(page_alloc) ? NULL : take(n);")}


def test_an_allocation_without_a_point_is_refused():
    for name in ("page_alloc", "pool_create", "pool_charge_all", "block_submit", "dev_transmit"):
        expect(judge({"kernel/mm/a.c": function(name, "return take(n);")}),
               (1, f"kernel/mm/a.c: {name} meets no fail point\n"))
    expect(judge({"drivers/net/a.h": function("ring_alloc", "return take(n);", "static inline void *")}),
           (1, "drivers/net/a.h: ring_alloc meets no fail point\n"))


def test_a_point_in_the_body_or_below_passes():
    expect(judge(POINT), (0, ""))
    calls = {"kernel/vm/a.c": function("area_alloc", "return area_new(n);") + function("area_new", "return page_alloc(n);")}
    expect(judge({**POINT, **calls}), (0, ""))


def test_a_point_apart_counts_and_a_delay_does_not():
    expect(judge({"kernel/mm/a.c": function("a_alloc", "return FAILPOINT_APART(a) ? NULL : take(n);")}), (0, ""))
    expect(judge({"kernel/mm/a.c": function("a_alloc", "DELAYPOINT(a); return take(n);")})[0], 1)


def test_a_point_in_a_comment_is_none():
    expect(judge({"kernel/mm/a.c": function("a_alloc", "return take(n); /* FAILPOINT(a) */")})[0], 1)


def test_another_file_s_static_function_of_that_name_is_not_called():
    own = {"kernel/vm/a.c": function("a_alloc", "return take(n);"),
           "kernel/mm/b.c": function("take", "return FAILPOINT(b) ? NULL : x;", "static void *")}
    expect(judge(own), (1, "kernel/vm/a.c: a_alloc meets no fail point\n"))
    expect(judge({**own, "kernel/mm/b.c": own["kernel/mm/b.c"].replace("static ", "")}), (0, ""))


def test_who_only_has_such_a_word_in_a_noun_passes():
    expect(judge({"kernel/mm/a.c": function("allocator_size", "return 0;")}), (0, ""))


def test_the_list_names_points_and_who_meets_them():
    expect(judge(POINT, "--list"), (0, "page_alloc page_alloc\n"))


if __name__ == "__main__":
    main(sys.modules[__name__])
