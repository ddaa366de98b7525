#!/usr/bin/env python3
"""Compare the values of plugins that are written in different languages.

    tests/languages/compare.py [--flowloom COMMAND] [--each] [CAPTURES…]

CAPTURES are files or folders. The default is tests/captures and FLOWLOOM_CAPTURES. The program meters them with all
`first_bytes_stats*.wasm` and `every_type*.wasm` of target/plugins, in both call modes. It compares the values of every
flow with those of the Rust plugin. All values must be equal, floats bit by bit. Only `entropy` may differ slightly,
because each language has its own logarithm. One run meters all captures, because loading the plugins takes many
seconds. With --each, every capture has its own run.

The plugins `slicer*.wasm` cut flows, which changes the flows themselves. Each of them has its own run. All flows and
their values must be equal to those of the run with the Rust plugin.
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
#: The plugins in Rust, their grants, and their options with one event a call and with batches.
REFERENCES = {
    "first_bytes_stats": ("payload:{n}", "n={n}", "n={n}"),
    "every_type": ("addresses,payload:8,bytes:20", "", "add={n},factor=0.25,negate=true,name=ü,most={n}"),
}
#: The units in the last place by which a value may differ. An entropy is a sum of logarithms, and Go's logarithm is
#: sometimes one unit off.
ULPS = {"entropy": 16}
#: The numbers of payload bytes, and of packets. All plugins run with the first number, in both call modes. Plugins that load quickly
#: also run with the others: the minimum, and more than a packet has.
OPTIONS = [64, 1, 2000]
LOADS_AT_ONCE = 1 << 20  # bytes
#: The Rust plugin that cuts flows, and the numbers of packets after which it does so. All plugins run with the first
#: number, plugins that load quickly also with the others.
CUTTING = "slicer"
LIMITS = [3, 1, 20]
CUT = -1  # the expiration_id of a cut flow
DONE_OR_DAMAGED = (0, 3)


def main():
    arguments = parse()
    found = sorted(arguments.plugins.glob("*.wasm"))
    plugins = [plugin for plugin in found if reference(plugin.stem)]
    cutting = [plugin for plugin in found if is_translation(plugin.stem, CUTTING)]
    names = [plugin.stem for plugin in [*plugins, *cutting]]
    wanted = [*REFERENCES, CUTTING]
    wanted += [f"{name}_{language}" for name in wanted for language in arguments.expect]
    missing = [name for name in wanted if name not in names]
    if missing:
        sys.exit(f"compare.py: {arguments.plugins} does not have {', '.join(missing)}")
    differences, flows, cuts, largest = [], 0, 0, Counter()
    small = small_of(plugins)
    rounds = [("auto", OPTIONS[0], plugins), ("per-event", OPTIONS[0], plugins)]
    rounds += [("auto", n, small) for n in OPTIONS[1:]]
    for captures in runs(arguments.captures, arguments.each):
        for calls, n, some in rounds:
            rows = meter(arguments.flowloom, captures, some, calls, n)
            flows += len(rows)
            for row in rows:
                differences += compare(row, calls, n, largest)
        for limit in LIMITS:
            truth = cut(arguments.flowloom, captures, arguments.plugins / f"{CUTTING}.wasm", limit)
            flows += len(truth)
            cuts += sum(row["expiration_id"] == CUT for row in truth)
            for plugin in cutting if limit == LIMITS[0] else small_of(cutting):
                if plugin.stem != CUTTING:
                    rows = cut(arguments.flowloom, captures, plugin, limit)
                    differences += compare_cut(plugin.stem, rows, truth, limit)
    for line in differences[:20]:
        print(line, file=sys.stderr)
    for name in names:
        if largest[name]:
            print(f"{name}: entropy is up to {largest[name]} units in the last place off")
    print(f"{len(names)} plugins, {flows} flows, {cuts} of them cut, {len(differences)} differences")
    sys.exit(bool(differences) or not flows or not cuts)


def reference(name):
    """Return the name of the Rust plugin that a plugin translates."""
    return next((rust for rust in REFERENCES if is_translation(name, rust)), None)


def is_translation(name, rust):
    """Return whether a plugin is the Rust plugin or a translation of it."""
    return name == rust or name.startswith(f"{rust}_")


def small_of(plugins):
    """Return the plugins that load quickly."""
    return [plugin for plugin in plugins if plugin.stat().st_size < LOADS_AT_ONCE]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captures", nargs="*", type=Path, help="files or folders")
    parser.add_argument("--flowloom", default=str(ROOT / "target/debug/flowloom"))
    parser.add_argument("--plugins", type=Path, default=ROOT / "target/plugins")
    parser.add_argument("--expect", nargs="*", default=[], help="languages that must exist")
    parser.add_argument("--each", action="store_true", help="meter every capture in its own run")
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
    options = ["--plugin-calls", calls]
    for plugin in plugins:
        grant, *given = REFERENCES[reference(plugin.stem)]
        given = given[calls == "auto"].format(n=n)
        options += ["--plugin", f"{plugin},{given}" if given else plugin]
        options += ["--grant", f"{plugin.stem}={grant.format(n=n)}"]
    return run(flowloom, captures, options)


def cut(flowloom, captures, plugin, limit):
    """Return the flows of a run with a plugin that cuts flows. The name of the plugin in the flows is CUTTING."""
    return run(flowloom, captures, ["--plugin", f"{CUTTING}={plugin},limit={limit}"])


def run(flowloom, captures, options):
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "flows.jsonl"
        command = [flowloom, "meter", *captures, "-o", output, *options]
        command += ["--statistical-analysis", "--splt-analysis", "5"]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode not in DONE_OR_DAMAGED or "after a trap" in done.stderr:
            sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
        return [json.loads(line) for line in output.read_text().splitlines()]


def compare(row, calls, n, largest):
    udps = row["udps"]
    for name, values in udps.items():
        truth = udps[reference(name)]
        if list(values) != list(truth):
            yield f"{name}: its outputs are {list(values)}"
            continue
        for output, value in values.items():
            off = distance(value, truth[output])
            if output in ULPS:
                largest[name] = max(largest[name], off)
            if off > ULPS.get(output, 0):
                where = f"flow {row['id']} ({row['src_ip']} to {row['dst_ip']}), {calls}, n={n}"
                yield f"{name}: {output} is {value}, not {truth[output]}: {where}"


def compare_cut(name, rows, truth, limit):
    """Compare the flows of a plugin that cuts flows with those of the Rust plugin."""
    if len(rows) != len(truth):
        yield f"{name}: {len(rows)} flows, not {len(truth)}: limit={limit}"
    for row, expected in zip(rows, truth):
        for field in row.keys() | expected.keys():
            value, other = row.get(field), expected.get(field)
            if value != other:
                yield f"{name}: {field} is {value}, not {other}: flow {row['id']}, limit={limit}"


def distance(a, b):
    """Return the distance in units in the last place, or infinity for unequal values of other types."""
    if a == b:
        return 0
    if isinstance(a, float) and isinstance(b, float):
        a, b = (struct.unpack("<q", struct.pack("<d", value))[0] for value in (a, b))
        return abs(a - b)
    return float("inf")


if __name__ == "__main__":
    main()
