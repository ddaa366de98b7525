"""A packet after decoding, by either decoder."""

from __future__ import annotations

from dataclasses import dataclass

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
IPIP, IPV6_IN_IP = 4, 41
HOP_BY_HOP, ROUTING, FRAGMENT, NO_NEXT, OPTIONS, MOBILITY = 0, 43, 44, 59, 60, 135
EXTENSIONS = (HOP_BY_HOP, ROUTING, FRAGMENT, OPTIONS, MOBILITY)

IPV4_TYPE, IPV6_TYPE = 0x0800, 0x86DD
VLAN, SERVICE_VLAN, OLD_SERVICE_VLAN = 0x8100, 0x88A8, 0x9100
MPLS, MPLS_MULTICAST, PPPOE = 0x8847, 0x8848, 0x8864

GTP_PORT, CAPWAP_PORT, TZSP_PORT = 2152, 5247, 37008
NO_TUNNEL, GTP, CAPWAP, TZSP = 0, 1, 2, 3

Key = tuple[object, ...]


@dataclass(frozen=True)
class Packet:
    """A packet of a flow. Sizes are in bytes. `flags` are the TCP flags, with FIN in bit 0."""

    src: bytes
    dst: bytes
    src_port: int
    dst_port: int
    protocol: int
    ip_version: int
    vlan_id: int
    tunnel_id: int
    src_mac: bytes
    dst_mac: bytes
    flags: int
    raw_size: int
    ip_size: int
    transport_size: int
    payload_size: int

    @property
    def key(self) -> Key:
        """The flow key, which is the same for both directions."""
        ends = sorted([(self.src, self.src_port), (self.dst, self.dst_port)])
        return (*ends[0], *ends[1], self.protocol, self.vlan_id, self.tunnel_id)

    def size(self, accounting_mode: int) -> int:
        sizes = (self.raw_size, self.ip_size, self.transport_size, self.payload_size)
        return sizes[accounting_mode]


class Bytes:
    """The bytes of a frame, and the bytes after it in the buffer."""

    def __init__(self, data: bytes, beyond: bytes = b"") -> None:
        self._bytes = data + beyond
        self.captured = len(data)

    def has(self, at: int, length: int) -> bool:
        """Return whether `length` bytes at offset `at` were captured."""
        return at + length <= self.captured

    def byte(self, at: int) -> int:
        return self._bytes[at] if at < len(self._bytes) else 0

    def be16(self, at: int) -> int:
        return self.byte(at) << 8 | self.byte(at + 1)

    def le16(self, at: int) -> int:
        return self.byte(at + 1) << 8 | self.byte(at)

    def be32(self, at: int) -> int:
        return self.be16(at) << 16 | self.be16(at + 2)

    def slice(self, at: int, length: int) -> bytes:
        return self._bytes[at : at + length].ljust(length, b"\0")
