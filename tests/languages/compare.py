#!/usr/bin/env python3
"""Whether plugins that are written in every language give the same values.

    tests/languages/compare.py [--flowloom COMMAND] [--each] [CAPTURES…]

Meters captures (files or folders; by default our own, and those of FLOWLOOM_CAPTURES) with all
`first_bytes_stats*.wasm` and `every_type*.wasm` of target/plugins at once, with both kinds of calls, and compares
the values of every flow with the Rust plugin's: all are equal, floats to the last bit but for
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
#: Plugins in Rust, what they are granted, and the key of their option.
REFERENCES = {
    "first_bytes_stats": ("payload:{n}", "n"),
    "every_type": ("addresses,payload:8,bytes:20", None),
}
#: Units in the last place that a value may differ by: an entropy is a sum of logarithms, of which Go's
#: are one unit off at times.
ULPS = {"entropy": 16}
#: Payload bytes that count. All plugins get the first number, with both kinds of calls; those that load at once
#: the others too: the least, and more than a packet has.
OPTIONS = [64, 1, 2000]
LOADS_AT_ONCE = 1 << 20  # bytes
#: Languages without calls per event.
ONLY_BATCHES = ("_c", "_go", "_zig")
DONE_OR_DAMAGED = (0, 3)


def main():
    arguments = parse()
    plugins = [plugin for plugin in sorted(arguments.plugins.glob("*.wasm")) if reference(plugin.stem)]
    names = [plugin.stem for plugin in plugins]
    wanted = [f"{name}_{language}" for name in REFERENCES for language in arguments.expect]
    missing = [name for name in [*REFERENCES, *wanted] if name not in names]
    if missing:
        sys.exit(f"compare.py: {arguments.plugins} does not have {', '.join(missing)}")
    differences, flows, farthest = [], 0, Counter()
    small = [plugin for plugin in plugins if plugin.stat().st_size < LOADS_AT_ONCE]
    dual = [plugin for plugin in plugins if not plugin.stem.endswith(ONLY_BATCHES)]
    rounds = [("auto", OPTIONS[0], plugins), ("per-event", OPTIONS[0], dual)]
    rounds += [("auto", n, small) for n in OPTIONS[1:]]
    for captures in runs(arguments.captures, arguments.each):
        for calls, n, some in rounds:
            rows = meter(arguments.flowloom, captures, some, calls, n)
            flows += len(rows)
            for row in rows:
                differences += compare(row, calls, n, farthest)
    for line in differences[:20]:
        print(line, file=sys.stderr)
    for name in names:
        if farthest[name]:
            print(f"{name}: entropy is up to {farthest[name]} units in the last place off")
    print(f"{len(names)} plugins, {flows} flows, {len(differences)} differences")
    sys.exit(bool(differences) or not flows)


def reference(name):
    """The Rust plugin that a plugin is a translation of."""
    return next((rust for rust in REFERENCES if name == rust or name.startswith(f"{rust}_")), None)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captures", nargs="*", type=Path, help="files or folders")
    parser.add_argument("--flowloom", default=str(ROOT / "target/debug/flowloom"))
    parser.add_argument("--plugins", type=Path, default=ROOT / "target/plugins")
    parser.add_argument("--expect", nargs="*", default=[], help="languages that have to be there")
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


def meter(flowloom, captures, plugins, calls, n):
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "flows.jsonl"
        command = [flowloom, "meter", *captures, "-o", output, "--plugin-calls", calls]
        command += ["--statistical-analysis", "--splt-analysis", "5"]
        for plugin in plugins:
            grant, key = REFERENCES[reference(plugin.stem)]
            command += ["--plugin", f"{plugin},{key}={n}" if key else plugin]
            command += ["--grant", f"{plugin.stem}={grant.format(n=n)}"]
        run = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if run.returncode not in DONE_OR_DAMAGED or "after a trap" in run.stderr:
            sys.exit(f"{' '.join(map(str, command))}\n{run.stderr}")
        return [json.loads(line) for line in output.read_text().splitlines()]


def compare(row, calls, n, farthest):
    udps = row["udps"]
    for name, values in udps.items():
        truth = udps[reference(name)]
        if list(values) != list(truth):
            yield f"{name}: its outputs are {list(values)}"
            continue
        for output, value in values.items():
            off = distance(value, truth[output])
            if output in ULPS:
                farthest[name] = max(farthest[name], off)
            if off > ULPS.get(output, 0):
                where = f"flow {row['id']} ({row['src_ip']} to {row['dst_ip']}), {calls}, n={n}"
                yield f"{name}: {output} is {value}, not {truth[output]}: {where}"


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
