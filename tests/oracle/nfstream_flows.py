#!/usr/bin/env python3
"""Write NFStream's flows of captures as JSON lines.

    python3 nfstream_flows.py web.pcap dns.pcapng -o flows/
    python3 nfstream_flows.py --statistical-analysis --splt-analysis 8 web.pcap

Every capture has its own run, with one meter, and without dissection unless
`--n-dissections` is given. The keys of an object are NFStream's column names, in
NFStream's order. With `-o DIR` the flows of `web.pcap` are written to
`DIR/web.pcap.jsonl`. Otherwise all flows are written to standard output. A capture
without flows gives an empty file.

Flows are in NFStream's order of output. With `--sort` the order depends only on
the flows.

Exit status: 0 if every capture was metered, 1 if NFStream rejected one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from nfstream import NFStreamer

Flow = dict[str, Any]


def flows_of(capture: Path, options: argparse.Namespace) -> Iterator[Flow]:
    """Yield NFStream's flows of `capture` in the order of output."""
    streamer = NFStreamer(
        source=str(capture),
        decode_tunnels=options.decode_tunnels,
        idle_timeout=options.idle_timeout,
        active_timeout=options.active_timeout,
        accounting_mode=options.accounting_mode,
        statistical_analysis=options.statistical_analysis,
        splt_analysis=options.splt_analysis,
        n_dissections=options.n_dissections,
        n_meters=1,
    )
    for flow in streamer:
        yield dict(zip(flow.keys(), flow.values(), strict=True))


def sort_key(flow: Flow) -> tuple[int, str]:
    """Return a key that sorts flows by first packet, then by all columns except `id`."""
    rest = {name: value for name, value in flow.items() if name != "id"}
    return flow["bidirectional_first_seen_ms"], json.dumps(rest)


def write_flows(flows: Iterator[Flow], out: TextIO, in_order: bool) -> None:
    """Write `flows` to `out`. With `in_order` they are sorted and numbered in that order."""
    if in_order:
        ordered = sorted(flows, key=sort_key)
        flows = (flow | {"id": number} for number, flow in enumerate(ordered))
    for flow in flows:
        out.write(json.dumps(flow) + "\n")


def boolean(text: str) -> bool:
    """Parse `true` or `false` on the command line."""
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Write NFStream's flows of captures as JSON lines."
    )
    add = parser.add_argument
    add("captures", nargs="+", type=Path, metavar="CAPTURE")
    add("--idle-timeout", type=int, default=15, metavar="SECONDS")
    add("--active-timeout", type=int, default=1800, metavar="SECONDS")
    add("--accounting-mode", type=int, default=0, choices=range(4))
    add("--statistical-analysis", action="store_true")
    add("--splt-analysis", type=int, default=0, metavar="N")
    add("--n-dissections", type=int, default=0, metavar="N")
    add("--decode-tunnels", type=boolean, default=True, metavar="true|false")
    add("--sort", action="store_true", help="sort flows by content")
    add("-o", "--output", type=Path, metavar="DIR", help="folder for CAPTURE.jsonl files")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
    failed = False
    for capture in options.captures:
        try:
            if options.output:
                path = options.output / f"{capture.name}.jsonl"
                with path.open("w", encoding="utf-8") as out:
                    write_flows(flows_of(capture, options), out, options.sort)
            else:
                write_flows(flows_of(capture, options), sys.stdout, options.sort)
        except ValueError as error:
            print(f"{capture}: NFStream says: {error}", file=sys.stderr)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
