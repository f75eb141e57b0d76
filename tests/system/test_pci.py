#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PCI as programs in containers see it, beside what the machine's own monitor says of the same machine; interrupts and
drivers of QEMU's teaching device."""
import json
import os
import re
import shutil
import socket
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import commands, put, run
from engine_fixture import busybox_layer, docker_archive
from python_image import Layer, libraries
from suite import Skip, expect, expect_in, main

LSPCI = shutil.which("lspci")


def device(*options):
    return ["--qemu=-device", "--qemu=" + ",".join(options)]


# A root port, and behind another one a switch with two ports; a device in several functions.
Q35 = ["--qemu-machine", "q35",
       *device("pcie-root-port", "id=rp1", "chassis=1", "addr=5"), *device("edu", "bus=rp1"),
       *device("pcie-root-port", "id=rp2", "chassis=2", "addr=6"), *device("x3130-upstream", "id=up", "bus=rp2"),
       *device("xio3130-downstream", "id=d1", "bus=up", "chassis=3", "slot=1"),
       *device("xio3130-downstream", "id=d2", "bus=up", "chassis=4", "slot=2"), *device("edu", "bus=d2"),
       *device("virtio-rng-pci", "addr=9.0", "multifunction=on"), *device("edu", "addr=9.3")]
# Two bridges, one behind the other.
PC = ["--qemu-machine", "pc",
      *device("pci-bridge", "id=b1", "chassis_nr=1", "addr=8"), *device("pci-bridge", "id=b2", "chassis_nr=2", "bus=b1",
                                                                       "addr=4"),
      *device("edu", "bus=b2", "addr=1f"), *device("pci-testdev", "bus=b1", "addr=2")]


def image(folder):
    if not LSPCI:
        raise Skip("lspci is not installed")
    layer = Layer()
    layer.file(LSPCI, "/bin/lspci")
    for path in libraries([LSPCI]):
        layer.file(path)
    return put(folder, "pci.tar", docker_archive("pci:latest", [busybox_layer(), layer.bytes()]))


class Monitor(threading.Thread):
    """What `query-pci` says, again and again, until the machine has gone: the last answer stays."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.path, self.answer, self.ended = os.path.join(folder, "monitor"), None, False
        self.start()

    def options(self):
        return ["--qemu=-qmp", f"--qemu=unix:{self.path},server=on,wait=off"]

    def ask(self, stream, what):
        stream.write(json.dumps({"execute": what}).encode() + b"\n")
        stream.flush()
        for line in stream:
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
        raise OSError("the end")

    def run(self):
        while not self.ended:
            try:
                with socket.socket(socket.AF_UNIX) as s:
                    s.connect(self.path)
                    with s.makefile("rwb") as stream:
                        self.ask(stream, "qmp_capabilities")
                        while True:
                            self.answer = self.ask(stream, "query-pci")
                            time.sleep(0.02)
            except OSError:
                time.sleep(0.02)


def monitor_devices(buses):
    """{"00:01.0": (class, vendor, device, {bar: (kind, address, size)})} of all buses, bridges followed."""
    found = {}
    for bus in buses:
        for d in bus["devices"]:
            bars = {r["bar"]: (r["type"], r["address"], r["size"]) for r in d["regions"] if r["bar"] < 6}
            found[f"{d['bus']:02x}:{d['slot']:02x}.{d['function']}"] = (
                d["class_info"]["class"], d["id"]["vendor"], d["id"]["device"], bars)
            if "pci_bridge" in d:
                found.update(monitor_devices([d["pci_bridge"]]))
    return found


SHOW = ("for d in /sys/bus/pci/devices/*; do echo @ ${d##*/} $(cat $d/class $d/vendor $d/device); "
        "head -6 $d/resource; done; lspci -n; echo =; lspci -t")


def shown_devices(text):
    """The same out of /sys."""
    found = {}
    for part in text.split("@ ")[1:]:
        head, *lines = part.splitlines()
        name, kind, vendor, dev = head.split()
        bars = {}
        for i, line in enumerate(lines[:6]):
            start, end, flags = (int(x, 16) for x in line.split())
            if flags:
                bars[i] = ("io" if flags & 0x100 else "memory", start, end - start + 1)
        found[name[5:]] = (int(kind, 16) >> 8, int(vendor, 16), int(dev, 16), bars)
    return found


def compare(options, tree):
    with tempfile.TemporaryDirectory(prefix="bothy-pci-") as folder:
        monitor = Monitor(folder)
        p = run(*options, *monitor.options(), "--image", image(folder),
                *commands(f"run --rm --privileged pci sh -c '{SHOW}'"))
        monitor.ended = True
    expect((p.returncode, p.stderr), (0, ""))
    sysfs, _, rest = p.stdout.partition("\n00:00.0 ")
    there = monitor_devices(monitor.answer or [])
    expect(shown_devices(sysfs), there, "what /sys shows")
    lines, _, drawn = ("00:00.0 " + rest).partition("=\n")
    said = {m[1]: tuple(int(x, 16) for x in m.groups()[1:])
            for m in re.finditer(r"^(\S+) (\w{4}): (\w{4}):(\w{4})", lines, re.M)}
    expect(said, {name: d[:3] for name, d in there.items()}, "what lspci shows")
    for part in tree:
        expect_in(part, drawn, "the tree")


def test_q35_with_ports_and_a_switch_is_shown_as_its_monitor_has_it():
    compare(Q35, ["05.0-[01]----00.0\n", "06.0-[02-05]----00.0-[03-05]--+-", "-[05]----00.0\n", "09.3\n"])


def test_pc_with_bridges_behind_each_other_is_shown_as_its_monitor_has_it():
    compare(PC, ["08.0-[01-02]--+-02.0\n", "04.0-[02]----1f.0\n"])


def test_lspci_tells_capabilities_to_who_administers_the_machine():
    with tempfile.TemporaryDirectory(prefix="bothy-pci-") as folder:
        p = run(*Q35, "--image", image(folder),
                *commands("run --rm --privileged pci lspci -vvv -s 01:00.0", "run --rm pci lspci -vvv -s 01:00.0"))
    expect(p.returncode, 0)
    whole, _, public = p.stdout.partition("\n\n")
    expect_in("Kernel driver in use: edu", whole)
    expect_in("MSI: Enable+ Count=1/1 Maskable- 64bit+", whole)
    expect_in("BusMaster+", whole)
    expect_in("Kernel driver in use: edu", public)
    expect_in("Capabilities: <access denied>", public)


TEACHES = ("debug selftest pci_edu", "debug irq")


def test_edu_works_by_messages_behind_ports():
    p = run(*Q35, *commands(*TEACHES))
    expect((p.returncode, p.stderr), (0, ""))
    expect_in("5 passed, 0 failed", p.stdout)
    counts = [int(n) for n in re.findall(r"message +vector \w+ cpu 0 +(\d+) edu$", p.stdout, re.M)]
    expect((len(counts), min(counts, default=0) >= 5), (3, True), f"interrupts of three, {counts}")


def test_edu_works_by_pins_that_two_share():
    for machine in ("pc", "q35"):
        p = run("--qemu-machine", machine, "--append", "edu.pin", *device("edu"), *device("edu"), *device("edu"),
                *device("edu"), *commands(*TEACHES))
        expect((p.returncode, p.stderr), (0, ""))
        expect_in("5 passed, 0 failed", p.stdout)
        if not re.search(r"line level vector \w+ cpu 0 +\d+ edu edu$", p.stdout, re.M):
            raise AssertionError(f"no line that two share: {p.stdout!r}")


def test_function_that_can_be_reset_is_itself_afterwards():
    p = run("--qemu-machine", "q35", *device("nvme", "serial=x", "addr=7"),
            *commands("debug selftest pci_reset", "debug log"))
    expect((p.returncode, p.stderr), (0, ""))
    expect_in("1 passed, 0 failed", p.stdout)
    expect_in("0000:00:07.0: reset\n", p.stdout)


QBOOT = "/usr/share/qemu/qboot.rom"


def test_what_firmware_left_without_numbers_and_places_gets_them():
    if not os.path.exists(QBOOT):
        raise Skip("qboot is not installed")
    p = run(*Q35, "--qemu=-bios", "--qemu=" + QBOOT, *commands(*TEACHES, "debug pci"))
    expect((p.returncode, p.stderr), (0, ""))
    expect_in("5 passed, 0 failed", p.stdout)
    expect(len(re.findall(r"^0000:\S+ 00ff00 1234:11e8 rev \w+ msi driver edu$", p.stdout, re.M)), 3, "drivers of edu")
    if re.search(r"bar \d: memory.*no place", p.stdout):
        raise AssertionError(f"memory without a place: {p.stdout!r}")


EDU = "/sys/bus/pci/drivers/edu"
AFFINITY = f"""n=$(ls {EDU}/*:*/msi_irqs); cd /proc/irq/$n
cat smp_affinity effective_affinity_list; echo 2 >smp_affinity && cat smp_affinity_list effective_affinity
echo 0-1 >smp_affinity_list && cat smp_affinity effective_affinity; echo 4 >smp_affinity || cat smp_affinity
echo x >smp_affinity || grep -c " edu$" /proc/interrupts"""
UNBIND = f"""d=$(basename {EDU}/*:*); echo $d >{EDU}/unbind; ls /sys/bus/pci/devices/$d/driver
grep -c edu /proc/interrupts; echo $d >{EDU}/unbind; echo $d >{EDU}/bind
basename $(readlink /sys/bus/pci/devices/$d/driver); grep -c " edu$" /proc/interrupts
echo $d >/sys/bus/platform/drivers/serial8250/bind; echo serial8250.0 >/sys/bus/platform/drivers/serial8250/unbind"""


def test_affinity_and_drivers_are_changed_by_files():
    with tempfile.TemporaryDirectory(prefix="bothy-pci-") as folder:
        scripts = [put(folder, "affinity", AFFINITY), put(folder, "unbind", UNBIND)]
        p = run("--qemu-machine", "q35", "--cpus", "2", *device("edu"), "--image", image(folder), "--file", scripts[0],
                "--file", scripts[1],
                *commands("run --rm --privileged -v /boot/files:/f pci sh -c 'sh /f/affinity 2>&1'",
                          "run --rm --privileged -v /boot/files:/f pci sh -c 'sh /f/unbind 2>&1'"))
    expect(p.stdout.splitlines()[:10],
           ["1", "0", "1", "2", "3", "2", "sh: write error: Invalid argument", "3",
            "sh: write error: Invalid argument", "1"])
    rest = "\n".join(p.stdout.splitlines()[10:])
    expect_in("/driver: No such file or directory\n0\nsh: write error: No such device\nedu\n1\n", rest)
    expect_in("sh: write error: No such device\nsh: write error: Device or resource busy", rest)


def test_machine_without_configuration_space_has_no_pci():
    p = run(*commands("run --rm hello", "debug devices"), "--qemu-machine", "microvm,pit=on,pic=on,rtc=on")
    expect((p.returncode, p.stderr), (0, ""))
    if "pci" in p.stdout:
        raise AssertionError(f"PCI where there is none: {p.stdout!r}")


def test_bochs_has_its_host_bridge():
    if not shutil.which("bochs"):
        raise Skip("bochs is not installed")
    p = run("--machine", "bochs", *commands("debug pci"))
    expect((p.returncode, p.stderr), (0, ""))
    expect_in("0000:00:00.0 060000 8086:1237", p.stdout)
    expect_in("0000:00:01.0 060100 8086:7000", p.stdout)


if __name__ == "__main__":
    main(sys.modules[__name__])
