"""Packets, and the capture files they come from and go to.

Reading is only as general as tcpdump's own files need: classic pcap of this
machine's byte order. Writing covers the variants a capture reader has to
understand: both byte orders, micro- and nanoseconds, pcap and pcapng.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# Link types (https://www.tcpdump.org/linktypes.html)
NULL = 0
ETHERNET = 1
PPP = 9
RAW = 101
LOOP = 108
LINUX_SLL = 113

SNAPLEN = 262144

MICROSECONDS = 0xA1B2C3D4
NANOSECONDS = 0xA1B23C4D


@dataclass(frozen=True)
class Packet:
    """One captured packet: when (ns since 1970), its bytes, its length on the wire."""

    time_ns: int
    data: bytes
    wire_length: int

    def with_data(self, data: bytes) -> Packet:
        """This packet with other bytes, wholly captured."""
        return Packet(self.time_ns, data, len(data))

    def at(self, time_ns: int) -> Packet:
        """This packet at another time."""
        return Packet(time_ns, self.data, self.wire_length)

    def cut(self, length: int) -> Packet:
        """This packet as a capture with this snapshot length holds it."""
        return Packet(self.time_ns, self.data[:length], self.wire_length)


def read_pcap(path: Path) -> list[Packet]:
    """The packets of a pcap file written by tcpdump on this machine."""
    raw = path.read_bytes()
    if struct.unpack_from("<I", raw)[0] != MICROSECONDS:
        raise ValueError(f"{path} is no little-endian microsecond pcap file")
    packets, offset = [], 24
    while offset < len(raw):
        seconds, micros, caplen, length = struct.unpack_from("<IIII", raw, offset)
        offset += 16
        time_ns = seconds * 10**9 + micros * 1000
        packets.append(Packet(time_ns, raw[offset : offset + caplen], length))
        offset += caplen
    return packets


def pcap(
    packets: Iterable[Packet],
    linktype: int = ETHERNET,
    order: str = "<",
    magic: int = MICROSECONDS,
    snaplen: int = SNAPLEN,
) -> bytes:
    """A classic pcap file. `order` is `<` (little-endian) or `>` (big-endian)."""
    unit = 1 if magic == NANOSECONDS else 1000
    out = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, snaplen, linktype)]
    for packet in packets:
        seconds, nanos = divmod(packet.time_ns, 10**9)
        header = (seconds, nanos // unit, len(packet.data), packet.wire_length)
        out.append(struct.pack(f"{order}IIII", *header) + packet.data)
    return b"".join(out)


@dataclass(frozen=True)
class Interface:
    """An interface of a pcapng file.

    `tsresol` is the option's byte as it stands in the file: a power of ten, or
    of two when the high bit is set; None leaves the option out (microseconds).
    `tsoffset` (seconds) is subtracted from the times written.
    """

    linktype: int = ETHERNET
    tsresol: int | None = None
    tsoffset: int = 0

    def ticks(self, time_ns: int) -> int:
        """`time_ns` in this interface's unit."""
        time_ns -= self.tsoffset * 10**9
        resolution = 6 if self.tsresol is None else self.tsresol
        binary = bool(resolution & 0x80)
        ticks_per_second: int = 2 ** (resolution & 0x7F) if binary else 10**resolution
        return time_ns * ticks_per_second // 10**9


@dataclass(frozen=True)
class Blocks:
    """The blocks of a pcapng section in one byte order."""

    order: str = "<"

    def block(self, kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        length = len(body) + 12
        head = struct.pack(f"{self.order}II", kind, length)
        return head + body + struct.pack(f"{self.order}I", length)

    def option(self, code: int, value: bytes) -> bytes:
        head = struct.pack(f"{self.order}HH", code, len(value))
        return head + value + bytes(-len(value) % 4)

    def section_header(self) -> bytes:
        body = struct.pack(f"{self.order}IHHq", 0x1A2B3C4D, 1, 0, -1)
        return self.block(0x0A0D0D0A, body)

    def interface(self, interface: Interface) -> bytes:
        body = struct.pack(f"{self.order}HHI", interface.linktype, 0, SNAPLEN)
        options = b""
        if interface.tsresol is not None:
            options += self.option(9, bytes([interface.tsresol]))
        if interface.tsoffset:
            options += self.option(14, struct.pack(f"{self.order}q", interface.tsoffset))
        if options:
            options += self.option(0, b"")
        return self.block(1, body + options)

    def enhanced_packet(
        self, packet: Packet, number: int, interface: Interface, comment: str = ""
    ) -> bytes:
        """An enhanced packet block on interface `number`, which is `interface`."""
        ticks = interface.ticks(packet.time_ns)
        fields = (number, ticks >> 32, ticks & 0xFFFFFFFF)
        lengths = (len(packet.data), packet.wire_length)
        body = struct.pack(f"{self.order}IIIII", *fields, *lengths)
        body += packet.data + bytes(-len(packet.data) % 4)
        if comment:
            body += self.option(1, comment.encode()) + self.option(0, b"")
        return self.block(6, body)

    def simple_packet(self, packet: Packet) -> bytes:
        """A simple packet block: no time, always on interface 0."""
        length = struct.pack(f"{self.order}I", packet.wire_length)
        return self.block(3, length + packet.data)

    def name_resolution(self, address: bytes, name: str) -> bytes:
        record = self.option(1, address + name.encode() + b"\0")
        return self.block(4, record + self.option(0, b""))

    def interface_statistics(self, number: int) -> bytes:
        return self.block(5, struct.pack(f"{self.order}III", number, 0, 0))


def pcapng(
    packets: Sequence[Packet],
    interfaces: Sequence[Interface] = (Interface(),),
    order: str = "<",
) -> bytes:
    """A pcapng file; packets go to the interfaces in turn."""
    blocks = Blocks(order)
    out = [blocks.section_header()]
    out += [blocks.interface(interface) for interface in interfaces]
    for index, packet in enumerate(packets):
        number = index % len(interfaces)
        out.append(blocks.enhanced_packet(packet, number, interfaces[number]))
    return b"".join(out)
