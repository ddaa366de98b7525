"""Decode a packet as Flowloom does.

Headers determine the format, and bytes that were not captured are never read. This is a
second implementation of Flowloom's decoder in another language, so that the two check
each other. `rules` collects the rules that apply to the packet.
"""

from __future__ import annotations

import packet as p
from capture import Record
from packet import Bytes, Packet
from rules import Rule

LOOPBACKS, ETHERNET, PPPS, PPP_ETHER, CISCO_HDLC = (0, 108), 1, (9, 50), 51, 104
RAWS, IPV4, IPV6, LINUX_SLL, LINUX_SLL2 = (12, 14, 101), 228, 229, 113, 276
WIFI, PRISM, RADIOTAP, AVS, PPI = 105, 119, 127, 163, 192

AF_INET, AF_INET6 = 2, (10, 23, 24, 28, 30)
VLAN_TAGS = (p.VLAN, p.SERVICE_VLAN, p.OLD_SERVICE_VLAN)

MOST_TAGS = 16
MOST_IP_HEADERS = 8


class Ignored(Exception):
    """Flowloom ignores the packet."""


class Reader:
    """Decodes one packet from the link layer to the transport layer.

    A layer has an offset `at` and an end `wire`: its end on the wire according to the
    enclosing layer.
    """

    def __init__(self, record: Record, decode_tunnels: bool = True) -> None:
        self.bytes = Bytes(record.data)
        self.linktype = record.linktype
        self.raw_size = max(record.wire_length, len(record.data))
        self.follow = True
        self.decode_tunnels = decode_tunnels
        self.rules: set[Rule] = set()
        self.vlan_id = 0
        self.tunnel_id = p.NO_TUNNEL
        self.macs = (bytes(6), bytes(6))
        self.ip_headers = 0

    def read(self) -> Packet | None:
        """Return the packet, or None if Flowloom ignores it."""
        try:
            return self._link(self.linktype, 0, self.raw_size)
        except Ignored:
            return None

    def _need(self, at: int, length: int) -> None:
        if not self.bytes.has(at, length):
            raise Ignored

    # Link layers

    def _link(self, linktype: int, at: int, wire: int) -> Packet:
        if linktype == ETHERNET:
            return self._ethernet(at, wire)
        if linktype in LOOPBACKS:
            self._need(at, 4)
            header = self.bytes.slice(at, 4)
            family = min(int.from_bytes(header, "big"), int.from_bytes(header, "little"))
            if family == AF_INET:
                return self._ipv4(at + 4, wire)
            if family in AF_INET6:
                return self._ipv6(at + 4, wire)
        if linktype in PPPS:
            if self.bytes.byte(at) in (0x0F, 0x8F):
                linktype = CISCO_HDLC
            else:
                return self._ppp(at, wire)
        if linktype == PPP_ETHER:
            return self._pppoe(at, wire)
        if linktype in RAWS:
            return self._ip(at, wire)
        if linktype == CISCO_HDLC:
            self._need(at, 4)
            return self._ethertype(self.bytes.be16(at + 2), at + 4, wire)
        if linktype in (LINUX_SLL, LINUX_SLL2):
            return self._cooked(linktype, at, wire)
        if linktype == IPV4:
            return self._ipv4(at, wire)
        if linktype == IPV6:
            return self._ipv6(at, wire)
        if linktype == WIFI:
            return self._wifi(at, wire)
        if linktype in (PRISM, RADIOTAP, AVS):
            return self._wifi_behind(linktype, at, wire)
        if linktype == PPI:
            self._need(at, 8)
            inner = int.from_bytes(self.bytes.slice(at + 4, 4), "little")
            length = self.bytes.le16(at + 2)
            self._need(at, length)
            if length >= 8 and inner != PPI:
                return self._link(inner, at + length, wire)
        raise Ignored

    def _ethernet(self, at: int, wire: int) -> Packet:
        self._need(at, 14)
        self.macs = (self.bytes.slice(at + 6, 6), self.bytes.slice(at, 6))
        return self._ethertype(self.bytes.be16(at + 12), at + 14, wire)

    def _ethertype(self, ethertype: int, at: int, wire: int) -> Packet:
        for _ in range(MOST_TAGS):
            if ethertype == p.IPV4_TYPE:
                return self._ipv4(at, wire)
            if ethertype == p.IPV6_TYPE:
                return self._ipv6(at, wire)
            if ethertype in (p.MPLS, p.MPLS_MULTICAST):
                return self._labels(at, wire)
            if ethertype == p.PPPOE:
                return self._pppoe(at, wire)
            if ethertype <= 1500:
                return self._llc(at, wire)
            if ethertype not in VLAN_TAGS:
                raise Ignored
            if ethertype != p.VLAN:
                self.rules.add(Rule.VLAN_88A8)
            self._need(at, 4)
            self.vlan_id = self.bytes.be16(at) & 0xFFF
            ethertype = self.bytes.be16(at + 2)
            at += 4
        self.rules.add(Rule.TOO_DEEP)
        raise Ignored

    def _labels(self, at: int, wire: int) -> Packet:
        bottom = 0
        while not bottom:
            self._need(at, 4)
            bottom = self.bytes.byte(at + 2) & 1
            at += 4
        return self._ip(at, wire)

    def _llc(self, at: int, wire: int) -> Packet:
        header = self.bytes.slice(at, 6)
        self._need(at, 8)
        if header not in (b"\xaa\xaa\x03\0\0\0", b"\xaa\xaa\x03\0\0\xf8"):
            raise Ignored
        ethertype = self.bytes.be16(at + 6)
        if ethertype < 1536:
            raise Ignored
        return self._ethertype(ethertype, at + 8, wire)

    def _cooked(self, linktype: int, at: int, wire: int) -> Packet:
        length, protocol_at = (16, 14) if linktype == LINUX_SLL else (20, 0)
        self._need(at, length)
        ethertype = self.bytes.be16(at + protocol_at)
        if ethertype == 4:
            return self._llc(at + length, wire)
        if ethertype < 1536:
            raise Ignored
        return self._ethertype(ethertype, at + length, wire)

    def _pppoe(self, at: int, wire: int) -> Packet:
        self._need(at, 6)
        if self.bytes.byte(at + 1) != 0:
            raise Ignored
        return self._ppp(at + 6, wire)

    def _ppp(self, at: int, wire: int) -> Packet:
        if self.bytes.has(at, 2) and self.bytes.be16(at) == 0xFF03:
            at += 2
        self._need(at, 1)
        if self.bytes.byte(at) & 1:
            protocol, at = self.bytes.byte(at), at + 1
        else:
            self._need(at, 2)
            protocol, at = self.bytes.be16(at), at + 2
        if protocol == 0x0021:
            return self._ipv4(at, wire)
        if protocol == 0x0057:
            return self._ipv6(at, wire)
        if protocol in (0x0281, 0x0283):
            return self._labels(at, wire)
        raise Ignored

    def _wifi_behind(self, linktype: int, at: int, wire: int) -> Packet:
        self._need(at, 8)
        if linktype == PRISM and self.bytes.be32(at) & 0xFFFFF000 == 0x80211000:
            linktype = AVS
        if linktype == RADIOTAP:
            length = self.bytes.le16(at + 2)
            self._need(at, length)
            if self._radiotap_flags(at, length) & 0x40:
                raise Ignored
        else:
            field = self.bytes.slice(at + 4, 4)
            length = int.from_bytes(field, "big")
            if linktype == PRISM:
                length = min(length, int.from_bytes(field, "little"))
            self._need(at, length)
        if length < 8:
            raise Ignored
        return self._wifi(at + length, wire)

    def _radiotap_flags(self, at: int, length: int) -> int:
        words, field = 1, at + 8
        present = int.from_bytes(self.bytes.slice(at + 4, 4), "little")
        last = present
        while last & 1 << 31 and field + 4 <= at + length:
            last = int.from_bytes(self.bytes.slice(field, 4), "little")
            words, field = words + 1, field + 4
        if not present & 2:
            return 0
        if present & 1:
            field += -(field - at) % 8 + 8
        return self.bytes.byte(field) if field < at + length else 0

    def _wifi(self, at: int, wire: int, swapped: bool = False) -> Packet:
        self._need(at, 2)
        control, flags = self.bytes.byte(at), self.bytes.byte(at + 1)
        if swapped:
            control, flags = flags, control
        if control & 0x0C != 0x08 or control & 0x40 or flags & 0x40:
            raise Ignored
        length = 24
        if flags & 3 == 3:
            length += 6
        if control & 0x80:
            self._need(at + length, 1)
            if self.bytes.byte(at + length) & 0x80:
                raise Ignored
            length += 6 if flags & 0x80 else 2
        self._need(at, 24)
        self.macs = (self.bytes.slice(at + 10, 6), self.bytes.slice(at + 16, 6))
        return self._llc(at + length, wire)

    # IP

    def _ip(self, at: int, wire: int) -> Packet:
        self._need(at, 1)
        version = self.bytes.byte(at) >> 4
        if version == 4:
            return self._ipv4(at, wire)
        if version == 6:
            return self._ipv6(at, wire)
        raise Ignored

    def _nest(self) -> None:
        if self.ip_headers == MOST_IP_HEADERS:
            self.rules.add(Rule.TOO_DEEP)
            raise Ignored
        self.ip_headers += 1

    def _ipv4(self, at: int, wire: int) -> Packet:
        header_length = (self.bytes.byte(at) & 15) * 4
        if self.bytes.byte(at) >> 4 != 4 or header_length < 20:
            raise Ignored
        self._need(at, header_length)
        total = self.bytes.be16(at + 2) or wire - at
        if total < header_length or self.bytes.be16(at + 6) & 0x1FFF:
            raise Ignored
        self._nest()
        protocol = self.bytes.byte(at + 9)
        addresses = (self.bytes.slice(at + 12, 4), self.bytes.slice(at + 16, 4))
        end = at + total
        return self._above(4, addresses, total, protocol, at + header_length, end)

    def _ipv6(self, at: int, wire: int) -> Packet:
        self._need(at, 40)
        if self.bytes.byte(at) >> 4 != 6:
            raise Ignored
        payload = self.bytes.be16(at + 4)
        end = at + 40 + payload if payload else wire
        addresses = (self.bytes.slice(at + 8, 16), self.bytes.slice(at + 24, 16))
        protocol, transport = self.bytes.byte(at + 6), at + 40
        captured = min(self.bytes.captured, end)
        while protocol in (*p.EXTENSIONS, p.NO_NEXT):
            if protocol == p.NO_NEXT or transport + 8 > captured:
                raise Ignored
            length = 8
            if protocol == p.FRAGMENT:
                if self.bytes.be16(transport + 2) >> 3:
                    raise Ignored
            else:
                length += 8 * self.bytes.byte(transport + 1)
            if transport + length > captured:
                raise Ignored
            protocol = self.bytes.byte(transport)
            transport += length
        self._nest()
        return self._above(6, addresses, end - at, protocol, transport, end)

    def _above(
        self,
        version: int,
        addresses: tuple[bytes, bytes],
        size: int,
        protocol: int,
        at: int,
        end: int,
    ) -> Packet:
        """Decode the content of an IP packet: IP, a tunnel, or a transport header."""
        if protocol in (p.IPIP, p.IPV6_IN_IP) and self.follow:
            if (inner := self._ip_in_ip(at, end)) is not None:
                return inner
            self.rules.add(Rule.IP_IN_IP)
        length = end - at
        captured = max(0, min(self.bytes.captured, end) - at)
        ports, flags, transport_size, payload_size = (0, 0), 0, 0, 0
        shortest = {p.TCP: 20, p.UDP: 8}.get(protocol)
        if shortest and length >= shortest:
            if captured < 4:
                raise Ignored
            ports = (self.bytes.be16(at), self.bytes.be16(at + 2))
            header_length = 8
            if protocol == p.TCP:
                offset = self.bytes.byte(at + 12) >> 4 if captured > 12 else 5
                header_length = 4 * offset
                flags = self.bytes.byte(at + 13) if captured > 13 else 0
            transport_size, payload_size = length, max(0, length - header_length)
        elif protocol in (p.ICMP, p.ICMPV6):
            transport_size, payload_size = length, max(0, length - 8)
        if protocol == p.UDP and self.follow and self.decode_tunnels and length >= 8:
            tunnelled = self._udp_tunnel(ports, at + 8, end)
            if tunnelled:
                return tunnelled
        return Packet(
            src=addresses[0],
            dst=addresses[1],
            src_port=ports[0],
            dst_port=ports[1],
            protocol=protocol,
            ip_version=version,
            vlan_id=self.vlan_id,
            tunnel_id=self.tunnel_id,
            src_mac=self.macs[0],
            dst_mac=self.macs[1],
            flags=flags,
            raw_size=self.raw_size,
            ip_size=size,
            transport_size=transport_size,
            payload_size=payload_size,
        )

    def _ip_in_ip(self, at: int, end: int) -> Packet | None:
        """Return the inner packet, or None if the outer one is metered."""
        version = self.bytes.byte(at) >> 4
        if at >= min(self.bytes.captured, end):
            return None if at >= end else self._ip(at, end)
        if version not in (4, 6):
            return None
        # A header with inconsistent lengths is not a header. A truncated one is.
        shortest = 20 if version == 4 else 40
        if end - at < shortest:
            return None
        if version == 4 and self.bytes.has(at, 20):
            header_length = (self.bytes.byte(at) & 15) * 4
            total = self.bytes.be16(at + 2) or end - at
            if header_length < 20 or total < header_length:
                return None
        return self._ip(at, end)

    # Tunnels

    def _udp_tunnel(self, ports: tuple[int, int], at: int, end: int) -> Packet | None:
        """Return the packet in the tunnel, or None if there is no complete tunnel header."""
        limit = min(self.bytes.captured, end)
        if p.GTP_PORT in ports:
            inner, self_tunnel, kind = self._gtp(at, limit), p.GTP, "ip"
        elif p.TZSP_PORT in ports:
            inner, kind = self._tzsp(at, limit)
            self_tunnel = p.TZSP
        elif p.CAPWAP_PORT in ports:
            inner, kind = self._capwap(at, limit)
            self_tunnel = p.CAPWAP
        else:
            return None
        if inner is None or inner >= limit:
            return None
        self.tunnel_id = self_tunnel
        self.follow = self_tunnel != p.GTP
        if kind == "ip":
            return self._ip(inner, end)
        if kind == "ethernet":
            return self._ethernet(inner, end)
        if kind == "fragment":
            raise Ignored
        if kind in ("prism", "avs"):
            return self._wifi_behind(PRISM if kind == "prism" else AVS, inner, end)
        swapped = self_tunnel == p.CAPWAP and self.bytes.byte(inner) & 3 != 0
        return self._wifi(inner, end, swapped)

    def _gtp(self, at: int, limit: int) -> int | None:
        if at + 8 > limit:
            return None
        flags = self.bytes.byte(at)
        if flags >> 5 != 1 or self.bytes.byte(at + 1) != 0xFF:
            return None
        if not flags & 7:
            return at + 8
        at += 12
        following = self.bytes.byte(at - 1) if flags & 4 else 0
        while following:
            if at >= limit or self.bytes.byte(at) == 0:
                return None
            at += 4 * self.bytes.byte(at)
            if at > limit:
                return None
            following = self.bytes.byte(at - 1)
        return at

    def _tzsp(self, at: int, limit: int) -> tuple[int | None, str]:
        kinds = {0x01: "ethernet", 0x12: "wifi", 0x77: "prism", 0x7F: "avs"}
        kind = kinds.get(self.bytes.be16(at + 2), "")
        received = self.bytes.byte(at + 1) in (0, 1)
        if at + 4 > limit or self.bytes.byte(at) != 1 or not received or not kind:
            return None, kind
        at += 4
        while at < limit:
            tag = self.bytes.byte(at)
            if tag == 1:
                return at + 1, kind
            if tag and at + 1 >= limit:
                break
            at += 2 + self.bytes.byte(at + 1) if tag else 1
        return None, kind

    def _capwap(self, at: int, limit: int) -> tuple[int | None, str]:
        inner = at + (self.bytes.byte(at + 1) >> 3) * 4
        flags = self.bytes.byte(at + 3)
        if at + 8 > limit or self.bytes.byte(at) or inner < at + 8 or flags & 8:
            return None, ""
        if flags & 0x80 and self.bytes.be16(at + 6) >> 3:
            return inner, "fragment"
        if not self.bytes.byte(at + 2) & 1:
            return inner, "ethernet"
        return (inner if limit > inner + 32 else None), "wifi"
