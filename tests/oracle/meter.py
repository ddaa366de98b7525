"""Meter packets as both programs do: keys, timeouts and all columns."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from math import sqrt
from typing import Any

from packet import Key, Packet

Flow = dict[str, Any]
AddressText = Callable[[bytes], str]

FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")
FLAG_COLUMNS = ("syn", "cwr", "ece", "urg", "ack", "psh", "rst", "fin")
DIRECTIONS = ("bidirectional", "src2dst", "dst2src")


def address_of_c_library(address: bytes) -> str:
    """Return an address as inet_ntop writes it."""
    family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, address)


def address_of_rust(address: bytes) -> str:
    """Return an address as Rust's std::net writes it: dotted only if IPv4-mapped."""
    if len(address) == 4:
        return address_of_c_library(address)
    mapped = IPv6Address(address).ipv4_mapped
    return f"::ffff:{mapped}" if mapped else str(IPv6Address(address))


@dataclass(frozen=True)
class Settings:
    """Timeouts in seconds, accounting mode, and optional columns."""

    idle_timeout: int = 15
    active_timeout: int = 1800
    accounting_mode: int = 0
    statistics: bool = True
    splt: int = 8


@dataclass
class Summary:
    """Minimum, maximum, mean and deviation of numbers that are added one by one."""

    count: int = 0
    smallest: int = 0
    largest: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: int) -> None:
        self.count += 1
        if self.count == 1:
            self.smallest = self.largest = value
            self.mean = float(value)
            return
        self.smallest = min(self.smallest, value)
        self.largest = max(self.largest, value)
        before = self.mean
        self.mean += (value - before) / self.count
        self.squares += (value - before) * (value - self.mean)

    @property
    def deviation(self) -> float:
        return sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0


@dataclass
class Counters:
    """Counters of one direction of a flow, or of both."""

    first_ms: int = 0
    last_ms: int = 0
    packets: int = 0
    bytes: int = 0
    sizes: Summary = field(default_factory=Summary)
    gaps: Summary = field(default_factory=Summary)
    flags: list[int] = field(default_factory=lambda: [0] * 8)

    def add(self, time_ms: int, size: int, flags: int) -> None:
        if self.packets == 0:
            self.first_ms = time_ms
        else:
            self.gaps.add(time_ms - self.last_ms)
        self.last_ms = time_ms
        self.packets += 1
        self.bytes += size
        self.sizes.add(size)
        for bit in range(8):
            self.flags[bit] += flags >> bit & 1


class Live:
    """A live flow."""

    def __init__(self, first: Packet, settings: Settings, text: AddressText) -> None:
        self.first = first
        self.settings = settings
        self.text = text
        self.both, self.there, self.back = Counters(), Counters(), Counters()
        self.splt: list[tuple[int, int, int]] = []

    def add(self, packet: Packet, time_ms: int) -> None:
        first = self.first
        same_way = (packet.src, packet.src_port, packet.dst, packet.dst_port) == (
            *(first.src, first.src_port, first.dst, first.dst_port),
        )
        direction = 0 if same_way else 1
        size = packet.size(self.settings.accounting_mode)
        gap = time_ms - self.both.last_ms if self.both.packets else 0
        if len(self.splt) < self.settings.splt:
            self.splt.append((direction, size, gap))
        self.both.add(time_ms, size, packet.flags)
        (self.there, self.back)[direction].add(time_ms, size, packet.flags)

    def end(self, expiration_id: int) -> Flow:
        """Return the columns of the flow in NFStream's order, without `id`."""
        first, text = self.first, self.text
        flow: Flow = {"expiration_id": expiration_id}
        for side in "src", "dst":
            mac = getattr(first, f"{side}_mac").hex(":")
            flow[f"{side}_ip"] = text(getattr(first, side))
            flow[f"{side}_mac"] = mac
            flow[f"{side}_oui"] = mac[:8]
            flow[f"{side}_port"] = getattr(first, f"{side}_port")
        for name in "protocol", "ip_version", "vlan_id", "tunnel_id":
            flow[name] = getattr(first, name)
        counters = dict(zip(DIRECTIONS, (self.both, self.there, self.back), strict=True))
        for name, counter in counters.items():
            flow[f"{name}_first_seen_ms"] = counter.first_ms
            flow[f"{name}_last_seen_ms"] = counter.last_ms
            flow[f"{name}_duration_ms"] = counter.last_ms - counter.first_ms
            flow[f"{name}_packets"] = counter.packets
            flow[f"{name}_bytes"] = counter.bytes
        if self.settings.statistics:
            for name, counter in counters.items():
                _summary(flow, name, "ps", counter.sizes)
            for name, counter in counters.items():
                _summary(flow, name, "piat_ms", counter.gaps)
            for name, counter in counters.items():
                for flag in FLAG_COLUMNS:
                    count = counter.flags[FLAGS.index(flag)]
                    flow[f"{name}_{flag}_packets"] = count
        if self.settings.splt:
            missing = [(-1, -1, -1)] * (self.settings.splt - len(self.splt))
            columns = zip(*(self.splt + missing), strict=True)
            for name, column in zip(("direction", "ps", "piat_ms"), columns, strict=True):
                flow[f"splt_{name}"] = list(column)
        return flow


def _summary(flow: Flow, direction: str, what: str, summary: Summary) -> None:
    flow[f"{direction}_min_{what}"] = summary.smallest
    flow[f"{direction}_mean_{what}"] = summary.mean
    flow[f"{direction}_stddev_{what}"] = summary.deviation
    flow[f"{direction}_max_{what}"] = summary.largest


def meter(
    packets: Iterable[tuple[int, Packet]], settings: Settings, text: AddressText
) -> list[tuple[Key, Flow]]:
    """Return flows with their keys. The packets have times in ms that never decrease."""
    live: dict[Key, Live] = {}
    flows: list[tuple[Key, Flow]] = []
    for time_ms, packet in packets:
        key = packet.key
        flow = live.get(key)
        if flow is not None:
            if time_ms - flow.both.last_ms >= settings.idle_timeout * 1000:
                flows.append((key, live.pop(key).end(0)))
                flow = None
            elif time_ms - flow.both.first_ms >= settings.active_timeout * 1000:
                flows.append((key, live.pop(key).end(1)))
                flow = None
        if flow is None:
            flow = live[key] = Live(packet, settings, text)
        flow.add(packet, time_ms)
    return flows + [(key, flow.end(0)) for key, flow in live.items()]
