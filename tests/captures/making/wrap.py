"""Headers put around packets, taken off, or spoilt.

A frame here is an Ethernet frame, a packet is what follows its 14 bytes: an IPv4
or IPv6 packet, checksums right unless a function's name says otherwise.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

MACS = bytes.fromhex("020000000002 020000000001")

IPV4, IPV6 = 0x0800, 0x86DD
VLAN, SERVICE_VLAN = 0x8100, 0x88A8
MPLS, PPPOE = 0x8847, 0x8864

# IP protocol numbers
IPIP, UDP, IPV6_IN_IP, GRE = 4, 17, 41, 47

# The two ends of every tunnel made here.
OUTER_V4 = (IPv4Address("198.51.100.1"), IPv4Address("198.51.100.2"))
OUTER_V6 = (IPv6Address("2001:db8:ffff::1"), IPv6Address("2001:db8:ffff::2"))


def is_ip(frame: bytes) -> bool:
    return ethertype(frame) in (IPV4, IPV6)


def ethertype(frame: bytes) -> int:
    return int.from_bytes(frame[12:14], "big")


def packet_of(frame: bytes) -> bytes:
    """The packet in a frame."""
    return frame[14:]


def frame_of(packet: bytes, kind: int | None = None) -> bytes:
    """A frame around a packet; its ethertype follows the packet unless given."""
    if kind is None:
        kind = IPV4 if packet[0] >> 4 == 4 else IPV6
    return MACS + kind.to_bytes(2, "big") + packet


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


# Between Ethernet and IP


def vlan(frame: bytes, number: int, tag: int = VLAN) -> bytes:
    """A tag with this VLAN number before whatever the frame carries."""
    return frame[:12] + struct.pack(">HH", tag, number) + frame[12:]


def mpls(frame: bytes, *labels: int) -> bytes:
    """A stack of MPLS labels, outermost first."""
    stack = b""
    for index, label in enumerate(labels):
        bottom = index == len(labels) - 1
        stack += struct.pack(">I", label << 12 | bottom << 8 | 64)
    return frame[:12] + MPLS.to_bytes(2, "big") + stack + packet_of(frame)


def pppoe(frame: bytes) -> bytes:
    """A PPPoE session header and the PPP protocol number."""
    packet = packet_of(frame)
    protocol = 0x0021 if ethertype(frame) == IPV4 else 0x0057
    header = struct.pack(">BBHHH", 0x11, 0, 1, len(packet) + 2, protocol)
    return frame[:12] + PPPOE.to_bytes(2, "big") + header + packet


def snap(frame: bytes) -> bytes:
    """IEEE 802.3 with LLC and SNAP in place of an ethertype."""
    body = bytes.fromhex("aaaa03000000") + frame[12:]
    return frame[:12] + len(body).to_bytes(2, "big") + body


# Tunnels


def ipv4(payload: bytes, protocol: int) -> bytes:
    """An IPv4 packet from one end of the tunnel to the other."""
    source, destination = OUTER_V4
    total = 20 + len(payload)
    head = struct.pack(">BBHHHBB", 0x45, 0, total, 0, 0x4000, 64, protocol)
    ends = source.packed + destination.packed
    total_sum = checksum(head + bytes(2) + ends)
    return head + total_sum.to_bytes(2, "big") + ends + payload


def ipv6(payload: bytes, protocol: int) -> bytes:
    """An IPv6 packet from one end of the tunnel to the other."""
    source, destination = OUTER_V6
    head = struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64)
    return head + source.packed + destination.packed + payload


def inner_protocol(packet: bytes) -> int:
    """The protocol number that says a packet follows."""
    return IPIP if packet[0] >> 4 == 4 else IPV6_IN_IP


def udp(payload: bytes, port: int, over_ipv6: bool = False) -> bytes:
    """A UDP datagram from and to `port` between the ends of the tunnel."""
    length = 8 + len(payload)
    ends = OUTER_V6 if over_ipv6 else OUTER_V4
    pseudo = ends[0].packed + ends[1].packed + struct.pack(">II", UDP, length)
    head = struct.pack(">HHH", port, port, length)
    total_sum = checksum(pseudo + head + bytes(2) + payload) or 0xFFFF
    datagram = head + total_sum.to_bytes(2, "big") + payload
    return (ipv6 if over_ipv6 else ipv4)(datagram, UDP)


def gre(packet: bytes) -> bytes:
    kind = IPV4 if packet[0] >> 4 == 4 else IPV6
    return ipv4(struct.pack(">HH", 0, kind) + packet, GRE)


def geneve(frame: bytes) -> bytes:
    return udp(struct.pack(">BBHI", 0, 0, 0x6558, 7 << 8) + frame, 6081)


def gtp(packet: bytes, teid: int, *, extended: bool, over_ipv6: bool = False) -> bytes:
    """GTP-U; `extended` adds a sequence number and a PDU session extension header."""
    options = b""
    if extended:
        options = struct.pack(">HBB", 1, 0, 0x85) + bytes((1, 0x10, 9, 0))
    flags = 0x36 if extended else 0x30
    head = struct.pack(">BBHI", flags, 0xFF, len(options) + len(packet), teid)
    return udp(head + options + packet, 2152, over_ipv6)


def tzsp(frame: bytes, *, tags: bytes = b"", over_ipv6: bool = False) -> bytes:
    """TZSP, its tagged fields ended by the tag that ends them."""
    return udp(bytes((1, 0, 0, 1)) + tags + b"\x01" + frame, 37008, over_ipv6)


def capwap(frame: bytes, *, over_ipv6: bool = False) -> bytes:
    """CAPWAP data: a header of eight bytes, IEEE 802.11, LLC and SNAP."""
    header = bytes((0x00, 0x10, 0x43, 0x00, 0, 0, 0, 0))
    station, peer = frame[6:12], frame[0:6]
    wifi = bytes((0x08, 0x01, 0, 0)) + peer + station + peer + bytes(2)
    llc = bytes.fromhex("aaaa03000000") + frame[12:14]
    return udp(header + wifi + llc + packet_of(frame), 5247, over_ipv6)


# IPv6 extension headers, each with a body that means nothing much

HOP_BY_HOP, ROUTING, FRAGMENT, ESP, AH, NO_NEXT, OPTIONS, MOBILITY = (
    *(0, 43, 44, 50, 51, 59, 60, 135),
)


def ipv6_extended(packet: bytes, *kinds: int, fragment_offset: int = 0) -> bytes:
    """An IPv6 packet with these extension headers before its payload, in order."""
    payload, following = packet[40:], packet[6]
    for kind in reversed(kinds):
        if kind == FRAGMENT:
            field = struct.pack(">HI", fragment_offset << 3, 7)
            header = bytes((following, 0)) + field
        elif kind == AH:
            header = bytes((following, 4)) + bytes(22)
        elif kind == ESP:
            header = bytes(8)
        elif kind == ROUTING:
            header = bytes((following, 2, 4, 0)) + bytes(20)
        else:  # padded with one PadN option
            header = bytes((following, 0, 1, 4)) + bytes(4)
        payload, following = header + payload, kind
    length = len(payload).to_bytes(2, "big")
    return packet[:4] + length + bytes((following,)) + packet[7:40] + payload


# Spoilt packets


def poke(data: bytes, offset: int, value: bytes) -> bytes:
    """`data` with other bytes at `offset`."""
    return data[:offset] + value + data[offset + len(value) :]
