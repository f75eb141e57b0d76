# SPDX-License-Identifier: MIT
"""cpio archives in the newc format, built in memory: what the kernel unpacks into its root at boot."""

DIR, FILE, LINK = 0o040000, 0o100000, 0o120777
HEADER = 110
PAGE, ALIGNED = 4096, 16384  # from that size on a file's bytes begin on a page


class Cpio:
    def __init__(self):
        self.parts, self.folders, self.inode, self.size = [], set(), 0, 0

    def _add(self, *parts):
        self.parts += parts
        self.size += sum(map(len, parts))

    def _end(self, before=0):
        """Ends an archive, with zeros up to `before` bytes before a page. Another one may follow."""
        self._entry("TRAILER!!!", 0, b"")
        self._add(b"\0" * (-(self.size + before) % PAGE))

    def _entry(self, name, mode, data):
        self.inode += 1
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + "".join(f"{v:08x}" for v in fields).encode()
        head += name.encode() + b"\0"
        head += b"\0" * (-len(head) % 4)
        self._add(head, data, b"\0" * (-len(data) % 4))

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
        if len(data) >= ALIGNED:  # the kernel keeps such pages where they are
            self._end(before=(HEADER + len(name) + 1 + 3) & ~3)
        self._entry(name, FILE | mode, data)

    def link(self, name, to):
        name = name.strip("/")
        self.folder(name.rpartition("/")[0])
        self._entry(name, LINK, to.encode())

    def bytes(self):
        """Padded to a page, so that archives can be concatenated."""
        self._end()
        return b"".join(self.parts)
