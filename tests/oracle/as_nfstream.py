"""Decode a packet as NFStream 6.6.0 does, including its defects.

This describes the observed behaviour of NFStream, in order to distinguish intended
differences of Flowloom from bugs. `rules` collects the rules that apply to the packet.
"""

from __future__ import annotations

import packet as p
from capture import Record
from packet import Bytes, Packet
from rules import Rule

# Link types
NULL, ETHERNET, PPP, PPP_HDLC, CISCO_HDLC = 0, 1, 9, 50, 104
RAW, LINUX_SLL, RADIOTAP, IPV4, IPV6 = (12, 101), 113, 127, 228, 229

AF_INET, AF_INET6 = 2, (10, 23, 24, 28, 30)
PPP_IPV4, PPP_IPV6 = 0x0021, 0x0057

# NFStream ignores frames with fewer captured bytes.
SHORTEST = 28


class Ignored(Exception):
    """NFStream ignores the packet."""


class Reader:
    """Decodes one packet from the link layer to the transport layer."""

    def __init__(self, record: Record, decode_tunnels: bool = True) -> None:
        self.bytes = Bytes(record.data, record.beyond)
        self.linktype = record.linktype
        self.raw_size = record.wire_length
        self.decode_tunnels = decode_tunnels
        self.rules: set[Rule] = set()
        # State that NFStream keeps when it starts again inside a tunnel.
        self.ethertype = 0
        self.llc_length = 0
        self.fragment_offset = 0
        self.protocol = 0
        self.vlan_id = 0
        self.tunnel_id = p.NO_TUNNEL
        self.macs = (bytes(6), bytes(6))
        # The IP version according to the lower layer. None if it does not state a
        # version, 0 if it states another protocol. NFStream ignores it.
        self.announced: int | None = None

    def read(self) -> Packet | None:
        """Return the packet, or None if NFStream ignores it."""
        try:
            return self._frame(0)
        except Ignored:
            return None

    def _ignore(self, rule: Rule | None = None) -> Ignored:
        if rule:
            self.rules.add(rule)
        return Ignored()

    # From the link layer to IP

    def _frame(self, start: int) -> Packet:
        at = self._link(start)
        at = self._tags(at)
        return self._ip(at)

    def _link(self, start: int) -> int:
        if not self.bytes.has(start, SHORTEST):
            raise self._ignore(Rule.SHORT_FRAME)
        if self.linktype == ETHERNET:
            return self._ethernet(start)
        if self.linktype == NULL:
            is_ipv4 = self.bytes.be32(start) == AF_INET
            self.ethertype = p.IPV4_TYPE if is_ipv4 else p.IPV6_TYPE
            family = min(self.bytes.be32(start), self._le32(start))
            self.announced = {AF_INET: 4, **dict.fromkeys(AF_INET6, 6)}.get(family, 0)
            return start + 4
        if self.linktype in (PPP, PPP_HDLC, CISCO_HDLC):
            return self._serial(start)
        if self.linktype == LINUX_SLL:
            self._announce(self.bytes.be16(start + 14))
            return start + 16
        if self.linktype in RAW:
            version = self.bytes.byte(start) >> 4
            self.ethertype = {4: p.IPV4_TYPE, 6: p.IPV6_TYPE}.get(version, self.ethertype)
            self.announced = None
            return start
        if self.linktype in (IPV4, IPV6):
            self._announce(p.IPV4_TYPE if self.linktype == IPV4 else p.IPV6_TYPE)
            return start
        if self.linktype == RADIOTAP:
            return self._radiotap(start)
        raise self._ignore(Rule.LINK_TYPE)

    def _le32(self, at: int) -> int:
        return int.from_bytes(self.bytes.slice(at, 4), "little")

    def _announce(self, ethertype: int) -> None:
        self.ethertype = ethertype
        self.announced = {p.IPV4_TYPE: 4, p.IPV6_TYPE: 6}.get(ethertype, 0)

    def _ethernet(self, start: int) -> int:
        self.macs = (self.bytes.slice(start + 6, 6), self.bytes.slice(start, 6))
        at = start + 14
        kind = self.bytes.be16(start + 12)
        self.announced = 0
        if kind <= 1500:
            self.llc_length = kind
        elif kind >= 1536:
            self._announce(kind)
        if self.llc_length:
            service_points = (self.bytes.byte(at), self.bytes.byte(at + 1))
            if 0xAA in service_points:
                self._announce(self.bytes.be16(at + 6))
                if self.announced == 0:
                    self.rules.add(Rule.SNAP_ETHERTYPE)
                self.ethertype = self.bytes.le16(at + 6)
                at += 8
            elif 0x42 in service_points:
                raise self._ignore()
        return at

    def _serial(self, start: int) -> int:
        cisco = self.bytes.byte(0) in (0x0F, 0x8F)
        if self.linktype == PPP_HDLC or cisco:
            at = start + 4
        else:
            at = start + 2
            if self.bytes.byte(start) & 1 or self.bytes.byte(start) == 0xFF:
                self.rules.add(Rule.PPP_FRAMING)
        self.ethertype = self.bytes.be16(at - 2)
        if cisco or self.linktype == CISCO_HDLC:
            self._announce(self.ethertype)
        else:
            self.announced = {PPP_IPV4: 4, PPP_IPV6: 6}.get(self.ethertype, 0)
        return at

    def _radiotap(self, start: int) -> int:
        length = self.bytes.le16(start + 2)
        if self.bytes.byte(start + 16) & 0x50 == 0x50:
            raise self._ignore(Rule.WIFI_HEADER)
        wifi = start + length
        if not self.bytes.has(wifi, 24):
            raise self._ignore()
        control = self.bytes.le16(wifi)
        if control >> 2 & 3 != 2:
            raise self._ignore()
        one_way = bool(control & 0x0100) != bool(control & 0x0200)
        header_length = 26 if one_way else 0
        plain_qos = control & 0xC0F0 == 0x0080 and one_way
        if not plain_qos:
            self.rules.add(Rule.WIFI_HEADER)
        self.macs = (self.bytes.slice(wifi + 10, 6), self.bytes.slice(wifi + 16, 6))
        llc = wifi + header_length
        if not self.bytes.has(llc, 8):
            raise self._ignore()
        self.announced = 0
        if self.bytes.byte(llc) == 0xAA:
            self._announce(self.bytes.be16(llc + 6))
        return llc + 8

    def _tags(self, at: int) -> int:
        while True:
            if self.ethertype == p.VLAN:
                if at + 4 >= self.bytes.captured:
                    raise self._ignore()
                self.vlan_id = self.bytes.be16(at) & 0xFFF
                self._announce(self.bytes.be16(at + 2))
                at += 4
            elif self.ethertype in (p.MPLS, p.MPLS_MULTICAST):
                at = self._labels(at)
            elif self.ethertype == p.PPPOE:
                protocol = self.bytes.be16(at + 6)
                self.announced = {PPP_IPV4: 4, PPP_IPV6: 6}.get(protocol, 0)
                if self.bytes.byte(at + 1) != 0:
                    self.announced = 0
                self.ethertype = p.IPV4_TYPE
                at += 8
            else:
                return at

    def _labels(self, at: int) -> int:
        if at + 4 >= self.bytes.captured:
            raise self._ignore()
        while True:
            bottom = self.bytes.byte(at + 2) & 1
            at += 4
            if bottom or at + 4 >= self.bytes.captured:
                break
        self.ethertype = p.IPV4_TYPE
        self.announced = None
        return at

    # IP

    def _ip(self, at: int) -> Packet:
        while True:
            if not self.bytes.has(at, 20):
                raise self._ignore()
            if self.ethertype == p.IPV4_TYPE:
                # After other ethertypes, NFStream uses the values of the last header.
                self.fragment_offset = self.bytes.be16(at + 6) & 0x1FFF
                self.protocol = self.bytes.byte(at + 9)
            version = self.bytes.byte(at) >> 4
            if version not in (4, 6):
                raise self._ignore()
            if self.announced not in (None, version):
                self.rules.add(Rule.ETHERTYPE_DECIDES)
            if version == 4:
                actual, transport, inner = self._ipv4(at)
                looked_at = transport
            else:
                actual, transport, left = self._ipv6(at)
                self.protocol = actual
                inner = actual in (p.IPIP, p.IPV6_IN_IP)
                looked_at = at + left
            if not inner:
                break
            self._look_into(transport)
            at = transport
        if self.decode_tunnels and actual == p.UDP:
            if version == 6:
                if self._tunnel_port_at(transport) or self._tunnel_port_at(looked_at):
                    self.rules.add(Rule.TUNNEL_OVER_IPV6)
            elif self.protocol != p.UDP and self._tunnel_port_at(transport):
                self.rules.add(Rule.TUNNEL_OVER_OTHER)
        if self.decode_tunnels and self.protocol == p.UDP:
            tunnelled = self._tunnel(looked_at)
            if tunnelled:
                return tunnelled
        return self._packet(at)

    def _ipv4(self, at: int) -> tuple[int, int, bool]:
        """Return the protocol, the offset of its header, and whether that is IP again."""
        header_length = (self.bytes.byte(at) & 15) * 4
        if header_length < 20:
            self.rules.add(Rule.IHL_BELOW_5)
        if self.bytes.be16(at + 2) == 0:
            self.rules.add(Rule.TOTAL_LENGTH_0)
        later = self.bytes.be16(at + 6) & 0x1FFF != 0
        protocol = self.bytes.byte(at + 9)
        inner = protocol in (p.IPIP, p.IPV6_IN_IP) and header_length > 0
        if self.fragment_offset and not inner:
            raise self._ignore()
        if later:
            self.rules.add(Rule.LATER_FRAGMENTS)
        return protocol, at + header_length, inner

    def _look_into(self, at: int) -> None:
        """Note the rules before NFStream decodes IP in IP."""
        self.announced = None
        readable = self.bytes.has(at, 20)
        if not readable or self.bytes.byte(at) >> 4 not in (4, 6):
            self.rules.add(Rule.IP_IN_IP)

    def _ipv6(self, at: int) -> tuple[int, int, int]:
        """Return the protocol, the offset of its header, and the remaining length."""
        length = self.bytes.be16(at + 4)
        if not self.bytes.has(at, 40):
            raise self._ignore()
        if not self.bytes.has(at, 40 + length):
            raise self._ignore(Rule.TRUNCATED_IPV6)
        if length == 0:
            self.rules.add(Rule.TOTAL_LENGTH_0)
        captured = self.bytes.captured - at - 40 & 0xFFFF
        protocol, at = self.bytes.byte(at + 6), at + 40
        while captured > 1 and protocol in (*p.EXTENSIONS, p.NO_NEXT):
            if protocol == p.NO_NEXT:
                raise self._ignore()
            if protocol == p.FRAGMENT:
                if length < 8 or captured < 5:
                    raise self._ignore()
                if self.bytes.be16(at + 2) >> 3:
                    raise self._ignore()
                size = 8
                captured -= 5
            else:
                size = self.bytes.byte(at + 1) * 8 + 8
                if length < size or captured < size:
                    raise self._ignore()
                captured -= size
            protocol = self.bytes.byte(at)
            length -= size
            at += size
        if protocol in (*p.EXTENSIONS, p.NO_NEXT):
            self.rules.add(Rule.EXTENSION_HEADERS)
        return protocol, at, length

    # Tunnels

    def _tunnel_port_at(self, udp: int) -> bool:
        ports = {self.bytes.be16(udp), self.bytes.be16(udp + 2)}
        return not ports.isdisjoint((p.GTP_PORT, p.TZSP_PORT, p.CAPWAP_PORT))

    def _tunnel(self, udp: int) -> Packet | None:
        if not self.bytes.has(udp, 8):
            raise self._ignore(Rule.UDP_TUNNEL_SHORT_HEADER)
        ports = (self.bytes.be16(udp), self.bytes.be16(udp + 2))
        payload = udp + 8
        if p.GTP_PORT in ports and payload + 8 < self.bytes.captured:
            return self._gtp(payload)
        if p.TZSP_PORT in ports:
            return self._tzsp(payload)
        if p.CAPWAP_PORT in ports:
            return self._capwap(payload)
        return None

    def _gtp(self, at: int) -> Packet | None:
        flags = self.bytes.byte(at)
        if flags >> 5 != 1 or self.bytes.byte(at + 1) != 0xFF:
            return None
        at += 12 if flags & 7 else 8
        if flags & 4:
            while at < self.bytes.captured:
                length = self.bytes.byte(at) * 4
                at += length
                if at >= self.bytes.captured or length == 0:
                    return None
                if self.bytes.byte(at - 1) == 0:
                    break
        if at >= self.bytes.captured:
            return None
        version = self.bytes.byte(at) >> 4
        if version not in (4, 6):
            raise self._ignore()
        self.tunnel_id = p.GTP
        if not self.bytes.has(at, 20 if version == 4 else 40):
            raise self._ignore()
        if version == 4 and self.bytes.be16(at + 6) & 0x1FFF:
            self.rules.add(Rule.LATER_FRAGMENTS)
        return self._packet(at)

    def _tzsp(self, at: int) -> Packet | None:
        if not self.bytes.has(at, 4):
            raise self._ignore(Rule.TZSP_TAGS)
        self.tunnel_id = p.TZSP
        if self.bytes.slice(at, 4) != b"\x01\x00\x00\x01":
            self.rules.add(Rule.TZSP_TAGS)
            return None
        at += 4
        if at >= self.bytes.captured:
            self.rules.add(Rule.TZSP_TAGS)
            return None
        tag = self.bytes.byte(at)
        if tag != 1:
            self.rules.add(Rule.TZSP_TAGS)
        if self.linktype != ETHERNET:
            self.rules.add(Rule.TZSP_TAGS)
        if tag > 1 and not self.bytes.has(at, 2):
            raise self._ignore()
        at += 1 if tag <= 1 else self.bytes.byte(at + 1)
        if at >= self.bytes.captured:
            raise self._ignore()
        return self._frame(at)

    def _capwap(self, at: int) -> Packet | None:
        if not self.bytes.has(at, 2) or self.bytes.byte(at) & 15:
            return None
        wifi = at + ((self.bytes.byte(at + 1) & 0xF8) >> 1)
        if not self._is_plain_wifi(at, wifi):
            self.rules.add(Rule.CAPWAP_CONTENT)
        if wifi + 32 >= self.bytes.captured:
            return None
        self.macs = (self.bytes.slice(wifi + 10, 6), self.bytes.slice(wifi + 16, 6))
        self._announce(self.bytes.be16(wifi + 30))
        self.tunnel_id = p.CAPWAP
        return self._ip(wifi + 32)

    def _is_plain_wifi(self, at: int, wifi: int) -> bool:
        """Return whether there is an 802.11 header of 24 bytes, and then SNAP."""
        flags = self.bytes.byte(at + 3)
        is_frame = self.bytes.byte(at) == 0 and self.bytes.byte(at + 2) & 1
        if not is_frame or flags & 0x88 or wifi < at + 8:
            return False
        # Some controllers swap these two bytes.
        control = sorted(self.bytes.slice(wifi, 2))
        is_data = control[0] & 0xFC in (0, 0x08) and control[1] & 0xFC == 0x08
        is_snap = self.bytes.slice(wifi + 24, 6) == b"\xaa\xaa\x03\0\0\0"
        return is_data and control != [3, 3] and is_snap

    # Transport

    def _packet(self, at: int) -> Packet:
        size = self.bytes.captured - at & 0xFFFF
        if self.bytes.byte(at) >> 4 == 4:
            header_length = (self.bytes.byte(at) & 15) * 4
            total = self.bytes.be16(at + 2)
            if total == 0:
                self.rules.add(Rule.TOTAL_LENGTH_0)
            if size < 20 or header_length > size:
                raise self._ignore()
            length = total - header_length & 0xFFFF
            if max(total, size) < header_length + length:
                raise self._ignore()
            protocol, transport = self.bytes.byte(at + 9), at + header_length
            ends, version = (at + 12, at + 16, 4), 4
        else:
            protocol, transport, length = self._ipv6(at)
            total = 40 + self.bytes.be16(at + 4)
            if transport - at > size:
                raise self._ignore()
            ends, version = (at + 8, at + 24, 16), 6
        src, dst, address_length = ends
        ports, flags, transport_size, payload_size = self._transport(
            protocol, transport, length
        )
        if self.raw_size > 0xFFFF:
            self.rules.add(Rule.SIZE_WRAP)
        return Packet(
            src=self.bytes.slice(src, address_length),
            dst=self.bytes.slice(dst, address_length),
            src_port=ports[0],
            dst_port=ports[1],
            protocol=protocol,
            ip_version=version,
            vlan_id=self.vlan_id,
            tunnel_id=self.tunnel_id,
            src_mac=self.macs[0],
            dst_mac=self.macs[1],
            flags=flags,
            raw_size=self.raw_size & 0xFFFF,
            ip_size=total & 0xFFFF,
            transport_size=transport_size,
            payload_size=payload_size,
        )

    def _transport(
        self, protocol: int, at: int, length: int
    ) -> tuple[tuple[int, int], int, int, int]:
        """Return ports, TCP flags, transport size and payload size."""
        if protocol == p.TCP and length >= 20:
            if not self.bytes.has(at, 20):
                self.rules.add(Rule.TRUNCATED_TRANSPORT)
            header_length = (self.bytes.byte(at + 12) >> 4) * 4
            flags = self.bytes.byte(at + 13)
            ports = (self.bytes.be16(at), self.bytes.be16(at + 2))
            return ports, flags, length, max(0, length - header_length)
        if protocol == p.UDP and length >= 8:
            if not self.bytes.has(at, 8):
                self.rules.add(Rule.TRUNCATED_TRANSPORT)
            ports = (self.bytes.be16(at), self.bytes.be16(at + 2))
            return ports, 0, length, length - 8
        if protocol in (p.ICMP, p.ICMPV6):
            return (0, 0), 0, length, max(0, length - 8)
        return (0, 0), 0, 0, 0
