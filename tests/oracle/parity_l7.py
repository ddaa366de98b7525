#!/usr/bin/env python3
"""Dissect captures with nDPI's own reader and with Flowloom, and explain every difference.

    python3 parity_l7.py --flowloom target/debug/flowloom --captures tests/captures

The program runs `ndpiReader -v 2 -C FILE -T 19 -U 19` (with the limit N, the reader dissects N + 1 packets) and
`flowloom meter --n-dissections 20` on every capture below the folder. The reader ends no flow before the end of a
capture, and decodes no tunnels by default. The options of Flowloom select the same behaviour. Flows are joined by
protocol, addresses and ports, then by the time of their first packets. These columns are compared:

    application_name        ndpi_proto
    requested_server_name   server_name_sni
    client_fingerprint      ja3c or ssh_client_hassh
    server_fingerprint      ja3s or ssh_server_hassh

A difference is explained if a reason below applies to the flow. All others are printed. Flows that only one side has
are differences of metering, which `parity.py` explains. The exit status is 1 if less than 99 % of the common flows are
equal, or if a difference is not explained.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from parity import GOOD_STATUSES, Failed, captures_below, flows_in, last_line, run

# A timeout that ends no flow before the end of its capture.
NEVER_S = str(10**12)
DISSECTIONS = 20
COLUMNS = (
    "application_name",
    "requested_server_name",
    "client_fingerprint",
    "server_fingerprint",
)

Key = tuple[int, tuple[tuple[str, int], ...]]


@dataclass(frozen=True)
class Known:
    """The values of a flow of one program."""

    first_seen_ms: int
    last_seen_ms: int
    packets: int
    values: dict[str, str]


Flows = dict[Key, list[Known]]


@dataclass(frozen=True)
class Reason:
    """A reason why the values of a flow may differ."""

    title: str
    sentence: str
    holds: Callable[[Known, Known], bool]


@dataclass
class Outcome:
    """The result of a capture."""

    capture: Path
    reader: int = 0
    flowloom: int = 0
    joined: int = 0
    equal: int = 0
    columns: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)
    only_reader: int = 0
    only_flowloom: int = 0
    failed: str = ""


# Flows of ndpiReader


def reader_flows(capture: Path, options: argparse.Namespace) -> Flows:
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        limits = ["-T", str(DISSECTIONS - 1), "-U", str(DISSECTIONS - 1)]
        command = [options.reader, "-i", str(capture), "-v", "2", "-C", file.name, *limits]
        status, _, errors = run(command, options.timeout)
        text = Path(file.name).read_bytes().decode("utf-8", "replace")
    if status != 0:
        raise Failed(last_line(errors) or f"exit status {status}")
    head, *lines = text.split("\n")
    names = head.removeprefix("#").split(",")
    flows: Flows = defaultdict(list)
    for line in lines:
        if not line:
            continue
        row = reader_row(names, line)
        key = flow_key(row["protocol"], row["src_ip"], row["src_port"], row["dst_ip"], row["dst_port"])
        values = (
            row["ndpi_proto"],
            row["server_name_sni"],
            row["ja3c"] or row["ssh_client_hassh"],
            row["ja3s"] or row["ssh_server_hassh"],
        )
        flows[key].append(
            Known(
                first_seen_ms=round(float(row["first_seen"]) * 1000),
                last_seen_ms=round(float(row["last_seen"]) * 1000),
                packets=int(row["c_to_s_pkts"]) + int(row["s_to_c_pkts"]),
                values=dict(zip(COLUMNS, values, strict=True)),
            )
        )
    return flows


# Columns with texts from packets. The reader does not escape commas in them, so the pattern of the next columns
# determines where a text ends.
TEXTS = {
    "server_name_sni": re.compile(r"\d+,\d+,\d+,\d+,\d+,\d+,-?[\d.naif]+,(Upload|Download|Mixed),"),
    "server_info": re.compile(r"[^,]*,([0-9a-f]{32})?,[^,]*,([0-9a-f]{32})?,[^,]*,"),
}


def reader_row(names: list[str], line: str) -> dict[str, str]:
    row: dict[str, str] = {}
    for name in names:
        if name == "flow_info":
            row[name], _, line = line.rpartition(",")
            continue
        end = line.find(",")
        if behind := TEXTS.get(name):
            while end >= 0 and not behind.match(line, end + 1):
                end = line.find(",", end + 1)
        row[name], line = (line, "") if end < 0 else (line[:end], line[end + 1 :])
    return row


# Flows of Flowloom


def flowloom_flows(capture: Path, options: argparse.Namespace) -> Flows:
    command = [*shlex.split(options.flowloom), "meter", str(capture), "--format", "jsonl"]
    command += ["--idle-timeout", NEVER_S, "--active-timeout", NEVER_S]
    command += ["--no-decode-tunnels", "--n-dissections", str(DISSECTIONS)]
    status, out, errors = run(command, options.timeout)
    if status not in GOOD_STATUSES:
        raise Failed(f"Flowloom: exit status {status}: {last_line(errors)}")
    flows: Flows = defaultdict(list)
    for flow in flows_in(out):
        key = flow_key(*(flow[name] for name in ("protocol", "src_ip", "src_port", "dst_ip", "dst_port")))
        flows[key].append(
            Known(
                first_seen_ms=flow["bidirectional_first_seen_ms"],
                last_seen_ms=flow["bidirectional_last_seen_ms"],
                packets=flow["bidirectional_packets"],
                values={name: flow[name] for name in COLUMNS},
            )
        )
    return flows


def flow_key(protocol: object, src: object, sport: object, dst: object, dport: object) -> Key:
    ends = sorted([(address(str(src)), int(str(sport))), (address(str(dst)), int(str(dport)))])
    return int(str(protocol)), tuple(ends)


def address(text: str) -> str:
    """Return an address as the reader writes it. Some of its addresses are invalid."""
    if ":" in text:
        try:
            text = str(ip_address(text))
        except ValueError:
            pass
    return text.replace(":0:", "::")


# Reasons for differences


def have_other_packets(reader: Known, flowloom: Known) -> bool:
    """Compare times with a precision of 1 ms, which is that of the reader's CSV."""
    return (
        reader.packets != flowloom.packets
        or abs(reader.first_seen_ms - flowloom.first_seen_ms) > 1
        or abs(reader.last_seen_ms - flowloom.last_seen_ms) > 1
    )


REASONS = (
    Reason(
        "other-packets",
        "the two count different packets for the flow: the reader ignores IPv4 packets that were not"
        " captured completely, or reads a malformed packet differently",
        have_other_packets,
    ),
)


def judge(capture: Path, options: argparse.Namespace) -> Outcome:
    outcome = Outcome(capture)
    try:
        theirs = reader_flows(capture, options)
        ours = flowloom_flows(capture, options)
    except Failed as failure:
        outcome.failed = str(failure)
        return outcome
    outcome.reader = sum(map(len, theirs.values()))
    outcome.flowloom = sum(map(len, ours.values()))
    for key, flows in theirs.items():
        for reader, flowloom in pairs(flows, ours.get(key, [])):
            outcome.joined += 1
            differing = columns_that_differ(reader, flowloom)
            outcome.columns.update(differing)
            if not differing:
                outcome.equal += 1
            elif reason := next((each for each in REASONS if each.holds(reader, flowloom)), None):
                outcome.reasons[reason.title] += 1
            else:
                outcome.unexplained.append(describe(key, differing, reader, flowloom))
    outcome.only_reader = outcome.reader - outcome.joined
    outcome.only_flowloom = outcome.flowloom - outcome.joined
    return outcome


def columns_that_differ(reader: Known, flowloom: Known) -> list[str]:
    names = [name for name in COLUMNS if reader.values[name] != flowloom.values[name]]
    # The reader computes the fingerprints of DHCP clients, but does not write them.
    if flowloom.values["application_name"] == "DHCP" and not reader.values["client_fingerprint"]:
        names = [name for name in names if name != "client_fingerprint"]
    return names


def pairs(theirs: list[Known], ours: list[Known]) -> list[tuple[Known, Known]]:
    """Return pairs of equal flows. If a key has several flows, they must begin in the same ms."""
    if len(theirs) == len(ours) == 1:
        return [(theirs[0], ours[0])]
    left = list(ours)
    found = []
    for reader in theirs:
        same = [flow for flow in left if abs(flow.first_seen_ms - reader.first_seen_ms) <= 1]
        if same:
            # The reader does not write VLANs. Of simultaneous flows, the most similar length decides.
            twin = min(same, key=lambda flow: abs(flow.packets - reader.packets))
            left.remove(twin)
            found.append((reader, twin))
    return found


def describe(key: Key, differing: list[str], reader: Known, flowloom: Known) -> str:
    text = f"{key}: {reader.packets} packets, Flowloom has {flowloom.packets}"
    for name in differing:
        values = json.dumps([reader.values[name], flowloom.values[name]])
        text += f"\n  {name}: reader, Flowloom: {values}"
    return text


# Reporting


def report(outcomes: list[Outcome], root: Path) -> int:
    titles = ("reader", "flowloom", "joined", "equal", "explained", "unexplained")
    print(f"{'capture':44}" + "".join(f"{title:>12}" for title in titles))
    total = Outcome(root)
    for outcome in outcomes:
        name = str(outcome.capture.relative_to(root))
        if outcome.failed:
            print(f"{name:44}  failed: {outcome.failed}")
        elif outcome.equal < outcome.joined or outcome.only_reader or outcome.only_flowloom:
            print(f"{name:44}" + numbers(outcome))
        for name in ("reader", "flowloom", "joined", "equal"):
            setattr(total, name, getattr(total, name) + getattr(outcome, name))
        total.columns.update(outcome.columns)
        total.reasons.update(outcome.reasons)
        total.unexplained += outcome.unexplained
    print(f"{f'{len(outcomes)} captures':44}" + numbers(total))
    share = total.equal / total.joined if total.joined else 0.0
    print(f"\n{100 * share:.2f} % of the common flows are equal")
    for title, counts in (
        ("columns in which flows differ", total.columns),
        ("reasons (flows)", total.reasons),
    ):
        if counts:
            print(f"\n{title}")
            for name, count in counts.most_common():
                sentence = next((f": {r.sentence}" for r in REASONS if r.title == name), "")
                print(f"{count:8}  {name}{sentence}")
    for outcome in outcomes:
        if outcome.unexplained:
            print(f"\nunexplained: {outcome.capture}")
            for text in outcome.unexplained:
                print(text)
    return 1 if share < 0.99 or total.unexplained else 0


def numbers(outcome: Outcome) -> str:
    values = (
        outcome.reader,
        outcome.flowloom,
        outcome.joined,
        outcome.equal,
        sum(outcome.reasons.values()),
        len(outcome.unexplained),
    )
    return "".join(f"{value:12}" for value in values)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Explain all differences between the dissection of ndpiReader and Flowloom."
    )
    add = parser.add_argument
    add("--flowloom", required=True, metavar="COMMAND")
    add("--captures", type=Path, required=True, metavar="FOLDER")
    add("--reader", default="ndpiReader", metavar="PROGRAM", help="ndpiReader of nDPI 4.2")
    add("--jobs", type=int, default=2, metavar="N", help="captures at a time")
    add("--timeout", type=float, default=120, metavar="SECONDS", help="for a run")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    captures = captures_below(options.captures)
    if not captures:
        print(f"no captures in {options.captures}", file=sys.stderr)
        return 2
    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = list(pool.map(lambda capture: judge(capture, options), captures))
    return report(outcomes, options.captures)


if __name__ == "__main__":
    sys.exit(main())
