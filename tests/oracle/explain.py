"""Find the flows of a capture to which rules apply, and predict them for both programs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import as_flowloom
import as_nfstream
import capture
import meter
from meter import Flow, Settings
from packet import Key, Packet
from rules import Rule

Timed = list[tuple[int, Packet]]


@dataclass(frozen=True)
class Expected:
    """A predicted flow, and the rules that apply to its key."""

    flow: Flow
    rules: frozenset[Rule]


@dataclass(frozen=True)
class Explanation:
    """The predicted flows of a capture for both programs."""

    nfstream: list[Expected]
    flowloom: list[Expected]
    # Packets with different results without a rule. There should be none.
    without_rule: list[str]


class _Clock:
    """A clock that never goes back: an older packet gets the time of the newest packet."""

    def __init__(self) -> None:
        self._now = 0

    def stamp(self, time_ms: int) -> int:
        self._now = max(self._now, time_ms)
        return self._now


def explain(path: Path, settings: Settings) -> Explanation:
    """Read a capture with both decoders."""
    clocks = _Clock(), _Clock()
    timed: tuple[Timed, Timed] = ([], [])
    touched: defaultdict[Key, set[Rule]] = defaultdict(set)
    without_rule = []
    for number, record in enumerate(capture.read(path), start=1):
        theirs, ours, rules = _read(record)
        times = record.libpcap_time_ms, record.time_ns // 10**6
        if times[0] != times[1]:
            rules.add(Rule.SIGNED_TIME)
        stamps = []
        for packet, time_ms, clock, packets in zip(
            (theirs, ours), times, clocks, timed, strict=True
        ):
            if packet:
                stamps.append(clock.stamp(time_ms % 2**64))
                packets.append((stamps[-1], packet))
        if theirs != ours and not rules:
            without_rule.append(f"packet {number}: {theirs} / {ours}")
        if len(set(stamps)) == 2 and not rules:
            rules.add(Rule.CLOCK)
        for packet in theirs, ours:
            if packet:
                touched[packet.key] |= rules
                if _texts_differ(packet):
                    touched[packet.key].add(Rule.ADDRESS_TEXT)
    texts = meter.address_of_c_library, meter.address_of_rust
    nfstream, flowloom = (
        [
            Expected(flow, frozenset(touched.get(key, ())))
            for key, flow in meter.meter(packets, settings, text)
        ]
        for packets, text in zip(timed, texts, strict=True)
    )
    return Explanation(nfstream, flowloom, without_rule)


def _read(record: capture.Record) -> tuple[Packet | None, Packet | None, set[Rule]]:
    """Return NFStream's packet, Flowloom's packet, and the rules if they differ."""
    theirs, ours = as_nfstream.Reader(record), as_flowloom.Reader(record)
    their_packet = None if record.unseen else theirs.read()
    our_packet = None if record.phantom else ours.read()
    rules = {rule for rule in (record.unseen, record.phantom) if rule}
    rules = rules or theirs.rules | ours.rules
    if their_packet == our_packet:
        return their_packet, our_packet, set()
    return their_packet, our_packet, rules


def _texts_differ(packet: Packet) -> bool:
    """Return whether the two programs write one of the addresses differently."""
    return any(
        meter.address_of_c_library(address) != meter.address_of_rust(address)
        for address in (packet.src, packet.dst)
    )


def rules_of(expected: Iterable[Expected]) -> frozenset[Rule]:
    return frozenset(rule for each in expected for rule in each.rules)
