#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What bad input gets on Bothy's own console and engine: one clear line, a status, and nothing left behind.

Everything happens in one boot, beside a container that runs on through all of it. Hostile archives have
tests of their own (test_engine_images.py, which also runs on Bothy); here are some of each kind.
"""
import os
import struct
import sys
import tarfile
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import Batch, busybox_image
from engine_fixture import docker_archive, oci_layout, tar
from suite import expect, expect_in, main

REG, DIR, SYM, LNK = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
GOOD = tar([("etc", DIR, None), ("etc/motd", REG, "hello\n" * 2000, 0o644)])


def elf(**over):
    """A static program that exits at once; `over` replaces header fields to break it."""
    f = {"machine": 62, "type": 2, "phoff": 64, "phentsize": 56, "phnum": 1, "entry": 0x400078,
         "kind": 1, "flags": 5, "offset": 0, "vaddr": 0x400000, "filesz": 0x1000, "memsz": 0x1000}
    f.update(over)
    code = b"\xb8\x3c\x00\x00\x00\x31\xff\x0f\x05"  # exit(0)
    head = struct.pack("<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, f["type"], f["machine"], 1,
                       f["entry"], f["phoff"], 0, 0, 64, f["phentsize"], f["phnum"], 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", f["kind"], f["flags"], f["offset"], f["vaddr"], f["vaddr"],
                       f["filesz"], f["memsz"], 0x1000)
    return (head + load + code).ljust(0x1000, b"\0")


# Each must fail to start, or die at once; Linux does the same.
ELVES = {
    "other_machine": elf(machine=183), "no_headers": elf(phnum=0), "far_headers": elf(phoff=1 << 60),
    "odd_header_size": elf(phentsize=1), "many_headers": elf(phnum=0xffff),
    "kernel_address": elf(vaddr=0xffffffff80000000), "address_overflow": elf(vaddr=(1 << 64) - 0x1000),
    "vast": elf(memsz=1 << 62), "file_larger_than_memory": elf(filesz=0x1000, memsz=0x10),
    "beyond_the_file": elf(offset=1 << 40), "lost_entry": elf(entry=0x7fff00000000),
    "kernel_entry": elf(entry=0xffffffff80000000), "not_aligned": elf(vaddr=0x400123),
    "no_interpreter": elf(kind=3, offset=0, filesz=0x40), "cut": elf()[:70], "empty": b"", "text": b"\0" * 500,
}


def spoil(blobs, digest):
    blobs[digest] = blobs[digest][:-9] + b"x" + blobs[digest][-8:]


def archives():
    """name -> (bytes, what the one line says)"""
    def layer(entries):
        return docker_archive("bad:1", [tar(entries)])
    whole = docker_archive("bad:1", [GOOD])
    corrupt = bytearray(whole)
    corrupt[whole.index(b"0/layer.tar\0")] ^= 0xff  # a header no longer adds up
    return {
        "truncated": (whole[:2500], "truncated"), "corrupt": (bytes(corrupt), ""),
        "noise": (os.urandom(5000), "not a tar archive"),
        "loop": (layer([("l", SYM, "l"), ("l/evil", REG, "x")]), "not a directory"),
        "through_a_file": (layer([("f", REG, "x"), ("f/evil", REG, "x")]), "not a directory"),
        "link_to_nothing": (layer([("l", LNK, "../../etc/passwd")]), "not in the image"),
        "packed_noise": (b"\x28\xb5\x2f\xfd" + os.urandom(5000), "zstd"),
        "digest": (docker_archive("bad:1", [GOOD], stored=[tar([("x", REG, "y")])]),
                   "digest does not match"),
        "blob_digest": (oci_layout("bad:1", [GOOD], spoil=spoil), "blobs/sha256"),
        "no_manifest": (tar([("x", REG, "y")]), "neither manifest.json nor index.json"),
    }


ARCHIVES = archives()
TMP = tempfile.TemporaryDirectory(prefix="bothy-bad-")
STORE = "ls /var/lib/bothy/images /var/lib/bothy/layers /var/lib/bothy/tmp"


def batch():
    b = Batch("--image", busybox_image(TMP.name), timeout=1500)
    b.case("begin", "bothy run -d --name by busybox sh -c 'while :; do sleep 0.1; done'")
    b.case("store_before", STORE)
    for name, (data, _) in ARCHIVES.items():
        b.file("a-" + name, data)
        b.case("archive_" + name, f"bothy load -i /boot/files/a-{name}")
    b.case("store_after", STORE)
    b.case("names", """
        bothy run --rm nosuch; echo $?; bothy run --nosuch busybox; echo $?
        bothy run --runtime x busybox; echo $?; bothy run --memory lots busybox; echo $?
        bothy logs nosuch; echo $?; bothy rmi nosuch; echo $?; bothy nosuch; echo $?
        bothy run --rm busybox nosuch; echo $?""")
    b.file("hello.elf", elf())
    for name, data in ELVES.items():
        b.file("e-" + name, data)
        b.case("elf_" + name, f"bothy run --rm -v /boot/files:/f busybox /f/e-{name}")
    b.case("elf_good", "bothy run --rm -v /boot/files:/f busybox /f/hello.elf")
    b.case("kernels", """
        bothy vm run --kernel /nosuch; echo $?; bothy vm run --kernel /boot/files/script; echo $?
        bothy vm run --kernel /boot/files/e-vast; echo $?; bothy vm run --kernel /dev; echo $?""")
    b.case("memory", """
        bothy run --name oom --memory 16m busybox dd if=/dev/zero of=/dev/null bs=64M count=1; echo $?
        bothy inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' oom; bothy rm oom
        bothy run --name file --memory 16m busybox dd if=/dev/zero of=/big bs=1M count=64 2>/dev/null
        echo $?; bothy inspect -f '{{.State.OOMKilled}}' file; bothy rm file""")
    b.case("fork_bomb", """
        bothy run -d --name bomb --pids-limit 40 --memory 64m busybox sh -c 'f() { f | f & }; while :; do f; done' \
            >/dev/null
        sleep 1; bothy run --rm busybox echo fine; bothy rm -f bomb""")
    b.case("engines_program", """
        bothy run -d --name thief busybox sh -c 'for op in "chmod 0" "chown 1" "tee -a"; do while :; do
            for p in /proc/[0-9]*; do case "$(readlink $p/exe)" in */keeper)
                x=$(echo x | $op $p/exe 2>&1); case "$x" in *Read-only*) echo "$x"; break 2;; esac;; esac; done
            done; done' >/dev/null
        while [ "$(bothy inspect -f '{{.State.Running}}' thief)" = true ]; do
            bothy exec -d thief /proc/self/exe --help 2>/dev/null >&2; done
        bothy wait thief; bothy logs thief; bothy rm thief; stat -c '%a %u' /bin/keeper
        bothy load -i /boot/files/a-noise""")
    b.case("on_the_way_in", """
        bothy run -d --name spy --cap-add SYS_PTRACE busybox sh -c 'echo begun; while :; do for p in /proc/[0-9]*; do
            { read c <$p/comm; } 2>/dev/null; [ "$c" = keeper ] || continue; x=; { read x <$p/environ; } 2>/dev/null
            case "$x" in *MARK=1*|"") ;; *) echo seen;; esac; done; done' \
            >/dev/null
        n=0; until bothy logs spy 2>&1 | grep -q begun || [ $n = 100 ]; do n=$((n+1)); usleep 100000; done
        [ $n != 100 ] || echo it has not begun in 10 s
        for i in 1 2 3 4 5 6 7 8 9 10; do bothy exec -e MARK=1 spy true; done
        { bothy logs spy 2>&1 || echo logs: status $?; } | sort -u; bothy rm -f spy""")
    b.case("end", "bothy inspect -f '{{.State.Running}}' by; bothy rm -f by; bothy ps -aq; "
                  "ls /sys/fs/cgroup/bothy | grep -v '\\.'; bothy run --rm busybox echo sane")
    return b


BATCH = batch()


def refused(name):
    """What test this archive's refusal; the message is one line and says what is wrong."""
    def test():
        status, text = BATCH.result("archive_" + name)
        expect((status, text.count("\n")), (1, 1), f"status and lines of {text!r}")
        expect_in(ARCHIVES[name][1], text)
    return test


def broken(name):
    """An ELF file that cannot run: refused by execve, or killed by the first signal."""
    def test():
        status, text = BATCH.result("elf_" + name)
        expect(status in (125, 126, 127, 137, 139), True, f"status {status}, {text!r}")
        expect(text.count("\n"), 0 if status > 127 else 1, f"lines of {text!r}")
    return test


for archive in ARCHIVES:
    globals()["test_archive_" + archive] = refused(archive)
for program in ELVES:
    globals()["test_elf_" + program] = broken(program)


def test_refused_archives_leave_nothing():
    expect(BATCH.result("store_after"), BATCH.result("store_before"))


def test_unknown_names_and_options():
    lines = BATCH.result("names")[1].splitlines()
    expect(lines.pop(0), "Unable to find image 'nosuch:latest' locally")
    expect(len(lines), 16, f"number of lines in {lines}")
    expect(lines[1::2], ["125", "125", "125", "125", "1", "1", "1", "127"])
    for line, part in zip(lines[::2], ("nosuch/manifests/latest", "--nosuch", "x", "lots", "nosuch", "nosuch",
                                       "nosuch", 'exec: "nosuch"')):
        expect_in(part, line)


def test_a_good_program_still_runs():
    expect(BATCH.result("elf_good"), (0, ""))


def test_files_that_are_no_kernel():
    lines = BATCH.result("kernels")[1].splitlines()
    expect(len(lines), 8, f"number of lines in {lines}")
    for line, status in zip(lines[::2], lines[1::2]):
        expect(status, "122", line)
        expect(line.startswith("vmm: "), True, line)


def test_memory_limit_kills_the_container_alone():
    expect(BATCH.result("memory")[1], "137\ntrue 137\noom\n137\ntrue\nfile\n")


def test_fork_bomb_under_a_limit_harms_nobody():
    expect(BATCH.result("fork_bomb"), (0, "fine\nbomb\n"))


def test_a_container_leaves_the_engines_program_as_it_is():
    """Though one of its processes is started from it: by a link, say, that its image calls a shell."""
    text = BATCH.result("engines_program")[1]
    expect(text.count("Read-only file system"), 3, f"refusals in {text!r}")
    expect(text.splitlines()[-3:-1], ["thief", "755 0"])
    expect_in("not a tar archive", text)


def test_who_may_trace_in_a_container_sees_nothing_of_the_engine():
    """A process that comes in has the engine's memory and rights until it becomes its program."""
    expect(BATCH.result("on_the_way_in"), (0, "begun\nspy\n"))


def test_the_neighbour_ran_on_and_nothing_is_left():
    expect(BATCH.result("end"), (0, "true\nby\nsane\n"))


if __name__ == "__main__":
    main(sys.modules[__name__])
