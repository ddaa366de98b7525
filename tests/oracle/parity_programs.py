#!/usr/bin/env python3
"""Run one program with NFStream and with Flowloom, and compare the flows.

    python3 parity_programs.py --python PYTHON --flowloom-python PYTHON --captures tests/captures

The program is `programs/plugins.py`, and in the last case `programs/flow_slicer.py`: plugins that read every value, set values of any type, write attributes of flows and
end flows. NFStream runs it as it is. Flowloom runs it with `python -m flowloom.nfstream`. All columns but `id` must be
equal, as a multiset of flows, with a relative error of 10^-9 for floats. Flows of packets to which a rule of `rules.py`
applies are left out: the two programs meter them differently, which `parity.py` explains.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compare import compare, columns_that_differ, key_of, nearest
from explain import explain
from meter import Flow, Settings
from parity import Failed, captures_below, flows_in, run

PROGRAMS = Path(__file__).parent / "programs"
PROGRAM = PROGRAMS / "plugins.py"
# The case that is a program of its own.
SLICER = "flow_slicer_program"
CASES = (
    "every_value", "applications", "without_plugins", "any_type", "writer", "key_writer", "cutter", "slicer", "slicer_of_one", "splt",
    "dhcp", "mdns", "active", SLICER,
)


# Values that `plugins.py` judges, because NFStream's plugin leaves out messages that Flowloom's reads.
JUDGED_ELSEWHERE = {"mdns": "udps.mdns_ptr"}
# The time that a program may take for a capture, and for its start. NFStream waits for ever if a plugin fails.
STALL_SECONDS = 20


def metered(command: list[str], case: str, captures: list[Path]) -> dict[Path, list[Flow]]:
    """Run the program, and return the flows of the captures that it could meter.

    If it fails or stops at a capture, it runs again with those after it.
    """
    flows: dict[Path, list[Flow]] = {}
    rest = captures
    while rest:
        with tempfile.TemporaryDirectory() as folder:
            arguments = ["--case", case, "-o", folder, *map(str, rest)]
            is_over = run_while_it_writes([*command, *arguments], Path(folder))
            paths = {capture: Path(folder, f"{number}.jsonl") for number, capture in enumerate(rest)}
            flows |= {capture: flows_in(path.read_text()) for capture, path in paths.items() if path.exists()}
            if is_over:
                break
            parts = [int(path.stem) for path in Path(folder).glob("*.part")]
            last = max(parts, default=0)
            print(f"{case}: {rest[last]}: {command[0]} failed", file=sys.stderr)
            rest = rest[last + 1 :]
    return flows


def sliced(command: list[str], captures: list[Path]) -> dict[Path, list[Flow]]:
    """Return the flows that `programs/flow_slicer.py` prints, with the text of their packets."""
    flows = {}
    for capture in captures:
        try:
            status, printed, errors = run([*command, str(PROGRAMS / "flow_slicer.py"), str(capture)], STALL_SECONDS)
        except Failed:
            continue
        if status == 0 and "Traceback" not in errors:
            flows[capture] = [printed_flow(line) for line in printed.splitlines()]
    return flows


def printed_flow(line: str) -> Flow:
    # The identities of flows have no value as a text.
    *packets, flow = ast.literal_eval(re.sub(r"<(cdata|flow|NFEvent)[^>]*>", "0", line))["all_data"]
    for packet in packets:
        # Known differences: the addresses of each packet, and padding.
        del packet["src_mac"], packet["dst_mac"]
        packet["ip_packet"] = packet["ip_packet"][: 2 * packet["ip_size"]]
        packet["ip_packet_binary"] = packet["ip_packet_binary"][: packet["ip_size"]]
    return flow | {"packets": repr(packets)}


def run_while_it_writes(command: list[str], folder: Path) -> bool:
    """Run a program until it ends, and return whether it has ended well. It is killed if it no longer writes files."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )
        written, since = 0, time.monotonic()
        while process.poll() is None:
            time.sleep(0.1)
            count = sum(1 for _ in folder.iterdir())
            if count > written:
                written, since = count, time.monotonic()
            elif time.monotonic() - since > STALL_SECONDS:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return False
        errors.seek(0)
        return process.returncode == 0 and "Traceback" not in errors.read()


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
    programs = [[options.python], [*shlex.split(options.flowloom_python), "-m", "flowloom.nfstream"]]
    if case == SLICER:
        theirs, ours = (sliced(program, captures) for program in programs)
    else:
        theirs, ours = (metered([*program, str(PROGRAM)], case, captures) for program in programs)
    equal, left_out, differences = 0, 0, []
    for capture in captures:
        if capture not in theirs:
            continue
        if capture not in ours:
            differences.append(f"{case}: {capture}: Flowloom failed")
            continue
        for flow in theirs[capture] + ours[capture]:
            if case in JUDGED_ELSEWHERE:
                del flow[JUDGED_ELSEWHERE[case]]
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
