"""The differences between NFStream and Flowloom that are there on purpose.

A rule is never an excuse for a whole capture. Both readings of every packet are
computed (`as_nfstream.py`, `as_flowloom.py`), each noting the rules it came by on
the way; a packet that both read alike is touched by no rule. The flows whose
packets are touched are metered both ways, and a difference is explained only if
NFStream and Flowloom each give, in every column, what their way predicts.
"""

from __future__ import annotations

from enum import Enum


class Rule(Enum):
    """A difference: its name, and what NFStream does where Flowloom does otherwise."""

    LINK_TYPE = (
        "link-type",
        "NFStream ignores every packet of a link type it does not know.",
    )
    SHORT_FRAME = (
        "short-frame",
        "NFStream ignores frames of which fewer than 28 bytes were captured.",
    )
    ETHERTYPE_DECIDES = (
        "ethertype-decides",
        "NFStream takes anything for IP that begins with the digit 4 or 6, and an "
        "IP packet for one whatever the ethertype, PPP protocol or address family "
        "says; in Flowloom they decide.",
    )
    VLAN_88A8 = (
        "vlan-88a8",
        "NFStream does not know service VLAN tags (0x88A8, 0x9100).",
    )
    SNAP_ETHERTYPE = (
        "snap-ethertype",
        "NFStream reads the ethertype of a SNAP header in the wrong byte order, and "
        "so finds no tags behind it.",
    )
    PPP_FRAMING = (
        "ppp-framing",
        "NFStream does not know PPP's address and control bytes, nor compressed "
        "protocol numbers.",
    )
    WIFI_HEADER = (
        "wifi-header",
        "NFStream reads 802.11 headers as if each had a quality of service field "
        "and no other variation, and encrypted ones as if they were not.",
    )
    LATER_FRAGMENTS = (
        "later-fragments",
        "NFStream ignores later IPv4 fragments only behind the ethertype 0x0800; "
        "elsewhere it reads ports from the middle of a message.",
    )
    TRUNCATED_IPV6 = (
        "truncated-ipv6",
        "NFStream ignores IPv6 packets that were not captured to their end.",
    )
    TRUNCATED_TRANSPORT = (
        "truncated-transport",
        "NFStream reads transport headers past the captured bytes, where earlier "
        "packets have left theirs; Flowloom takes ports only from the packet.",
    )
    UDP_TUNNEL_SHORT_HEADER = (
        "udp-tunnel-short-header",
        "NFStream ignores UDP packets whose header was not captured whole when it "
        "decodes tunnels.",
    )
    TOTAL_LENGTH_0 = (
        "total-length-0",
        "NFStream ignores IPv4 packets of total length 0 and takes IPv6 ones of "
        "payload length 0 for empty; Flowloom takes the length on the wire.",
    )
    SIZE_WRAP = (
        "size-wrap",
        "NFStream keeps the lower 16 bits of a frame's length on the wire.",
    )
    IHL_BELOW_5 = (
        "ihl<5",
        "NFStream takes IPv4 headers shorter than 20 bytes for good.",
    )
    IP_IN_IP = (
        "ip-in-ip",
        "NFStream ignores packets of protocol 4 or 41 that carry no IP packet; "
        "Flowloom meters them under that protocol.",
    )
    EXTENSION_HEADERS = (
        "extension-headers",
        "NFStream stops following IPv6 extension headers where the captured bytes "
        "end, and meters the extension header as the protocol.",
    )
    TUNNEL_OVER_IPV6 = (
        "tunnel-over-ipv6",
        "NFStream looks for tunnels in the wrong place of UDP over IPv6.",
    )
    TUNNEL_OVER_OTHER = (
        "tunnel-over-other",
        "NFStream looks for tunnels only behind the ethertype 0x0800: not behind "
        "SNAP, PPP and BSD loopback headers.",
    )
    CAPWAP_CONTENT = (
        "capwap-content",
        "NFStream takes whatever follows a CAPWAP header for an 802.11 header of 24 "
        "bytes and SNAP, whatever their bits say.",
    )
    TZSP_TAGS = (
        "tzsp-tags",
        "NFStream understands TZSP packets that have no tag but the end tag, and "
        "numbers whatever else uses that port as a tunnel.",
    )
    TOO_DEEP = (
        "too-deep",
        "Flowloom follows at most 8 IP headers and 16 tags.",
    )
    ADDRESS_TEXT = (
        "address-text",
        "NFStream writes IPv6 addresses below ::1:0:0 with an IPv4 address at their end.",
    )
    SIGNED_TIME = (
        "signed-time",
        "NFStream takes times of a pcap file beyond 2038 for negative, and rounds up "
        "to a ms where the fraction of a second is negative.",
    )
    CLOCK = (
        "clock",
        "A packet that only one of the two meters moves its clock, and older packets "
        "get its time.",
    )
    DAMAGED_FILE = (
        "damaged-file",
        "NFStream reads on behind a damaged record as if it were one; Flowloom ends "
        "there and says so.",
    )
    PCAPNG_LINK_TYPES = (
        "pcapng-link-types",
        "NFStream skips packets of pcapng interfaces whose link type is not that of "
        "the first.",
    )
    PCAPNG_BYTE_ORDER = (
        "pcapng-byte-order",
        "NFStream reads no further than a pcapng section in another byte order.",
    )

    def __init__(self, title: str, sentence: str) -> None:
        self.title = title
        self.sentence = sentence
