# SPDX-License-Identifier: MIT
"""The machines that tools/run boots: QEMU and Bochs, each with an interactive console or a serial line to be read."""
import argparse
import os
import select
import socket
import subprocess
import sys
import tempfile
import time

import relay
from host import DEAD, END, CLOSE, TOOLS, fail, payload, read
from ports import Ports
from qmp import Qmp

LOADER_MAX = 4095  # bytes of a command line; QEMU's loader writes what is more over itself
PLAIN = "console=ttyS0"
OVMF = "/usr/share/ovmf/OVMF.fd"


def size_of(text):
    unit = {"K": 10, "M": 20, "G": 30, "T": 40}.get(text[-1:].upper())
    digits = text[:-1] if unit else text
    if not digits.isdigit() or int(digits) == 0:
        fail(f"not a size: {text!r}")
    return int(digits) << (unit or 0)


class Disk:
    """--disk FILE[,bus=virtio][,ro][,size=20G][,serial=TEXT]: a raw file, made (as a hole) when it is not there."""

    def __init__(self, spec):
        self.path, *words = spec.split(",")
        self.ro, self.serial, size = False, None, None
        for word in words:
            key, _, value = word.partition("=")
            if word == "ro":
                self.ro = True
            elif key == "size":
                size = size_of(value)
            elif key == "serial" and value:
                self.serial = value
            elif key != "bus":
                fail(f"--disk {spec}: what is {word!r}?")
            elif value != "virtio":
                fail(f"--disk {spec}: no driver for bus {value!r}")
        try:
            if size and not os.path.exists(self.path):
                with open(self.path, "wb") as f:
                    f.truncate(size)
            open(self.path, "rb" if self.ro else "rb+").close()
        except OSError as e:
            fail(f"--disk {self.path}: {e.strerror}")

    def options(self, name):
        path = self.path.replace(",", ",,")
        serial = f",serial={self.serial}" if self.serial else ""
        return ["-drive", f"id={name},file={path},format=raw,if=none,discard=unmap" + (",readonly=on" if self.ro else ""),
                "-device", f"virtio-blk-pci,drive={name},disable-legacy=on{serial}"]


def kvm_nests():
    """Whether this KVM lends virtualization to its guests at all."""
    for vendor in ("intel", "amd"):
        try:
            with open(f"/sys/module/kvm_{vendor}/parameters/nested") as f:
                return f.read().strip() in ("Y", "1") and os.access("/dev/kvm", os.R_OK | os.W_OK)
        except OSError:
            pass
    return False


def kvm_probe(args):
    """Proof that KVM serves here: this kernel boots on it and runs a guest of its own."""
    probe = argparse.Namespace(command=["run --rm --runtime vm hello"], image=[], file=[])
    with tempfile.TemporaryDirectory(prefix="bothy-probe-") as tmp:
        initrd = os.path.join(tmp, "initrd")
        with open(initrd, "wb") as f:
            f.write(read(args.initramfs) + payload(probe))
        try:
            got = subprocess.run(
                ["qemu-system-x86_64", "-machine", "q35", "-accel", "kvm", "-cpu", "host", "-smp", "2",
                 "-m", "512", "-display", "none", "-nic", "none", "-no-reboot", "-serial", "stdio",
                 "-monitor", "none", "-kernel", args.kernel, "-initrd", initrd,
                 "-append", "console=ttyS0 panic=poweroff"],
                stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
        except subprocess.TimeoutExpired:
            return False
        return END + b"0 0" + CLOSE in got.stdout


def kvm_works(args):
    """The probe's verdict, taken once per boot of this computer."""
    if not kvm_nests():
        return False
    with open("/proc/sys/kernel/random/boot_id") as f:
        boot = f.read().strip()
    path = os.path.join(args.out, "kvm-probe")
    if os.path.exists(path):
        known, _, verdict = read(path).decode().partition(" ")
        if known == boot:
            return verdict == "works"
    verdict = kvm_probe(args)
    with open(f"{path}.{os.getpid()}", "w") as f:
        f.write(f"{boot} {'works' if verdict else 'fails'}")
    os.replace(f.name, path)
    return verdict


def make_iso(args, cmdline, archives, tmp, *options):
    """A medium with these archives, one module each; the kernel's file comes with it."""
    iso, paths = os.path.join(tmp, "run.iso"), []
    for i, data in enumerate(archives):
        paths.append(os.path.join(tmp, f"module{i}"))
        with open(paths[-1], "wb") as f:
            f.write(data)
    if subprocess.call([os.path.join(TOOLS, "mkiso"), "-o", iso, "--kernel", args.kernel,
                        "--append", cmdline, *options, *paths]):
        sys.exit(2)
    return iso


class Qemu:
    """-kernel boots by PVH, with all archives as one initrd; --iso and its like boot a medium through GRUB."""

    def __init__(self, args, cmdline, archives, tmp):
        self.tmp, self.control, self.ports = tmp, Qmp(os.path.join(tmp, "qmp")), None
        self.cards = args.cards
        if args.icount:
            cpu = ["-accel", "tcg", "-cpu", "max", "-icount", "shift=1,sleep=off"]
        elif kvm_works(args):
            cpu = ["-accel", "kvm", "-cpu", "host"]
        else:
            cpu = ["-accel", "tcg,thread=multi", "-cpu", "max"]
        self.command = ["qemu-system-x86_64", "-machine", args.qemu_machine, *cpu,
                        "-smp", str(args.cpus), "-m", str(args.memory), "-display", "none",
                        "-nic", "none", "-no-reboot",
                        "-qmp", f"unix:{self.control.path},server=on,wait=off"]
        if args.iso:
            medium = os.path.join(args.out, "bothy.iso")
            if len(archives) > 1 or cmdline != PLAIN:  # what the medium that make builds has
                medium = make_iso(args, cmdline, archives, tmp)
            self.command += ["-drive", f"file={medium},format=raw,snapshot=on,media=disk"] \
                if args.hd else ["-cdrom", medium]
        else:
            initrd = os.path.join(tmp, "initrd")
            with open(initrd, "wb") as f:
                f.write(b"".join(archives))
            if len(cmdline) > LOADER_MAX:
                fail(f"--append: a command line of {len(cmdline)} bytes is more than the {LOADER_MAX} that QEMU's loader takes (--iso has another)")
            self.command += ["-kernel", args.kernel, "-initrd", initrd, "-append", cmdline]
        if args.uefi:
            self.command += ["-bios", OVMF]
        for i, disk in enumerate(args.disk):
            self.command += disk.options(f"disk{i}")
        if args.rng:
            self.command += ["-device", "virtio-rng-pci,disable-legacy=on"]
        if args.gdb:
            self.command += ["-s", "-S"]
            print("run: waiting for gdb on :1234 (make gdb)", file=sys.stderr)
        self.command += self.cards.qemu() + args.qemu

    def interact(self):
        try:
            return self.begin(["-serial", "mon:stdio"]).wait()
        finally:
            self.stop()

    def start(self):
        words = ["-serial", "stdio", "-monitor", "none"]
        return self.begin(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0).stdout.fileno()

    def begin(self, words, **streams):
        """The process, with its control socket; what containers publish is followed from here on."""
        self.process = subprocess.Popen(self.command + words, **streams)
        relay.begin(self.cards.api, self.process.pid)
        if self.control.connect(self.process) and self.cards.user:
            self.ports_chosen()
            self.ports = Ports(self.cards, self.control.monitor)
            self.ports.start()
        return self.process

    def ports_chosen(self):
        """What `--publish 0` came to, by QEMU's own word."""
        table = (self.control.monitor("info usernet") or "").split("\n")
        for p in self.cards.published:
            for row in (line.split() for line in table):
                if p.port == 0 and row[:1] == [f"{p.kind.upper()}[HOST_FORWARD]"] and row[2] == p.host \
                   and row[5] == str(p.guest):
                    p.port = int(row[3])
            if not p.asked:
                print(f"run: {p.host}:{p.port} is port {p.guest}/{p.kind} of the machine", file=sys.stderr)

    def why(self):
        """How it ended, by QEMU's own word."""
        said = self.control.ended()
        if any(event.endswith("guest-shutdown") for event in said):
            return "off"
        return "reset (triple fault or reboot)" if any(e.endswith("guest-reset") for e in said) else "stopped"

    def stop(self):
        if self.ports:
            self.ports.stop()
        self.process.kill()
        self.process.wait()
        self.control.close()


BOCHSRC = """\
config_interface: textconfig
display_library: term
cpu: model=corei7_skylake_x, count=1, ips=75000000, reset_on_triple_fault=0
memory: guest={memory}, host={memory}
romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot
vgaromimage: file=/usr/share/vgabios/vgabios.bin
ata0-master: type=cdrom, path={iso}, status=inserted
boot: cdrom
com1: enabled=1, mode=socket-client, dev=127.0.0.1:{port}
clock: sync=none
vga: extension=none
log: {tmp}/bochs.log
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
"""


START_S = 120  # until Bochs has its serial line; a busy computer is slow


class Bochs:
    """Boots an ISO made on the fly, one module per archive; COM1 is a socket."""

    def __init__(self, args, cmdline, archives, tmp):
        for option in ("icount", "gdb", "hd", "uefi", "disk", "rng", "qemu"):
            if getattr(args, option):
                fail(f"--{option} is for QEMU")
        if args.cpus != 1:
            fail("Bochs runs one CPU here")
        self.tmp, self.cards = tmp, args.cards
        iso = make_iso(args, cmdline, archives, tmp, "--bios-only")
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(0.05)
        with open(os.path.join(tmp, "bochsrc"), "w") as f:
            f.write(BOCHSRC.format(memory=args.memory, iso=iso, port=self.server.getsockname()[1], tmp=tmp) + args.cards.bochs(tmp))
            f.writelines(line + "\n" for line in args.bochs)
        for p in args.cards.published:
            if not p.asked:
                print(f"run: {p.host}:{p.port} is port {p.guest}/{p.kind} of the machine", file=sys.stderr)

    def start(self):
        commands = os.path.join(self.tmp, "commands")  # of its debugger, before the first step
        with open(commands, "w") as f:
            f.write("c\n")
        self.screen, slave = os.openpty()
        env = dict(os.environ, TERM="xterm", LINES="30", COLUMNS="90")
        self.process = subprocess.Popen(
            ["bochs", "-q", "-f", os.path.join(self.tmp, "bochsrc"), "-rc", commands], cwd=self.tmp, env=env,
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        relay.begin(self.cards.api, self.process.pid)
        os.close(slave)
        self.line = None
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            self.drain()
            try:
                self.line = self.server.accept()[0]
                break
            except TimeoutError:
                if self.process.poll() is not None:
                    break
        self.server.close()
        if not self.line:
            fail(f"Bochs did not start: {self.log()}", DEAD)
        return self.line.fileno()

    def drain(self):
        """The text screen must be read or Bochs blocks."""
        while select.select([self.screen], [], [], 0)[0]:
            try:
                if not os.read(self.screen, 65536):
                    return
            except OSError:
                return

    def interact(self):
        """The console on our terminal, raw; Ctrl-A x leaves."""
        import termios
        import tty
        fd = self.start()
        old = termios.tcgetattr(0)
        tty.setraw(0)
        armed = False
        try:
            while True:
                ready = select.select([fd, 0, self.screen], [], [])[0]
                if self.screen in ready:
                    self.drain()
                if fd in ready:
                    data = os.read(fd, 65536)
                    if not data:
                        return 0
                    os.write(1, data)
                if 0 in ready:
                    key = os.read(0, 256)
                    if armed and key == b"x":
                        return 0
                    armed = key == b"\x01"
                    if not armed:
                        os.write(fd, key)
        finally:
            termios.tcsetattr(0, termios.TCSANOW, old)
            self.stop()

    def log(self):
        path = os.path.join(self.tmp, "bochs.log")
        if not os.path.exists(path):
            return ""
        with open(path, errors="replace") as f:
            return "".join(f.readlines()[-5:]).strip()

    def why(self):
        log = self.log()
        return "off" if "power off" in log else f"stopped: {log}"

    def stop(self):
        self.process.kill()
        self.process.wait()
        if self.line:
            self.line.close()
        os.close(self.screen)
