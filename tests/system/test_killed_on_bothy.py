#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The engine's tests of deaths, restarts and mounts on Bothy: see test_engine_on_bothy.py."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_engine_on_bothy import KILLED, main

if __name__ == "__main__":
    sys.exit(main(KILLED))
