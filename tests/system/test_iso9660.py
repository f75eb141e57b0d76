#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""CDs on virtio disks: the boot medium itself, and one with all that Rock Ridge has."""
import hashlib
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import Batch
from engine_fixture import BUSYBOX, ROOT
from suite import expect, expect_in, main

MEDIUM = os.path.join(ROOT, "build/bothy.iso")
FOLDER = tempfile.TemporaryDirectory(prefix="bothy-iso-")


def disk(name, path):
    return ["--qemu=-drive", f"--qemu=file={path},format=raw,if=none,id={name},readonly=on",
            "--qemu=-device", f"--qemu=virtio-blk-pci,drive={name}"]


def make_image():
    """The unit tests' tree, and busybox."""
    folder = os.path.join(FOLDER.name, "iso")
    subprocess.run([os.path.join(ROOT, "tests/unit/make-iso"), folder], check=True)
    tree = os.path.join(folder, "tree")
    subprocess.run(["cp", BUSYBOX, os.path.join(tree, "busybox")], check=True)
    image = os.path.join(FOLDER.name, "tree.iso")
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-R", "-rr_reloc_dir", "moved", "-o", image, tree],
                   check=True, stderr=subprocess.DEVNULL)
    return tree, image


def sums(folder):
    """md5sum's lines of all regular files."""
    lines = []
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            if os.path.islink(path):
                continue
            with open(path, "rb") as f:
                digest = hashlib.md5(f.read()).hexdigest()
            lines.append(f"{digest}  ./{os.path.relpath(path, folder)}\n")
    return "".join(sorted(lines, key=lambda line: line[34:]))


def sums_of_medium():
    folder = os.path.join(FOLDER.name, "medium")
    subprocess.run(["xorriso", "-osirrox", "on", "-indev", MEDIUM, "-extract", "/", folder],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return sums(folder)


TREE, IMAGE = make_image()
with open(os.path.join(FOLDER.name, "empty"), "wb") as nothing:
    nothing.truncate(1 << 20)
BATCH = Batch(*disk("medium", MEDIUM), *disk("tree", IMAGE), *disk("empty", nothing.name))
SUMS = "find . -type f | sort | while read -r f; do md5sum \"$f\"; done"


def sectors(path):
    return os.path.getsize(path) // 512


# Disks are found at once: which has which letter is not said.
BATCH.case("setup", "mkdir /tmp/a /tmp/b; for d in vda vdb vdc; do case $(cat /sys/block/$d/size) in "
           f"{sectors(MEDIUM)}) ln -s /dev/$d /tmp/medium;; {sectors(IMAGE)}) ln -s /dev/$d /tmp/tree;; "
           f"{sectors(nothing.name)}) ln -s /dev/$d /tmp/empty;; esac; done; "
           "mount -t iso9660 -o ro /tmp/medium /tmp/a && mount -t iso9660 -o ro /tmp/tree /tmp/b")
BATCH.case("medium", f"cd /tmp/a && {SUMS}")
BATCH.case("tree", f"cd /tmp/b && {SUMS}")
BATCH.case("links", "cd /tmp/b && readlink link && cat link && cat sub/deeper/up && readlink far && ls -ld run nothing")
BATCH.case("exec", "/tmp/b/busybox echo from the disk; /tmp/b/busybox md5sum /tmp/b/busybox | cut -c1-32")
BATCH.case("listing", "cd /tmp/b && ls sub | wc -l && ls -1 -a a/b/c/d/e/f/g/h/i/j && ls | sort")
BATCH.case("figures", "stat -f /tmp/b | grep -E 'Type|Block size'; stat -c %s:%b:%Y /tmp/b/big; "
           "grep ' /tmp/b ' /proc/mounts")
BATCH.case("writing", "echo x > /tmp/b/hello.txt; echo x > /tmp/b/fresh; rm /tmp/b/hello.txt; mkdir /tmp/b/d; "
           "mount -o remount,rw /tmp/b; rmdir /tmp/b/empty; mv /tmp/b/run /tmp/b/walk")
BATCH.case("again", "mkdir /tmp/c && mount -t iso9660 -o ro /tmp/tree /tmp/c && stat -c %d:%i /tmp/b/run /tmp/c/run && "
           "umount /tmp/c && cat /tmp/b/hello.txt")
BATCH.case("busy", "cd /tmp/b/sub; umount /tmp/b; cd /; cat /tmp/b/hello.txt")
BATCH.case("refused", "mkdir /tmp/d; for s in /tmp/empty /dev/null /tmp /dev/vdx; do "
           "mount -t iso9660 -o ro $s /tmp/d; done; mount -t iso9660 -o ro,surprise /tmp/medium /tmp/d")
BATCH.case("gone", "umount /tmp/b && mount -t iso9660 -o ro /tmp/tree /tmp/b && cat /tmp/b/hello.txt && "
           "umount /tmp/b && umount /tmp/a && grep -c iso9660 /proc/mounts")


def output(name, status=0):
    code, text = BATCH.result(name)
    if status is not None:
        expect(code, status, f"{name}: {text[-300:]}")
    return text


def test_boot_medium_holds_what_it_holds_on_the_host():
    expect(output("setup"), "")
    expect(output("medium"), sums_of_medium())


def test_files_of_a_tree_with_long_names_and_deep_directories():
    expect(output("tree") == sums(TREE), True, "the same files with the same contents")
    text = output("listing")
    expect(text.splitlines()[0], "122")
    expect_in(".\n..\nfile\n", text)


def test_links_and_modes():
    long = "n" * 200
    lines = output("links").splitlines()
    expect(lines[:4], ["hello.txt", "Hello", "Hello", f"/{long}/{long}/../x"])
    expect_in("-rw-r--r--", lines[4])
    expect_in("-rwxr-xr-x", lines[5])


def test_program_runs_from_the_disk():
    with open(BUSYBOX, "rb") as f:
        expect(output("exec"), "from the disk\n" + hashlib.md5(f.read()).hexdigest() + "\n")


def test_figures():
    text = output("figures")
    expect_in("Type: isofs", text)
    expect_in("Block size: 2048", text)
    expect_in("100000:196:1614834367\n", text)
    expect_in("/tmp/tree /tmp/b iso9660 ro", text)


def test_nothing_is_written():
    text = output("writing", None)
    expect(text.count("Read-only file system"), 7, text)


def test_a_disk_that_is_mounted_twice_is_one_file_system():
    lines = output("again").splitlines()
    expect(lines[0], lines[1])
    expect(lines[2], "Hello")


def test_unmounting():
    text = output("busy", None)
    expect_in("busy", text)
    expect_in("Hello", text)
    expect(output("gone", None), "Hello\n0\n")


def test_what_is_no_cd_is_refused():
    lines = output("refused", None).splitlines()
    for line, why in zip(lines, ("Invalid argument", "Block device required", "Block device required",
                                 "No such file or directory", "Invalid argument")):
        expect_in(why, line)
    expect(len(lines), 5, lines)


if __name__ == "__main__":
    main(sys.modules[__name__])
