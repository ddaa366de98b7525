"""Decode transport header and payload of an IP packet."""

from __future__ import annotations

TCP, UDP = 6, 17
HOP_BY_HOP, ROUTING, FRAGMENT, AH, OPTIONS, MOBILITY = 0, 43, 44, 51, 60, 135


def transport(packet: bytes) -> tuple[int, bytes]:
    """Return the protocol, and the captured bytes of its header and payload."""
    if packet[0] >> 4 == 4:
        end = int.from_bytes(packet[2:4], "big") or len(packet)
        return packet[9], packet[(packet[0] & 15) * 4 : end]
    protocol, rest = packet[6], packet[40 : 40 + int.from_bytes(packet[4:6], "big")]
    while len(rest) >= 8:
        if protocol in (HOP_BY_HOP, ROUTING, OPTIONS, MOBILITY):
            protocol, rest = rest[0], rest[(rest[1] + 1) * 8 :]
        elif protocol == FRAGMENT:
            protocol, rest = rest[0], rest[8:]
        elif protocol == AH:
            protocol, rest = rest[0], rest[(rest[1] + 2) * 4 :]
        else:
            break
    return protocol, rest


def payload(packet: bytes) -> bytes:
    """Return the captured payload of TCP or UDP, and no bytes for other protocols."""
    protocol, rest = transport(packet)
    if protocol == TCP and len(rest) >= 20:
        return rest[(rest[12] >> 4) * 4 :]
    return rest[8:] if protocol == UDP else b""
