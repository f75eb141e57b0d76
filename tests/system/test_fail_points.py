#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every place where the kernel can be refused something is refused once, in the debug build, while a container starts,
runs and ends, a VM does, an engine takes over from one that was killed, and programs make calls and use a disk
(fail_places/). The work fails with an error, or a process ends; nothing is lost, leaked or hung, the kernel does not
panic, and afterwards all works as before. The machine has one processor, so that a round meets the same places each time; who is
refused is chosen by the names of threads (kernel/debug/fail.c), not by an account.

  test_fail_points.py                              the suite's part: places told apart by few callers
  test_fail_points.py --all                        by many, without an end (make test-fails)
  test_fail_points.py WORK DEPTH ROUNDS [v [e]]    one; v: each round, e: the objects of each round"""
import glob
import os
import re
import subprocess
import sys
import tarfile
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import ROOT, config, docker_archive, tar

# (work, callers, rounds): a boot for each line
PART = [[("calls", 4, 400), ("copies", 3, 200), ("disk", 4, 200), ("container", 4, 400)],
        [("restart", 3, 8), ("vmm", 3, 8)]]
ALL = [[("calls", 14, 9999)], [("copies", 14, 9999), ("disk", 14, 9999)], [("container", 14, 9999)],
       [("restart", 8, 9999)], [("vmm", 10, 9999)], [("vm", 8, 9999)]]
# What the kernel says of a shortage, as it should.
SAID = re.compile(r"no memory|out of memory|cannot |I/O error|failed", re.I)
# More of a kind than at first: what a cache or a heap keeps, of hundreds of rounds.
OBJECTS_MORE = 40
KIB_MORE = 2048


def build(tmp):
    """The program, an image that holds it alone, and a disk."""
    program, image, disk = (os.path.join(tmp, name) for name in ("fail_places", "image.tar", "disk"))
    subprocess.run(["gcc", "-std=gnu17", "-O1", "-D_GNU_SOURCE", "-static", "-pthread", "-Wall", "-Wextra", "-Werror",
                    "-Wno-unused-parameter", "-Wno-unused-result", "-o", program,
                    *glob.glob(os.path.join(ROOT, "tests/system/fail_places/*.c"))], check=True)
    with open(program, "rb") as f:
        layer = tar([("fail_places", tarfile.REGTYPE, f.read()), ("tmp", tarfile.DIRTYPE, None, 0o1777)])
    with open(image, "wb") as f:
        f.write(docker_archive("fail_places:latest", [layer], config([layer])))
    with open(disk, "wb") as f:
        f.truncate(1 << 20)
    return program, image, disk


def boot(files, works, seconds):
    program, image, disk = files
    line = [os.path.join(ROOT, "tools/run"), "--debug", "--cpus", "1", "--timeout", str(seconds), "--image", image,
            "--file", program, "--disk", disk]
    for work in works:
        line += ["-c", "/boot/files/fail_places " + " ".join(map(str, work))]
    return subprocess.run(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False)


def wrong(text):
    """What is wrong in what one work printed; None: nothing."""
    bad = re.findall(r"^FAIL (.*)", text, re.M)
    bad += [line for line in re.findall(r"^log: (.*)", text, re.M) if not SAID.search(line.split(": ")[0])]
    more = {}
    for kind, first, last in re.findall(r"^objects (\S+): (\d+) to (\d+)", text, re.M):
        more[kind] = more.get(kind, 0) + int(last) - int(first)
    bad += [f"{n} more {kind}" for kind, n in more.items() if n > OBJECTS_MORE]
    free = re.search(r"^free (\d+) KiB to (\d+)", text, re.M)
    if free and int(free[1]) - int(free[2]) > KIB_MORE:
        bad.append(f"{free[1]} KiB were free, then {free[2]}")
    places = re.search(r"^places (\d+), rounds (\d+), (all|not all)", text, re.M)
    if not places or int(places[1]) < 5:
        bad.append(f"it did not come to its end: {text[-300:]}")
    return "; ".join(bad) or None


def judge(works, p):
    """Prints a line for each work; how many have failed."""
    parts, failed = re.split(r"^(places .*)$", p.stdout, flags=re.M), 0
    for i, (work, *_) in enumerate(works):
        text = "".join(parts[2 * i:2 * i + 2])
        why = wrong(text)
        failed += why is not None
        print(f"FAIL a_refusal_at_any_place_is_survived_by_{work}: {why}" if why else
              f"ok a_refusal_at_any_place_is_survived_by_{work}: {parts[2 * i + 1]}", flush=True)
    return failed


def main():
    every = sys.argv[1:] == ["--all"]
    one = [[tuple(sys.argv[1:])]] if sys.argv[1:] and not every else None
    failed = 0
    with tempfile.TemporaryDirectory(prefix="fails-") as tmp:
        files = build(tmp)
        for works in one or (ALL if every else PART):
            p = boot(files, works, 7200 if every or one else 600)
            if one:
                print(p.stdout, p.returncode)
            failed += judge(works, p)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
