"""What a TLS client offers in its ClientHello.

The ClientHello must begin in the first payload of the flow. Only this packet is read. A larger ClientHello continues in
the next packets; the values that they contain are null. To read them, collect the payload in the state, in the order of
`tcp_seq`.
"""

import flowloom
from flowloom import Flow, Output, Packet

HANDSHAKE = 22
CLIENT_HELLO = 1
SERVER_NAME = 0
ALPN = 16
SUPPORTED_VERSIONS = 43
MAX_TEXT = 255


class State:
    __slots__ = ("seen", "sni", "version", "cipher_count", "alpn")

    def __init__(self) -> None:
        self.seen = False
        self.sni: str | None = None
        self.version: int | None = None
        self.cipher_count: int | None = None
        self.alpn: str | None = None


class Tls(flowloom.Plugin):
    description = "What a TLS client offers in its ClientHello."
    payload_bytes = 1500
    packets_per_flow = 10
    outputs = [
        Output("sni", str, "Name of the server that the client wants."),
        Output("version", int, "Highest version that the client offers: 771 is TLS 1.2, 772 is TLS 1.3."),
        Output("cipher_count", int, "Number of cipher suites that the client offers, without GREASE."),
        Output("alpn", str, "First application protocol that the client offers."),
    ]

    def init(self, packet: Packet, flow: Flow) -> State:
        state = State()
        self.update(state, packet, flow)
        return state

    def update(self, state: State, packet: Packet, flow: Flow) -> None:
        if not state.seen and packet.payload:
            state.seen = True
            read_hello(state, packet.payload)

    def expire(self, state: State, flow: Flow) -> dict[str, object]:
        return {output.name: getattr(state, output.name) for output in self.outputs}


def read_hello(state: State, payload: bytes) -> None:
    # Before the session id: record header (5 bytes), handshake header (4), version (2), random (32).
    if len(payload) < 44 or payload[0] != HANDSHAKE or payload[1] != 3 or payload[5] != CLIENT_HELLO:
        return
    end = 9 + (payload[6] << 16 | payload[7] << 8 | payload[8])
    hello = payload[:end]
    at = 44 + payload[43]
    suites = u16(hello, at)
    at += 2
    if at + suites > len(hello):
        return
    state.cipher_count = len(without_grease(hello[at : at + suites]))
    at += suites
    # Skip the compression methods, and the size of all extensions.
    at += 1 + (hello[at] if at < len(hello) else 0) + 2
    while at + 4 <= len(hello):
        kind, size = u16(hello, at), u16(hello, at + 2)
        at += 4
        if at + size > len(hello):
            break
        read_extension(state, kind, hello[at : at + size])
        at += size
    if state.version is None and len(hello) == end:
        state.version = u16(hello, 9)


def read_extension(state: State, kind: int, data: bytes) -> None:
    if kind == SERVER_NAME and len(data) >= 5 and data[2] == 0:
        state.sni = text(data, 5, u16(data, 3))
    elif kind == ALPN and len(data) >= 3:
        state.alpn = text(data, 3, data[2])
    elif kind == SUPPORTED_VERSIONS:
        state.version = max(without_grease(data[1:]), default=None)


def without_grease(data: bytes) -> list[int]:
    """Returns the 16-bit numbers in the data that are not GREASE (RFC 8701): 0x0a0a, 0x1a1a … 0xfafa."""
    numbers = (u16(data, at) for at in range(0, len(data) - 1, 2))
    return [number for number in numbers if number & 0x0F0F != 0x0A0A or number >> 8 != number & 0xFF]


def u16(data: bytes, at: int) -> int:
    """Returns a 16-bit number; 0 after the end of the data."""
    return data[at] << 8 | data[at + 1] if at + 2 <= len(data) else 0


def text(data: bytes, at: int, size: int) -> str | None:
    """Returns a part of the data as text; None if it is empty or was cut."""
    part = data[at : at + size]
    if not part or len(part) < size:
        return None
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in part[:MAX_TEXT])


Feature, BatchFeature = flowloom.export(Tls)
