#!/usr/bin/env python3
"""Write the flows of captures with the values of plugins, as JSON lines.

    python3 plugins.py --case every_value web.pcap -o flows/
    python3 -m flowloom.nfstream plugins.py --case every_value web.pcap -o flows/

The program uses the interface of NFStream only. NFStream and Flowloom both run it. The flows of the Nth capture are in
NUMBER.jsonl.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nfstream import NFPlugin, NFStreamer
from nfstream.plugins import DHCP, MDNS, SPLT, FlowSlicer


def rounded(value: Any) -> Any:
    """Return a value whose text both programs agree on, although sums of floats have rounding errors."""
    # Added and then rounded, so that no mean of whole numbers lies at a limit of rounding.
    return f"{value * 1.0001234567 + 0.0012345678:.6g}" if isinstance(value, float) else value


def digest(values: Iterable[Any]) -> str:
    text = repr([rounded(value) for value in values])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Everything(NFPlugin):
    """Keeps every value of every packet and of the flow after every packet, as digests."""

    def on_init(self, packet: Any, flow: Any) -> None:
        flow.udps.packets = []
        flow.udps.flows = []
        flow.udps.calls = "i"
        self.keep(packet, flow)

    def on_update(self, packet: Any, flow: Any) -> None:
        flow.udps.calls += "u"
        self.keep(packet, flow)

    def keep(self, packet: Any, flow: Any) -> None:
        fields = packet._asdict()
        # Known differences: the addresses of each packet, and padding.
        for name in ("src_mac", "src_oui", "dst_mac", "dst_oui"):
            del fields[name]
        fields["ip_packet"] = fields["ip_packet"][: packet.ip_size]
        flow.udps.packets.append(digest(fields.values()))
        columns = dict(zip(flow.keys(), flow.values(), strict=True))
        flow.udps.flows.append(digest(self.own(columns).values()))

    def on_expire(self, flow: Any) -> None:
        flow.udps.calls += "e"
        columns = dict(zip(flow.keys(), flow.values(), strict=True))
        flow.udps.names = list(columns)
        flow.udps.last = digest(self.own(columns).values())

    def own(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Return the columns that are not plugins', without those that number or identify flows."""
        return {
            name: value
            for name, value in columns.items()
            if name not in ("id", "_C") and not name.startswith("udps.")
        }


class AnyType(NFPlugin):
    """Sets values of many types, and changes and removes them later."""

    def on_init(self, packet: Any, flow: Any) -> None:
        flow.udps.gone = 1
        flow.udps.none = None
        flow.udps.text = f"{packet.protocol}/{self.suffix}"
        flow.udps.real = packet.raw_size / 3
        flow.udps.truth = packet.direction == 0
        flow.udps.nested = {"sizes": [packet.ip_size], "pair": (packet.src_port, packet.dst_port)}
        flow.udps.data = packet.ip_packet[:4]

    def on_update(self, packet: Any, flow: Any) -> None:
        flow.udps.nested["sizes"].append(packet.ip_size)
        flow.udps.real += packet.delta_time
        flow.udps.late = flow.bidirectional_packets

    def on_expire(self, flow: Any) -> None:
        del flow.udps.gone
        flow.udps.total = sum(flow.udps.nested["sizes"])


class Second(NFPlugin):
    """Reads what the plugin before it has set."""

    def on_init(self, packet: Any, flow: Any) -> None:
        flow.udps.of_first = flow.udps.text.upper()

    def on_expire(self, flow: Any) -> None:
        flow.udps.doubled = 2 * flow.udps.total
        flow.udps.text = "changed"


class Writer(NFPlugin):
    """Writes attributes of flows at every moment."""

    def on_init(self, packet: Any, flow: Any) -> None:
        flow.src_mac = "written"
        flow.ip_version = 0
        flow.bidirectional_bytes = -5
        flow.dst2src_packets = 99
        flow.udps.seen = []

    def on_update(self, packet: Any, flow: Any) -> None:
        flow.udps.seen.append((flow.src_mac, flow.ip_version, flow.bidirectional_bytes, flow.dst2src_packets))
        flow.dst_oui = flow.dst_oui + "+"
        flow.src2dst_bytes = 0
        flow.bidirectional_mean_ps = "x"

    def on_expire(self, flow: Any) -> None:
        flow.udps.seen.append((flow.src2dst_bytes, rounded(flow.bidirectional_mean_ps), flow.expiration_id))
        flow.bidirectional_packets = -1
        # NFStream would lose a packet if the number were negative.
        flow.expiration_id += 7


class KeyWriter(NFPlugin):
    """Writes what NFStream finds a flow by. It loses such flows at a timeout, so that the case has none."""

    def on_init(self, packet: Any, flow: Any) -> None:
        flow.vlan_id = 4095
        flow.dst_port = 70_000

    def on_update(self, packet: Any, flow: Any) -> None:
        flow.udps.seen = (flow.vlan_id, flow.dst_port)

    def on_expire(self, flow: Any) -> None:
        flow.dst_ip = flow.dst_ip + "!"


class Cutter(NFPlugin):
    """Ends flows at a packet size, at their first packet or later."""

    def on_init(self, packet: Any, flow: Any) -> None:
        flow.udps.before = 0
        self.cut(packet, flow)

    def on_update(self, packet: Any, flow: Any) -> None:
        flow.udps.before += 1
        self.cut(packet, flow)

    def cut(self, packet: Any, flow: Any) -> None:
        if packet.ip_size % self.modulus == 0:
            flow.expiration_id = -1


class AfterCutter(NFPlugin):
    """Sees that a plugin before it has ended the flow."""

    def on_init(self, packet: Any, flow: Any) -> None:
        flow.udps.expirations = [flow.expiration_id]

    def on_update(self, packet: Any, flow: Any) -> None:
        flow.udps.expirations.append(flow.expiration_id)

    def on_expire(self, flow: Any) -> None:
        flow.udps.identity_is_text = isinstance(str(flow._C), str)


CASES: dict[str, dict[str, Any]] = {
    "every_value": {
        "udps": lambda: Everything(),
        "statistical_analysis": True,
        "splt_analysis": 5,
        "accounting_mode": 1,
    },
    "applications": {"udps": lambda: Everything(), "n_dissections": 20, "idle_timeout": 120},
    "without_plugins": {"udps": lambda: None, "statistical_analysis": True, "decode_tunnels": False},
    "any_type": {"udps": lambda: [AnyType(suffix="s"), Second()]},
    "writer": {"udps": lambda: [Writer()], "statistical_analysis": True},
    "key_writer": {"udps": lambda: KeyWriter(), "idle_timeout": 10**9, "active_timeout": 10**9},
    "cutter": {"udps": lambda: (Cutter(modulus=7), AfterCutter())},
    "slicer": {"udps": lambda: [FlowSlicer(limit=3), Everything()], "splt_analysis": 2},
    "slicer_of_one": {"udps": lambda: FlowSlicer(limit=1)},
    "splt": {"udps": lambda: SPLT(sequence_length=6, accounting_mode=3), "accounting_mode": 3},
    "dhcp": {"udps": lambda: DHCP()},
    "mdns": {"udps": lambda: [MDNS(), AnyType(suffix="after")]},
    "active": {"udps": lambda: Writer(), "active_timeout": 2, "statistical_analysis": True},
}


def flows_of(capture: Path, case: dict[str, Any]) -> Iterator[dict[str, Any]]:
    parameters = {"n_dissections": 0, "n_meters": 1, "idle_timeout": 15, **case}
    parameters["udps"] = case["udps"]()
    for flow in NFStreamer(source=str(capture), **parameters):
        yield dict(zip(flow.keys(), flow.values(), strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the flows of captures with the values of plugins.")
    add = parser.add_argument
    add("captures", nargs="+", type=Path, metavar="CAPTURE")
    add("--case", required=True, choices=CASES)
    add("-o", "--output", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for number, capture in enumerate(options.captures):
        part = options.output / f"{number}.part"
        try:
            with part.open("w", encoding="utf-8") as out:
                for flow in flows_of(capture, CASES[options.case]):
                    out.write(json.dumps(flow, default=repr) + "\n")
        except ValueError as error:
            print(f"{capture}: {error}", file=sys.stderr)
            part.unlink()
            continue
        part.rename(part.with_suffix(".jsonl"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
