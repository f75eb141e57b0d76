#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The engine dies over an answer: its client says so, with a status, and takes no half of an answer for all of it."""
import json
import os
import signal
import socket
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import USER, expect, expect_in, main
from test_engine_killed import remove, started

LOST = "bothy: lost the engine"
FRAME = b"\x01\0\0\0\0\0\0\x08begun\n"  # two bytes are missing


def client(engine, *args):
    """One that goes on when its engine has been killed and there is a next one: (status, what it says)."""
    with subprocess.Popen([os.path.join(USER, "cli"), *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, env=engine.env) as p:
        expect(p.stdout.readline() != "", True, f"{args}: there is a line")
        p.send_signal(signal.SIGSTOP)
        engine.again()
        p.send_signal(signal.SIGCONT)
        said = p.communicate(timeout=300)[1]
        return p.returncode, said


def test_answer_without_an_end_is_a_failure(engine):
    started(engine, "talks", ["sh", "-c", "while :; do echo a line; sleep 0.01; done"])
    for status, args in ((1, ("events", "--since", "1")), (1, ("logs", "-f", "talks")), (125, ("attach", "talks")),
                         (125, ("exec", "talks", "sh", "-c", "echo begun; sleep 100")),
                         (125, ("run", "--rm", "busybox", "sh", "-c", "echo begun; sleep 1"))):
        got, said = client(engine, *args)
        expect(got, status, f"{args}: {said!r}: status")
        expect_in(LOST, said, f"{args}")
    remove(engine, "talks")


class Fake(threading.Thread):
    """Answers one request after the other with what it was given, and hangs up."""

    def __init__(self, path, *answers):
        super().__init__()
        self.answers, self.listener = answers, socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.env = {**os.environ, "DOCKER_HOST": "unix://" + path}
        self.start()

    def run(self):
        with self.listener:
            for answer in self.answers:
                sock = self.listener.accept()[0]
                sock.recv(65536)
                sock.sendall(answer)
                sock.close()


def whole(body):
    body = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def test_half_a_frame_is_a_failure(engine):
    inspect = whole({"Config": {"Tty": False}})
    body = b"HTTP/1.1 200 OK\r\n\r\n"
    chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(FRAME) + FRAME + b"\r\n0\r\n\r\n"
    stream = b"HTTP/1.1 101 UPGRADED\r\n\r\n"
    for number, (status, args, answers) in enumerate((
            (1, ("logs", "x"), (inspect, body + FRAME)), (1, ("logs", "x"), (inspect, chunk)),
            (1, ("logs", "x"), (inspect, body + FRAME[:5])),
            (125, ("attach", "x"), (inspect, whole({"StatusCode": 0}), stream + FRAME)))):
        fake = Fake(engine.path(f"fake{number}"), *answers)
        p = subprocess.run([os.path.join(USER, "cli"), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           env=fake.env, timeout=300)
        fake.join()
        expect((p.returncode, p.stderr), (status, LOST + " in the midst of a frame\n"), f"{args}")
        expect(p.stdout, "begun\n" if len(answers[-1]) > 30 and FRAME in answers[-1] else "", f"{args}")


if __name__ == "__main__":
    main(sys.modules[__name__])
