#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/check-layers can fail: small trees, each with one thing wrong."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tree import Tree, expect, main


def judge(files, compiled=False):
    """What check-layers says of a tree of these files; of its objects too when they are compiled."""
    with Tree(files) as tree:
        objects = tree.compile() if compiled else []
        return tree.run("tools/check-layers", *objects)


def refused(files, *words, compiled=False):
    status, said = judge(files, compiled)
    expect(status, 1, f"the status for {files}, which said {said!r},")
    for word in words:
        expect(word in said, True, f"{word!r} in {said!r}")


def accepted(files, compiled=False):
    expect(judge(files, compiled), (0, ""), f"what is said of {files}")


LOW, HIGH = "kernel/mm/page.c", "kernel/vfs/vfs.h"


def test_an_include_of_a_higher_rank_is_seen_in_every_form():
    forms = ('#include "vfs/vfs.h"', "#include <vfs/vfs.h>", '# include "vfs/vfs.h"', '  #\tinclude"vfs/vfs.h"',
                 '#include "../vfs/vfs.h"', '#in\\\nclude "vfs/vfs.h"', '#include \\\n  "vfs/vfs.h"',
                 '#/* */include/* */"vfs/vfs.h" // x', '#include_next <vfs/vfs.h>', '#import "vfs/vfs.h"',
                 '%:include "vfs/vfs.h"', '/* x */ #include "vfs/vfs.h"', '#define X "no comment: /*"\n#include "vfs/vfs.h"')
    files = {f"kernel/mm/f{i}.c": form + "\n" for i, form in enumerate(forms)}
    _, said = judge({**files, HIGH: ""})
    for path, form in files.items():
        expect(f"{path}:" in said, True, f"{form!r} is refused: it")


def test_the_line_of_an_include_is_told():
    refused({LOW: "/* one\n two */\n#define A \\\n  1\n#include <vfs/vfs.h>\n", HIGH: ""}, LOW + ":5:")


def test_what_is_in_a_comment_is_no_include():
    accepted({LOW: '/*\n#include "vfs/vfs.h"\n*/\n// #include "vfs/vfs.h"\n', HIGH: ""})


def test_a_macro_cannot_hide_a_file():
    refused({LOW: '#define WHAT "vfs/vfs.h"\n#include WHAT\n', HIGH: ""}, "WHAT: a macro hides which file")


def test_assembly_and_inc_files_are_looked_at():
    refused({"kernel/mm/a.S": "#include <vfs/vfs.h>\n", HIGH: ""}, "kernel/mm/a.S:1:")
    refused({"kernel/mm/a.S": '.include "kernel/vfs/vfs.h"\n', HIGH: ""}, "kernel/mm/a.S:1:")
    refused({"kernel/mm/a.inc": '#include "vfs/vfs.h"\n', HIGH: ""}, "kernel/mm/a.inc:1:")


def test_the_kernel_includes_no_header_of_the_host():
    refused({LOW: "#include <stdio.h>\n"}, "<stdio.h>: not in this tree")
    accepted({LOW: "#include <stdint.h>\n"})


def test_lower_ranks_and_the_own_folder_may_be_included():
    accepted({"kernel/vfs/a.c": '#include "lib/list.h"\n#include "vfs/vfs.h"\n#include "uapi/kvm.h"\n', HIGH: "",
              "kernel/lib/list.h": "", "kernel/include/uapi/kvm.h": ""})


def test_file_systems_do_not_know_each_other():
    refused({"kernel/fs/tmpfs/a.c": '#include "fs/overlay/b.h"\n', "kernel/fs/overlay/b.h": ""}, "fs/overlay/b.h")


def test_folders_of_net_have_ranks():
    refused({"kernel/net/core/a.c": '#include "net/link/b.h"\n', "kernel/net/link/b.h": ""}, "net/link/b.h")
    refused({"kernel/net/tcp/a.c": '#include "net/unix/b.h"\n', "kernel/net/unix/b.h": ""}, "net/unix/b.h")
    refused({"kernel/net/link/a.c": '#include "net/socket.h"\n', "kernel/net/socket.h": ""}, "net/socket.h")
    accepted({"kernel/net/socket.c": '#include "net/tcp/b.h"\n', "kernel/net/tcp/b.h": '#include "net/ip/c.h"\n',
              "kernel/net/ip/c.h": '#include "net/core/d.h"\n', "kernel/net/core/d.h": ""})


def test_folders_of_hv_have_ranks():
    refused({"kernel/hv/emul/a.c": '#include "hv/vcpu/b.h"\n', "kernel/hv/vcpu/b.h": ""}, "kernel/hv/vcpu/b.h")
    refused({"kernel/hv/svm/a.c": '#include "hv/run/b.h"\n', "kernel/hv/run/b.h": ""}, "kernel/hv/run/b.h")
    refused({"kernel/hv/vmx/a.c": '#include "hv/svm/b.h"\n', "kernel/hv/svm/b.h": ""}, "kernel/hv/svm/b.h")
    accepted({"kernel/hv/svm/a.c": '#include "hv/vcpu/c.h"\n', "kernel/hv/vcpu/c.h": '#include "hv/emul/b.h"\n',
              "kernel/hv/emul/b.h": ""})


def test_a_program_includes_no_other_program():
    refused({"userland/cli/a.c": '#include "engine/b.h"\n', "userland/engine/b.h": ""}, "userland/engine/b.h")
    refused({"userland/lib/a.c": '#include <runtime/b.h>\n', "userland/runtime/b.h": ""}, "userland/runtime/b.h")
    refused({"userland/runtime/a.c": '#include "../engine/b.h"\n', "userland/engine/b.h": ""}, "userland/engine/b.h")
    accepted({"userland/engine/a.c": '#include "runtime/b.h"\n#include "lib/c.h"\n#include <stdio.h>\n',
              "userland/runtime/b.h": '#include "lib/c.h"\n', "userland/lib/c.h": '#include "uapi/kvm.h"\n',
              "kernel/include/uapi/kvm.h": ""})


def test_userland_and_the_kernel_share_uapi_alone():
    refused({"userland/vmm/a.c": '#include "../../kernel/lib/b.h"\n', "kernel/lib/b.h": ""}, "kernel/lib/b.h")
    refused({"kernel/linux/a.c": '#include "../../userland/lib/b.h"\n', "userland/lib/b.h": ""}, "userland/lib/b.h")


def test_a_file_in_no_ranked_folder_is_refused():
    refused({"kernel/attic/a.c": ""}, "kernel/attic/a.c: its folder has no rank")


UPWARD = {LOW: "void high(void); void low(void); void low(void) { high(); }\n",
          "kernel/vfs/a.c": "void high(void); void high(void) {}\n"}


def test_a_call_upward_is_seen_in_the_objects():
    refused(UPWARD, LOW + ": calls high of kernel/vfs/a.c", compiled=True)
    refused({"userland/lib/a.c": "void run(void); void a(void) { run(); }\n", "userland/cli/b.c": "void run(void) {}\n"},
            "userland/lib/a.c: calls run of userland/cli/b.c", compiled=True)
    refused({"userland/vmm/a.c": "void run(void); void a(void) { run(); }\n", "userland/cli/b.c": "void run(void) {}\n"},
            "userland/vmm/a.c: calls run of userland/cli/b.c", compiled=True)


def test_programs_may_have_functions_of_one_name():
    accepted({f"userland/{name}/{file}.c": text for name in ("vmm", "cli") for file, text in (
        ("a", "void run(void); void a(void) { run(); }\n"), ("b", "void run(void) {}\n"))}, compiled=True)


def said_of_up_h(files, forms):
    """(form, status, what is said) for each text of kernel/mm/up.h beside those files."""
    with Tree(files) as tree:
        objects = tree.compile()
        for form in forms:
            tree.write("kernel/mm/up.h", form + "\n")
            yield form, *tree.run("tools/check-layers", *objects)


def test_up_h_opens_what_it_declares():
    forms = ("void high(void);", "extern void high(void);", "__noreturn void high(void);", "void\nhigh(void)\n;",
             "void high(void) __attribute__((cold));", "void high(void) REQUIRES(a->lock);",
             "struct s;\nenum e { A, B };\n/* x */ void high(void);")
    for form, status, said in said_of_up_h(UPWARD, forms):
        expect((form, status, said), (form, 0, ""))
    accepted({LOW: "extern int a, high[]; int low(void) { return high[0]; }\n", "kernel/vfs/a.c": "int high[2];\n",
              "kernel/mm/up.h": "extern int high[];\n"}, compiled=True)


def test_up_h_opens_no_more_than_it_declares():
    forms = ("int other(int high);", "int other(void (*high)(int));", "/* high(); */", "#define X high()",
             "struct s { int (*high)(void); };", "static inline void other(void) { high(); }", "struct high;",
             "enum e { A = sizeof(int[3]), high };", "typedef void high(void);")
    for form, _, said in said_of_up_h(UPWARD, forms):
        expect("calls high of kernel/vfs/a.c" in said, True, f"{form!r} opens nothing: it")


def test_up_h_of_a_higher_rank_opens_nothing_below():
    refused({**UPWARD, "kernel/vm/up.h": "void high(void);\n"}, "calls high of kernel/vfs/a.c", compiled=True)


def test_an_upcall_must_go_up():
    refused({"kernel/vm/a.c": "void low(void); void high(void) { low(); }\n", "kernel/lib/b.c": "void low(void) {}\n",
             "kernel/vm/up.h": "void low(void);\n"}, "low, but kernel/lib/b.c, which defines it, is not above",
            compiled=True)


def test_an_upcall_that_has_gone_is_told():
    refused({**UPWARD, "kernel/mm/up.h": "void high(void);\nvoid gone(void);\n"}, "gone, which is defined nowhere",
            compiled=True)
    refused({**UPWARD, LOW: "void low(void) {}\n", "kernel/mm/up.h": "void high(void);\n"},
            "high, which has no caller", compiled=True)


def ring(folder, n):
    """n files of a folder, each calling the next."""
    return {f"{folder}/f{i}.c": f"void f{(i + 1) % n}(void); void f{i}(void) {{ f{(i + 1) % n}(); }}\n" for i in range(n)}


def test_a_large_circle_is_refused():
    accepted(ring("kernel/tty", 8), compiled=True)
    refused(ring("kernel/tty", 9), "kernel/tty: 9 files call each other in a circle, 8 may", compiled=True)
    refused(ring("userland/vmm", 9), "userland/vmm: 9 files", compiled=True)


def test_a_number_goes_down_with_its_circle():
    refused({**ring("kernel/vfs", 3), "kernel/vfs/README.md": "one circle"},
            "kernel/vfs: its largest circle is 3 files now: lower its number", compiled=True)


def test_objects_of_test_programs_are_passed_over():
    accepted({"userland/lib/a.c": "void f(void) {}\n", "tests/hv/b.c": "void f(void); void g(void) { f(); }\n",
              "kernel/mm/a.c": "void high(void); void a(void) { high(); }\n", "kernel/vm/b.c": "void high(void) {}\n",
              "kernel/mm/up.h": "void high(void);\n"}, compiled=True)


def test_circles_are_listed_largest_first():
    with Tree({**ring("kernel/tty", 3), "kernel/tty/g.c": "void h(void); void g(void) { h(); }\n",
               "kernel/tty/h.c": "void g(void); void h(void) { g(); }\n",
               "kernel/tty/i.c": "void g(void); void i(void) { g(); }\n"}) as tree:
        said = tree.run("tools/check-layers", "--circles", *tree.compile())
    expect(said, (0, "kernel/tty: 3: f0.c f1.c f2.c\nkernel/tty: 2: g.c h.c\n"))


if __name__ == "__main__":
    main(sys.modules[__name__])
