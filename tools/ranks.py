# SPDX-License-Identifier: MIT
"""The ranks of the house, and what the checks know of its sources: where a file belongs, what it includes, what
its object defines and calls. For tools/check-*."""
import os
import re
import subprocess

RANKS = {
    "boot": 0, "kernel/include/uapi": 0, "kernel/lib": 1, "kernel/arch": 2, "kernel/sync": 3,
    "kernel/debug": 4, "kernel/mm": 5, "kernel/sched": 6, "kernel/vm": 7, "kernel/obj": 8,
    "kernel/dev": 9, "kernel/vfs": 10, "kernel/fs": 11, "kernel/net": 11, "kernel/hv": 11,
    "drivers": 11, "container": 12, "kernel/proc": 13, "kernel/tty": 14, "kernel/linux": 15,
    "kernel/init": 16, "tests/kernel": 17,
    # Userland sees nothing of the kernel but uapi; a program sees no other.
    "userland/lib": 1, "userland/runtime": 2, "userland": 3,
}
# Ranks within one folder: "" is what lies directly in it, "*" each other sub-folder; without a "*" the others are one
# with "". Sub-folders of one rank must not know each other. In a folder that is not here, all is one.
WITHIN = {
    "kernel/fs": {"": 0, "*": 1},
    "kernel/hv": {"": 0, "emul": 0, "vcpu": 1, "memory": 2, "svm": 3, "vmx": 3, "irq": 3, "regs": 4, "run": 5,
                  "file": 6},
    "kernel/net": {"core": 0, "link": 1, "ip": 2, "tcp": 3, "udp": 3, "raw": 3, "unix": 3, "packet": 3, "filter": 3,
                   "netlink": 3, "diag": 4, "": 5},
    "drivers": {"": 0, "*": 1},
    "userland": {"": 0, "*": 1},
}
UAPI = "kernel/include/uapi"
# boot/ runs before the kernel is mapped: it shares lib's and arch's code, and jumps to kernel/init.
BOOT_USES = ("kernel/lib", "kernel/arch")

KERNEL_ROOTS = ("boot", "kernel", "drivers", "container", "tests/kernel")
USER_ROOTS = ("userland",)
SUFFIXES = (".c", ".h", ".S", ".inc")
COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.S)
DIRECTIVE = re.compile(r'^[ \t]*(?:#|%:)[ \t]*(?:include|include_next|import)\b[ \t]*(\S[^\n]*?)[ \t]*$', re.M)
ASSEMBLER = re.compile(r'^[ \t]*\.include[ \t]+("[^"\n]*")', re.M)


def is_userland(path):
    return path.startswith("userland/")


def folder(path):
    """The ranked folder a file lies in, or None."""
    best = None
    for name in RANKS:
        if path.startswith(name + "/") and (best is None or len(name) > len(best)):
            best = name
    return best


def part(path):
    """The sub-folder with a rank of its own that a file lies in; "" when there is none."""
    name = folder(path)
    table, inside = WITHIN.get(name, {}), path[len(name) + 1:].split("/")
    return inside[0] if len(inside) > 1 and (inside[0] in table or "*" in table) else ""


def unit(path):
    """What may look into all of itself: kernel/fs/tmpfs, kernel/net/ip, userland/engine; else the folder."""
    return f"{folder(path)}/{part(path)}".rstrip("/")


def arrow_ok(source, target):
    """May a file of the source's place include and call what the target's place has?"""
    if target.startswith(UAPI + "/"):
        return True
    a, b = folder(source), folder(target)
    if a is None or b is None or is_userland(source) != is_userland(target):
        return False
    if unit(source) == unit(target) or (a == "boot" and b in BOOT_USES):
        return True
    if a != b:
        return RANKS[b] < RANKS[a]
    table = WITHIN[a]
    low, high = (table.get(part(path), table.get("*")) for path in (target, source))
    return low < high


def sources(roots, suffixes=SUFFIXES):
    for root in roots:
        for directory, _, names in sorted(os.walk(root)):
            for name in sorted(names):
                if name.endswith(suffixes):
                    yield os.path.join(directory, name)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def strip_comments(text):
    """The text without comments, continued lines joined; each line stays on its line."""
    text = re.sub(r"\\\n((?:[^\n]*\\\n)*)([^\n]*)",
                  lambda m: m[1].replace("\\\n", "") + m[2] + "\n" * (m[1].count("\n") + 1), text)
    return COMMENT.sub(lambda m: m[0] if m[0][0] in "\"'" else " " + "\n" * m[0].count("\n"), text)


def includes(path):
    """(line, what) of each include in a file, in whatever form: what is "x.h", <x.h> or a macro's name."""
    text = strip_comments(read(path))
    found = [m for pattern in (DIRECTIVE, ASSEMBLER) for m in pattern.finditer(text)]
    return sorted((text.count("\n", 0, m.start()) + 1, m[1]) for m in found)


def read_symbols(objects):
    """{source: {symbol: kind}} of what is defined, {source: symbols} of what is asked for, out of a directory of
    objects. Kinds are nm's letters; capital: seen by other files."""
    defined, used, paths = {}, {}, []
    for directory, _, names in os.walk(objects):
        paths += [os.path.join(directory, n) for n in names if n.endswith(".o")]
    paths = [p for p in sorted(paths) if os.path.exists(os.path.relpath(p, objects)[:-2])]
    if not paths:
        return defined, used
    out = subprocess.run(["nm", "-A", "-P"] + paths, capture_output=True, text=True, check=True).stdout
    for line in out.splitlines():
        head, rest = line.split(": ", 1)
        source = os.path.relpath(head, objects)[:-2]
        name, kind = rest.split()[:2]
        if kind in "Uw":
            used.setdefault(source, set()).add(name)
        else:
            defined.setdefault(source, {})[name] = kind
    return defined, used


def circles(graph):
    """The groups of more than one that reach each other in {file: files}, largest first (Tarjan, without
    recursion)."""
    number, low, stack, on, found = {}, {}, [], set(), []
    for start in sorted(graph):
        work = [(start, None)] if start not in number else []
        while work:
            node, rest = work.pop()
            if rest is None:
                number[node] = low[node] = len(number)
                stack.append(node)
                on.add(node)
                rest = iter(sorted(graph.get(node, ())))
            for other in rest:
                if other not in number:
                    work += [(node, rest), (other, None)]
                    break
                if other in on:
                    low[node] = min(low[node], low[other])
            else:
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == number[node]:
                    at = stack.index(node)
                    found.append(sorted(stack[at:]))
                    on.difference_update(stack[at:])
                    del stack[at:]
    return sorted((g for g in found if len(g) > 1), key=lambda g: (-len(g), g))
