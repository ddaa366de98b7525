"""Captures computed from those of real programs: other times, wrappings, formats.

Each function gets the packets of the captures made so far, by file name, and
returns the bytes of a new file. The same packets give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import wrap
from .formats import (
    LOOP,
    NANOSECONDS,
    NULL,
    PPP,
    RAW,
    Blocks,
    Interface,
    Packet,
    pcap,
    pcapng,
    read_pcap,
)

# Derived captures begin in the first second of 2024.
START = 1_704_067_200 * 10**9
MS = 10**6
SECOND = 10**9

Source = Callable[[str], list[Packet]]


def ip_packets(packets: list[Packet]) -> list[Packet]:
    """Frames that carry IPv4 or IPv6, without ARP."""
    return [packet for packet in packets if wrap.is_ip(packet.data)]


def sample(source: Source) -> list[Packet]:
    """A little of everything: DNS, ping and HTTP over both versions of IP."""
    dns = ip_packets(source("dns.pcap"))[:6]
    return (
        dns + ip_packets(source("icmp.pcap"))[:4] + ip_packets(source("ipv6.pcap"))[:16]
    )


def spaced(packets: list[Packet], step_ns: int) -> list[Packet]:
    """The packets at START, START + step, and so on."""
    return [packet.at(START + i * step_ns) for i, packet in enumerate(packets)]


def rewrap(packets: list[Packet], change: Callable[[bytes], bytes]) -> list[Packet]:
    """The packets with their frames changed."""
    return [packet.with_data(change(packet.data)) for packet in packets]


def in_turn(packets: list[Packet], *changes: Callable[[bytes], bytes]) -> bytes:
    """A capture with the packets once through each change of their frames.

    From one change to the next 20 s pass, so that no flow goes on from it.
    """
    out = []
    for index, change in enumerate(changes):
        later = START + index * 20 * SECOND
        for number, packet in enumerate(packets):
            out.append(packet.with_data(change(packet.data)).at(later + number * 10 * MS))
    return pcap(out)


def tunnelled(packets: list[Packet], *tunnels: Callable[[bytes], bytes]) -> bytes:
    """`in_turn` with functions that put a frame into a packet of a tunnel."""

    def framed(tunnel: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
        return lambda frame: wrap.frame_of(tunnel(frame))

    return in_turn(packets, *map(framed, tunnels))


# Times


def idle(source: Source) -> bytes:
    """Gaps of about 15 s: just too short to cut a flow, and just long enough."""
    gaps_ms = (0, 14_999, 15_000, 1, 14_999, 15_001, 0, 29_000, 100)
    packets = ip_packets(source("icmp.pcap"))
    now, out = START, []
    for packet, gap in zip(packets, gaps_ms, strict=False):
        now += gap * MS
        out.append(packet.at(now))
    # Gaps just below 15 s, of which the first is 15 s in whole ms and cuts.
    other = source("dns.pcap")[2:6]
    for packet, offset_us in zip(other, (999, 15_000_000, 15_000_000, 29_999_999)):
        out.append(packet.at(START + 200 * SECOND + offset_us * 1000))
    return pcap(out)


def active(source: Source) -> bytes:
    """A ping every 28 s for more than 1800 s: cut before a reply, so it turns round."""
    return pcap(spaced(source("long-ping.pcap"), 14 * SECOND))


def clock(source: Source) -> bytes:
    """A clock that jumps back by 5 s for a while, and once by an hour."""
    packets = spaced(ip_packets(source("http.pcap"))[:40], 100 * MS)
    for index in range(10, 20):
        packets[index] = packets[index].at(packets[index].time_ns - 5 * SECOND)
    packets[30] = packets[30].at(packets[30].time_ns - 3600 * SECOND)
    return pcap(packets)


# Between Ethernet and IP


def vlan(source: Source) -> bytes:
    """VLAN 10, VLAN 20, 20 within 10, and none; then 10 one way and 20 the other."""
    packets = sample(source)
    both = ip_packets(source("icmp.pcap"))[10:14]
    out = rewrap(packets, lambda frame: wrap.vlan(frame, 10))
    out += rewrap(packets, lambda frame: wrap.vlan(frame, 0x6000 | 20))
    out += rewrap(packets, lambda frame: wrap.vlan(wrap.vlan(frame, 20), 10))
    out += packets
    for index, packet in enumerate(both):
        out.append(packet.with_data(wrap.vlan(packet.data, 10 + index % 2 * 10)))
    return pcap(spaced(out, 10 * MS))


def qinq(source: Source) -> bytes:
    """VLAN 20 within service VLAN 100 (802.1ad), and service VLAN 100 alone."""

    def alone(frame: bytes) -> bytes:
        return wrap.vlan(frame, 100, wrap.SERVICE_VLAN)

    return in_turn(sample(source), lambda f: alone(wrap.vlan(f, 20)), alone)


def mpls(source: Source) -> bytes:
    """One MPLS label, three labels, and one label within VLAN 10."""
    return in_turn(
        sample(source),
        lambda frame: wrap.mpls(frame, 100),
        lambda frame: wrap.mpls(frame, 100, 200, 300),
        lambda frame: wrap.vlan(wrap.mpls(frame, 100), 10),
    )


def pppoe(source: Source) -> bytes:
    """PPPoE sessions, bare and within VLAN 10."""
    return in_turn(
        sample(source), wrap.pppoe, lambda frame: wrap.vlan(wrap.pppoe(frame), 10)
    )


def snap(source: Source) -> bytes:
    """802.3 frames with LLC/SNAP, fragments among them."""
    packets = sample(source) + ip_packets(source("fragments.pcap"))[:6]
    fitting = [packet for packet in packets if len(packet.data) <= 1500]
    return in_turn(fitting, wrap.snap)


def ipv6_extensions(source: Source) -> bytes:
    """IPv6 extension headers one by one and in chains, fragments, AH, ESP, no next."""
    # The host part of the address tells the chains apart.
    chains: tuple[tuple[int, ...], ...] = (
        (),
        (wrap.HOP_BY_HOP,),
        (wrap.ROUTING,),
        (wrap.OPTIONS,),
        (wrap.MOBILITY,),
        (wrap.FRAGMENT,),
        (wrap.HOP_BY_HOP, wrap.ROUTING, wrap.OPTIONS),
        (wrap.HOP_BY_HOP, wrap.FRAGMENT, wrap.OPTIONS),
        (wrap.AH,),
        (wrap.ESP,),
        (wrap.NO_NEXT,),
        (wrap.OPTIONS, wrap.AH),
    )
    packets = [p for p in ip_packets(source("ipv6.pcap")) if p.data[12] == 0x86]
    some = [p for p in packets if p.data[20] == 6][:2]
    some += [p for p in packets if p.data[20] == 17][:2]
    some += [p for p in packets if p.data[20] == 58][-1:]
    out = []
    for number, chain in enumerate(chains):
        for packet in some:
            host = wrap.poke(wrap.packet_of(packet.data), 22, bytes((number,)))
            for offset in (0, 100) if wrap.FRAGMENT in chain else (0,):
                longer = wrap.ipv6_extended(host, *chain, fragment_offset=offset)
                out.append(packet.with_data(wrap.frame_of(longer)))
    return pcap(spaced(out, 10 * MS))


# Tunnels


def ipip(source: Source) -> bytes:
    """IPv4 and IPv6 in IPv4, IPv4 and IPv6 in IPv6, and IPv4 in IPv4 in IPv6."""

    def in_ipv4(frame: bytes) -> bytes:
        packet = wrap.packet_of(frame)
        return wrap.ipv4(packet, wrap.inner_protocol(packet))

    def in_ipv6(frame: bytes) -> bytes:
        packet = wrap.packet_of(frame)
        return wrap.ipv6(packet, wrap.inner_protocol(packet))

    def in_both(frame: bytes) -> bytes:
        return wrap.ipv6(in_ipv4(frame), wrap.IPIP)

    return tunnelled(sample(source), in_ipv4, in_ipv6, in_both)


def gre(source: Source) -> bytes:
    """GRE over IPv4."""
    return tunnelled(sample(source), lambda f: wrap.gre(wrap.packet_of(f)))


def geneve(source: Source) -> bytes:
    """Geneve with Ethernet inside, over IPv4."""
    return tunnelled(sample(source), wrap.geneve)


def gtp(source: Source) -> bytes:
    """GTP-U over IPv4: a plain header, an extended one, and later fragments inside."""

    def plain(frame: bytes) -> bytes:
        return wrap.gtp(wrap.packet_of(frame), 1, extended=False)

    def extended(frame: bytes) -> bytes:
        return wrap.gtp(wrap.packet_of(frame), 2, extended=True)

    fragments = ip_packets(source("fragments.pcap"))[:6]
    return tunnelled(sample(source) + fragments, plain, extended)


def gtp6(source: Source) -> bytes:
    """GTP-U over IPv6."""

    def over_ipv6(frame: bytes) -> bytes:
        return wrap.gtp(wrap.packet_of(frame), 1, extended=True, over_ipv6=True)

    return tunnelled(sample(source), over_ipv6)


def tzsp(source: Source) -> bytes:
    """TZSP over IPv4: no tags, then padding and a signal strength tag."""
    tags = bytes((0, 0, 10, 1, 0x2A))
    return tunnelled(sample(source), wrap.tzsp, lambda f: wrap.tzsp(f, tags=tags))


def tzsp6(source: Source) -> bytes:
    """TZSP over IPv6."""
    return tunnelled(sample(source), lambda f: wrap.tzsp(f, over_ipv6=True))


def capwap(source: Source) -> bytes:
    """CAPWAP data over IPv4, then over IPv6."""

    def over_ipv6(frame: bytes) -> bytes:
        return wrap.capwap(frame, over_ipv6=True)

    return tunnelled(sample(source), wrap.capwap, over_ipv6)


# Cut and spoilt packets


def snaplen60(source: Source) -> bytes:
    """The first 60 bytes of every frame: IPv6 TCP headers cut."""
    packets = sample(source) + ip_packets(source("http.pcap"))[:20]
    return pcap([packet.cut(60) for packet in spaced(packets, 10 * MS)], snaplen=60)


def snaplen46(source: Source) -> bytes:
    """The first 46 bytes of every frame but one: IPv4 transport headers cut.

    What a reader has in memory behind a cut packet is what the first left there.
    """
    packets = sample(source) + ip_packets(source("http.pcap"))[:20]
    first, *others = spaced(packets, 10 * MS)
    return pcap([first, *(packet.cut(46) for packet in others)])


def odd(source: Source) -> bytes:
    """Headers that lie, one kind after another; see the code for the list.

    Each kind has source ports (or, where there are none, hosts) of its own, so that
    no two meet in a flow.
    """
    question, answer = ip_packets(source("dns.pcap"))[:2]
    request = next(p for p in ip_packets(source("http.pcap")) if len(p.data) > 66)
    ping = ip_packets(source("icmp.pcap"))[0]
    ping6 = next(p for p in ip_packets(source("ipv6.pcap")) if p.data[20] == 58)

    kinds: list[Callable[[bytes], bytes]] = [
        # IPv4 total length of 0, as segmentation offload leaves it.
        lambda f: wrap.poke(f, 16, b"\0\0"),
        # IPv4 total length larger than the frame.
        lambda f: wrap.poke(f, 16, (len(f) + 986).to_bytes(2, "big")),
        # IPv4 total length smaller than the frame: the rest is padding.
        lambda f: f + bytes(20),
        # IPv4 header length of 16 bytes.
        lambda f: wrap.poke(f, 14, b"\x44"),
        # IPv4 header length beyond the end of the frame.
        lambda f: wrap.poke(f, 14, b"\x4f")[:60],
        # An ethertype nobody has, before an IP packet.
        lambda f: wrap.poke(f, 12, b"\x12\x34"),
        # The ethertype of IPv6 before an IPv4 packet.
        lambda f: wrap.poke(f, 12, b"\x86\xdd"),
        # The IP version 5.
        lambda f: wrap.poke(f, 14, b"\x55"),
        # A protocol that nobody has.
        lambda f: wrap.poke(f, 23, b"\xfd"),
        # The UDP protocol number over whatever it is, length field 0 or not.
        lambda f: wrap.poke(f, 23, b"\x11"),
        # A TCP data offset of 60 bytes, of 0 bytes.
        lambda f: wrap.poke(f, 46, b"\xf0"),
        lambda f: wrap.poke(f, 46, b"\x00"),
        # All TCP flags.
        lambda f: wrap.poke(f, 47, b"\xff"),
        # A later fragment; a first fragment.
        lambda f: wrap.poke(f, 20, b"\x00\x10"),
        lambda f: wrap.poke(f, 20, b"\x20\x00"),
        # Total lengths of 20 (no transport), 24 and 28 (less than its header).
        lambda f: wrap.poke(f, 16, b"\0\x14"),
        lambda f: wrap.poke(f, 16, b"\0\x18"),
        lambda f: wrap.poke(f, 16, b"\0\x1c"),
        # A frame of 27 bytes, of 33 (no whole IPv4 header), of 40.
        lambda f: f[:27],
        lambda f: f[:33],
        lambda f: f[:40],
    ]
    out = []
    for number, change in enumerate(kinds):
        for packet in (question, answer, request, ping):
            host = bytes((10, 0, number, 1))
            out.append(packet.with_data(change(wrap.poke(packet.data, 26, host))))
    for number, length in enumerate((0, 8, 64, 1000)):
        # IPv6 payload lengths that are too small and too large.
        frame = wrap.poke(ping6.data, 37, bytes((number,)))
        out.append(ping6.with_data(wrap.poke(frame, 18, length.to_bytes(2, "big"))))
    return pcap(spaced(out, 10 * MS))


# Link types


def raw(source: Source) -> bytes:
    """No link header at all (101)."""
    return pcap(rewrap(spaced(sample(source), 10 * MS), wrap.packet_of), RAW)


def null(source: Source) -> bytes:
    """BSD loopback, little-endian (0), fragments among them."""
    packets = sample(source) + ip_packets(source("fragments.pcap"))[:6]

    def family(frame: bytes) -> bytes:
        value = 2 if wrap.ethertype(frame) == wrap.IPV4 else 30
        return value.to_bytes(4, "little") + wrap.packet_of(frame)

    return pcap(rewrap(spaced(packets, 10 * MS), family), NULL)


def loop(source: Source) -> bytes:
    """OpenBSD loopback: as BSD's, big-endian (108)."""

    def family(frame: bytes) -> bytes:
        value = 2 if wrap.ethertype(frame) == wrap.IPV4 else 24
        return value.to_bytes(4, "big") + wrap.packet_of(frame)

    return pcap(rewrap(spaced(sample(source), 10 * MS), family), LOOP)


def ppp(source: Source) -> bytes:
    """PPP (9)."""

    def protocol(frame: bytes) -> bytes:
        value = 0x0021 if wrap.ethertype(frame) == wrap.IPV4 else 0x0057
        return value.to_bytes(2, "big") + wrap.packet_of(frame)

    return pcap(rewrap(spaced(sample(source), 10 * MS), protocol), PPP)


# File formats: all of these hold the packets of dns.pcap


def big_endian(source: Source) -> bytes:
    """pcap, big-endian."""
    return pcap(source("dns.pcap"), order=">")


def nanosecond(source: Source) -> bytes:
    """pcap with nanoseconds, each time 789 ns later."""
    packets = [packet.at(packet.time_ns + 789) for packet in source("dns.pcap")]
    return pcap(packets, magic=NANOSECONDS)


def nanosecond_big_endian(source: Source) -> bytes:
    """pcap with nanoseconds, big-endian."""
    return pcap(source("dns.pcap"), order=">", magic=NANOSECONDS)


def pcapng_little(source: Source) -> bytes:
    """pcapng, little-endian, one interface."""
    return pcapng(source("dns.pcap"))


def pcapng_big(source: Source) -> bytes:
    """pcapng, big-endian, one interface."""
    return pcapng(source("dns.pcap"), order=">")


def pcapng_interfaces(source: Source) -> bytes:
    """pcapng, interfaces of different resolution: us, ns, 2^-20 s, ms, and an offset."""
    interfaces = (
        Interface(),
        Interface(tsresol=9),
        Interface(tsresol=0x80 | 20),
        Interface(tsresol=3),
        Interface(tsresol=6, tsoffset=1_000_000_000),
    )
    return pcapng(source("dns.pcap"), interfaces)


def pcapng_interfaces_big(source: Source) -> bytes:
    """pcapng, big-endian, interfaces of us and ns."""
    return pcapng(source("dns.pcap"), (Interface(), Interface(tsresol=9)), order=">")


def pcapng_blocks(source: Source) -> bytes:
    """pcapng with every kind of block, in two sections."""
    return _sections(source, "<", "<")


def pcapng_sections(source: Source) -> bytes:
    """pcapng, a little-endian section and a big-endian one."""
    return _sections(source, "<", ">")


def _sections(source: Source, first: str, second: str) -> bytes:
    packets = source("dns.pcap")
    half = len(packets) // 2
    interface = Interface(tsresol=6)
    out = []
    for order, part in ((first, packets[:half]), (second, packets[half:])):
        blocks = Blocks(order)
        out += [blocks.section_header(), blocks.interface(interface)]
        out.append(blocks.name_resolution(bytes((192, 0, 2, 2)), "server.example.com"))
        out.append(blocks.block(0x0BAD, b"a custom block"))
        out.append(blocks.block(0x7F000001, b"a block nobody knows"))
        for packet in part:
            out.append(blocks.enhanced_packet(packet, 0, interface, comment="a thread"))
        out.append(blocks.interface_statistics(0))
    return b"".join(out)


def pcapng_links(source: Source) -> bytes:
    """pcapng, one interface with Ethernet and one with raw IP."""
    interfaces = (Interface(), Interface(linktype=RAW))
    packets = ip_packets(source("dns.pcap"))
    for index in range(1, len(packets), 2):
        packets[index] = packets[index].with_data(wrap.packet_of(packets[index].data))
    return pcapng(packets, interfaces)


def pcapng_simple(source: Source) -> bytes:
    """pcapng with simple packet blocks, which have no time."""
    blocks = Blocks()
    out = [blocks.section_header(), blocks.interface(Interface())]
    out += [blocks.simple_packet(packet) for packet in source("dns.pcap")]
    return b"".join(out)


def empty(source: Source) -> bytes:
    """A pcap file without packets."""
    return pcap([])


def cut(source: Source) -> bytes:
    """A pcap file that ends in the middle of a packet."""
    return pcap(source("dns.pcap"))[:-30]


def cut_header(source: Source) -> bytes:
    """A pcap file that ends in the middle of a record's header."""
    packets = source("dns.pcap")
    return pcap(packets[:10]) + pcap(packets[10:11])[24:32]


def cut_pcapng(source: Source) -> bytes:
    """A pcapng file that ends in the middle of a block."""
    return pcapng(source("dns.pcap"))[:-30]


def bad_length(source: Source) -> bytes:
    """A pcap file whose eleventh record claims to be 3 GB long."""
    packets = source("dns.pcap")
    good, bad = pcap(packets[:10]), pcap(packets[10:])[24:]
    return good + wrap.poke(bad, 8, bytes((0, 0, 0, 0xB0)))


def part1(source: Source) -> bytes:
    """The first half of ssh.pcap, which is one flow."""
    packets = source("ssh.pcap")
    return pcap(packets[: len(packets) // 2])


def part2(source: Source) -> bytes:
    """The second half of ssh.pcap."""
    packets = source("ssh.pcap")
    return pcap(packets[len(packets) // 2 :])


MAKERS: dict[str, Callable[[Source], bytes]] = {
    "idle.pcap": idle,
    "active.pcap": active,
    "clock.pcap": clock,
    "vlan.pcap": vlan,
    "qinq.pcap": qinq,
    "mpls.pcap": mpls,
    "pppoe.pcap": pppoe,
    "snap.pcap": snap,
    "ipv6-extensions.pcap": ipv6_extensions,
    "ipip.pcap": ipip,
    "gre.pcap": gre,
    "geneve.pcap": geneve,
    "gtp.pcap": gtp,
    "gtp6.pcap": gtp6,
    "tzsp.pcap": tzsp,
    "tzsp6.pcap": tzsp6,
    "capwap.pcap": capwap,
    "snaplen60.pcap": snaplen60,
    "snaplen46.pcap": snaplen46,
    "odd.pcap": odd,
    "raw.pcap": raw,
    "null.pcap": null,
    "loop.pcap": loop,
    "ppp.pcap": ppp,
    "big-endian.pcap": big_endian,
    "nanosecond.pcap": nanosecond,
    "nanosecond-big-endian.pcap": nanosecond_big_endian,
    "little.pcapng": pcapng_little,
    "big.pcapng": pcapng_big,
    "interfaces.pcapng": pcapng_interfaces,
    "interfaces-big.pcapng": pcapng_interfaces_big,
    "blocks.pcapng": pcapng_blocks,
    "sections.pcapng": pcapng_sections,
    "links.pcapng": pcapng_links,
    "simple.pcapng": pcapng_simple,
    "empty.pcap": empty,
    "cut.pcap": cut,
    "cut-header.pcap": cut_header,
    "cut.pcapng": cut_pcapng,
    "bad-length.pcap": bad_length,
    "part1.pcap": part1,
    "part2.pcap": part2,
}


def make(folder: Path, names: list[str]) -> None:
    """Compute the named files from those in `folder`."""
    for name in names:
        raw_file = MAKERS[name](lambda other: read_pcap(folder / other))
        (folder / name).write_bytes(raw_file)
        print(f"{name}: {len(raw_file)} bytes")
