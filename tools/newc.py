# SPDX-License-Identifier: MIT
"""cpio archives in the newc format, built in memory: what the kernel unpacks into its root at boot."""

DIR, FILE = 0o040000, 0o100000


class Cpio:
    def __init__(self):
        self.parts, self.folders, self.inode = [], set(), 0

    def _entry(self, name, mode, data):
        self.inode += 1
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + "".join(f"{v:08x}" for v in fields).encode()
        head += name.encode() + b"\0"
        head += b"\0" * (-len(head) % 4)
        self.parts += [head, data, b"\0" * (-len(data) % 4)]

    def folder(self, name, mode=0o755):
        """name and the folders above it, each once."""
        name = name.strip("/")
        if not name or name in self.folders:
            return
        self.folder(name.rpartition("/")[0])
        self.folders.add(name)
        self._entry(name, DIR | mode, b"")

    def file(self, name, data, mode=0o755):
        name = name.strip("/")
        self.folder(name.rpartition("/")[0])
        self._entry(name, FILE | mode, data)

    def bytes(self):
        """Padded to a page, so that archives can be concatenated."""
        self._entry("TRAILER!!!", 0, b"")
        whole = b"".join(self.parts)
        return whole + b"\0" * (-len(whole) % 4096)
