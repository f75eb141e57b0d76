#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The engine's own tests once more, on Bothy: the same files, run by Debian's Python in a container.

They start an engine inside a privileged container, as they do on Linux. What fails here and not there
is a defect of Bothy's kernel. test_images_on_bothy.py, test_killed_on_bothy.py and test_tcp_on_bothy.py run the others, beside it.
"""
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import RUN, commands, put
from python_image import PYTHON, image

DOCKER = ["test_engine_docker", "test_engine_volumes"]  # run Docker's client
PROGRAMS = ["test_engine_containers", "test_engine_api"] + DOCKER
IMAGES = ["test_engine_images", "test_engine_layers", "test_engine_options"]
KILLED = ["test_engine_killed", "test_engine_unread", "test_engine_short", "test_engine_restart", "test_engine_mounts"]
TCP = ["test_engine_tcp"]


def main(programs=PROGRAMS):
    wanted = sys.argv[1:] or programs
    if not os.path.exists(PYTHON):
        print(f"skip engine_on_bothy: no {PYTHON}")
        return 0
    with tempfile.TemporaryDirectory(prefix="bothy-engine-") as tmp:
        tar = put(tmp, "tests.tar", image("tests:latest", wanted, bool(set(wanted) & set(DOCKER))))
        script = "; ".join(f"{PYTHON} -m {name} || s=1" for name in wanted)
        # its store needs a file system that overlay can write to, which an overlay is not
        line = f"run --rm --privileged --tmpfs /tmp -w /tests/system tests sh -c 's=0; export BRIEF=1; {script}; exit $s'"
        return subprocess.run([RUN, "--timeout", "1780", "--image", tar, *commands(line)],
                              stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main())
