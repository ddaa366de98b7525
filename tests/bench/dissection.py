#!/usr/bin/env python3
"""Count the instructions of dissection: those of nDPI, and those of Flowloom.

    tests/bench/dissection.py [CAPTURE …] [--flowloom FILE]

The program runs `flowloom meter` with applications, statistics and SPLT 20 under valgrind's callgrind, with the nDPI that
ndpiReader is linked with, and prints a table in Markdown. What nDPI calls, such as the C library, is counted as nDPI's. The
default captures are the newest `zipf` and `mix` of tests/bench/run.py.
"""

import argparse
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from measure import DATA, FLOWLOOM, table
from peers import ndpi_of_reader, newest

OPTIONS = ["--output", "/dev/null", "--format", "csv", "--statistical-analysis", "--splt-analysis", "20", "--n-meters", "1"]

# Functions of nDPI that Flowloom calls, by phase. The last phase is that of a module, which is started once per capture.
PHASES = {
    "nDPI: packets": ["ndpi_detection_process_packet"],
    "nDPI: whether more packets are needed": ["ndpi_extra_dissection_possible"],
    "nDPI: guessing at the end": ["ndpi_detection_giveup"],
    "nDPI: allocating and freeing the states of flows": ["ndpi_flow_malloc", "ndpi_free_flow_data", "ndpi_free_flow"],
}
# Parts of the first phase.
PARTS = {
    "… all protocols tried": "ndpi_check_flow_func",
    "… further details only": "ndpi_process_extra_packet",
}
MODULE = [
    "ndpi_init_detection_module",
    "ndpi_set_protocol_detection_bitmask2",
    "ndpi_finalize_initialization",
    "ndpi_exit_detection_module",
]
OURS = r"/host/(flowloom/src/dissect|ndpi-sys/src)/"


class Profile:
    """The output of callgrind."""

    def __init__(self, path):
        self.total = 0
        #: Instructions of the source files themselves.
        self.files = Counter()
        #: Instructions and calls, by caller's object, caller and callee.
        self.inclusive, self.calls = Counter(), Counter()
        self.read(path)

    def read(self, path):
        names = {}

        def name(kind, text):
            number, _, rest = text.partition(" ")
            kind = {"cob": "ob", "cfn": "fn"}.get(kind, "fl" if kind in ("fi", "fe", "cfi", "cfl") else kind)
            if rest:
                names[kind, number] = rest
            return names[kind, number]

        place = {"ob": "", "fn": "", "fl": ""}
        callee, calls = "", 0
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                key, _, value = line.rstrip("\n").partition("=")
                if key in ("ob", "fn", "fl"):
                    place[key] = name(key, value)
                elif key in ("fi", "fe"):
                    place["fl"] = name(key, value)
                elif key == "cfn":
                    callee = name(key, value)
                elif key in ("cob", "cfi", "cfl"):
                    name(key, value)
                elif key == "calls":
                    calls = int(value.split()[0])
                elif re.fullmatch(r"[+*\-\d]\S* \d+\n", line):
                    count = int(line.split()[1])
                    if calls:
                        at = (Path(place["ob"]).name, place["fn"], callee)
                        self.inclusive[at] += count
                        self.calls[at] += calls
                        calls = 0
                    else:
                        self.total += count
                        self.files[place["fl"]] += count

    def of(self, functions, inside=False):
        """Return instructions and calls of functions of nDPI, which Flowloom or nDPI itself calls."""
        found = [at for at in self.inclusive if at[2] in functions and ("libndpi" in at[0]) == inside]
        return sum(self.inclusive[at] for at in found), sum(self.calls[at] for at in found)


def profiled(flowloom, capture, library):
    """Return the profile of a run, its command, and the numbers of packets and flows."""
    line = [flowloom, "meter", *OPTIONS, "--ndpi", library, capture]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        shown = subprocess.run([*valgrind, *map(str, line)], check=True, capture_output=True, text=True).stderr
        profile = Profile(out)
    packets = int(re.search(r"(\d+) metered", shown)[1])
    flows = int(re.search(r"^flows +(\d+)", shown, re.MULTILINE)[1])
    return profile, line, packets, flows


def show(flowloom, capture, library):
    profile, line, packets, flows = profiled(flowloom, capture, library)
    start, _ = profile.of(MODULE)
    total = profile.total - start
    rows, ndpi = [], 0

    def row(what, instructions, calls=None):
        calls = "" if calls is None else f"{calls:,}"
        rows.append([what, calls, f"{instructions / packets:.0f}", f"{100 * instructions / total:.1f} %"])

    for what, functions in PHASES.items():
        instructions, calls = profile.of(functions)
        ndpi += instructions
        row(what, instructions, calls)
        if functions == PHASES["nDPI: packets"]:
            for part, function in PARTS.items():
                row(part, *profile.of([function], inside=True))
    ours = sum(count for file, count in profile.files.items() if re.search(OURS, file))
    row("Flowloom: dissection, without the functions that it calls", ours)
    row("the rest: metering, statistics, output", total - ndpi - ours)
    row("all", total)
    print(f"### {capture.name.split('.')[0]}: {packets:,} packets, {flows:,} flows\n")
    table(["phase", "calls", "instructions a packet", "share"], rows)
    print(f"Not counted: {start / 1e6:.0f} million instructions to start and end nDPI.\n")
    print("    valgrind --tool=callgrind " + " ".join(map(str, line)) + "\n", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("captures", nargs="*", type=Path)
    arguments.add_argument("--flowloom", type=Path, default=FLOWLOOM)
    given = arguments.parse_args()
    library = ndpi_of_reader()
    for capture in given.captures or [newest("zipf*"), newest("mix*")]:
        show(given.flowloom, capture, library)


if __name__ == "__main__":
    main()
