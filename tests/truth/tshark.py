#!/usr/bin/env python3
"""Count how often the plugin tcp_health agrees with Wireshark's analysis.

    tests/truth/tshark.py [--flowloom COMMAND] CAPTURES …

The program counts tshark's retransmissions (including fast and spurious ones), out-of-order segments and zero windows
for each direction of each TCP stream. It compares them with the plugin's values of the flow with the same addresses and
ports, if there is exactly one stream and one flow. It needs tshark (Debian's package of this name). It is not a test,
because Wireshark's rules differ between versions.
"""

import argparse
import csv
import io
import json
import subprocess
from collections import Counter, defaultdict
from pathlib import Path

from compare import DONE_OR_DAMAGED, ROOT
from definitions import SIDES
from packets import files

COUNTED = {
    "retransmissions": ("retransmission", "fast_retransmission", "spurious_retransmission"),
    "out_of_order": ("out_of_order",),
    "zero_windows": ("zero_window",),
}
KINDS = sorted(set().union(*COUNTED.values()))
LONG = str(10**9)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captures", nargs="+", type=Path, help="files or folders")
    parser.add_argument("--flowloom", default=str(ROOT / "target/debug/flowloom"))
    parser.add_argument("--plugin", default=str(ROOT / "target/plugins/tcp_health.wasm"))
    arguments = parser.parse_args()
    flows, differences, seen = 0, Counter(), Counter()
    for capture in files(arguments.captures):
        theirs, ours = streams(capture), meter(arguments, capture)
        for ends in theirs.keys() & ours.keys():
            if len(theirs[ends]) != 1 or len(ours[ends]) != 1:
                continue
            flows += 1
            counts, row = next(iter(theirs[ends].values())), ours[ends][0]
            for side, sender in zip(SIDES, ("src", "dst"), strict=True):
                for name in COUNTED:
                    end = (row[f"{sender}_ip"], row[f"{sender}_port"])
                    expected = counts[end, name]
                    got = row["udps"]["tcp_health"][f"{side}_{name}"]
                    seen[name] += expected
                    if got != expected:
                        differences[name] += 1
                        print(f"{capture.name}, {end} of {sorted(ends)}: {name} {got}, tshark {expected}")
    print(f"{flows} flows, {2 * flows} directions")
    for name in COUNTED:
        print(f"{name}: {seen[name]} by tshark, {differences[name]} directions differ")


def streams(capture):
    """Run tshark. Return its counts by endpoints, stream, sender and name."""
    fields = ["tcp.stream", "ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport"]
    fields += [f"tcp.analysis.{kind}" for kind in KINDS]
    command = ["tshark", "-r", capture, "-Y", "tcp", "-T", "fields", "-E", "separator=,", "-E", "occurrence=l"]
    command += [word for field in fields for word in ("-e", field)]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    found = defaultdict(lambda: defaultdict(Counter))
    for row in csv.reader(io.StringIO(run.stdout)):
        stream, v4, v6, port, to4, to6, to_port, *marks = row
        if not port or not to_port:
            continue
        sender, receiver = (v4 or v6, int(port)), (to4 or to6, int(to_port))
        counts = found[frozenset((sender, receiver))][stream]
        marked = {kind for kind, mark in zip(KINDS, marks, strict=True) if mark}
        for name, kinds in COUNTED.items():
            counts[sender, name] += not marked.isdisjoint(kinds)
    return found


def meter(arguments, capture):
    command = [arguments.flowloom, "meter", capture, "--format", "jsonl", "--n-dissections", "0"]
    command += ["--idle-timeout", LONG, "--active-timeout", LONG, "--plugin", arguments.plugin]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode in DONE_OR_DAMAGED, run.stderr
    found = defaultdict(list)
    for line in run.stdout.splitlines():
        row = json.loads(line)
        if row["protocol"] == 6:
            ends = ((row["src_ip"], row["src_port"]), (row["dst_ip"], row["dst_port"]))
            found[frozenset(ends)].append(row)
    return found


if __name__ == "__main__":
    main()
