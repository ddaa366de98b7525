#!/usr/bin/env python3
"""Count the instructions of the command `flowloom` per packet, by part of the code.

    tests/bench/instructions.py [FOLDER]

The time of a run varies, but its number of instructions hardly does. The program therefore shows a change of the
packet path even on a busy machine. It runs commands under valgrind's callgrind, on traffic that is generated from a
seed, and prints tables in Markdown. Instructions of the kernel, such as those of reads, are not counted.

FOLDER has the programs; the default is target/release.
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKETS = 100_000
PARTS = [
    ("capture", "reading records"),
    ("decode", "decoding"),
    ("core", "flow table, statistics, SPLT"),
    ("plugin", "events into columns, values out of them"),
    ("sink", "CSV"),
    ("other", "the rest of Flowloom"),
    ("crates", "crates: numbers to text, sorting, hashing, wasmtime"),
    ("libc", "the C library: copying and allocating"),
    ("guest", "the plugin itself"),
]


def part(place):
    ours = re.search(r"\bhost/(\w+)/src/(\w+)", place)
    if ours:
        crate, module = ours.groups()
        for name in (module, crate):
            if name in dict(PARTS):
                return name
        return "other"
    if "???" in place:
        return "guest"
    if "libc" in place or "sysdeps" in place or place.startswith("./"):
        return "libc"
    return "crates"


def counted(line, folder):
    """Run a command. Return its instructions by part."""
    out = folder / "callgrind.out"
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
    subprocess.run([*valgrind, *line], check=True, capture_output=True)
    shown = subprocess.run(
        ["callgrind_annotate", "--show-percs=no", "--threshold=100", "--auto=no", str(out)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    counts = Counter()
    for count, place in re.findall(r"^ *([\d,]+) +(\S.*)$", shown, re.MULTILINE):
        if place != "PROGRAM TOTALS":
            counts[part(place)] += int(count.replace(",", ""))
    return counts


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "target/release"
    traffic, flowloom = folder / "traffic", folder / "flowloom"
    # The command compiles plugins in a child process, which valgrind cannot start.
    library = folder / "examples/meter"
    plugin = ROOT / "target/plugins/packet_stats.wasm"
    meter = [flowloom, "meter", "-o", "/dev/null", "--n-dissections", "0"]
    ways = {
        "core": meter,
        "with statistics and SPLT 20": [
            *meter,
            "--statistical-analysis",
            "--splt-analysis",
            "20",
        ],
        "core, by the library": [library, "/dev/null"],
        "with packet_stats, by the library": [library, "/dev/null", plugin],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def made(name, kind, flows, packets=PACKETS):
            capture = folder / f"{name}.pcap"
            of = [kind, "--flows", str(flows), "--packets", str(packets)]
            subprocess.run([traffic, "--output", capture, *of], check=True)
            return capture

        empty = made("empty", "uniform", 1, packets=1)
        for capture in [made("zipf", "zipf", PACKETS // 10), made("uniform", "uniform", 100)]:
            rows = {}
            for what, line in ways.items():
                line = [str(word) for word in line]
                at = 2 if line[0] == str(library) else len(line)
                counts = counted([*line[:at], str(capture), *line[at:]], folder)
                # The start of the command and the compilation of plugins are not costs of packets.
                start = counted([*line[:at], str(empty), *line[at:]], folder)
                rows[what] = {p: (counts[p] - start[p]) / PACKETS for p, _ in PARTS}
            print(f"### {capture.stem}: {PACKETS:,} packets, instructions a packet\n")
            print("| part | " + " | ".join(ways) + " |")
            print("| :-- |" + " --: |" * len(ways))
            for name, doc in PARTS:
                print(f"| {doc} | " + " | ".join(f"{rows[w][name]:.0f}" for w in ways) + " |")
            print("| all | " + " | ".join(f"{sum(rows[w].values()):.0f}" for w in ways) + " |\n")


if __name__ == "__main__":
    main()
