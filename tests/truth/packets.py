"""Read captures with the oracle, and return flows with all their packets.

Decoder and meter are independent of Flowloom's, and in another language.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "oracle"))

import as_flowloom
import capture
from packet import ICMP, ICMPV6, TCP, UDP, Packet

ROOT = Path(__file__).resolve().parent.parent.parent
IDLE_MS, ACTIVE_MS = 15_000, 1_800_000
MAGIC = [bytes.fromhex(magic) for magic in ("0a0d0d0a", "a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1")]


@dataclass(frozen=True)
class Seen:
    """A packet of a flow."""

    time_ns: int
    direction: int
    packet: Packet
    payload: bytes
    seq: int = 0
    ack: int = 0
    window: int = 0
    #: Time to live, or hop limit.
    ttl: int = 0
    #: The index among all packets of the captures.
    number: int = 0


@dataclass
class Flow:
    """A flow. `id` is the index of its first packet among all packets."""

    id: int
    packets: list[Seen] = field(default_factory=list)

    def of(self, direction: int) -> list[Seen]:
        return [seen for seen in self.packets if seen.direction == direction]


class Reader(as_flowloom.Reader):
    """A reader that stores the time to live of the innermost IP header, and the offset of the transport header."""

    ttl: int = 0
    transport: tuple[int, int] | None = None

    def _ipv4(self, at, wire):
        self.ttl = self.bytes.byte(at + 8)
        return super()._ipv4(at, wire)

    def _ipv6(self, at, wire):
        self.ttl = self.bytes.byte(at + 7)
        return super()._ipv6(at, wire)

    def _above(self, version, addresses, size, protocol, at, end):
        packet = super()._above(version, addresses, size, protocol, at, end)
        if self.transport is None:
            self.transport = at, min(self.bytes.captured, end)
        return packet


def default() -> list[Path]:
    """Return the folders of captures that tests use by default."""
    others = os.environ.get("FLOWLOOM_CAPTURES")
    return [ROOT / "tests/captures", *([Path(others)] if others else [])]


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the captures that the oracle can read, which are not compressed."""
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if file.is_file() and file.open("rb").read(4) in MAGIC:
                yield file


def sorted_by_time(paths: Iterable[Path]) -> list[Path]:
    """Return the readable captures, sorted by time, so that packet times rarely go back."""
    begins = {}
    for path in paths:
        first = next(capture.read(path), None)
        if first is not None:
            begins[path] = first.time_ns
    return sorted(begins, key=begins.__getitem__)


def flows(paths: Iterable[Path]) -> list[Flow]:
    """Return the flows of captures that are read one after another as one capture."""
    live: dict[object, Flow] = {}
    ended: list[Flow] = []
    now = 0
    for number, (time_ns, packet, data, reader) in enumerate(packets(paths)):
        if packet is None:
            continue
        now = max(now, time_ns)
        flow = live.get(packet.key)
        if flow is not None:
            first, last = flow.packets[0].time_ns // 10**6, flow.packets[-1].time_ns // 10**6
            ms = now // 10**6
            if ms - last >= IDLE_MS or ms - first >= ACTIVE_MS:
                ended.append(live.pop(packet.key))
                flow = None
        if flow is None:
            flow = live[packet.key] = Flow(number)
        begin = flow.packets[0].packet if flow.packets else packet
        ends = (packet.src, packet.src_port, packet.dst, packet.dst_port)
        same_way = ends == (begin.src, begin.src_port, begin.dst, begin.dst_port)
        found = seen(now, int(not same_way), packet, data, *(reader.transport or (0, 0)))
        flow.packets.append(Seen(*found, reader.ttl, number))
    return ended + list(live.values())


def packets(paths: Iterable[Path]) -> Iterator[tuple[int, Packet | None, bytes, Reader]]:
    for path in paths:
        for record in capture.read(path):
            if record.phantom:
                continue
            reader = Reader(record)
            packet = reader.read()
            yield record.time_ns, packet, record.data, reader


def seen(time_ns, direction, packet, data, at, end):
    """Return the values of `Seen` that come from a packet and its transport header."""
    header = data[at:end]
    length = {UDP: 8, ICMP: 8, ICMPV6: 8}.get(packet.protocol)
    numbers = (0, 0, 0)
    if packet.protocol == TCP and packet.transport_size:
        length = 4 * (header[12] >> 4) if len(header) > 12 else 20
        # Bytes that were not captured are 0.
        whole = header[:20].ljust(20, b"\0")
        numbers = tuple(int.from_bytes(whole[a:b], "big") for a, b in ((4, 8), (8, 12), (14, 16)))
    # Without a known transport header, everything after the IP header is payload.
    payload = header[length:] if length and packet.transport_size else header
    return time_ns, direction, packet, payload, *numbers
