# SPDX-License-Identifier: MIT
"""The machine's Docker API as a port of 127.0.0.1 here, for programs of this computer and not for those in the machine.

The emulator's user network leads from the machine to every port of 127.0.0.1 of this computer (as 10.0.2.2), so a port
that the emulator itself forwards to the API would let each of the machine's programs in. Here the port is this process's,
which takes no connection whose other end belongs to an emulator, and passes bytes on to a forward that no one in the
machine finds: its address is one of 127.0.0.0/8, drawn anew for each machine, and its port a free one.

A connection's two directions end one by one, as its ends do.
"""
import os
import re
import resource
import secrets
import socket
import threading
import time

PIECE = 256 << 10
LOOKS = 3  # at the table of connections, which may change while it is read
PAUSE_S = 0.1  # without descriptors or memory for another connection
FILES = 1 << 14  # descriptors, if the limit can be raised to that
STACK = 256 << 10
QUEUE = 1024


def hidden_place():
    """(address, port), free now."""
    while True:
        address = ".".join(["127", *(str(1 + secrets.randbelow(254)) for _ in range(3))])
        if address == "127.0.0.1":
            continue
        with socket.socket() as s:
            s.bind((address, 0))
            return s.getsockname()


# --- whose connection it is -----------------------------------------------------------------------


def row_name(address):
    """An address as /proc/net/tcp has it, and tcp6, where more stands before it."""
    return f"{socket.inet_aton(address[0])[::-1].hex()}:{address[1]:04x}".upper()


def inode_of(local, remote):
    """The socket of this computer with these addresses, of either family; None when it is no process's any more."""
    mapped = "(?:0{16}FFFF0000)?"
    start = re.compile(rf"^ *\d+: {mapped}{row_name(local)} {mapped}{row_name(remote)} ")
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/self/net/{name}") as table:
                for row in table:
                    if start.match(row):
                        inode = row.split()[9]
                        return inode if inode != "0" else None
        except FileNotFoundError:
            pass  # a computer without IPv6
    return None


def program_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def holds(pid, inode):
    """Whether a process has this socket; what cannot be looked at has it."""
    folder = f"/proc/{pid}/fd"
    try:
        for fd in os.listdir(folder):
            try:
                if os.readlink(f"{folder}/{fd}") == f"socket:[{inode}]":
                    return True
            except FileNotFoundError:
                pass  # closed meanwhile
    except FileNotFoundError:
        return False  # the process has ended
    except OSError:
        return True
    return False


def is_from_here(client, emulator):
    """Whether the other end is a process of this computer that is no emulator (of the kind that `emulator`, a pid, is).

    A socket that was the same one before and after the look, and that no emulator had at the look, is none's: descriptors of
    a connection do not move between these.
    """
    ends = client.getpeername(), client.getsockname()
    program = program_of(emulator)
    for _ in range(LOOKS):
        inode = inode_of(*ends)
        if inode is None:
            continue
        pids = [pid for pid in os.listdir("/proc") if pid.isdigit() and program_of(pid) == program]
        if not program or str(emulator) not in pids or any(holds(pid, inode) for pid in pids):
            return False
        if inode_of(*ends) == inode:
            return True
    return False


# --- passing on -----------------------------------------------------------------------------------


def shut(*ends):
    """Both directions of these: who waits for them goes on."""
    for end in ends:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def copy(source, sink):
    """One direction, to its end."""
    try:
        while data := source.recv(PIECE):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        shut(source, sink)


class Relay(threading.Thread):
    def __init__(self, listener, place, emulator):
        """Takes clients of `listener` in, for the forward at `place`; `emulator`: the process that has the machine."""
        super().__init__(daemon=True)
        self.listener, self.place, self.emulator = listener, place, emulator
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                if self.listener.fileno() < 0:
                    return
                time.sleep(PAUSE_S)
                continue
            try:
                self.begin(self.serve, client)
            except RuntimeError:  # no thread
                client.close()

    def begin(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        thread.start()
        return thread

    def serve(self, client):
        """One connection; it is closed when both directions have ended."""
        with client:
            try:
                if not is_from_here(client, self.emulator):
                    return
                with socket.create_connection(self.place) as server:
                    for end in (client, server):
                        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    back = self.begin(copy, server, client)
                    copy(client, server)
                    back.join()
            except (OSError, RuntimeError):
                pass

    def stop(self):
        shut(self.listener)
        self.listener.close()


def begin(api, emulator):
    """For the port of net.Api; None where there is none."""
    if not api:
        return None
    old = threading.stack_size(STACK)
    relay = Relay(api.listener, api.behind.place(), emulator)
    relay.start()
    threading.stack_size(old)
    return relay
