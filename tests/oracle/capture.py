"""Read capture files packet by packet.

NFStream reads files with libpcap, which continues after damage and skips packets that
it does not support. A record therefore states whether only one of the two programs
reads it, and by which rule.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rules import Rule

# Limits of libpcap
LONGEST_PACKET = 262_144
LONGEST_BLOCK = 16 * 1024 * 1024

# How many bytes after a packet a decoder may read.
BEYOND = 64


@dataclass(frozen=True)
class Record:
    """A packet as it is in the file. Times count from 1970.

    The fraction of a second in a pcap file is signed. In libpcap, and therefore in
    `libpcap_time_ms`, the seconds are signed too.
    """

    time_ns: int
    libpcap_time_ms: int
    linktype: int
    data: bytes
    wire_length: int
    # The bytes after the packet in libpcap's buffer, which belong to earlier packets.
    beyond: bytes = b""
    # The rule by which NFStream does not read this packet.
    unseen: Rule | None = None
    # The rule by which only NFStream reads this packet.
    phantom: Rule | None = None


@dataclass
class Buffer:
    """The buffer of libpcap, which is not cleared between packets."""

    content: bytearray = field(default_factory=lambda: bytearray(LONGEST_PACKET))

    def load(self, block: bytes, start: int, length: int) -> bytes:
        """Store a block. Return the bytes after the packet that begins at `start`."""
        if len(block) > len(self.content):
            self.content.extend(bytes(len(block) - len(self.content)))
        self.content[: len(block)] = block
        end = start + length
        return bytes(self.content[end : end + BEYOND])


def read(path: Path) -> Iterator[Record]:
    """Yield the packets of a pcap or pcapng file. Other files have none."""
    raw = path.read_bytes()
    if raw[:4] == b"\x0a\x0d\x0d\x0a":
        yield from _pcapng(raw)
        return
    for order in "<", ">":
        magic = struct.unpack_from(f"{order}I", raw.ljust(24))[0]
        if magic in (0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34):
            yield from _pcap(raw, order, magic)
            return


def _pcap(raw: bytes, order: str, magic: int) -> Iterator[Record]:
    unit = 1 if magic == 0xA1B23C4D else 1000
    head = 24 if magic == 0xA1B2CD34 else 16
    snaplen, linktype = struct.unpack_from(f"{order}II", raw, 16)
    linktype &= 0xFFFF
    limit = max(snaplen, LONGEST_PACKET) if snaplen < 1 << 31 else LONGEST_PACKET
    buffer, at, phantom = Buffer(), 24, None
    while at + head <= len(raw):
        seconds, part, caplen, length = struct.unpack_from(f"{order}IIII", raw, at)
        at += head
        if caplen > limit:  # libpcap reports an error, and reads the next bytes as a header
            phantom = Rule.DAMAGED_FILE
            continue
        if at + caplen > len(raw):
            return
        data = raw[at : at + caplen]
        beyond = buffer.load(data, 0, caplen)
        yield Record(
            max(0, seconds * 10**9 + _signed(part) * unit),
            _signed(seconds) * 1000 + int(_signed(part) * unit / 10**6),
            linktype,
            data,
            length,
            beyond,
            phantom=phantom,
        )
        at += caplen


def _signed(number: int) -> int:
    return number - (1 << 32) if number >> 31 else number


@dataclass(frozen=True)
class _Interface:
    linktype: int
    snaplen: int
    resolution: int = 6
    offset_s: int = 0

    def time_ns(self, ticks: int) -> int:
        if self.resolution & 0x80:
            time_ns = ticks * 10**9 >> (self.resolution & 0x7F)
        else:
            time_ns = ticks * 10**9 // 10**self.resolution
        return time_ns + self.offset_s * 10**9


def _pcapng(raw: bytes) -> Iterator[Record]:
    first_order: str | None = None
    order, at, buffer = "<", 0, Buffer()
    interfaces: list[_Interface] = []
    first: _Interface | None = None
    while at + 12 <= len(raw):
        if raw[at : at + 4] == b"\x0a\x0d\x0d\x0a":
            order = "<" if raw[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            first_order = first_order or order
            interfaces = []
        kind, length = struct.unpack_from(f"{order}II", raw, at)
        if length < 12 or length > LONGEST_BLOCK or at + length > len(raw):
            return
        block = raw[at : at + length]
        at += length
        if kind == 1:
            interfaces.append(_interface(block, order))
            first = first or interfaces[0]
            continue
        found = _packet_block(kind, block, order)
        if found is None:
            continue
        number, ticks, start, caplen, wire_length = found
        if number >= len(interfaces):
            return
        interface = interfaces[number]
        if kind == 3:
            caplen = min(caplen, interface.snaplen or caplen)
        unseen = None
        if order != first_order:
            unseen = Rule.PCAPNG_BYTE_ORDER
        elif first and interface.linktype != first.linktype:
            unseen = Rule.PCAPNG_LINK_TYPES
        beyond = b""
        if unseen is None:
            beyond = buffer.load(block, start, caplen)
        time_ns = 0 if kind == 3 else interface.time_ns(ticks)
        yield Record(
            time_ns,
            time_ns // 10**6,
            interface.linktype,
            block[start : start + caplen],
            wire_length,
            beyond,
            unseen,
        )


def _packet_block(
    kind: int, block: bytes, order: str
) -> tuple[int, int, int, int, int] | None:
    """Return interface, time, start, captured length and length on the wire."""
    if kind == 6:
        number, high, low, caplen, length = struct.unpack_from(f"{order}IIIII", block, 8)
    elif kind == 2:
        number, _, high, low, caplen, length = struct.unpack_from(
            f"{order}HHIIII", block, 8
        )
    elif kind == 3:
        (length,) = struct.unpack_from(f"{order}I", block, 8)
        return 0, 0, 12, min(length, len(block) - 16), length
    else:
        return None
    return number, high << 32 | low, 28, caplen, length


def _interface(block: bytes, order: str) -> _Interface:
    linktype, _, snaplen = struct.unpack_from(f"{order}HHI", block, 8)
    resolution, offset_s, at = 6, 0, 16
    while at + 4 <= len(block) - 4:
        code, length = struct.unpack_from(f"{order}HH", block, at)
        value = block[at + 4 : at + 4 + length]
        if code == 0:
            break
        if code == 9 and length == 1:
            resolution = value[0]
        if code == 14 and length == 8:
            (offset_s,) = struct.unpack(f"{order}q", value)
        at += 4 + length + -length % 4
    return _Interface(linktype, snaplen, resolution, offset_s)
