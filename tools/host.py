# SPDX-License-Identifier: MIT
"""What the parts of tools/run share: its statuses and frames, one line for a failure, the archive that a machine gets."""
import os
import sys

from newc import Cpio

TOOLS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TOOLS)
LATE, DEAD, WATCHED = 124, 125, 126
BEGIN, END, CLOSE = b"\x01BOTHY-BEGIN ", b"\x01BOTHY-END ", b"\x02"


def fail(text, status=2):
    print(f"run: {text}", file=sys.stderr)
    sys.exit(status)


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError as e:
        fail(f"{path}: {e.strerror}")


def payload(args):
    """The second archive: commands, images, files. None when there is nothing to bring."""
    cpio = Cpio()
    for i, path in enumerate(args.image):
        cpio.file(f"/boot/images/{i:02}-{os.path.basename(path)}", read(path), 0o644)
    for spec in args.file:
        host, _, name = spec.partition(":")
        name = name or os.path.basename(host)
        if "/" in name or name in ("", ".", ".."):
            fail(f"--file {spec}: not a file name: {name!r}")
        cpio.file(f"/boot/files/{name}", read(host))
    if args.command:
        if any("\n" in c for c in args.command):
            fail("a command is one line")
        cpio.file("/boot/commands", "".join(c + "\n" for c in args.command).encode(), 0o644)
    return cpio.bytes() if args.image or args.file or args.command else None
