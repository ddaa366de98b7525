"""The intended differences between NFStream and Flowloom.

A rule never explains all differences of a capture. Two decoders read every packet:
`as_nfstream.py` and `as_flowloom.py`. Each records the rules that apply. If both give
the same result, no rule applies to the packet. Otherwise the flows of the packet are
metered with both results. A difference is explained only if NFStream and Flowloom each
have the predicted value in every column.
"""

from __future__ import annotations

from enum import Enum


class Rule(Enum):
    """A difference: its name, and a sentence about the behaviour of NFStream."""

    LINK_TYPE = (
        "link-type",
        "NFStream ignores every packet of a link type it does not know.",
    )
    SHORT_FRAME = (
        "short-frame",
        "NFStream ignores frames with fewer than 28 captured bytes.",
    )
    ETHERTYPE_DECIDES = (
        "ethertype-decides",
        "NFStream decodes all data that begins with the digit 4 or 6 as IP, regardless "
        "of the ethertype, PPP protocol or address family; in Flowloom they decide.",
    )
    VLAN_88A8 = (
        "vlan-88a8",
        "NFStream does not support service VLAN tags (0x88A8, 0x9100).",
    )
    SNAP_ETHERTYPE = (
        "snap-ethertype",
        "NFStream reads the ethertype of a SNAP header in the wrong byte order, and "
        "therefore finds no tags after it.",
    )
    PPP_FRAMING = (
        "ppp-framing",
        "NFStream does not support PPP's address and control bytes, and compressed "
        "protocol numbers.",
    )
    WIFI_HEADER = (
        "wifi-header",
        "NFStream reads 802.11 headers as if each had a quality of service field "
        "and no other optional field. It reads encrypted frames as unencrypted ones.",
    )
    LATER_FRAGMENTS = (
        "later-fragments",
        "NFStream ignores later IPv4 fragments only after the ethertype 0x0800; "
        "otherwise it reads ports from the middle of a message.",
    )
    TRUNCATED_IPV6 = (
        "truncated-ipv6",
        "NFStream ignores IPv6 packets that were not captured completely.",
    )
    TRUNCATED_TRANSPORT = (
        "truncated-transport",
        "NFStream reads transport headers beyond the captured bytes, where the buffer "
        "has bytes of earlier packets; Flowloom reads ports only from the packet.",
    )
    UDP_TUNNEL_SHORT_HEADER = (
        "udp-tunnel-short-header",
        "When NFStream decodes tunnels, it ignores UDP packets whose header was not "
        "captured completely.",
    )
    TOTAL_LENGTH_0 = (
        "total-length-0",
        "NFStream ignores IPv4 packets of total length 0 and treats IPv6 packets of "
        "payload length 0 as empty; Flowloom uses the length on the wire.",
    )
    SIZE_WRAP = (
        "size-wrap",
        "NFStream keeps the lower 16 bits of a frame's length on the wire.",
    )
    IHL_BELOW_5 = (
        "ihl<5",
        "NFStream accepts IPv4 headers shorter than 20 bytes.",
    )
    IP_IN_IP = (
        "ip-in-ip",
        "NFStream ignores packets of protocol 4 or 41 that carry no IP packet; "
        "Flowloom meters them under that protocol.",
    )
    EXTENSION_HEADERS = (
        "extension-headers",
        "NFStream stops at an IPv6 extension header where the captured bytes end, and "
        "uses the extension header as the protocol.",
    )
    TUNNEL_OVER_IPV6 = (
        "tunnel-over-ipv6",
        "NFStream looks for tunnels at the wrong offset in UDP over IPv6.",
    )
    TUNNEL_OVER_OTHER = (
        "tunnel-over-other",
        "NFStream looks for tunnels only after the ethertype 0x0800, and not after "
        "SNAP, PPP and BSD loopback headers.",
    )
    CAPWAP_CONTENT = (
        "capwap-content",
        "NFStream reads all data after a CAPWAP header as an 802.11 header of 24 bytes "
        "and SNAP, regardless of its bits.",
    )
    TZSP_TAGS = (
        "tzsp-tags",
        "NFStream decodes only TZSP packets without tags except the end tag. It sets "
        "tunnel_id for all other packets on that port too.",
    )
    TOO_DEEP = (
        "too-deep",
        "Flowloom decodes at most 8 IP headers and 16 tags.",
    )
    ADDRESS_TEXT = (
        "address-text",
        "NFStream writes IPv6 addresses below ::1:0:0 with an IPv4 address at the end.",
    )
    SIGNED_TIME = (
        "signed-time",
        "NFStream reads times after 2038 in a pcap file as negative, and rounds up to "
        "a ms if the fraction of a second is negative.",
    )
    CLOCK = (
        "clock",
        "A packet that only one of the two programs meters advances its clock, and "
        "older packets get the time of that packet.",
    )
    DAMAGED_FILE = (
        "damaged-file",
        "NFStream continues after a damaged record as if it were valid; Flowloom ends "
        "there with a warning.",
    )
    PCAPNG_LINK_TYPES = (
        "pcapng-link-types",
        "NFStream skips packets of pcapng interfaces whose link type differs from that "
        "of the first.",
    )
    PCAPNG_BYTE_ORDER = (
        "pcapng-byte-order",
        "NFStream stops at a pcapng section in another byte order.",
    )

    def __init__(self, title: str, sentence: str) -> None:
        self.title = title
        self.sentence = sentence
