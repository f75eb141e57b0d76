# SPDX-License-Identifier: MIT
"""QEMU's control socket: commands and their answers, the monitor's lines, and the events that came between.

Several threads may ask; each answer is that of the command that was sent last, since one is under way at a time.
"""
import json
import socket
import threading
import time

ANSWER_S = 60.0  # a busy computer is slow


class Qmp:
    def __init__(self, path):
        self.path, self.socket, self.rest, self.events = path, None, b"", []
        self.lock = threading.Lock()

    def connect(self, process, seconds=60.0):
        """Waits for the socket; false when the process has ended or does not open it."""
        end = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < end:
            try:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.connect(self.path)
                break
            except OSError:
                self.close()
                time.sleep(0.01)
        return self.socket is not None and self.command("qmp_capabilities") is not None

    def message(self):
        """The next one, or None at the end."""
        while b"\n" not in self.rest:
            data = self.socket.recv(65536)
            if not data:
                return None
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def command(self, name, **arguments):
        """Its answer, {"return": ...} or {"error": ...}; None when the machine is gone."""
        with self.lock:
            try:
                self.socket.settimeout(ANSWER_S)
                self.socket.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
                while (said := self.message()) is not None:
                    if "event" in said:
                        self.heard(said)
                    elif "QMP" not in said:
                        return said
            except (OSError, ValueError, AttributeError):
                pass
            return None

    def heard(self, said):
        self.events.append(f"{said['event']} {said.get('data', {}).get('reason')}")

    def monitor(self, line):
        """What the human monitor prints for a line, or None when the machine is gone."""
        said = self.command("human-monitor-command", **{"command-line": line})
        return None if said is None else said.get("return", str(said.get("error")))

    def ended(self):
        """Every event of a machine that has ended, each with its reason."""
        with self.lock:
            try:
                self.socket.settimeout(1)
                while (said := self.message()) is not None:
                    if "event" in said:
                        self.heard(said)
            except (OSError, ValueError, AttributeError):
                pass
            return self.events

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None
