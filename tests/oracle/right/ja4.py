"""The expected values of the JA4 plugin, by FoxIO's specification. For QUIC, those of nDPI."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from right.transport import TCP, UDP, payload, transport

REASONS = {
    "ipv6": "NFStream's plugin reads IPv4 only.",
    "no-syn": "NFStream's plugin examines only flows that begin with a SYN.",
    "not-at-once": "NFStream's plugin examines only the first packet after the handshake.",
    "split": "NFStream's plugin does not reassemble a ClientHello of several segments or records, "
    "and accepts a part of it.",
    "server-hello": "NFStream's plugin drops a fingerprint when it cannot read a later packet.",
    "grease": "NFStream's plugin uses one of two adjacent GREASE values.",
    "lower-case": "NFStream's plugin writes the protocol in lower case.",
    "odd-protocol": "NFStream's plugin uses characters that are neither letters nor digits.",
    "version": "NFStream's plugin uses versions that have no name.",
    "quic": "NFStream's plugin does not support QUIC.",
    "lengths": "NFStream's plugin reads a ClientHello with inconsistent lengths.",
}

PACKETS = 32  # the default of the plugin's option
VERSIONS = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 2: "s2"}
SERVER_NAME, SIGNATURES, ALPN, SUPPORTED_VERSIONS = 0, 13, 16, 43


class Client:
    """The first ClientHello of a flow."""

    def __init__(self, flow: Any) -> None:
        self.flow = flow
        self.is_tcp, self.is_udp = flow.protocol == TCP, flow.protocol == UDP
        self.packets = 0
        self.sides = (Side(), Side())
        self.reasons: set[str] = set()
        self.fingerprint: dict[str, Any] = {"ja4": None, "ja4_r": None}

    def values(self) -> dict[str, Any]:
        if self.is_udp:
            return self.of_ndpi()
        if not self.fingerprint["ja4"] and any(side.begins_hello() for side in self.sides):
            self.reasons.add("split")
        return self.fingerprint

    def of_ndpi(self) -> dict[str, Any]:
        """Return the JA4 of a QUIC client. The JA4_r is not known."""
        found = self.flow.client_fingerprint
        if not found.startswith("q"):
            return {"ja4": None}
        self.reasons.add("quic")
        return {"ja4": found}

    def add(self, packet: Any) -> None:
        self.packets += 1
        if self.fingerprint["ja4"] and payload(packet.ip_packet)[:2] == b"\x16\x03":
            self.reasons.add("server-hello")
        if not self.is_tcp or self.packets > PACKETS or self.fingerprint["ja4"]:
            return
        if self.packets == 1 and (packet.ack or not packet.syn):
            self.reasons.add("no-syn")
        side = self.sides[packet.direction]
        side.add(packet)
        for hello, parts in side.hellos():
            # The ClientHello follows SYN, SYN-ACK and ACK.
            is_late = self.packets != 4
            facts = {
                "ipv6": packet.ip_version == 6,
                "split": parts > 1,
                "not-at-once": is_late,
            }
            try:
                self.fingerprint = fingerprint(hello, self.reasons)
            except (IndexError, ValueError):
                self.reasons.add("lengths")
                continue
            self.reasons |= {name for name, holds in facts.items() if holds}
            return


class Side:
    """The bytes that one side sent, by their offset in the stream."""

    def __init__(self) -> None:
        self.first: int | None = None
        self.bytes: dict[int, int] = {}
        self.starts: set[int] = set()

    def add(self, packet: Any) -> None:
        _, segment = transport(packet.ip_packet)
        if len(segment) < 20:
            return
        seq = int.from_bytes(segment[4:8], "big") + packet.syn
        if self.first is None or packet.syn and seq != self.first:
            self.first, self.bytes, self.starts = seq, {}, set()
        # Sequence numbers wrap around at 2^32. Offsets before the first byte are negative.
        at = (seq - self.first + 2**31) % 2**32 - 2**31
        data = payload(packet.ip_packet)[: packet.payload_size]
        if data and at >= 0:
            self.starts.add(at)
            for number, byte in enumerate(data, at):
                self.bytes.setdefault(number, byte)

    def begins_hello(self) -> bool:
        """Return whether a segment may be the beginning of a ClientHello."""
        return any((self.bytes[at], self.bytes.get(at + 5)) == (22, 1) for at in self.starts)

    def hellos(self) -> list[tuple[bytes, int]]:
        """Return complete ClientHellos that begin with a segment, and their maximum numbers of parts."""
        found = []
        for start in sorted(self.starts):
            if self.bytes[start] != 22:
                continue
            end = start
            while end in self.bytes:
                end += 1
            stream = bytes(self.bytes[at] for at in range(start, end))
            if whole := client_hello(stream):
                hello, length, records = whole
                segments = [at for at in self.starts if start <= at < start + length]
                found.append((hello, max(len(segments), records)))
        return found


def client_hello(stream: bytes) -> tuple[bytes, int, int] | None:
    """Return the body of a ClientHello, and the size and number of its records."""
    message, at, records = b"", 0, 0
    while len(stream) >= at + 5 and stream[at] == 22 and stream[at + 1] == 3:
        length = int.from_bytes(stream[at + 3 : at + 5], "big")
        message += stream[at + 5 : at + 5 + length]
        at, records = at + 5 + length, records + 1
        if not length or message[:1] != b"\x01":
            return None
        needed = 4 + int.from_bytes(message[1:4], "big")
        if len(message) >= max(needed, 5):
            return message[4:needed], min(at, len(stream)), records
    return None


class Reader:
    """Reads bytes in order. Raises ValueError if too few are left."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, length: int) -> bytes:
        if length > len(self.data):
            raise ValueError("too short")
        taken, self.data = self.data[:length], self.data[length:]
        return taken

    def number(self, length: int = 2) -> int:
        return int.from_bytes(self.take(length), "big")

    def inner(self, length: int = 2) -> Reader:
        return Reader(self.take(self.number(length)))

    def numbers(self) -> list[int]:
        numbers = []
        while self.data:
            numbers.append(self.number())
        return numbers


def fingerprint(hello: bytes, reasons: set[str]) -> dict[str, Any]:
    reader = Reader(hello)
    version = reader.number()
    reader.take(32)
    reader.inner(1)
    ciphers = without_grease(reader.inner().numbers(), reasons)
    reader.inner(1)
    extensions: list[tuple[int, Reader]] = []
    rest = reader.inner() if reader.data else Reader(b"")
    while rest.data:
        extensions.append((rest.number(), rest.inner()))
    by_kind = dict(extensions)
    kinds = without_grease([kind for kind, _ in extensions], reasons)
    signatures: list[int] = []
    if value := by_kind.get(SIGNATURES):
        signatures = without_grease(value.inner().numbers(), reasons)
    if value := by_kind.get(SUPPORTED_VERSIONS):
        offered = without_grease(value.inner(1).numbers(), reasons)
        version = max(offered, default=version)
    protocol = b""
    if value := by_kind.get(ALPN):
        protocols = value.inner()
        protocol = protocols.inner(1).data if protocols.data else b""
    if version not in VERSIONS or version < 0x0301:
        reasons.add("version")
    a = "t" + VERSIONS.get(version, "00") + ("d" if SERVER_NAME in by_kind else "i")
    a += f"{min(len(ciphers), 99):02}{min(len(kinds), 99):02}{first_and_last(protocol, reasons)}"
    b = hexadecimal(sorted(ciphers))
    c = hexadecimal(sorted(kind for kind in kinds if kind not in (SERVER_NAME, ALPN)))
    c += "_" + hexadecimal(signatures) if signatures else ""
    return {"ja4": "_".join((a, twelve(b), twelve(c))), "ja4_r": "_".join((a, b, c))}


def without_grease(values: list[int], reasons: set[str]) -> list[int]:
    is_grease = [value >> 8 == value & 255 and value & 15 == 10 for value in values]
    if any(one and other for one, other in zip(is_grease, is_grease[1:])):
        reasons.add("grease")
    return [value for value, ignored in zip(values, is_grease, strict=True) if not ignored]


def first_and_last(protocol: bytes, reasons: set[str]) -> str:
    if not protocol:
        return "00"
    ends = protocol[:1] + protocol[-1:]
    if not ends.isalnum():
        reasons.add("odd-protocol")
        return protocol.hex()[0] + protocol.hex()[-1]
    text = ends.decode()
    if text != text.lower():
        reasons.add("lower-case")
    return text


def hexadecimal(values: list[int]) -> str:
    return ",".join(f"{value:04x}" for value in values)


def twelve(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12] if text else "0" * 12
