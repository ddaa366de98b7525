#!/usr/bin/env python3
"""Compares features with plugins in Rust that have the same columns.

    tests/features/twins.py [--flowloom FILE] [CAPTURE...]

A twin is a file plugins/NAME/NAME.features beside the Rust plugin NAME. Both run at once over the captures. All values must be
equal, and floats to the last bit. CAPTURE is a file or a folder. The default is tests/captures and FLOWLOOM_CAPTURES.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DONE_OR_DAMAGED = (0, 3)

# The grants of the twins.
GRANTS = {"packet_stats": None, "first_bytes": "payload:32"}
# The columns of features whose names are not those of the plugin.
RENAMED = {"first_bytes": {"src2dst_bytes": "src2dst", "dst2src_bytes": "dst2src"}}


def compile_features(args, source, target):
    command = [args.flowloom, "plugin", "compile", source, "-o", target]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def meter(args, captures, folder):
    """Return the flows with the values of all plugins and their twins."""
    output = folder / "flows.jsonl"
    command = [args.flowloom, "-qq", "meter", *captures, "-o", output, "--n-dissections=0"]
    for name, grant in GRANTS.items():
        twin = folder / f"{name}.wasm"
        compile_features(args, ROOT / f"plugins/{name}/{name}.features", twin)
        command += ["--plugin", args.plugins / f"{name}.wasm", "--plugin", f"{name}_twin={twin}"]
        if grant:
            command += ["--grant", f"{name}={grant}", "--grant", f"{name}_twin={grant}"]
    code = subprocess.run(command, check=False).returncode
    # Some captures of the tests end early, which gives another exit code than 0.
    if code not in DONE_OR_DAMAGED:
        sys.exit(f"twins.py: the command ended with {code}: {' '.join(map(str, command))}")
    return [json.loads(line) for line in output.read_text().splitlines()]


def of_plugin(name, values):
    """Return the values of features under the names of the plugin. It has null instead of no bytes."""
    renamed = RENAMED.get(name, {})
    return {renamed.get(column, column): None if value == "" else value for column, value in values.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--flowloom", default=ROOT / "target/debug/flowloom", type=Path)
    parser.add_argument("--plugins", default=ROOT / "target/plugins", type=Path)
    parser.add_argument("captures", nargs="*", type=Path)
    args = parser.parse_args()
    others = os.environ.get("FLOWLOOM_CAPTURES")
    captures = args.captures or [ROOT / "tests/captures", *([Path(others)] if others else [])]
    with tempfile.TemporaryDirectory() as folder:
        flows = meter(args, captures, Path(folder))
    differences = 0
    for name in GRANTS:
        values = Counter()
        for flow in flows:
            expected, found = flow["udps"][name], of_plugin(name, flow["udps"][f"{name}_twin"])
            for column in sorted(expected.keys() | found.keys()):
                values["all"] += 1
                values["not null"] += expected.get(column) is not None
                # The text of a float is the shortest with this value. `repr` also distinguishes -0.0 from 0.0, and types.
                if column in expected and column in found and repr(expected[column]) == repr(found[column]):
                    continue
                values["different"] += 1
                if values["different"] <= 10:
                    print(f"flow {flow['id']}, {name}.{column}: {expected.get(column)}, twin {found.get(column)}")
        counts = f"{values['all']} values ({values['not null']} not null), {values['different']} differences"
        print(f"{name}: {len(flows)} flows, {counts}")
        differences += values["different"] or not values["not null"]
    sys.exit(differences > 0)


if __name__ == "__main__":
    main()
