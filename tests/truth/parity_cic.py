#!/usr/bin/env python3
"""Compare the plugin cicflowmeter with the Python program cicflowmeter (hieulw/cicflowmeter, version 0.5.0 of PyPI).

    make parity-cic    (in its own Python environment)
    tests/truth/parity_cic.py [--flowloom COMMAND] [CAPTURES …]

CAPTURES are files or folders. The default is tests/captures and FLOWLOOM_CAPTURES. A capture of random flows, which the
tool writes, is added.

The output of the program cannot be reproduced: a thread ends flows by the clock of the computer, and every flow has its
first packet twice. Therefore the tool uses only the program's class `Flow`. For each flow of Flowloom, it gives the class
the same packets with their directions, one after another, and compares the values.

There are two comparisons:

- The plugin cicflowmeter, in the columns of `COMPARED`. The class defines the others differently: lengths are those of frames,
  header lengths are those of IP, subflows are totals, CWR is a copy of URG, and active and idle times are always 0. Each rule
  of `RULES` states one difference of the class. For each flow and column that a rule concerns, the tool computes the value
  that the class returns, except for the rule `equal-times`.
- `hieulw.features`, in all 76 columns. These features say what the class computes, with its errors. Only the rule
  `equal-times` applies.

A value that is neither equal nor explained by a rule is an error. The tool skips flows that the class does not support.
`SKIPPED` lists the reasons.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import subprocess
import sys
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path

import cic_definitions as definitions
import packets
import random_flows
from cicflowmeter.features.context import PacketDirection
from cicflowmeter.flow import Flow as TheirFlow
from packets import ROOT, TCP, UDP, Flow
from scapy.config import conf
from scapy.layers import inet, l2, ppp  # noqa: F401 (link types)
from scapy.packet import Packet, Padding

DONE_OR_DAMAGED = (0, 3)
SECOND_US = 10**6
DIRECTIONS = (PacketDirection.FORWARD, PacketDirection.REVERSE)
IATS = {"flow_iat": None, "fwd_iat": 0, "bwd_iat": 1}

#: Columns that the rule `equal-times` concerns, and those of the lengths of frames.
BULKS = [f"{side}_{name}_avg" for side in ("fwd", "bwd") for name in ("byts_b", "pkts_b", "blk_rate")]
LENGTHS = re.compile("(totlen|subflow)_.*|pkt_size_avg|flow_byts_s|.*(_|^)pkt_len_.*|.*_seg_size_avg")

#: The columns that are compared, with the number by which the class divides their values.
COMPARED = {
    **dict.fromkeys(("tot_fwd_pkts", "tot_bwd_pkts", "flow_pkts_s", "fwd_pkts_s", "bwd_pkts_s", "down_up_ratio"), 1),
    **dict.fromkeys(("fwd_psh_flags", "bwd_psh_flags", "fwd_urg_flags", "bwd_urg_flags"), 1),
    **dict.fromkeys((name for name in definitions.FLAGS if name != "cwr_flag_count"), 1),
    **dict.fromkeys(("init_fwd_win_byts", "init_bwd_win_byts", "fwd_act_data_pkts"), 1),
    **dict.fromkeys(BULKS, 1),
    "flow_duration": SECOND_US,
    **{f"{prefix}_{name}": SECOND_US for prefix in IATS for name in ("mean", "std", "max", "min")},
    **dict.fromkeys(("fwd_iat_tot", "bwd_iat_tot"), SECOND_US),
}

RULES = {
    "one-interval": "the class returns 0 for all statistics of one inter-arrival time",
    "population": "the class divides the variance of n inter-arrival times by n, the plugin by n - 1",
    "first-window": "the class returns the first window of the source that is not 0, the plugin that of its first packet",
    "first-packet": "the class omits the first packet of the flow from bulks",
    "equal-times": "the class does not detect that a bulk is interrupted, if packets of both directions have the same time",
}

SKIPPED = {
    "protocol": "neither TCP nor UDP",
    "ipv6": "IPv6",
    "encapsulated": "scapy finds other addresses or ports: the packets are in a tunnel, or scapy does not know the link type",
    "truncated": "a packet was not captured completely: scapy counts the captured bytes of the payload",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captures", nargs="*", type=Path, help="files or folders")
    parser.add_argument("--flowloom", default=str(ROOT / "target/debug/flowloom"))
    parser.add_argument("--plugin", type=Path, default=ROOT / "target/plugins/cicflowmeter.wasm")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        others = Path(folder) / "random.pcap"
        random_flows.write(others)
        captures = packets.sorted_by_time([*packets.files(arguments.captures or packets.default()), others])
        rows = meter(arguments, captures, Path(folder))
        flows = {flow.id: flow for flow in packets.flows(captures)}
        frames = [record for path in captures for record in packets.capture.read(path) if not record.phantom]
    if set(rows) != set(flows):
        sys.exit("parity_cic.py: Flowloom and the oracle have different flows; make truth shows them")
    counts, skipped, unexplained = Counter(), Counter(), []
    for number, flow in flows.items():
        found = scapy_packets(flow, frames)
        if isinstance(found, str):
            skipped[found] += 1
            continue
        counts["flows"] += 1
        class_values = data_of_class(flow, found)
        for name, reason, column in (
            *(("cicflowmeter", *one) for one in differ(flow, rows[number]["cicflowmeter"], class_values)),
            *(("hieulw", *one) for one in differ_from_copy(flow, rows[number]["hieulw"], class_values, found)),
        ):
            counts[name, reason] += 1
            if reason not in (*RULES, "equal"):
                unexplained.append(f"flow {number}, {name}.{column}: {reason}")
    report(counts, skipped, unexplained, len(captures))
    sys.exit(bool(unexplained) or not counts["cicflowmeter", "equal"] or not counts["hieulw", "equal"])


def report(counts, skipped, unexplained, captures):
    print(f"{counts['flows']} flows of {captures} captures")
    for reason, sentence in SKIPPED.items():
        print(f"{skipped[reason]:7} flows skipped: {sentence}")
    for name, columns in (("cicflowmeter", len(COMPARED)), ("hieulw", 76)):
        print(f"{name}: {columns} columns, {counts[name, 'equal']} equal values")
        for rule, sentence in RULES.items():
            if counts[name, rule]:
                print(f"{counts[name, rule]:7} explained by {rule}: {sentence}")
    print(f"{len(unexplained):7} unexplained")
    for line in unexplained[:20]:
        print(f"  {line}", file=sys.stderr)


def meter(arguments, captures, folder):
    """Return the values of both plugins by the identifier of the flow."""
    source, copy = Path(__file__).with_name("hieulw.features"), folder / "hieulw.wasm"
    command = [arguments.flowloom, "plugin", "compile", source, "-o", copy]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    output = folder / "flows.jsonl"
    command = [arguments.flowloom, "-qq", "meter", *captures, "-o", output, "--n-dissections", "0", "--group", "one"]
    command += ["--plugin", f"cicflowmeter={arguments.plugin}", "--plugin", copy]
    code = subprocess.run(command, check=False).returncode
    if code not in DONE_OR_DAMAGED:
        sys.exit(f"parity_cic.py: the command ended with {code}: {' '.join(map(str, command))}")
    rows = map(json.loads, output.read_text().splitlines())
    return {row["id"]: row["udps"] for row in rows}


def scapy_packets(flow: Flow, frames: list[packets.capture.Record]) -> list[Packet] | str:
    """Return the packets of a flow as scapy's, or the reason why the class does not support them."""
    first = flow.packets[0].packet
    if first.protocol not in (TCP, UDP):
        return "protocol"
    if first.ip_version == 6:
        return "ipv6"
    found = []
    # The values do not depend on the time of the first packet. Some captures have times that Python does not support.
    shift = 10**9 * SECOND_US - definitions.time_us(flow.packets[0])
    for seen in flow.packets:
        if len(seen.payload) < seen.packet.payload_size:
            return "truncated"
        record = frames[seen.number]
        link = conf.l2types.num2layer.get(record.linktype)
        packet = link(record.data) if link else None
        if packet is None or ends_of(packet) != ends_of_ours(seen.packet):
            return "encapsulated"
        # scapy appends the padding of Ethernet to the payload of TCP and UDP.
        if Padding in packet:
            packet[Padding].underlayer.remove_payload()
        packet.time = Decimal(definitions.time_us(seen) + shift) / SECOND_US
        found.append(packet)
    return found


def ends_of(packet: Packet) -> tuple | None:
    """Return addresses, ports and protocol as the class finds them: of the first layers."""
    name = "TCP" if "TCP" in packet else "UDP"
    if "IP" not in packet or name not in packet:
        return None
    ip, transport = packet["IP"], packet[name]
    return ip.src, ip.dst, transport.sport, transport.dport, {"TCP": TCP, "UDP": UDP}[name]


def ends_of_ours(packet: packets.Packet) -> tuple:
    src, dst = (".".join(map(str, address)) for address in (packet.src, packet.dst))
    return src, dst, packet.src_port, packet.dst_port, packet.protocol


def data_of_class(flow: Flow, found: list[Packet]) -> dict[str, object]:
    """Return the values of the class. Its times are seconds."""
    directions = [DIRECTIONS[seen.direction] for seen in flow.packets]
    theirs = TheirFlow(found[0], directions[0])
    for packet, direction in zip(found[1:], directions[1:], strict=True):
        theirs.add_packet(packet, direction)
    return theirs.get_data()


def differ(flow: Flow, ours: dict[str, float], theirs: dict[str, object]):
    """Yield "equal", the rule that explains the difference, or the difference, with the column."""
    by_rule = predicted(flow, ours)
    for column, factor in COMPARED.items():
        value = float(theirs[column]) * factor
        rule, expected = by_rule.get(column, (None, None))
        if is_close(value, ours[column]):
            yield "equal", column
        elif rule is not None and (expected is None or is_close(value, expected)):
            yield rule, column
        else:
            told = f", {expected} by {rule}" if rule else ""
            yield f"plugin {ours[column]}, class {value}{told}", column


def differ_from_copy(flow: Flow, ours: dict[str, float], theirs: dict[str, object], found: list[Packet]):
    """Yield the same for `hieulw.features`."""
    # The class counts the captured bytes of frames, which here end with the IP packet.
    is_whole = all(len(packet) == seen.packet.raw_size for packet, seen in zip(found, flow.packets, strict=True))
    for column, value in ours.items():
        if not is_whole and LENGTHS.fullmatch(column):
            continue
        if is_close(float(theirs[column]), value):
            yield "equal", column
        elif column in BULKS and has_equal_times(flow):
            yield "equal-times", column
        else:
            yield f"features {value}, class {theirs[column]}", column


def is_close(one: float, other: float) -> bool:
    """Compare numbers. The class computes with floats of seconds, whose deviations are not exactly 0."""
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-10)


def predicted(flow: Flow, ours: dict[str, float]) -> dict[str, tuple[str, float | None]]:
    """Return the rule that concerns a column, and the value that the class returns. None means any value."""
    found = {}
    for prefix, direction in IATS.items():
        intervals = len(flow.packets if direction is None else flow.of(direction)) - 1
        if intervals == 1:
            found |= {column: ("one-interval", 0) for column in COMPARED if column.startswith(prefix)}
        elif intervals > 1:
            share = math.sqrt((intervals - 1) / intervals)
            found[f"{prefix}_std"] = "population", ours[f"{prefix}_std"] * share
    windows = [seen.window for seen in flow.of(0)]
    found["init_fwd_win_byts"] = "first-window", next(filter(None, windows), 0)
    bulks = [bulk for bulk in definitions.bulks(flow.packets[1:]) if bulk[0].direction == 0]
    found |= {name: ("first-packet", value) for name, value in definitions.of_bulks("fwd", bulks).items()}
    if has_equal_times(flow):
        found |= dict.fromkeys(BULKS, ("equal-times", None))
    return found


def has_equal_times(flow: Flow) -> bool:
    """Return whether packets with payload of both directions have the same time."""
    times = [{definitions.time_us(seen) for seen in flow.of(side) if definitions.payload(seen)} for side in (0, 1)]
    return not times[0].isdisjoint(times[1])


if __name__ == "__main__":
    main()
