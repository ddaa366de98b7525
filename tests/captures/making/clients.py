"""TLS, DHCP and multicast DNS clients, each with a peculiarity, made by hand.

Every client has an address of its own; its last byte is the number in the comment. The same bytes come
out every time.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from . import wrap
from .formats import Packet, pcap

START = 1_704_067_200 * 10**9
MS = 10**6

TCP, UDP = 6, 17
FIN, SYN, PSH, ACK = 1, 2, 8, 16
SERVERS = {4: IPv4Address("192.0.2.2"), 6: IPv6Address("2001:db8::2")}
Address = IPv4Address | IPv6Address


def client(number: int, version: int = 4) -> Address:
    """The address of a client."""
    if version == 4:
        return IPv4Address("198.51.100.0") + number
    return IPv6Address("2001:db8:1::") + number


def ip(source: Address, destination: Address, protocol: int, payload: bytes) -> bytes:
    """A packet of the version of its addresses."""
    ends = source.packed + destination.packed
    if source.version == 6:
        return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + ends + payload
    head = struct.pack(">BBHHHBB", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, protocol)
    total = wrap.checksum(head + bytes(2) + ends)
    return head + total.to_bytes(2, "big") + ends + payload


def summed(source: Address, destination: Address, protocol: int, segment: bytes) -> int:
    """The checksum of a segment or datagram whose own is 0 so far."""
    pseudo = source.packed + destination.packed + struct.pack(">II", len(segment), protocol)
    return wrap.checksum(pseudo + segment)


def udp(source: Address, sport: int, destination: Address, dport: int, data: bytes) -> bytes:
    head = struct.pack(">HHH", sport, dport, 8 + len(data))
    total = summed(source, destination, UDP, head + bytes(2) + data) or 0xFFFF
    return ip(source, destination, UDP, head + total.to_bytes(2, "big") + data)


class Connection:
    """A TCP connection from a client to port 443."""

    def __init__(self, number: int, version: int = 4, isn: int = 1000) -> None:
        self.ends = (client(number, version), SERVERS[version])
        self.ports = (50_000 + number, 443)
        self.isns = (isn, 77_000)
        self.packets: list[bytes] = []

    def send(self, at: int, data: bytes = b"", flags: int = PSH | ACK, back: bool = False) -> None:
        """Bytes at an offset of the stream; at -1 is the SYN."""
        source, destination = self.ends[::-1] if back else self.ends
        ports = self.ports[::-1] if back else self.ports
        isn, other = self.isns[::-1] if back else self.isns
        numbers = (isn + 1 + at & 0xFFFFFFFF, (other + 1) & 0xFFFFFFFF if flags & ACK else 0)
        head = struct.pack(">HHIIBBH", *ports, *numbers, 5 << 4, flags, 64_240)
        total = summed(source, destination, TCP, head + bytes(4) + data)
        segment = head + struct.pack(">HH", total, 0) + data
        self.packets.append(wrap.frame_of(ip(source, destination, TCP, segment)))

    def shake_hands(self) -> Connection:
        self.send(-1, flags=SYN)
        self.send(-1, flags=SYN | ACK, back=True)
        self.send(0, flags=ACK)
        return self


# TLS


def extension(kind: int, value: bytes) -> bytes:
    return struct.pack(">HH", kind, len(value)) + value


def numbers(values: Sequence[int]) -> bytes:
    return struct.pack(f">H{len(values)}H", len(values) * 2, *values)


def hello(
    ciphers: Sequence[int] = (0x1A1A, 0x1301, 0x1302, 0xC02B, 0x009C),
    protocol: bytes = b"h2",
    version: int = 0x0303,
    extensions: bytes | None = None,
) -> bytes:
    """A ClientHello, as a handshake message; with extensions of its own, or those given."""
    if extensions is None:
        name = b"www.example.com"
        alpn = bytes((len(protocol),)) + protocol + b"\x08http/1.1"
        extensions = b"".join(
            (
                extension(0x8A8A, b""),
                extension(0, struct.pack(">HBH", 3 + len(name), 0, len(name)) + name),
                extension(23, b""),
                extension(10, numbers((0x1A1A, 29, 23))),
                extension(16, len(alpn).to_bytes(2, "big") + alpn),
                extension(13, numbers((0x0403, 0x0804, 0x0401))),
                extension(43, b"\x06" + struct.pack(">HHH", 0x2A2A, 0x0304, 0x0303)),
                extension(51, bytes(38)),
            )
        )
    body = struct.pack(">H", version) + bytes(range(32)) + b"\x00" + numbers(ciphers) + b"\x01\x00"
    body += len(extensions).to_bytes(2, "big") + extensions if extensions else b""
    return b"\x01" + len(body).to_bytes(3, "big") + body


def records(message: bytes, most: int = 16_384) -> bytes:
    """A handshake message in records."""
    parts = [message[at : at + most] for at in range(0, len(message), most)]
    return b"".join(struct.pack(">BHH", 22, 0x0301, len(part)) + part for part in parts)


def tls_clients() -> bytes:
    """ClientHellos in one piece and in several, in and out of order, and odd ones."""
    whole = records(hello())
    one, two, three = whole[:70], whole[70:150], whole[150:]
    connections = []

    def connect(number: int, version: int = 4, isn: int = 1000) -> Connection:
        connections.append(Connection(number, version, isn))
        return connections[-1]

    # 1, 2: in one segment, over IPv4 and IPv6.
    connect(1).shake_hands().send(0, whole)
    connect(2, 6).shake_hands().send(0, whole)
    # 3: in three segments.
    split = connect(3).shake_hands()
    split.send(0, one)
    split.send(70, two)
    split.send(150, three)
    # 4: over IPv6, the last one first.
    turned = connect(4, 6).shake_hands()
    turned.send(150, three)
    turned.send(0, one)
    turned.send(70, two)
    # 5: sent again, and overlapping.
    again = connect(5).shake_hands()
    again.send(0, one)
    again.send(0, one)
    again.send(20, whole[20:150])
    again.send(100, whole[100:])
    # 6: in records of 50 bytes.
    connect(6).shake_hands().send(0, records(hello(), 50))
    # 7: the connection was there before the capture.
    connect(7).send(0, whole)
    # 8: the same, and the server's packet is the first.
    late = connect(8)
    late.send(0, flags=ACK, back=True)
    late.send(0, whole)
    # 9: behind a proxy's CONNECT.
    request = b"CONNECT www.example.com:443 HTTP/1.1\r\n\r\n"
    proxy = connect(9).shake_hands()
    proxy.send(0, request)
    proxy.send(0, b"HTTP/1.1 200 OK\r\n\r\n", back=True)
    proxy.send(len(request), whole)
    # 10: two GREASE values side by side.
    connect(10).shake_hands().send(0, records(hello(ciphers=(0x1A1A, 0x2A2A, 0x1301))))
    # 11, 12: protocols in capitals, and of bytes that are no characters.
    connect(11).shake_hands().send(0, records(hello(protocol=b"H2")))
    connect(12).shake_hands().send(0, records(hello(protocol=b"\xab\xcd")))
    # 13: SSL 3.0, without extensions.
    connect(13).shake_hands().send(0, records(hello((5, 4), version=0x0300, extensions=b"")))
    # 14: a part never comes.
    gap = connect(14).shake_hands()
    gap.send(0, one)
    gap.send(150, three)
    # 15: the first segment has one byte.
    byte = connect(15).shake_hands()
    byte.send(0, whole[:1])
    byte.send(1, whole[1:])
    # 16: an extension reaches beyond the message.
    connect(16).shake_hands().send(0, records(hello(extensions=extension(13, b"\0\2\4\3")[:-1])))
    # 17: sequence numbers begin anew within it.
    wrapped = connect(17, isn=2**32 - 100).shake_hands()
    wrapped.send(0, one)
    wrapped.send(70, whole[70:])
    # 18: no ClientHello at all.
    connect(18).shake_hands().send(0, b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
    # 19: the server speaks first.
    banner = connect(19).shake_hands()
    banner.send(0, b"220 mail.example.com\r\n", back=True)
    banner.send(0, whole)
    return capture(frame for each in connections for frame in each.packets)


# DHCP

DISCOVER, REQUEST, DECLINE, DHCP_ACK, NAK, RELEASE, INFORM, LEASEQUERY = 1, 3, 4, 5, 6, 7, 8, 10


def dhcp(kind: int | None, options: bytes = b"", ciaddr: Address | None = None, hlen: int = 6) -> bytes:
    """A message of a client, or of the server where its type is one of theirs."""
    op = 2 if kind in (DHCP_ACK, NAK) else 1
    own = ciaddr.packed if ciaddr else bytes(4)
    head = struct.pack(">BBBBIHH", op, 1, hlen, 0, 0x1234, 0, 0) + own + bytes(12)
    head += bytes.fromhex("0200005e1001") + bytes(10 + 64 + 128) + bytes((99, 130, 83, 99))
    kinds = bytes((53, 1, kind)) if kind is not None else b""
    return head + kinds + options


def option(number: int, value: bytes) -> bytes:
    return bytes((number, len(value))) + value


def dhcp_clients() -> bytes:
    """Transactions that end, and messages with odd options."""
    end = b"\xff"
    asked = option(55, bytes((1, 3, 6, 252)))
    named = option(12, b"shuttle") + option(60, b"loom")
    messages: list[tuple[int, bytes, bool]] = []

    def say(number: int, data: bytes, back: bool = False) -> None:
        messages.append((number, data, back))

    # 1: two renewals, of which the second is refused.
    own = client(1)
    say(1, dhcp(REQUEST, asked + named + end, own))
    say(1, dhcp(DHCP_ACK, option(12, b"by-server") + end, own), back=True)
    say(1, dhcp(REQUEST, option(57, b"\x05\xdc") + end, own))
    say(1, dhcp(NAK, end), back=True)
    # 2 to 4: other ends, and one that is none.
    say(2, dhcp(INFORM, asked + end, client(2)))
    say(2, dhcp(DHCP_ACK, end), back=True)
    say(3, dhcp(DECLINE, option(50, client(3).packed) + end))
    say(4, dhcp(RELEASE, end, client(4)))
    say(4, dhcp(DISCOVER, named + end))
    # 5: BOOTP, which has no types.
    say(5, dhcp(None, named + end))
    # 6: a type that came later.
    say(6, dhcp(LEASEQUERY, end))
    # 7: no hardware address.
    say(7, dhcp(REQUEST, asked + end, hlen=0))
    # 8: classes that are not UTF-8.
    say(8, dhcp(REQUEST, option(60, b"\xff\xfe") + option(77, b"caf\xe9") + end))
    # 9, 10: an option that ends behind its number, and within its value.
    say(9, dhcp(REQUEST, named + bytes((55,))))
    say(10, dhcp(REQUEST, named + bytes((55, 9, 1, 3))))
    # 11: values of other lengths than they should have.
    say(11, dhcp(REQUEST, option(50, b"\1\2\3") + option(57, b"\2") + option(12, b"") + end))
    # 12: padding, an option twice, and a name with everything that a table minds.
    say(12, dhcp(REQUEST, bytes(3) + option(12, b"a") + option(12, b'x,"y"\n') + end))
    # 13: no DHCP.
    say(13, bytes(300))
    frames = []
    for number, data, back in messages:
        own, server = client(number), SERVERS[4]
        if back:
            packet = udp(server, 67, own, 68, data)
        else:
            packet = udp(own, 68, server, 67, data)
        frames.append(wrap.frame_of(packet))
    # From a host without an address to all.
    for kind, options in ((DISCOVER, named), (REQUEST, option(50, client(20).packed) + asked)):
        everybody = IPv4Address("255.255.255.255")
        data = dhcp(kind, options + end)
        frames.append(wrap.frame_of(udp(IPv4Address(0), 68, everybody, 67, data)))
    return capture(frames)


# Multicast DNS

PTR, TXT, SRV, NSEC = 12, 16, 33, 47


def name(text: str | bytes) -> bytes:
    """A name without compression."""
    labels = (text.encode() if isinstance(text, str) else text).split(b".")
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def record(owner: bytes, kind: int, value: bytes) -> bytes:
    return owner + struct.pack(">HHIH", kind, 0x8001, 4500, len(value)) + value


def message(
    answers: Sequence[bytes], more: Sequence[bytes] = (), question: bytes = b"", flags: int = 0x8400
) -> bytes:
    counts = (1 if question else 0, len(answers), 0, len(more))
    return struct.pack(">6H", 0, flags, *counts) + question + b"".join((*answers, *more))


def mdns_names() -> bytes:
    """Answers, and what else multicast DNS has in it."""
    service = name("_http._tcp.local")
    # The service's name stands at 12, where the first record begins.
    first = record(service, PTR, b"\x05alpha\xc0\x0c")
    second = record(b"\xc0\x0c", PTR, b"\x04beta\xc0\x0c")
    nsec = record(name("alpha.local"), NSEC, b"\xc0\x0c\x00\x04\x40\x00\x00\x08")
    text = record(name("alpha.local"), TXT, b"\x05a=b,c")
    groups = {4: IPv4Address("224.0.0.251"), 6: IPv6Address("ff02::fb")}
    frames: list[bytes] = []

    def say(number: int, data: bytes, version: int = 4, captured: int = 0) -> None:
        packet = udp(client(number, version), 5353, groups[version], 5353, data)
        frame = wrap.frame_of(packet)
        frames.append(frame[: len(frame) - captured])

    # 1: two names, compressed; the same again, and another one.
    say(1, message((first, second), (text,)))
    say(1, message((first, record(b"\xc0\x0c", PTR, name("gamma.local")))))
    # 2: with a record that says what there is not.
    say(2, message((first, second), (nsec,)))
    # 3, 4: over IPv6, without and with it.
    say(3, message((first,)), version=6)
    say(4, message((first,), (nsec,)), version=6)
    # 5: not UTF-8.
    say(5, message((record(service, PTR, name(b"caf\xe9.local")), second)))
    # 6: a comma and quotation marks in names.
    say(6, message((record(service, PTR, name('Anna\'s "x, y".local')),)))
    # 7: a question with the answers that are known already.
    question = service + struct.pack(">HH", PTR, 1)
    say(7, message((record(b"\xc0\x0c", PTR, b"\x05alpha\xc0\x0c"),), question=question, flags=0))
    # 8: a name that goes round in circles, and one that goes on behind itself.
    circle = 12 + len(service) + 10
    say(8, message((record(service, PTR, struct.pack(">H", 0xC000 | circle)), second)))
    # 9: not captured to its end.
    say(9, message((first, second)), captured=4)
    # 10: names in records that are no answers.
    say(10, message((), (first,)))
    # 11: no DNS.
    say(11, b"hello")
    return capture(frames)


def capture(frames: Iterable[bytes]) -> bytes:
    """Frames at START and every 10 ms behind it."""
    return pcap(
        Packet(START + number * 10 * MS, frame, len(frame)) for number, frame in enumerate(frames)
    )


MAKERS: dict[str, Callable[[], bytes]] = {
    "tls-clients.pcap": tls_clients,
    "dhcp-clients.pcap": dhcp_clients,
    "mdns-names.pcap": mdns_names,
}


def make(folder: Path, names: list[str]) -> None:
    """Make the named files."""
    for file in names:
        raw = MAKERS[file]()
        (folder / file).write_bytes(raw)
        print(f"{file}: {len(raw)} bytes")
