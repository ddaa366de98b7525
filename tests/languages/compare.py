#!/usr/bin/env python3
"""Whether one feature written in every language gives the same values.

    tests/languages/compare.py [--flowloom COMMAND] [--each] [CAPTURES…]

Meters captures (files or folders; by default our own, and those of FLOWLOOM_CAPTURES) with all
`first_bytes_stats*.wasm` of target/plugins at once, in both worlds, and compares the values of every
flow with the Rust plugin's: integers and nulls are equal, floats equal to the last bit but for
`entropy`, whose logarithm is each language's own. All captures are metered as one, since loading the
plugins takes many seconds; with --each, every capture is a run of its own.
"""

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
REFERENCE = "first_bytes_stats"
#: Units in the last place that a value may differ by.
ULPS = {"entropy": 2}
#: Payload bytes that count. All plugins get the first number, in both worlds; those that load at once
#: the others too: the least, and more than a packet has.
OPTIONS = [64, 1, 2000]
LOADS_AT_ONCE = 1 << 20  # bytes
DONE_OR_DAMAGED = (0, 3)


def main():
    arguments = parse()
    plugins = sorted(arguments.plugins.glob(f"{REFERENCE}*.wasm"))
    names = [plugin.stem for plugin in plugins]
    missing = [name for name in [REFERENCE, *arguments.expect] if name not in names]
    if missing or len(names) < 2:
        sys.exit(f"compare.py: {', '.join(missing) or 'a second plugin'} is missing in {arguments.plugins}")
    differences, flows, farthest = [], 0, Counter()
    small = [plugin for plugin in plugins if plugin.stat().st_size < LOADS_AT_ONCE]
    rounds = [("quickest", OPTIONS[0], plugins), ("events", OPTIONS[0], plugins)]
    rounds += [("quickest", n, small) for n in OPTIONS[1:]]
    for captures in runs(arguments.captures, arguments.each):
        for world, n, some in rounds:
            rows = meter(arguments.flowloom, captures, some, world, n)
            flows += len(rows)
            for row in rows:
                differences += compare(row, world, n, farthest)
    for line in differences[:20]:
        print(line, file=sys.stderr)
    for name in names:
        if name != REFERENCE:
            print(f"{name}: entropy is at most {farthest[name]} units in the last place off")
    print(f"{len(names)} plugins, {flows} flows, {len(differences)} differences")
    sys.exit(bool(differences) or not flows)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captures", nargs="*", type=Path, help="files or folders")
    parser.add_argument("--flowloom", default=str(ROOT / "target/debug/flowloom"))
    parser.add_argument("--plugins", type=Path, default=ROOT / "target/plugins")
    parser.add_argument("--expect", nargs="*", default=[], help="plugins that have to be there")
    parser.add_argument("--each", action="store_true", help="every capture by itself")
    arguments = parser.parse_args()
    if not arguments.captures:
        others = os.environ.get("FLOWLOOM_CAPTURES")
        arguments.captures = [ROOT / "tests/captures", *([Path(others)] if others else [])]
    return arguments


def runs(paths, each):
    captures = []
    for path in paths:
        files = path.iterdir() if path.is_dir() else [path]
        captures += sorted(file for file in files if ".pcap" in file.name)
    return [[capture] for capture in captures] if each else [captures]


def meter(flowloom, captures, plugins, world, n):
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "flows.jsonl"
        command = [flowloom, "meter", *captures, "-o", output, "--plugin-world", world]
        for plugin in plugins:
            command += ["--plugin", f"{plugin},n={n}", "--grant", f"{plugin.stem}=payload:{n}"]
        run = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if run.returncode not in DONE_OR_DAMAGED or "after a trap" in run.stderr:
            sys.exit(f"{' '.join(map(str, command))}\n{run.stderr}")
        return [json.loads(line) for line in output.read_text().splitlines()]


def compare(row, world, n, farthest):
    udps = row["udps"]
    reference = udps[REFERENCE]
    for name, values in udps.items():
        if list(values) != list(reference):
            yield f"{name}: its outputs are {list(values)}"
            continue
        for output, value in values.items():
            off = distance(value, reference[output])
            if output in ULPS:
                farthest[name] = max(farthest[name], off)
            if off > ULPS.get(output, 0):
                where = f"flow {row['id']} ({row['src_ip']} to {row['dst_ip']}), {world}, n={n}"
                yield f"{name}: {output} is {value}, not {reference[output]}: {where}"


def distance(a, b):
    """Units in the last place between floats; infinite between values of other kinds that differ."""
    if a == b:
        return 0
    if isinstance(a, float) and isinstance(b, float):
        a, b = (struct.unpack("<q", struct.pack("<d", value))[0] for value in (a, b))
        return abs(a - b)
    return float("inf")


if __name__ == "__main__":
    main()
