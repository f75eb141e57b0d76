#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What tools/run promises: frames, statuses, images, files, and what ends badly says so."""
import hashlib
import os
import re
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import RUN, busybox_image, commands, put, run
from engine_fixture import BUSYBOX, ROOT, USER
from suite import Skip, expect, expect_in, main

TMP = tempfile.TemporaryDirectory(prefix="bothy-run-test-")
SHELL = ["--file", BUSYBOX + ":busybox"]


def umoci_layout(folder):
    """An OCI layout that umoci made of busybox, as a folder below `folder`."""
    def do(*words):
        try:
            subprocess.run(words, check=True, capture_output=True, cwd=folder)
        except FileNotFoundError:
            raise Skip(f"{words[0]} is not installed") from None
    do("umoci", "init", "--layout", "layout")
    do("umoci", "new", "--image", "layout:busybox:umoci")
    do("umoci", "unpack", "--rootless", "--image", "layout:busybox:umoci", "bundle")
    do("sh", "-c", f"mkdir bundle/rootfs/bin && cp {BUSYBOX} bundle/rootfs/bin/busybox && "
                   "ln -s busybox bundle/rootfs/bin/uname")
    do("umoci", "repack", "--image", "layout:busybox:umoci", "bundle")


def test_commands_print_what_they_print_and_the_last_status_counts():
    p = run(*SHELL, *commands(
        "/boot/files/busybox sh -c 'echo one; echo two >&2; exit 3'",
        "run --rm hello", "/boot/files/busybox printf 'no newline'", "nosuchverb",
        "/boot/files/busybox sh -c 'exit 7'"))
    expect((p.returncode, p.stderr), (7, ""))
    lines = p.stdout.splitlines()
    expect(lines[:3], ["one", "two", "Hello from Bothy!"])
    expect(re.sub(r"\d+", "N", lines[4]), "pid:      N")
    expect_in("no newline", p.stdout)
    expect(len(lines), 9, f"number of lines in {p.stdout!r}")
    expect_in("nosuchverb", lines[8])


def test_a_reader_that_stalls_loses_nothing():
    line = [RUN, *SHELL, *commands("/boot/files/busybox seq 1 100000")]
    p = subprocess.Popen(line, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    p.stdout.read(1000)
    # Nobody reads until the machine has nothing to do but wait for the line: its pipes are full.
    time.sleep(1.5)
    rest = p.stdout.read()
    expect(p.wait(), 0)
    expect(len(rest) + 1000, sum(len(str(i)) + 1 for i in range(1, 100001)))


def test_files_appear_under_the_names_given():
    data = os.urandom(300000)
    one, two = put(TMP.name, "one", data), put(TMP.name, "two", "text\n")
    p = run(*SHELL, "--file", one + ":other", "--file", two, *commands(
        "/boot/files/busybox cat /boot/files/two", "/boot/files/busybox md5sum /boot/files/other"))
    expect(p.stdout.split(), ["text", hashlib.md5(data).hexdigest(), "/boot/files/other"])
    expect(p.returncode, 0)


def test_the_same_image_runs_behind_either_wall():
    p = run("--image", busybox_image(TMP.name), *commands(
        "run --rm busybox uname -a", "run --rm --runtime vm busybox uname -a", "images",
        "run --rm --runtime vm -e A=b -w /tmp -u app busybox sh -c 'echo $A $PWD $(id -un); exit 5'"))
    first, second, head, *_, last = p.stdout.splitlines()
    for line in (first, second):
        expect(bool(re.fullmatch(r"Linux [0-9a-f]{12} 6\.1\.0-bothy #1 SMP Bothy x86_64 GNU/Linux",
                                 line)), True, f"uname line {line!r}")
    expect(head.split()[:2], ["REPOSITORY", "TAG"])
    expect((last, p.returncode, p.stderr), ("b /tmp app", 5, ""))


def test_archive_of_an_image_that_was_loaded_takes_no_memory():
    p = run(*SHELL, "--image", busybox_image(TMP.name), *commands(
        "/boot/files/busybox ls /images /boot/images", "run --rm busybox echo loaded"))
    expect((p.stdout.split(), p.returncode), (["/boot/images:", "/images:", "loaded"], 0))


def test_images_of_tools_we_did_not_write():
    with tempfile.TemporaryDirectory(prefix="bothy-umoci-") as tmp:
        umoci_layout(tmp)
        subprocess.run(["tar", "cf", "../umoci.tar", "."], cwd=tmp + "/layout", check=True)
        images, names = ["--image", tmp + "/umoci.tar"], ["umoci"]
        try:
            subprocess.run(["skopeo", "copy", "oci:layout:busybox:umoci",
                            "docker-archive:skopeo.tar:busybox:skopeo"], cwd=tmp, check=True,
                           capture_output=True)
            images, names = images + ["--image", tmp + "/skopeo.tar"], names + ["skopeo"]
        except FileNotFoundError:
            print("skip images_made_by_skopeo: skopeo is not installed")
        p = run(*images, *commands(*[f"run --rm busybox:{n} uname -r" for n in names],
                                   "run --rm --runtime vm busybox:umoci uname -s"))
    expect((p.stdout, p.returncode, p.stderr), ("6.1.0-bothy\n" * len(names) + "Linux\n", 0, ""))


def test_bad_arguments_get_one_line_and_no_machine():
    with open(put(TMP.name, "short.tar", ""), "wb") as f, open(busybox_image(TMP.name), "rb") as good:
        f.write(good.read(1 << 20))
    for words, part in ((["--cpus", "0"], "--cpus: 0"), (["--cpus", "many"], "--cpus"),
                        (["--memory", "1"], "--memory: 1"), (["--memory", "-5"], "--memory"),
                        (["--timeout", "soon"], "--timeout"), (["--machine", "vax"], "vax"),
                        (["--file", "/nosuch"], "/nosuch: No such file"),
                        (["--file", RUN + ":../x"], "not a file name: '../x'"),
                        (["--image", "/nosuch.tar"], "/nosuch.tar: No such file"),
                        (["--image", ROOT], "Is a directory"), (["--nosuch"], "--nosuch"),
                        (["-c", "a\nb"], "one line"),
                        (["--machine", "bochs", "--cpus", "2"], "one CPU"),
                        (["--machine", "bochs", "--uefi"], "--uefi is for QEMU"),
                        (["--kernel", "/nosuch"], "/nosuch")):
        begun = time.monotonic()
        p = run(*words, "-c", "version")
        expect((p.returncode, p.stdout, p.stderr.count("\n")), (2, "", 1), f"{words}: {p.stderr!r}")
        expect_in(part, p.stderr)
        expect(time.monotonic() - begun < 60, True, "in no time")


def test_a_bad_image_is_named_and_nothing_runs():
    good = busybox_image(TMP.name)
    with open(good, "rb") as f:
        short = put(TMP.name, "short.tar", f.read(1 << 20))
    for paths in ([short], [good, short]):
        p = run(*[w for path in paths for w in ("--image", path)], "-c", "run --rm busybox echo no")
        expect((p.returncode, p.stdout), (2, ""))
        expect((p.stderr.startswith(f"run: --image {short}: "), p.stderr.count("\n")), (True, 1),
               f"one line, naming it: {p.stderr!r}")
        expect_in("truncated", p.stderr)


def test_out_of_time_is_124_and_shows_the_log():
    p = run("--timeout", "6", *SHELL, "-c", "/boot/files/busybox sleep 100")
    expect((p.returncode, p.stdout), (124, ""))
    expect_in("/sbin/init starts", p.stderr)
    expect(p.stderr.splitlines()[-1], "run: out of time after 6 s")


def test_a_panic_is_125_and_shows_a_backtrace_with_names():
    p = run("-c", "debug panic")
    expect(p.returncode, 125)
    expect_in("PANIC on CPU", p.stderr)
    names = re.findall(r"\b([a-z_]+)\+0x[0-9a-f]+", p.stderr)
    for name in ("cmd_panic", "syscall"):
        expect(any(name in n for n in names), True, f"{name} among {names}")
    expect(p.stderr.splitlines()[-1], "run: kernel panic")


def test_a_reset_is_125_and_says_so():
    for command, options in (("reboot", []), ("debug reboot", [])):
        p = run(*options, *commands(command, "version"))
        expect((p.returncode, p.stderr.splitlines()[-1]),
               (125, "run: the machine ended early: reset (triple fault or reboot)"), command)


def test_a_machine_that_stops_early_is_125():
    p = run(*commands("poweroff", "version"))
    expect((p.returncode, p.stderr.splitlines()[-1]), (125, "run: the machine ended early: off"))
    p = run("--kernel", os.path.join(USER, "hello"), "-c", "version")
    expect(p.returncode, 125)


def triple_fault():
    """A PVH kernel, as an ELF file, that takes a fault without an interrupt table."""
    base = 0x100000
    code = bytes.fromhex("0f011d") + struct.pack("<I", base + 16) + b"\x0f\x0b"  # lidt; ud2
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen", base)  # XEN_ELFNOTE_PHYS32_ENTRY
    head = struct.pack("<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 2, 62, 1, base, 64, 0, 0,
                       64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 7, 0x200, base, base, 32, 32, 4096)
    notes = struct.pack("<IIQQQQQQ", 4, 4, 0x100, 0, 0, len(note), len(note), 4)
    return ((head + load + notes).ljust(0x100, b"\0") + note).ljust(0x200, b"\0") + code.ljust(32, b"\0")


def test_a_triple_fault_is_125_and_says_so():
    p = run("--kernel", put(TMP.name, "triple", triple_fault()), "-c", "version")
    expect((p.returncode, p.stderr.splitlines()[-1]),
           (125, "run: the machine ended early: reset (triple fault or reboot)"))



def test_a_file_larger_than_a_section_is_whole():
    """The memory that it lies in has no free page of its own for what the kernel notes of it."""
    size = 530 << 20
    path = os.path.join(TMP.name, "large")
    with open(path, "wb") as f:
        f.truncate(size - 4)
        f.seek(size - 4)
        f.write(b"end.")
    p = run("--memory", "2048", "--file", path, "--file", BUSYBOX + ":busybox",
            "-c", "/boot/files/busybox stat -c %s /boot/files/large", "-c", "/boot/files/busybox tail -c 4 /boot/files/large")
    os.unlink(path)
    expect(p.stdout, f"{size}\nend.", p.stderr)


if __name__ == "__main__":
    main(sys.modules[__name__])
