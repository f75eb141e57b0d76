# SPDX-License-Identifier: MIT
"""What containers publish in a machine with a user network is published on this computer.

A thread follows the engine's events over the forwarded port of its API. Whenever a container starts or ends it asks
for the list and has QEMU add and remove forwards until they are what the list says. A port that is taken here is said
once; a machine without an API yet is asked again, ever more rarely.
"""
import http.client
import ipaddress
import json
import sys
import threading

from net import API_PORT

ANSWER_S, PAUSE_S, PAUSE_MAX_S = 20, 0.5, 5
EVENTS_MAX = 1 << 16  # bytes that are read at once; what they say does not matter, the list does
LIST_MAX = 32 << 20  # bytes of the list of containers
PORTS_MAX = 1000  # that are forwarded; further ones are left out
BREATH_S = 0.2  # between two looks at the list, however much happens
FILTERS = "%7B%22type%22%3A%5B%22container%22%5D%7D"


def wanted_of(containers, network):
    """The (kind, port) that running containers have published and that the wire can reach: a set."""
    wanted = set()
    for container in containers:
        for port in container.get("Ports") or []:
            kind, number = port.get("Type"), port.get("PublicPort")
            if kind in ("tcp", "udp") and isinstance(number, int) and 0 < number < 65536 and \
               is_reached(port.get("IP") or "0.0.0.0", network):
                wanted.add((kind, number))
    return set(sorted(wanted)[:PORTS_MAX])


def is_reached(text, network):
    """Whether what listens at this address hears a forward, which comes to the card's IPv4 address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.is_unspecified or (address.version == 4 and text.startswith(network))


class Ports(threading.Thread):
    def __init__(self, cards, monitor, say=None):
        """`monitor(line)`: what QEMU's monitor prints, None at the machine's end."""
        super().__init__(daemon=True)
        self.cards, self.monitor = cards, monitor
        self.say = say or (lambda text: print(f"run: {text}", end="\r\n" if sys.stderr.isatty() else "\n", file=sys.stderr))
        self.forwards, self.refused, self.over = set(), set(), threading.Event()

    def run(self):
        pause = PAUSE_S
        while not self.over.wait(pause):
            try:
                self.follow()
                pause = PAUSE_S
            except (OSError, http.client.HTTPException, ValueError, TypeError, AttributeError, RecursionError):  # no API, or no list of its
                pause = min(pause * 2, PAUSE_MAX_S)

    def stop(self):
        self.over.set()

    def ask(self, path, seconds):
        connection = http.client.HTTPConnection(self.cards.api.host, self.cards.api.port, timeout=seconds)
        connection.connect()
        line = connection.sock  # the connection lets go of it when the answer goes on to its end
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != 200:
            raise http.client.HTTPException(f"{path}: {answer.status}")
        return line, answer

    def follow(self):
        """Until the stream of events ends: nothing that happens after it has begun is missed by the list."""
        line, events = self.ask(f"/events?filters={FILTERS}", ANSWER_S)
        try:
            line.settimeout(None)
            self.reconcile()
            while events.read1(EVENTS_MAX) and not self.over.wait(BREATH_S):
                self.reconcile()
        finally:
            line.close()

    def reconcile(self):
        line, answer = self.ask("/containers/json", ANSWER_S)
        try:
            text = answer.read(LIST_MAX + 1)
            if len(text) > LIST_MAX:
                raise ValueError("the list of containers is too long")
            wanted = wanted_of(json.loads(text), self.cards.user.network())
        finally:
            line.close()
        # The command line's own forwards come first.
        wanted -= {(p.kind, p.port) for p in self.cards.published}
        wanted.discard(("tcp", API_PORT))  # the engine's, which a forward for all would open
        self.refused &= wanted
        for kind, port in sorted(self.forwards - wanted):
            self.monitor(f"hostfwd_remove {self.cards.user.name} {kind}:127.0.0.1:{port}")
            self.forwards.discard((kind, port))
        for kind, port in sorted(wanted - self.forwards):
            self.add(kind, port)

    def add(self, kind, port):
        said = self.monitor(f"hostfwd_add {self.cards.user.name} {kind}:127.0.0.1:{port}-:{port}")
        if said == "":
            self.forwards.add((kind, port))
        elif said is not None and (kind, port) not in self.refused:
            self.refused.add((kind, port))
            self.say(f"port {port}/{kind} of a container cannot be had on 127.0.0.1: it is taken, or needs root")
