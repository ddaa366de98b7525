#!/usr/bin/env python3
"""Write NFStream's flows of captures with the values of its plugins, as JSON lines.

    python3 nfstream_plugins.py --plugins splt,mdns,ja4 web.pcap dns.pcapng -o flows/
    python3 nfstream_plugins.py --plugins dhcp dhcp.pcap -o flows/

In addition to NFStream's columns, a flow has the object `plugins` with these values for each plugin:

    theirs     the values of NFStream's own plugin, until a failure
    failed     the error of NFStream's plugin, which would end NFStream's meter
    right      the expected values (`right/`)
    reasons    the reasons in `right/` why the two may differ

The value `ndpi` is the fingerprint by the nDPI in NFStream, which is another reference for JA4.
"""

from __future__ import annotations

import argparse
import json
import sys
from enum import Enum
from pathlib import Path
from typing import Any

from nfstream import NFPlugin, NFStreamer
from nfstream.plugins import DHCP, JA4, MDNS, SPLT

from right import dhcp, ja4, mdns

MODE = 3
SPLT_OPTIONS = {"sequence_length": 12, "accounting_mode": MODE}


class Judged(NFPlugin):
    """A plugin of NFStream together with its correct implementation."""

    def __init__(self, name: str, theirs: NFPlugin, right: Any) -> None:
        super().__init__()
        self.name = name
        self.theirs = theirs
        self.right = right

    def on_init(self, packet: Any, flow: Any) -> None:
        right = self.right(flow) if self.right else None
        setattr(flow.udps, f"_{self.name}", [right, None])
        self.show(self.theirs.on_init, packet, flow)

    def on_update(self, packet: Any, flow: Any) -> None:
        self.show(self.theirs.on_update, packet, flow)

    def show(self, call: Any, packet: Any, flow: Any) -> None:
        state = getattr(flow.udps, f"_{self.name}")
        right, _ = state
        try:
            call(packet, flow)
        except Exception as error:  # any exception would end NFStream's meter
            state[1] = f"{type(error).__name__}: {error}"
        if right:
            right.add(packet)
            if getattr(right, "is_done", False):
                flow.expiration_id = -1

    def on_expire(self, flow: Any) -> None:
        right, failed = getattr(flow.udps, f"_{self.name}")
        self.theirs.on_expire(flow)
        judged: dict[str, Any] = {"failed": failed}
        if right:
            judged |= {"right": right.values(), "reasons": sorted(right.reasons)}
        setattr(flow.udps, f"_{self.name}", judged)


def judged(name: str) -> Judged:
    return {
        "splt": lambda: Judged(name, SPLT(**SPLT_OPTIONS), None),
        "dhcp": lambda: Judged(name, DHCP(), dhcp.Client),
        "mdns": lambda: Judged(name, MDNS(), mdns.Names),
        "ja4": lambda: Judged(name, JA4(), ja4.Client),
    }[name]()


def flows_of(capture: Path, plugins: list[str]) -> list[dict[str, Any]]:
    streamer = NFStreamer(
        source=str(capture),
        idle_timeout=15,
        active_timeout=1800,
        accounting_mode=MODE,
        n_dissections=20 if "ja4" in plugins else 0,
        n_meters=1,
        udps=[judged(name) for name in plugins],
    )
    return [line(flow, plugins) for flow in streamer]


def line(flow: Any, plugins: list[str]) -> dict[str, Any]:
    columns = dict(zip(flow.keys(), flow.values(), strict=True))
    core = {name: value for name, value in columns.items() if not name.startswith("udps.")}
    udps = flow.udps.__dict__
    theirs = {name: value for name, value in udps.items() if not name.startswith("_")}
    own = {
        name: {"theirs": outputs_of(name, theirs)} | udps[f"_{name}"] for name in plugins
    }
    return core | {"plugins": own, "ndpi": columns.get("client_fingerprint")}


def outputs_of(plugin: str, udps: dict[str, Any]) -> dict[str, Any]:
    """Return the outputs of a plugin. Their names begin with its name in NFStream."""
    return {name: value for name, value in udps.items() if name.startswith(plugin)}


def plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.name
    raise TypeError(f"{value!r} cannot be written as JSON")


def main() -> int:
    parser = argparse.ArgumentParser(description="Write NFStream's flows with the values of its plugins.")
    add = parser.add_argument
    add("captures", nargs="+", type=Path, metavar="CAPTURE")
    add("--plugins", required=True, metavar="LIST")
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="for NUMBER.jsonl files")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for number, capture in enumerate(options.captures):
        try:
            flows = flows_of(capture, options.plugins.split(","))
        except ValueError as error:
            print(f"{capture}: NFStream says: {error}", file=sys.stderr)
            continue
        path = options.output / f"{number}.jsonl"
        with path.open("w", encoding="utf-8") as out:
            for flow in flows:
                out.write(json.dumps(flow, default=plain) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
