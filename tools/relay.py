# SPDX-License-Identifier: MIT
"""The machine's Docker API as a port of 127.0.0.1 here, for programs of this computer and not for those in the machine.

The emulator's user network leads from the machine to every port of 127.0.0.1 of this computer (as 10.0.2.2), so a port
that the emulator itself forwards to the API would let each of the machine's programs in. Here the port is this process's,
which takes no connection whose other end belongs to a program that speaks for a machine or a network namespace (an emulator,
also another user's or of another path; slirp4netns, passt and the like), and passes bytes on to a forward that no one in the
machine finds: its address is one of 127.0.0.0/8, drawn anew for each machine, and its port a free one.

A connection's two directions end one by one, as its ends do. At most MOST are served, or as many as there may be descriptors for,
and LOOKING judged at once; further clients wait in the kernel's queue, so that a program of the machine that connects again and
again holds none of this process's descriptors for longer than a look takes.
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
LOOKING = 64  # connections that are judged at once
MOST = 4096  # that are served, of two descriptors each, where the limit allows it
SPARED = 128  # descriptors, for what else this process has open
SPEAKS = re.compile(r"qemu|bochs|slirp|passt|pasta|vpnkit|gvproxy|VBoxHeadless|VirtualBoxVM|vmnet-natd|krunvm|muvm|crun-krun")  # in a program's name


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


def socket_of(local, remote):
    """(owner, inode) of the socket of this computer with these addresses, of either family; None when it is no process's any more."""
    mapped = "(?:0{16}FFFF0000)?"
    start = re.compile(rf"^ *\d+: {mapped}{row_name(local)} {mapped}{row_name(remote)} ")
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/self/net/{name}") as table:
                for row in table:
                    if start.match(row):
                        words = row.split()
                        return (words[7], words[9]) if words[9] != "0" else None
        except FileNotFoundError:
            pass  # a computer without IPv6
    return None


def program_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def names_of(pid):
    """What its program calls itself, which anyone may read, and the program's own name, where we may."""
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read(), os.path.basename(program_of(pid) or "")
    except OSError:
        return ()


def owners_of(pid):
    """The users that it is or may become."""
    try:
        with open(f"/proc/{pid}/status") as f:
            return next(line.split()[1:] for line in f if line.startswith("Uid:"))
    except (OSError, StopIteration):
        return []


def speaks_for_others(pid, program):
    """Whether it is an emulator or what else brings the connections of a machine or a namespace here."""
    return program_of(pid) == program or any(SPEAKS.search(name) for name in names_of(pid))


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
    """Whether the other end is a process of this computer that speaks for itself: no emulator, of the kind that `emulator`, a
    pid, is, or of another.

    A socket that was the same one before and after the look, and that no emulator had at the look, is none's: descriptors of
    a connection do not move between these. Of other users' processes the descriptors may be hidden: then none of a user's
    programs is let in while an emulator of the same user runs.
    """
    ends = client.getpeername(), client.getsockname()
    program = program_of(emulator)
    for _ in range(LOOKS):
        found = socket_of(*ends)
        if found is None:
            continue
        owner, inode = found
        pids = [pid for pid in os.listdir("/proc") if pid.isdigit() and speaks_for_others(pid, program)]
        if not program or str(emulator) not in pids or any(owner in owners_of(pid) and holds(pid, inode) for pid in pids):
            return False
        if socket_of(*ends) == found:
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


def files_limit():
    """How many descriptors this process may have; it gets as many as it may, up to FILES."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return most
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def most_served():
    """Connections: when they have all descriptors, the next ones wait in the kernel's queue, as they do at MOST."""
    return max(1, min(MOST, (files_limit() - SPARED) // 2))


class Relay(threading.Thread):
    def __init__(self, listener, place, emulator):
        """Takes clients of `listener` in, for the forward at `place`; `emulator`: the process that has the machine."""
        super().__init__(daemon=True)
        self.listener, self.place, self.emulator = listener, place, emulator
        self.looks, self.places = threading.Semaphore(LOOKING), threading.Semaphore(most_served())

    def run(self):
        while True:
            self.places.acquire()
            self.looks.acquire()
            try:
                client, _ = self.listener.accept()
                try:
                    self.begin(self.serve, client)
                except RuntimeError:  # no thread
                    client.close()
                    raise
            except (OSError, RuntimeError):
                self.looks.release()
                self.places.release()
                if self.listener.fileno() < 0:
                    return
                time.sleep(PAUSE_S)

    def begin(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        thread.start()
        return thread

    def admits(self, client):
        try:
            return is_from_here(client, self.emulator)
        except OSError:
            return False
        finally:
            self.looks.release()

    def serve(self, client):
        """One connection; it is closed when both directions have ended."""
        with client:
            try:
                if not self.admits(client):
                    return
                with socket.create_connection(self.place) as server:
                    for end in (client, server):
                        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    back = self.begin(copy, server, client)
                    copy(client, server)
                    back.join()
            except (OSError, RuntimeError):
                pass
            finally:
                self.places.release()

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
