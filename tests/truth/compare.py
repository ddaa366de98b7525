#!/usr/bin/env python3
"""Check that plugins compute the values that their READMEs define.

    make truth         (in its own Python environment)
    tests/truth/compare.py [--flowloom COMMAND] [CAPTURES …]

CAPTURES are files or folders. The default is tests/captures and FLOWLOOM_CAPTURES. The program meters them with the
plugins of `definitions.py`, in both call modes. It compares every value of every flow with the value that Python
computes from the same packets. The oracle decodes and meters these packets. Floats may have a relative error of 10^-9.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import definitions
import packets

ROOT = Path(__file__).resolve().parent.parent.parent
#: The plugins and their grants.
PLUGINS = {"beacon": None, "entropy": "payload:256", "first_bytes": "payload:32", "tcp_health": None}
MAGIC = [bytes.fromhex(magic) for magic in ("0a0d0d0a", "a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1")]
DONE_OR_DAMAGED = (0, 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captures", nargs="*", type=Path, help="files or folders")
    parser.add_argument("--flowloom", default=str(ROOT / "target/debug/flowloom"))
    parser.add_argument("--plugins", type=Path, default=ROOT / "target/plugins")
    arguments = parser.parse_args()
    captures = packets.sorted_by_time(files(arguments.captures or default()))
    truth = {flow.id: flow for flow in packets.flows(captures)}
    differences = []
    for calls in ("auto", "per-event"):
        rows = {row["id"]: row for row in meter(arguments, captures, calls)}
        if set(rows) != set(truth):
            other = sorted(set(rows) ^ set(truth))
            sys.exit(f"compare.py: {len(other)} flows are only in Flowloom or only in the oracle: {other[:9]}")
        for name in PLUGINS:
            found = []
            for number, flow in truth.items():
                expected, got = getattr(definitions, name)(flow), rows[number]["udps"][name]
                found += differ(f"flow {number}, {name}, {calls}", expected, got)
            print(f"{name} ({calls}): {len(rows)} flows of {len(captures)} captures, {len(found)} differences")
            differences += found
    for line in differences[:20]:
        print(f"  {line}", file=sys.stderr)
    sys.exit(bool(differences) or not truth)


def default():
    others = os.environ.get("FLOWLOOM_CAPTURES")
    return [ROOT / "tests/captures", *([Path(others)] if others else [])]


def files(paths):
    """Yield the captures that the oracle can read, which are not compressed."""
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if file.is_file() and file.open("rb").read(4) in MAGIC:
                yield file


def meter(arguments, captures, calls):
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "flows.jsonl"
        command = [arguments.flowloom, "meter", *captures, "-o", output, "--n-dissections", "0"]
        # The definitions treat all captures as one.
        command += ["--group", "one"]
        command += ["--plugin-calls", calls]
        for name, grant in PLUGINS.items():
            command += ["--plugin", arguments.plugins / f"{name}.wasm"]
            command += ["--grant", f"{name}={grant}"] if grant else []
        run = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if run.returncode not in DONE_OR_DAMAGED or "after a trap" in run.stderr:
            sys.exit(f"{' '.join(map(str, command))}\n{run.stderr}")
        return [json.loads(line) for line in output.read_text().splitlines()]


def differ(where, expected, got):
    if set(expected) != set(got):
        yield f"{where}: outputs are {sorted(got)}, expected are {sorted(expected)}"
        return
    for output, value in got.items():
        wanted = expected[output]
        if isinstance(value, float) and wanted is not None:
            equal = abs(value - wanted) <= 1e-9 * max(1, abs(value))
        else:
            equal = value == wanted
        if not equal:
            yield f"{where}: {output} is {value}, expected is {wanted}"


if __name__ == "__main__":
    main()
