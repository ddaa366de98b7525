#!/usr/bin/env python3
"""Compare the plugin ja4 with the results that FoxIO publishes for its own captures.

    git clone https://github.com/FoxIO-LLC/ja4
    python3 ja4_published.py --flowloom target/debug/flowloom --foxio ja4

The repository has captures (`pcap/`) and the outputs of its programs for them. The Python program prints JA4 and JA4_r
(`python/test/testdata/`), the Rust program JA4 (`rust/ja4/src/snapshots/`). Connections are joined by addresses and
ports. Some differences have a reason below. All others are printed, and then the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from parity import GOOD_STATUSES, Failed, flows_in, last_line, run

REASONS = {
    "quic": "the results of the Python program have no QUIC",
    "odd-protocol": "the programs print 99 for a protocol that is not ASCII, but the specification "
    "requires its hexadecimal digits",
    "behind-http": "the Python program ignores TLS after the CONNECT of a proxy, the Rust program does not",
}
NEVER_S = str(10**12)
TUNNELS = "gtp,capwap,tzsp,vxlan,gre,geneve"

Ends = tuple[tuple[str, int], ...]
# JA4, and JA4_r if it is known.
Print = tuple[str, str | None]
Prints = dict[Ends, list[Print]]


def ends(src: object, sport: object, dst: object, dport: object) -> Ends:
    return tuple(sorted([(str(src), int(str(sport))), (str(dst), int(str(dport)))]))


def of_python(foxio: Path, capture: Path) -> Prints | None:
    """Return the output of the Python program for the first ClientHello of each connection."""
    path = foxio / "python/test/testdata" / f"{capture.name}.json"
    if not path.exists():
        return None
    found: Prints = defaultdict(list)
    for each in json.loads(path.read_text() or "[]"):
        if "JA4.1" in each:
            key = ends(each["src"], each["srcport"], each["dst"], each["dstport"])
            found[key].append((each["JA4.1"], each.get("JA4_r.1")))
    return found


def of_rust(foxio: Path, capture: Path) -> Prints | None:
    """Return the output of the Rust program."""
    path = foxio / "rust/ja4/src/snapshots" / f"ja4__insta@{capture.name}.snap"
    if not path.exists():
        return None
    found: Prints = defaultdict(list)
    for stream in re.split(r"(?m)^- stream:", path.read_text())[1:]:
        each = dict(re.findall(r"(?m)^  (\w+): (\S+)$", stream))
        if "ja4" in each:
            key = ends(each["src"], each["src_port"], each["dst"], each["dst_port"])
            found[key].append((each["ja4"], None))
    return found


def of_flowloom(capture: Path, options: argparse.Namespace) -> Prints:
    command = [*shlex.split(options.flowloom), "meter", str(capture), "--format", "jsonl"]
    command += ["--idle-timeout", NEVER_S, "--active-timeout", NEVER_S, "--n-dissections", "0"]
    command += ["--decode-tunnels", TUNNELS, "--plugin", f"ja4={options.plugin}"]
    command += ["--grant", "ja4=payload:16384"]
    status, out, errors = run(command, options.timeout)
    if status not in GOOD_STATUSES:
        raise Failed(last_line(errors))
    found: Prints = defaultdict(list)
    for flow in flows_in(out):
        values = flow["udps"]["ja4"]
        if values["ja4"]:
            key = ends(flow["src_ip"], flow["src_port"], flow["dst_ip"], flow["dst_port"])
            found[key].append((values["ja4"], values["ja4_r"]))
    return found


def pairs(theirs: Prints, ours: Prints) -> Iterator[tuple[Ends, Print | None, Print | None]]:
    for key in sorted(theirs.keys() | ours.keys()):
        one, other = theirs.get(key, []), ours.get(key, [])
        for n in range(max(len(one), len(other))):
            yield key, *(each[n] if n < len(each) else None for each in (one, other))


def reason(theirs: Print | None, ours: Print | None, both: Prints, key: Ends) -> str | None:
    """Return the reason of a difference, or None. `both` is the output of the other program."""
    if theirs and ours and theirs[0][8:10] == "99":
        same = theirs[0][:8] + ours[0][8:10] + theirs[0][10:] == ours[0]
        return "odd-protocol" if same else None
    if ours and not theirs and (ours[0], None) in both.get(key, []):
        return "quic" if ours[0].startswith("q") else "behind-http"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare ja4 with FoxIO's published results.")
    add = parser.add_argument
    add("--flowloom", required=True, metavar="COMMAND")
    add("--foxio", type=Path, required=True, metavar="FOLDER", help="a copy of FoxIO-LLC/ja4")
    add("--plugin", type=Path, default=Path("target/plugins/ja4.wasm"), metavar="FILE")
    add("--timeout", type=float, default=120, metavar="SECONDS", help="for a capture")
    options = parser.parse_args()
    counts: dict[str, Counter[str]] = {"Python": Counter(), "Rust": Counter()}
    left: list[str] = []
    for capture in sorted((options.foxio / "pcap").iterdir()):
        published = {
            "Python": of_python(options.foxio, capture),
            "Rust": of_rust(options.foxio, capture),
        }
        ours = of_flowloom(capture, options)
        for program, theirs in published.items():
            if theirs is None:
                counts[program]["captures without results"] += 1
                continue
            counts[program]["captures"] += 1
            for key, one, other in pairs(theirs, ours):
                if one and other and all(x == y for x, y in zip(one, other) if x is not None):
                    counts[program]["equal"] += 1
                elif why := reason(one, other, published["Rust"] or {}, key):
                    counts[program][why] += 1
                else:
                    left.append(f"{capture.name}: {key}: {program} has {one}, Flowloom {other}")
    for program, counted in counts.items():
        for what, count in counted.most_common():
            print(f"{program:8}{count:8}  {what}{': ' + REASONS[what] if what in REASONS else ''}")
    for text in left:
        print(f"unexplained: {text}")
    return 1 if left or not all(counted["equal"] for counted in counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
