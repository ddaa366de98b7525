"""The expected values of the MDNS plugin."""

from __future__ import annotations

from typing import Any

from right.transport import payload

REASONS = {
    "ipv6": "NFStream's plugin reads IPv4 only.",
    "unknown-record": "NFStream's plugin drops messages with records of unknown types, such as "
    "NSEC.",
    "not-utf8": "NFStream's meter ends at a name that is not UTF-8.",
    "damaged": "NFStream's plugin drops messages that are damaged or truncated.",
}

PTR = 12
# Record types that dpkt supports.
KNOWN = (1, 2, 5, 6, 10, 12, 13, 15, 16, 28, 33, 41)


class Names:
    """The names of a flow."""

    def __init__(self, flow: Any) -> None:
        self.is_mdns = flow.dst_port == 5353 and flow.protocol == 17
        self.names: list[str] = []
        self.reasons: set[str] = set()

    def add(self, packet: Any) -> None:
        if not self.is_mdns:
            return
        message = Message(payload(packet.ip_packet), self.reasons)
        if packet.ip_version == 6 and message.names:
            self.reasons.add("ipv6")
        for name in message.names:
            name = name.replace(",", " ")
            if name not in self.names:
                self.names.append(name)

    def values(self) -> dict[str, Any]:
        return {"mdns_ptr": self.names}


class Message:
    """The PTR answers in the complete part of a message."""

    def __init__(self, data: bytes, reasons: set[str]) -> None:
        self.data = data
        self.names: list[str] = []
        self.reasons = reasons
        try:
            self.read()
        except (IndexError, ValueError):
            reasons.add("damaged")

    def read(self) -> None:
        questions, answers, others, more = (self.number(at) for at in (4, 6, 8, 10))
        at = 12
        for _ in range(questions):
            at = self.name(at)[1] + 4
        for number in range(answers + others + more):
            at = self.name(at)[1]
            kind, length = self.number(at), self.number(at + 8)
            if at + 10 + length > len(self.data):
                raise IndexError
            if kind not in KNOWN:
                self.reasons.add("unknown-record")
            if kind == PTR and number < answers:
                self.point_to(at + 10)
            at += 10 + length

    def point_to(self, at: int) -> None:
        try:
            name = self.name(at)[0]
        except (IndexError, ValueError):
            self.reasons.add("damaged")
            return
        text = name.decode("utf-8", "replace")
        if text.encode() != name:
            self.reasons.add("not-utf8")
        self.names.append(text)

    def number(self, at: int) -> int:
        if at + 2 > len(self.data):
            raise IndexError
        return int.from_bytes(self.data[at : at + 2], "big")

    def name(self, at: int) -> tuple[bytes, int]:
        """Return a name, and the offset after it."""
        labels: list[bytes] = []
        end = 0
        while length := self.data[at]:
            if length >= 0xC0:
                end = end or at + 2
                before, at = at, self.number(at) & 0x3FFF
                if at >= before:
                    raise ValueError
            elif length < 0x40:
                labels.append(self.data[at + 1 : at + 1 + length])
                at += 1 + length
            else:
                raise ValueError
        return b".".join(labels), end or at + 1
