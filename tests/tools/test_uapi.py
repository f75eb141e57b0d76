#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/check-uapi can fail."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tree import Tree, expect, main

# Numbers, sizes and offsets of one small tree, all wrong, and what is to be said of each.
WRONG = {
    "kernel/obj/b.h": "#define OURS 6\n",
    "kernel/obj/a.h": "#define F_SETLK 7\n#define O_CLOEXEC (1 << 18)\nenum { EPOLL_CTL_MOD = 4 };\n",
    "kernel/linux/b.c": "struct stat_user {\n    unsigned long dev, ino;\n    int mode;\n};\n"
                        "struct winsize {\n    unsigned short ws_col, ws_row, ws_xpixel, ws_ypixel;\n};\n",
    "userland/lib/c.h": "#define CLONE_NEWNET 0x40000001\n",
    "kernel/include/uapi/kvm.h": "#define KVM_OF_OUR_OWN 1\n#define KVM_API_VERSION 13\n",
}
SAID = ("kernel/obj/a.h: F_SETLK: Linux has 6", "kernel/obj/a.h: O_CLOEXEC: Linux has 524288",
        "kernel/obj/a.h: EPOLL_CTL_MOD: Linux has 3", "kernel/linux/b.c: struct stat_user: Linux has 144 bytes",
        "kernel/linux/b.c: struct stat_user.mode: Linux has it at 24", "kernel/linux/b.c: struct winsize.ws_col: Linux has it at 2",
        "kernel/linux/b.c: struct winsize.ws_row: Linux has it at 0",
        "userland/lib/c.h: CLONE_NEWNET: Linux has 1073741824", "kernel/include/uapi/kvm.h: KVM_API_VERSION: Linux has 12",
        "kernel/include/uapi/kvm.h: KVM_OF_OUR_OWN: Linux has no such name",
        "tests/hv/vmm_asks.tbl: KVM_CAP_HLT: 2, Linux has 1")


def judge(tree):
    return tree.run("tools/check-uapi", "-Ikernel/include", "-Ikernel/include", "linux/fcntl.h", "linux/eventpoll.h",
                    "asm/stat.h", "asm-generic/termios.h", "linux/sched.h", "linux/kvm.h")


def test_wrong_numbers_sizes_and_offsets_are_refused_until_they_are_right():
    with Tree({**WRONG, "tests/hv/vmm_asks.tbl": "cap HLT 2 # wrong\n"}) as tree:
        status, said = judge(tree)
        expect(status, 1, "status")
        expect(sorted(said.splitlines()), sorted(SAID), "complaints")
        tree.write("kernel/obj/a.h", '#include "b.h"\n#define F_SETLK OURS\n#define O_CLOEXEC 02000000\nenum { EPOLL_CTL_MOD = 3 };\n')
        expect("kernel/obj/a.h" in judge(tree)[1], False, "one that is right is refused: it")
        tree.write("kernel/obj/b.h", "#define OURS 5\n")  # what is included is looked at again
        expect("kernel/obj/a.h: F_SETLK: Linux has 6\n" in judge(tree)[1], True, "one that went wrong is refused: it")


if __name__ == "__main__":
    main(sys.modules[__name__])
