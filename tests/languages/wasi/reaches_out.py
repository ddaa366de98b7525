"""first_bytes_stats, which also tries to access the system. wasi.py builds it with WASI."""

import encodings.idna  # noqa: F401, for `resolve`: a plugin cannot import modules at run time
import json
import os
import random
import socket
import sys
import time

import flowloom
from first_bytes_stats import FirstBytesStats
from flowloom import Output


def read_a_file():
    with open("/etc/passwd", encoding="utf-8") as file:
        return file.read()


def write_a_file():
    with open("/tmp/reached", "w", encoding="utf-8") as file:
        return file.write("out")


def connect():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as wire:
        wire.connect(("127.0.0.1", 22))


def sleep():
    before = time.monotonic_ns()
    time.sleep(3_600)
    return time.monotonic_ns() - before


def write():
    print("to standard output", flush=True)
    print("to standard error", file=sys.stderr, flush=True)


ATTEMPTS = {
    "read": read_a_file,
    "write": write_a_file,
    "list": lambda: os.listdir("/"),
    "remove": lambda: os.remove("/etc/passwd"),
    "here": os.getcwd,
    "connect": connect,
    "resolve": lambda: socket.getaddrinfo("example.com", 80),
    "input": sys.stdin.read,
    "environment": lambda: sorted(os.environ),
    "arguments": lambda: sys.argv[1:],
    "sleep": sleep,
    "wall_ns": time.time_ns,
    "monotonic_ns": time.monotonic_ns,
    "random": lambda: os.urandom(8).hex(),
    "seeded": lambda: random.Random().getrandbits(60),
    "print": write,
}


def attempt(reach):
    try:
        return reach()
    except Exception as error:  # pylint: disable=broad-exception-caught
        return f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"


class ReachesOut(FirstBytesStats):
    outputs = [*FirstBytesStats.outputs, Output("reached", flowloom.Json, "What came of its attempts.")]

    def init(self, packet, flow):
        state = super().init(packet, flow)
        return state, json.dumps({name: attempt(reach) for name, reach in ATTEMPTS.items()})

    def update(self, state, packet, flow):
        # The `init` of the base class calls this method with its own state.
        super().update(state[0] if isinstance(state, tuple) else state, packet, flow)

    def expire(self, state, flow):
        stats, reached = state
        return {**super().expire(stats, flow), "reached": reached}


Feature, BatchFeature = flowloom.export(ReachesOut)
