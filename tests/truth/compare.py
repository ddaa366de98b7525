#!/usr/bin/env python3
"""Check that plugins compute the values that their READMEs define.

    make truth         (in its own Python environment)
    tests/truth/compare.py [--flowloom COMMAND] [CAPTURES …]

CAPTURES are files or folders. The default is tests/captures and FLOWLOOM_CAPTURES. A capture of random flows, which the
program writes, is added. The program meters them with the plugins of `definitions.py` and `cic_definitions.py`, in both call
modes. It compares every value of every flow with the value that Python computes from the same packets. The oracle
decodes and meters these packets. Floats may have an error of 10^-9, and those of cicflowmeter a relative error of 10^-12.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import definitions
import packets
import random_flows
from cic_definitions import cicflowmeter

ROOT = packets.ROOT


@dataclass(frozen=True)
class Checked:
    """A plugin: its definition, its grant, and the error that its floats may have."""

    define: Callable[[packets.Flow], dict]
    grant: str | None = None
    relative: float = 1e-9
    absolute: float = 1e-9


PLUGINS = {
    "beacon": Checked(definitions.beacon),
    "cicflowmeter": Checked(cicflowmeter, relative=1e-12, absolute=0),
    "entropy": Checked(definitions.entropy, "payload:256"),
    "first_bytes": Checked(definitions.first_bytes, "payload:32"),
    "tcp_health": Checked(definitions.tcp_health),
}
DONE_OR_DAMAGED = (0, 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captures", nargs="*", type=Path, help="files or folders")
    parser.add_argument("--flowloom", default=str(ROOT / "target/debug/flowloom"))
    parser.add_argument("--plugins", type=Path, default=ROOT / "target/plugins")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        others = Path(folder) / "random.pcap"
        random_flows.write(others)
        sys.exit(compare(arguments, [*packets.files(arguments.captures or packets.default()), others]))


def compare(arguments, paths):
    """Compare the values of all flows. Return whether there are differences."""
    captures = packets.sorted_by_time(paths)
    truth = {flow.id: flow for flow in packets.flows(captures)}
    expected = {name: {flow: plugin.define(truth[flow]) for flow in truth} for name, plugin in PLUGINS.items()}
    differences = [f"no flow has a value of {column}" for column in untested(expected)] if not arguments.captures else []
    for calls in ("auto", "per-event"):
        rows = {row["id"]: row for row in meter(arguments, captures, calls)}
        if set(rows) != set(truth):
            other = sorted(set(rows) ^ set(truth))
            sys.exit(f"compare.py: {len(other)} flows are only in Flowloom or only in the oracle: {other[:9]}")
        for name, plugin in PLUGINS.items():
            found = []
            for number, values in expected[name].items():
                got = rows[number]["udps"][name]
                found += differ(f"flow {number}, {name}, {calls}", plugin, values, got)
            print(f"{name} ({calls}): {len(rows)} flows of {len(captures)} captures, {len(found)} differences")
            differences += found
    for line in differences[:20]:
        print(f"  {line}", file=sys.stderr)
    return bool(differences) or not truth


def untested(expected):
    """Yield the columns that are 0, null or empty in all flows."""
    for name, flows in expected.items():
        columns = {column for values in flows.values() for column in values}
        yield from sorted(f"{name}.{column}" for column in columns if not any(v[column] for v in flows.values()))


def meter(arguments, captures, calls):
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "flows.jsonl"
        command = [arguments.flowloom, "meter", *captures, "-o", output, "--n-dissections", "0"]
        # The definitions treat all captures as one.
        command += ["--group", "one"]
        command += ["--plugin-calls", calls]
        for name, plugin in PLUGINS.items():
            command += ["--plugin", arguments.plugins / f"{name}.wasm"]
            command += ["--grant", f"{name}={plugin.grant}"] if plugin.grant else []
        run = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if run.returncode not in DONE_OR_DAMAGED or "after a trap" in run.stderr:
            sys.exit(f"{' '.join(map(str, command))}\n{run.stderr}")
        return [json.loads(line) for line in output.read_text().splitlines()]


def differ(where, plugin, expected, got):
    if set(expected) != set(got):
        yield f"{where}: outputs are {sorted(got)}, expected are {sorted(expected)}"
        return
    for output, value in got.items():
        wanted = expected[output]
        if isinstance(value, float) and wanted is not None:
            equal = math.isclose(value, wanted, rel_tol=plugin.relative, abs_tol=plugin.absolute)
        else:
            equal = value == wanted
        if not equal:
            yield f"{where}: {output} is {value}, expected is {wanted}"


if __name__ == "__main__":
    main()
