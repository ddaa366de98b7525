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

A difference is explained if a rule below applies to the flow. All others are printed. Flows that only one side has
are differences of metering, which `parity.py` explains. The exit status is 1 if less than 99 % of the common flows are
equal, or if a difference is not explained.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path

from applications import Comparison, Flows, Known, Outcome, Rule, judge, parser, report
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
        # The reader computes the fingerprints of DHCP clients, but does not write them.
        hidden = {"client_fingerprint": ""} if flow["application_name"] == "DHCP" else {}
        key = flow_key(*(flow[name] for name in ("protocol", "src_ip", "src_port", "dst_ip", "dst_port")))
        flows[key].append(
            Known(
                first_seen_ms=flow["bidirectional_first_seen_ms"],
                last_seen_ms=flow["bidirectional_last_seen_ms"],
                packets=flow["bidirectional_packets"],
                values={name: flow[name] for name in COLUMNS} | hidden,
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


# Differences


def have_other_packets(_: str, reader: Known, flowloom: Known) -> bool:
    """Compare times with a precision of 1 ms, which is that of the reader's CSV."""
    return (
        reader.packets != flowloom.packets
        or abs(reader.first_seen_ms - flowloom.first_seen_ms) > 1
        or abs(reader.last_seen_ms - flowloom.last_seen_ms) > 1
    )


COMPARISON = Comparison(
    program="reader",
    columns=COLUMNS,
    rules=(
        Rule(
            "other-packets",
            "the two count different packets for the flow: the reader ignores IPv4 packets that were not"
            " captured completely, or reads a malformed packet differently",
            have_other_packets,
        ),
    ),
)


def judged(capture: Path, options: argparse.Namespace) -> Outcome:
    try:
        return judge(capture, reader_flows(capture, options), flowloom_flows(capture, options), COMPARISON)
    except Failed as failure:
        return Outcome(capture, failed=str(failure))


def main() -> int:
    description = "Explain all differences between the dissection of ndpiReader and Flowloom."
    options_parser = parser(description, jobs=2, min_share=99)
    options_parser.add_argument("--reader", default="ndpiReader", metavar="PROGRAM", help="ndpiReader of nDPI 4.2")
    options = options_parser.parse_args()
    captures = captures_below(options.captures)
    if not captures:
        print(f"no captures in {options.captures}", file=sys.stderr)
        return 2
    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = list(pool.map(lambda capture: judged(capture, options), captures))
    return report(outcomes, COMPARISON, options)


if __name__ == "__main__":
    sys.exit(main())
