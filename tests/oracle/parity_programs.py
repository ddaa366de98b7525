#!/usr/bin/env python3
"""Run one program with NFStream and with Flowloom, and compare the flows.

    python3 parity_programs.py --python PYTHON --flowloom-python PYTHON --captures tests/captures

The program is `programs/plugins.py`: plugins that read every value, set values of any type, write attributes of flows and
end flows. NFStream runs it as it is. Flowloom runs it with `python -m flowloom.nfstream`. All columns but `id` must be
equal, as a multiset of flows, with a relative error of 10^-9 for floats. Flows of packets to which a rule of `rules.py`
applies are left out: the two programs meter them differently, which `parity.py` explains.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compare import compare, columns_that_differ, key_of, nearest
from explain import explain
from meter import Flow, Settings
from parity import captures_below, flows_in, last_line, run

PROGRAM = Path(__file__).parent / "programs/plugins.py"
CASES = (
    "every_value", "applications", "without_plugins", "any_type", "writer", "key_writer", "cutter", "slicer", "slicer_of_one", "splt",
    "dhcp", "mdns", "active",
)


# The time that a program may take: for its start, and for each capture. NFStream waits for ever if a plugin fails.
START_SECONDS = 20
CAPTURE_SECONDS = 3


def flows_by_capture(command: list[str], case: str, captures: list[Path]) -> dict[Path, list[Flow]]:
    """Run the program, and return the flows of the captures that it could meter."""
    with tempfile.TemporaryDirectory() as folder:
        timeout = START_SECONDS + CAPTURE_SECONDS * len(captures)
        status, _, errors = run([*command, "--case", case, "-o", folder, *map(str, captures)], timeout)
        if status != 0 or "Traceback" in errors:
            raise RuntimeError(last_line(errors) or f"exit status {status}")
        paths = {capture: Path(folder, f"{number}.jsonl") for number, capture in enumerate(captures)}
        return {capture: flows_in(path.read_text()) for capture, path in paths.items() if path.exists()}


def metered(command: list[str], case: str, captures: list[Path]) -> dict[Path, list[Flow]]:
    """Return the flows of the captures, those with a failure left out."""
    try:
        return flows_by_capture(command, case, captures)
    except Exception as failure:
        if len(captures) == 1:
            print(f"{case}: {captures[0]}: {failure}", file=sys.stderr)
            return {}
    half = len(captures) // 2
    return metered(command, case, captures[:half]) | metered(command, case, captures[half:])


def touched_keys(capture: Path) -> set[object]:
    """Return the keys of flows that the two programs meter differently."""
    explanation = explain(capture, Settings(idle_timeout=15))
    each = explanation.nfstream + explanation.flowloom
    return {addresses(expected.flow) for expected in each if expected.rules}


def addresses(flow: Flow) -> object:
    """Return what no plugin of the program writes of the key of a flow."""
    return (flow["src_ip"], flow["dst_ip"].rstrip("!")), flow["protocol"]


def judge(case: str, captures: list[Path], options: argparse.Namespace) -> tuple[int, int, list[str]]:
    """Return the numbers of equal flows and of flows that were left out, and the differences."""
    theirs = metered([options.python, str(PROGRAM)], case, captures)
    ours = metered(
        [*shlex.split(options.flowloom_python), "-m", "flowloom.nfstream", str(PROGRAM)], case, captures
    )
    equal, left_out, differences = 0, 0, []
    for capture in captures:
        if capture not in theirs:
            continue
        if capture not in ours:
            differences.append(f"{case}: {capture}: Flowloom failed")
            continue
        compared = compare(theirs[capture], ours[capture])
        equal += compared.equal
        if not compared.left and not compared.right:
            continue
        touched = touched_keys(capture)
        swapped = {((b, a), protocol) for (a, b), protocol in touched}
        for name, flows, others in (
            ("NFStream", compared.left, compared.right),
            ("Flowloom", compared.right, compared.left),
        ):
            for flow in flows:
                if addresses(flow) in touched | swapped:
                    left_out += 1
                    continue
                twin = nearest(flow, others)
                columns = columns_that_differ(flow, twin) if twin else ["no such flow"]
                values = [f"{column}: {flow.get(column)!r} / {twin.get(column)!r}" for column in columns[:4]] if twin else []
                differences.append(f"{case}: {capture}: only {name} has {key_of(flow)}: {columns} {values}"[:1500])
    # Both programs must have the same columns in the same order.
    for capture in theirs.keys() & ours.keys():
        names = [{tuple(flow) for flow in flows} for flows in (theirs[capture], ours[capture])]
        if not names[0] & names[1] and all(names):
            differences.append(f"{case}: {capture}: columns {names[0]} / {names[1]}")
    return equal, left_out, differences


def main() -> int:
    parser = argparse.ArgumentParser(description="Run one program with NFStream and Flowloom, and compare the flows.")
    add = parser.add_argument
    add("--python", default=sys.executable, help="Python with NFStream")
    add("--flowloom-python", required=True, metavar="COMMAND", help="Python with Flowloom")
    add("--captures", type=Path, nargs="+", required=True, metavar="DIR")
    add("--case", nargs="+", choices=CASES, default=CASES)
    options = parser.parse_args()
    captures = [capture for folder in options.captures for capture in captures_below(folder)]
    if not captures:
        parser.error("there is no capture below the folders")
    failed = False
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for case, result in zip(
            options.case, pool.map(lambda case: judge(case, captures, options), options.case), strict=True
        ):
            equal, left_out, differences = result
            print(f"{case}: {equal} flows are equal, {left_out} left out, {len(differences)} differences")
            for difference in differences[:10]:
                print(f"  {difference}")
            failed |= bool(differences) or equal == 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
