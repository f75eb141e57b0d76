#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Disks, entropy and consoles of QEMU's virtio devices: what Bothy writes is looked at here, byte for byte."""
import hashlib
import json
import os
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import ROOT, Batch, busybox_image, run
from suite import expect, expect_in, main

MIB = 1 << 20
TMP = tempfile.mkdtemp(prefix="bothy-disks-")
PATTERN = random.Random(1).randbytes(MIB + 700)
WHERE = {  # serial: how QEMU shows the disk
    "plain": "virtio-blk-pci,disable-legacy=on,num-queues=2",
    "bare": "virtio-blk-pci,disable-legacy=on,indirect_desc=off,event_idx=off,num-queues=1",
    "direct": "virtio-blk-pci,disable-legacy=on,indirect_desc=off,event_idx=on,queue-size=16,seg-max-adjust=on",
    "tables": "virtio-blk-pci,disable-legacy=on,indirect_desc=on,event_idx=off,queue-size=4,seg-max-adjust=off",
    "pin": "virtio-blk-pci,disable-legacy=on,vectors=0",
    "shared": "virtio-blk-pci,disable-legacy=on,num-queues=2,vectors=2",
    "both": "virtio-blk-pci,disable-legacy=off,disable-modern=off",
    "large": "virtio-blk-pci,disable-legacy=on,logical_block_size=4096,physical_block_size=4096",
    "through": "virtio-blk-pci,disable-legacy=on,write-cache=off",
}
SHELL = """
B=/boot/files/busybox
disk() {  # by its serial, once it is there
    n=0
    while [ $n -lt 200 ]; do
        for d in /sys/block/*; do
            [ "$($B cat $d/serial 2>/dev/null)" = "$1" ] && [ -b /dev/${d##*/} ] && echo ${d##*/} && return
        done
        n=$((n + 1)); $B usleep 20000
    done
    echo none
}
"""


def path(name):
    return os.path.join(TMP, name)


def drive(name, device, options=""):
    return ["--qemu=-drive", f"--qemu=id={name},file={path(name)},format=raw,if=none,discard=unmap{options}",
            "--qemu=-device", f"--qemu={device},drive={name},serial={name}"]


def make(name, data=b"", size=8 * MIB):
    with open(path(name), "wb") as f:
        f.write(data)
        f.truncate(size)


def content(name):
    with open(path(name), "rb") as f:
        return f.read()


# --- one boot with a disk of each kind ------------------------------------------------------------

WRITE = SHELL + """
d=$(disk %s)
$B dd if=/boot/files/pattern of=/dev/$d bs=23000 seek=3 2>/dev/null || exit 1
$B dd if=/boot/files/pattern of=/dev/$d bs=256k seek=17 oflag=direct iflag=count_bytes count=1M 2>/dev/null || exit 2
$B dd if=/dev/$d bs=25000 skip=2 count=40 2>/dev/null | $B md5sum
$B dd if=/dev/$d bs=1M iflag=direct 2>/dev/null | $B md5sum
"""


def expected(name):
    """What WRITE makes of an empty disk."""
    data = bytearray(8 * MIB)
    data[69000:69000 + len(PATTERN)] = PATTERN
    data[17 << 18:(17 << 18) + MIB] = PATTERN[:MIB]
    return bytes(data)


def all_kinds():
    batch = Batch("--cpus", "1", "--memory", "512", *[o for n, d in WHERE.items() for o in drive(n, d)],
                  *drive("read-only", "virtio-blk-pci", ",readonly=on"), *drive("ext2", "virtio-blk-pci"),
                  *drive("copy", "virtio-blk-pci"),
                  "--qemu=-device", "--qemu=virtio-blk-pci,disable-modern=on,drive=legacy",
                  "--qemu=-drive", f"--qemu=id=legacy,file={path('legacy')},format=raw,if=none",
                  "--qemu=-drive", "--qemu=id=bad,if=none,driver=blkdebug,image.driver=raw,"
                  f"image.file.driver=file,image.file.filename={path('bad')},"
                  "inject-error.0.event=none,inject-error.0.iotype=read,inject-error.0.sector=2048,inject-error.0.errno=5,"
                  "inject-error.0.once=off,"
                  "inject-error.1.event=pwritev,inject-error.1.sector=4096,inject-error.1.errno=5,"
                  "inject-error.1.once=off",
                  "--qemu=-device", "--qemu=virtio-blk-pci,drive=bad,serial=bad,rerror=report,werror=report",
                  "--image", busybox_image(TMP))
    for name in [*WHERE, "legacy", "bad", "copy"]:
        make(name)
    make("read-only", PATTERN)
    make("ext2")
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext2", "-L", "bothy-disk", path("ext2")], check=True)
    batch.file("pattern", PATTERN)
    for name in WHERE:
        batch.case(name, WRITE % name)
    batch.case("facts", SHELL + """
d=$(disk plain)
$B stat -c '%t:%T %a %g' /dev/$d
for o in --getsize64 --getss --getro --getbsz --flushbufs; do $B blockdev $o /dev/$d; done
$B cat /sys/block/$d/size /sys/block/$d/ro /sys/block/$d/queue/logical_block_size /sys/block/$d/queue/write_cache
$B cat /sys/block/$(disk large)/queue/logical_block_size /sys/block/$(disk through)/queue/write_cache
$B cat /sys/block/$(disk read-only)/ro
$B grep -c "$d" /proc/partitions
$B grep -c virtblk /proc/devices
$B mknod /dev/node b $($B cat /sys/block/$d/dev | $B tr : ' ')
$B cmp /dev/node /dev/$d && echo same
""")
    batch.case("edges", SHELL + """
d=/dev/$(disk copy)
$B dd if=/dev/zero of=$d bs=512 seek=16384 count=1; echo "behind $?"
$B dd if=/dev/zero of=$d bs=512 seek=16380 count=8; echo "over $?"
$B dd if=$d bs=512 skip=16380 count=8 | $B wc -c
$B dd if=/boot/files/pattern of=/dev/$(disk read-only) bs=512 count=1; echo "read-only $?"
""")
    batch.case("ext2", SHELL + """
d=/dev/$(disk ext2)
$B dd if=$d bs=1 skip=1080 count=2 2>/dev/null | $B hexdump -e '1/2 "%x\\n"'
$B dd if=$d bs=1 skip=1144 count=10 2>/dev/null; echo
$B dd if=$d of=/dev/$(disk copy) bs=128k conv=fsync 2>/dev/null; echo $?
""")
    batch.case("errors", SHELL + """
d=/dev/$(disk bad)
$B dd if=$d of=/dev/null bs=512 skip=2040 count=8 2>/dev/null; echo "before $?"
$B dd if=$d of=/dev/null bs=512 skip=2048 count=1 iflag=direct; echo "bad $?"
$B dd if=$d of=/dev/null bs=512 skip=2056 count=8 iflag=direct 2>/dev/null; echo "behind $?"
$B dd if=/dev/zero of=$d bs=512 seek=4096 count=1 oflag=direct conv=fsync; echo "write $?"
$B dd if=/dev/zero of=$d bs=512 seek=5000 count=1 oflag=direct conv=fsync 2>/dev/null; echo "good $?"
""")
    batch.case("flush", SHELL + """
d=$(disk plain); t=$(disk through)
flushes() { set -- $($B cat /sys/block/$1/stat); echo ${16}; }
a=$(flushes $d); b=$(flushes $t)
$B dd if=/dev/zero of=/dev/$d bs=4k seek=2000 count=1 conv=fsync 2>/dev/null
$B dd if=/dev/zero of=/dev/$t bs=4k seek=2000 count=1 conv=fsync 2>/dev/null
echo $(($(flushes $d) - a)) $(($(flushes $t) - b))
""")
    batch.case("cache", SHELL + """
d=$(disk direct)
reads() { set -- $($B cat /sys/block/$d/stat); echo $1; }
sum() { $B dd if=/dev/$d bs=64k skip=100 count=4 $1 2>/dev/null | $B md5sum; }
exec 3<>/dev/$d  # so that the cache stays
$B dd if=/dev/zero of=/dev/$d bs=64k seek=100 count=4 2>/dev/null
sum iflag=direct
$B dd if=/boot/files/pattern of=/dev/$d bs=64k seek=100 count=4 oflag=direct 2>/dev/null
sum
before=$(reads); sum; [ $before = $(reads) ] && echo "from the cache"
$B blockdev --flushbufs /dev/$d
sum; [ $before != $(reads) ] && echo "from the disk"
$B dd if=/boot/files/pattern of=/dev/$d bs=1 skip=5000 count=3 seek=6554000 2>/dev/null
w=$($B cat /sys/block/$d/stat | $B awk '{print $5}')
$B sync
[ $w != $($B cat /sys/block/$d/stat | $B awk '{print $5}') ] && echo "written by sync"
exec 3>&-
""")
    batch.case("discard", SHELL + """
d=/dev/$(disk shared)
$B blkdiscard -o 1M -l 512k $d && echo discarded
$B blkdiscard -o 100 -l 512 $d 2>/dev/null || echo refused
$B blkdiscard -o 7M -l 2M $d 2>/dev/null || echo refused
""")
    batch.case("unbound", SHELL + """
s=bare; d=$(disk $s)
bus=/sys/bus/virtio/drivers/virtio_blk
v=$($B readlink /sys/block/$d/device); v=${v##*/}
while $B dd if=/dev/$d of=/dev/null bs=64k iflag=direct 2>/tmp/said; do :; done &
reader=$!
exec 3<>/dev/$d
$B usleep 100000
echo $v > $bus/unbind; echo "unbind $?"
wait $reader
$B grep -o 'Input/output error\\|No such device or address\\|No such file.*' /tmp/said | $B head -1
$B dd if=/dev/zero bs=512 count=1 >&3 2>/dev/null; echo "open file $?"
exec 3>&-
n=0; while [ -b /dev/$d ] && [ $n -lt 100 ]; do n=$((n + 1)); $B usleep 20000; done
[ -b /dev/$d ] || echo gone
echo $v > $bus/bind; echo "bind $?"
d=$(disk $s)
$B dd if=/dev/$d bs=25000 skip=2 count=40 2>/dev/null | $B md5sum
""")
    batch.case("letters", SHELL + """
for name in %s; do disk $name >/dev/null; done
for d in a b c d e f g h i j k l m n o p; do $B cat /sys/block/vd$d/serial 2>/dev/null; done
""" % " ".join([*WHERE, "copy", "bad"]))
    batch.case("log", "/boot/files/busybox dmesg")
    batch.case("container", """
cd /boot/files
B=/boot/files/busybox
for options in '' '--device /dev/vda' '--privileged'; do
    /bin/bothy run --rm $options busybox sh -c 'mknod /tmp/d b 254 0 && dd if=/tmp/d of=/dev/null bs=512 count=1 2>&1 | tail -1'
done
""")
    return batch


KINDS = None


def kinds():
    global KINDS
    if not KINDS:
        KINDS = all_kinds()
    return KINDS


def md5(data):
    return hashlib.md5(data).hexdigest() + "  -"


def written(name):
    status, out = kinds().result(name)
    expect(status, 0, f"status of {name}: {out}")
    want = expected(name)
    expect(out.split("\n")[:2], [md5(want[50000:50000 + 40 * 25000]), md5(want)], "what is read back")
    return want


def test_what_is_written_is_on_the_host_s_file():
    for name in WHERE:
        want = written(name)
        got = bytearray(content(name))
        if name in ("plain", "through"):  # the case of flushes wrote there, too
            got[2000 * 4096:2001 * 4096] = want[2000 * 4096:2001 * 4096]
        if name == "direct":
            expect(bytes(got[6554000:6554003]), PATTERN[5000:5003], "what sync wrote")
            got[100 * 65536:104 * 65536] = want[100 * 65536:104 * 65536]
        if name == "shared":
            got[MIB:MIB + 512 * 1024] = want[MIB:MIB + 512 * 1024]
        expect(bytes(got) == want, True, f"{name}: the same bytes")


def test_calls_and_sys_tell_what_the_disk_is():
    status, out = kinds().result("facts")
    expect(bool(re.match("fe:[0-9a-f]*0 660 6\n", out)), True, out)
    expect(out.split()[3:], [str(8 * MIB), "512", "0", "4096", "16384", "0", "512", "write", "back", "4096", "write",
                             "through", "1", "1", "1", "same"])


def test_ends_and_blocks_are_respected():
    status, out = kinds().result("edges")
    expect_in("No space left on device", out)
    expect_in("behind 1", out)
    expect_in("over 1", out)
    expect_in("\n2048\n", out)
    expect_in("Operation not permitted", out)
    expect_in("read-only 1", out)


def test_a_file_system_made_on_the_host_is_read_and_copied_whole():
    status, out = kinds().result("ext2")
    expect(out.split(), ["ef53", "bothy-disk", "0"])
    expect(content("copy") == content("ext2"), True, "the copy is the same")
    check = subprocess.run(["/sbin/e2fsck", "-fn", path("copy")], capture_output=True, text=True)
    expect(check.returncode, 0, check.stdout)


def test_an_error_of_the_medium_is_an_error_of_the_call_alone():
    status, out = kinds().result("errors")
    for words in ("before 0", "bad 1", "behind 0", "write 1", "good 0"):
        expect_in(words, out)
    expect(out.count("Input/output error"), 2, out)


def test_a_sync_is_a_flush_where_there_is_a_cache():
    status, out = kinds().result("flush")
    a, b = out.split()
    expect((int(a) > 0, int(b)), (True, 0), "flushes")


def test_the_cache_and_the_disk_are_of_one_mind():
    status, out = kinds().result("cache")
    data = md5(PATTERN[:4 * 65536])
    expect(out.split("\n")[:7], [md5(bytes(4 * 65536)), data, data, "from the cache", data, "from the disk",
                                 "written by sync"])


def test_discarded_sectors_are_given_back():
    status, out = kinds().result("discard")
    expect(out.split(), ["discarded", "refused", "refused"])
    expect(content("shared")[MIB:MIB + 512 * 1024].count(0), 512 * 1024, "zeros on the host")


def test_a_disk_may_go_while_it_is_used_and_come_back():
    status, out = kinds().result("unbound")
    want = expected("bare")
    for words in ("unbind 0", "open file 1", "gone", "bind 0", md5(want[50000:50000 + 40 * 25000])):
        expect_in(words, out)
    expect(bool(re.search("Input/output error|No such", out)), True, out)


def test_a_device_with_the_legacy_interface_alone_is_refused_by_name():
    status, out = kinds().result("log")
    expect(bool(re.search(r"virtio: 0000:\S+ has the legacy interface only: refused", out)), True, out)


def test_letters_go_by_the_place_of_the_disk():
    status, out = kinds().result("letters")
    expect(out.split(), [*WHERE, "read-only", "ext2", "copy", "bad"])


def test_a_container_has_no_disk_unless_it_is_given_one():
    status, out = kinds().result("container")
    lines = out.strip().split("\n")
    expect_in("Operation not permitted", lines[0])
    expect(lines[-1], "1+0 records out")


# --- the same calls on Linux ----------------------------------------------------------------------

MODULES = ["virtio/virtio_ring", "virtio/virtio", "virtio/virtio_pci_legacy_dev", "virtio/virtio_pci_modern_dev",
           "virtio/virtio_pci", "block/virtio_blk"]


def test_calls_on_a_block_device_say_what_linux_says():
    program = path("disk_calls")
    subprocess.run(["gcc", "-O1", "-static", "-Wall", "-Wno-stringop-overflow", "-Wno-stringop-overread", "-o", program,
                    os.path.join(ROOT, "tests/system/disk_calls.c")], check=True)
    for name in ("linux", "bothy"):
        make(name, size=MIB + 512)
    modules = [f"--module=drivers/{m}.ko" for m in MODULES]
    peer = subprocess.run([os.path.join(ROOT, "tools/linux-peer"), *modules, "--file", program, "-c",
                           "/files/disk_calls /dev/vda", *drive("linux", "virtio-blk-pci,disable-legacy=on")],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    ours = run("--cpus", "1", "--file", program, "-c", "/boot/files/disk_calls /dev/vda",
               *drive("bothy", "virtio-blk-pci,disable-legacy=on"))
    expect(peer.stdout.count("\n") > 90, True, f"Linux says: {peer.stdout}{peer.stderr}")
    different = [f"{a!r} is {b!r}" for a, b in zip(peer.stdout.split("\n"), ours.stdout.split("\n")) if a != b]
    expect(different, [], "what Linux says and what it is here")
    expect(len(ours.stdout), len(peer.stdout), "length")
    expect(content("bothy") == content("linux"), True, "the disks afterwards")


# --- other machines -------------------------------------------------------------------------------


def script(name, text, *options, **kw):
    """The words that a shell script prints in a machine of its own."""
    batch = Batch(*options, **kw)
    batch.file("pattern", PATTERN)
    batch.case(name, SHELL + text)
    status, out = batch.result(name)
    expect(status, 0, out)
    return out


def test_run_adds_disks_and_makes_those_that_are_not_there():
    batch = Batch("--cpus", "1", "--disk", path("made") + ",size=3M,serial=made", "--disk", path("kept") + ",ro,serial=kept",
                  "--rng")
    make("kept", PATTERN, MIB + 1024)
    batch.case("run", SHELL + """
$B cat /sys/block/$(disk made)/size /sys/block/$(disk kept)/size /sys/block/$(disk kept)/ro
n=0; while [ ! -c /dev/hwrng ] && [ $n -lt 200 ]; do n=$((n + 1)); $B usleep 20000; done
$B dd if=/dev/hwrng bs=16 count=1 2>/dev/null | $B wc -c
""")
    expect(batch.result("run")[1].split(), [str(3 * MIB // 512), str((MIB + 1024) // 512), "1", "16"])
    expect(os.path.getsize(path("made")), 3 * MIB)
    for words, why in ((",bus=nvme", "no driver for bus 'nvme'"), (",size=no", "not a size"), (",what", "what is 'what'"),
                       ("/none", "")):
        refused = run("--disk", path("kept") + words, "-c", "ps")
        expect((refused.returncode, refused.stderr.count("\n")), (2, 1), refused.stderr)
        expect_in(why, refused.stderr)


def test_two_processors_use_a_queue_each():
    make("two")
    script("two", """
d=/dev/$(disk two)
$B taskset 1 $B dd if=/boot/files/pattern of=$d bs=128k oflag=direct iflag=count_bytes count=512k 2>/dev/null &
$B taskset 2 $B dd if=/boot/files/pattern of=$d bs=128k oflag=direct iflag=count_bytes count=512k seek=8 2>/dev/null &
wait
""", "--cpus", "2", *drive("two", "virtio-blk-pci,disable-legacy=on,num-queues=2"))
    half = PATTERN[:512 * 1024]
    expect(content("two")[:2 * MIB] == half + bytes(512 * 1024) + half + bytes(512 * 1024), True, "the bytes of both")


def table(kind):
    """A disk of 8 MiB: a partition of 1 MiB at 1 MiB, one of 2 MiB at 4 MiB, by either kind of table."""
    places = ((2048, 2048), (8192, 4096))
    disk = bytearray(8 * MIB)
    disk[510:512] = b"\x55\xaa"
    if kind == "mbr":
        for i, (start, n) in enumerate(places):
            disk[446 + 16 * i:462 + 16 * i] = struct.pack("<4xB3xII", 0x83, start, n)
        return disk
    disk[446:462] = struct.pack("<4xB3xII", 0xee, 1, 16383)
    for i, (start, n) in enumerate(places):
        disk[1024 + 128 * i:1024 + 128 * i + 48] = struct.pack("<16s16sQQ", bytes([0xaf] * 16), bytes([i] * 16), start,
                                                               start + n - 1)
    header = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, 1, 16383, 34, 16350, bytes(16), 2, 128,
                         128, zlib.crc32(disk[1024:1024 + 16384]))
    disk[512:604] = header[:16] + struct.pack("<I", zlib.crc32(header)) + header[20:]
    return disk


def test_partitions_are_disks_within_their_bounds():
    for kind in ("mbr", "gpt"):
        make(kind, table(kind))
    make("plain-again")
    out = script("partitions", """
for kind in mbr gpt; do
    d=$(disk $kind)
    n=0; while [ ! -b /dev/${d}2 ] && [ $n -lt 200 ]; do n=$((n + 1)); $B usleep 20000; done
    $B cat /sys/block/$d/${d}1/start /sys/block/$d/${d}1/size /sys/block/$d/${d}2/partition /sys/class/block/${d}2/size
    $B grep -c $d /proc/partitions
    $B dd if=/boot/files/pattern of=/dev/${d}2 bs=64k count=2 seek=1 2>/dev/null
    $B dd if=/dev/zero of=/dev/${d}1 bs=1M count=2 2>&1 | $B grep -o 'No space left on device'
    exec 3</dev/${d}1
    $B blockdev --rereadpt /dev/$d 2>&1 | $B grep -o busy
    exec 3<&-
done
d=$(disk plain-again)
$B dd if=/dev/$(disk gpt) of=/dev/$d bs=64k count=1 conv=fsync 2>/dev/null
$B ls /dev/${d}1 2>/dev/null; $B blockdev --rereadpt /dev/$d
n=0; while [ ! -b /dev/${d}2 ] && [ $n -lt 200 ]; do n=$((n + 1)); $B usleep 20000; done
[ -b /dev/${d}2 ] && echo found
exit 0
""", "--cpus", "1", *drive("mbr", "virtio-blk-pci"), *drive("gpt", "virtio-blk-pci"), *drive("plain-again", "virtio-blk-pci"))
    each = ["2048", "2048", "2", "4096", "3", "No space left on device", "busy"]
    expect(out.strip().split("\n"), [*each, *each, "found"])
    for kind in ("mbr", "gpt"):
        want = table(kind)
        want[4 * MIB + 65536:4 * MIB + 3 * 65536] = PATTERN[:131072]
        expect(content(kind) == bytes(want), True, f"{kind}: the same bytes")


def test_devices_in_memory_mapped_registers_do_the_same():
    make("mmio")
    with open(path("noise"), "wb") as f:
        f.write(PATTERN)
    out = script("mmio", """
d=/dev/$(disk mmio)
$B dd if=/boot/files/pattern of=$d bs=100000 seek=1 conv=fsync 2>/dev/null || exit 1
$B dd if=$d bs=100000 skip=1 count=10 2>/dev/null | $B md5sum
n=0; while [ ! -c /dev/hwrng ] && [ $n -lt 200 ]; do n=$((n + 1)); $B usleep 20000; done
$B dd if=/dev/hwrng bs=50 count=3 2>/dev/null | $B md5sum
""", "--cpus", "1", "--qemu-machine", "microvm,pic=on,pit=on,rtc=on,acpi=off",
                 "--qemu=-global", "--qemu=virtio-mmio.force-legacy=false", *drive("mmio", "virtio-blk-device"),
                 "--qemu=-object", f"--qemu=rng-random,id=noise,filename={path('noise')}",
                 "--qemu=-device", "--qemu=virtio-rng-device,rng=noise")
    expect(content("mmio")[100000:100000 + len(PATTERN)] == PATTERN, True, "the bytes")
    # The generator had its share of 64 bytes; readers have what follows.
    expect(out.split("\n")[:2], [md5(PATTERN[:1000000]), md5(PATTERN[64:64 + 150])], "what is read")


class Monitor:
    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX)
        for _ in range(600):
            try:
                self.socket.connect(name)
                break
            except OSError:
                time.sleep(0.05)
        self.file = self.socket.makefile("rw")
        self.file.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "event" not in answer:
                return answer


def test_consoles_have_ports_that_come_and_go():
    """Two consoles; one has two ports on sockets, of which one is taken away while it is read."""
    said = {}

    def host():
        ends = {}
        for name in ("first", "second", "third"):
            ends[name] = socket.socket(socket.AF_UNIX)
            for _ in range(600):
                try:
                    ends[name].connect(path(name))
                    break
                except OSError:
                    time.sleep(0.05)
        monitor = Monitor(path("qmp"))
        said["hello"] = ends["first"].makefile("r").readline()
        ends["first"].sendall(b"from the host\n" + PATTERN[:200000])
        ends["first"].shutdown(socket.SHUT_WR)
        said["third"] = ends["third"].makefile("r").readline()
        said["ready"] = ends["second"].makefile("r").readline()
        said["del"] = monitor.ask("device_del", id="port2")

    thread = threading.Thread(target=host, daemon=True)
    thread.start()
    options = ["--qemu=-qmp", f"--qemu=unix:{path('qmp')},server=on,wait=off",
               "--qemu=-device", "--qemu=virtio-serial-pci,disable-legacy=on,id=one",
               "--qemu=-device", "--qemu=virtio-serial-pci,disable-legacy=on,id=two,max_ports=2"]
    for i, (name, bus) in enumerate((("first", "one"), ("second", "one"), ("third", "two"))):
        options += ["--qemu=-chardev", f"--qemu=socket,id={name},path={path(name)},server=on,wait=off",
                    "--qemu=-device", f"--qemu=virtserialport,chardev={name},bus={bus}.0,id=port{i + 1},name=org.{name}"]
    out = script("ports", """
for p in vport0p1 vport0p2 vport1p1; do
    n=0; while [ ! -c /dev/$p ] && [ $n -lt 200 ]; do n=$((n + 1)); $B usleep 20000; done
    $B ls /dev/$p || exit 1
done
( echo hello >&4; $B head -c 200014 <&4 | $B md5sum ) 4<>/dev/vport0p1 # what comes to a closed port is lost
echo other > /dev/vport1p1
( echo ready >&3; $B cat <&3; echo "end $?" ) 3<>/dev/vport0p2
n=0; while [ -c /dev/vport0p2 ] && [ $n -lt 200 ]; do n=$((n + 1)); $B usleep 20000; done
[ -c /dev/vport0p2 ] || echo gone
""", "--cpus", "1", *options)
    thread.join(10)
    expect(said.get("hello"), "hello\n")
    expect(said.get("third"), "other\n")
    expect(said.get("ready"), "ready\n")
    lines = out.split("\n")
    expect(lines[:3], ["/dev/vport0p1", "/dev/vport0p2", "/dev/vport1p1"])
    expect(lines[3:6], [md5(b"from the host\n" + PATTERN[:200000]), "end 0", "gone"])


if __name__ == "__main__":
    try:
        main(sys.modules[__name__])
    finally:
        shutil.rmtree(TMP)
