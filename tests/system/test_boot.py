#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The main job from every way to boot, on machines small, large and without virtualisation."""
import os
import re
import resource
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import BUSYBOX, commands, run
from suite import Skip, expect, expect_in, main

HELLO = (r"Hello from Bothy!\n"
         r"kernel:   Linux 6\.1\.0-bothy #1 SMP Bothy x86_64\n"
         r"pid:      [12]\n"
         r"hostname: [0-9a-f]{12}\n"
         r"memory:   (\d+) MiB\n"
         r"start:    .*\d ms .*\n")
BOTH = re.compile("--- the image hello as a container\n" + HELLO +
                  "--- the same image behind hardware virtualization\n" + HELLO)


def demonstration(*options):
    """A boot with standard input closed shows the image behind both walls, and switches off."""
    p = run(*options)
    expect((p.returncode, p.stderr), (0, ""))
    if not BOTH.search(p.stdout):
        raise AssertionError(f"no demonstration: {p.stdout!r}")


def both_walls(*options, memory=None):
    p = run(*options, *commands("run --rm hello", "run --rm --runtime vm hello"))
    expect((p.returncode, p.stderr), (0, ""))
    found = re.fullmatch(HELLO + HELLO, p.stdout)
    if not found:
        raise AssertionError(f"not hello twice: {p.stdout!r}")
    if memory:  # what the firmware and the kernel keep is little
        expect(memory * 0.9 < int(found[1]) <= memory, True, f"{found[1]} MiB, nearly all")


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_medium_in_a_bios_machine_within_15_seconds():
    """Of a processor's time: others may use the host too."""
    begun = cpu_seconds()
    demonstration("--iso")
    expect(cpu_seconds() - begun < 15, True, "in time")


def test_medium_as_a_disk():
    demonstration("--hd")


def test_medium_in_a_uefi_machine():
    demonstration("--uefi")


def test_medium_as_a_disk_in_a_uefi_machine():
    demonstration("--uefi", "--hd")


def test_kernel_and_initrd_without_a_loader():
    demonstration()


def test_bochs():
    if not shutil.which("bochs"):
        raise Skip("bochs is not installed")
    both_walls("--machine", "bochs")


def test_little_memory():
    both_walls("--memory", "128", memory=128)


def test_much_memory():
    both_walls("--memory", "8192", memory=8192)


def test_module_of_more_than_half_the_memory_fits_and_its_memory_comes_back():
    size = 200 << 20
    with tempfile.TemporaryDirectory(prefix="bothy-boot-") as folder:
        big = os.path.join(folder, "big")
        with open(big, "wb") as f:
            f.seek(size - 4)
            f.write(b"end\n")
        p = run("--memory", "320", "--file", big, "--file", BUSYBOX + ":busybox",
                *commands("/boot/files/busybox tail -c 4 /boot/files/big",
                          "/boot/files/busybox stat -c %s /boot/files/big", "debug mem"))
    expect((p.returncode, p.stderr), (0, ""))
    found = re.fullmatch(rf"end\n{size}\ntotal (\d+) KiB, .*\n", p.stdout)
    if not found:
        raise AssertionError(f"not the whole file: {p.stdout!r}")
    expect(int(found[1]) > 300 << 10, True, f"{found[1]} KiB in all")


def test_one_processor():
    both_walls("--cpus", "1")


def test_sixteen_processors():
    both_walls("--cpus", "16")


def test_without_virtualization_containers_work_and_vms_are_refused():
    p = run("--qemu=-cpu", "--qemu=max,-svm", *commands("run --rm hello",
                                                        "run --rm --runtime vm hello"))
    if not re.fullmatch(HELLO, p.stdout.split("bothy: ")[0]):
        raise AssertionError(f"not hello: {p.stdout!r}")
    expect(p.returncode, 125)
    line = p.stdout.split("bothy: ")[1]
    expect_in("--runtime vm needs VT-x or AMD-V", line)
    expect(line.count("\n"), 1, "lines")


def switches_guarded(*options):
    """How many switches of domains the branch predictor was kept out of, while both walls stood."""
    p = run(*options, *commands("run --rm hello", "run --rm --runtime vm hello", "debug counters spec_switches"))
    expect((p.returncode, p.stderr), (0, ""))
    found = re.fullmatch(HELLO + HELLO + r"spec_switches +(\d+)\n", p.stdout)
    if not found:
        raise AssertionError(f"not hello twice: {p.stdout!r}")
    return int(found[found.re.groups])


def test_domains_are_kept_apart_as_the_processor_needs_it():
    expect(switches_guarded(), 0)  # an emulator that executes in order
    expect(switches_guarded("--append", "spec=force") > 5, True, "with thunks, buffers cleared, returns forgotten")


if __name__ == "__main__":
    main(sys.modules[__name__])
