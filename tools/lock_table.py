# SPDX-License-Identifier: MIT
"""The table of kernel/sync/README.md: all classes of locks, the outermost first.

Rank, order, kind and what may be done under one are the code's, from the calls that make the locks; what
a class guards is told in the table alone. Another order than a number is an expression of the code's."""
import re

README = "kernel/sync/README.md"
HEADER = "| rank, order | lock | kind | guards |\n|---|---|---|---|\n"
ROW = re.compile(r"^\| (\S[^|]*) \| (\S[^|]*) \| (spin|mutex|rwlock|bit)((?:, [a-z ]+)*) \| ([^|]*) \|$", re.M)
CONSTANT = re.compile(r"^(?:#define\s+|\s+)(RANK_\w+|\w*ORDER\w*)(?:\s*=\s*|\s+)(\d+)\b", re.M)
MAKERS = re.compile(r"\b(SPINLOCK_INIT|LOCK_TAG|spinlock_init|mutex_init|rwlock_init)\(", re.S)
KINDS = {"SPINLOCK_INIT": "spin", "spinlock_init": "spin", "mutex_init": "mutex", "rwlock_init": "rwlock"}
FLAGS = {"LOCK_OVER_COPY": "over copies", "LOCK_BRIEF": "brief"}
SKIP = ("kernel/sync/spinlock.h", "kernel/sync/lockdep.h", "kernel/sched/mutex.")


class LockClass:
    def __init__(self, rank, order, name, kind, flags):
        self.rank, self.order, self.name, self.kind, self.flags = rank, order, name, kind, flags

    def place(self):
        return "not ranked" if self.rank == 0 else f"{self.rank}, {self.order}"

    def key(self):
        """The outermost first."""
        number = re.search(r"\d+", self.order)
        return (-self.rank, -int(number[0]) if number else 0, self.name)

    def columns(self):
        return (self.place(), self.name, "".join([self.kind] + [f", {x}" for x in self.flags]))


def arguments(text, i):
    """The arguments of the call whose parenthesis ends before i."""
    depth, start, found = 1, i, []
    while depth:
        c = text[i]
        depth += {"(": 1, ")": -1}.get(c, 0)
        if (c == "," and depth == 1) or not depth:
            found.append(" ".join(text[start:i].split()))
            start = i + 1
        i += 1
    return found


def order_of(text, constants):
    """As a number if it is one; else with its constants as numbers."""
    layered = re.fullmatch(r"super_lock_order\(\w+, (\w+)\)", text)
    if layered:
        return f"{constants.get(layered[1], layered[1])} and 8 more a layer"
    text = re.sub(r"\b[A-Z]\w+\b", lambda m: constants.get(m[0], m[0]), text)
    return text.replace("dev->depth", "depth")


def classes(sources):
    constants = {}
    for text in sources.values():
        constants.update(CONSTANT.findall(text))
    found = {}
    for path, text in sources.items():
        if path.startswith(SKIP):
            continue
        for m in MAKERS.finditer(text):
            a = arguments(text, m.end())
            a = a[1:] if m[1].endswith("_init") else a
            kind = KINDS.get(m[1]) or a[2].removeprefix("KIND_").lower()
            parts = [x.strip() for x in a[1].split("|")]
            flags = [text for flag, text in FLAGS.items() if flag in a[1]]
            c = LockClass(int(constants.get(a[0], a[0])), order_of(parts[0], constants), a[-1].strip('"'), kind, flags)
            found[c.columns()] = c
    return sorted(found.values(), key=LockClass.key)


def told(readme):
    """{columns: what it guards} of the table."""
    return {(m[1], m[2], m[3] + m[4]): m[5].strip() for m in ROW.finditer(readme)}


def rows(sources, readme):
    guards = {name: text for (_, name, _), text in told(readme).items()}
    table = "".join("| %s | %s | %s | %s |\n" % (*c.columns(), guards.get(c.name, "")) for c in classes(sources))
    return HEADER + table


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def show(sources, path):
    return rows(sources, read(path)).rstrip("\n")


def differences(sources, readme):
    table, found = told(readme), []
    for c in classes(sources):
        if c.columns() not in table:
            found.append(f"{README}: the table of locks lacks, or tells otherwise: {' | '.join(c.columns())}")
        elif not table[c.columns()]:
            found.append(f"{README}: the table of locks does not tell what {c.name} guards")
    known = {c.columns() for c in classes(sources)}
    return found + [f"{README}: no such lock is made: {' | '.join(x)}" for x in table if x not in known]


def check(sources, path):
    return differences(sources, read(path))


def self_test():
    source = {"kernel/x.c": '#define X_ORDER 3\nmutex_init(&m, RANK_VM, X_ORDER | LOCK_BRIEF, "m");\n\n    RANK_VM = 7,\n'}
    for row, expected in (
        ("| 7, 3 | m | mutex, brief | all of it |\n", None),
        ("| 7, 3 | m | mutex, brief |  |\n", "does not tell what m guards"),
        ("| 7, 4 | m | mutex, brief | all of it |\n", "lacks, or tells otherwise"),
        ("| 7, 3 | m | mutex, brief | all |\n| 7, 2 | n | spin | all |\n", "no such lock"),
    ):
        found = differences(source, HEADER + row)
        if (expected is None) != (not found) or (expected and expected not in found[0]):
            print(f"lock_table: self-test: {row!r} gives {found}")
            return 1
    return 0
