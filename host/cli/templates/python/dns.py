"""The first DNS question of a flow, and its answer."""

import flowloom
from flowloom import Flow, Output, Packet

UDP = 17
PORT = 53
NAME_RECORDS = (2, 5, 12)  # NS, CNAME, PTR


class State:
    __slots__ = ("query", "qtype", "rcode", "answers", "target")

    def __init__(self) -> None:
        self.query: str | None = None
        self.qtype: int | None = None
        self.rcode: int | None = None
        self.answers: int | None = None
        self.target: str | None = None


class Dns(flowloom.Plugin):
    description = "The first DNS question of a flow, and its answer."
    packet = ["protocol", "src_port", "dst_port"]
    payload_bytes = 512
    outputs = [
        Output("query", str, "Name in the first question."),
        Output("qtype", int, "Record type of the first question: 1 is A, 28 is AAAA."),
        Output("rcode", int, "Code of the first response: 0 is no error, 3 is NXDOMAIN."),
        Output("answers", int, "Number of answers that the first response announces."),
        Output("target", str, "Name to which the first answer leads, if it is an NS, CNAME or PTR record."),
    ]

    def init(self, packet: Packet, flow: Flow) -> State:
        state = State()
        self.update(state, packet, flow)
        return state

    def update(self, state: State, packet: Packet, flow: Flow) -> None:
        message = packet.payload
        if packet.protocol != UDP or PORT not in (packet.src_port, packet.dst_port) or len(message) < 12:
            return
        first_response = message[2] >= 0x80 and state.rcode is None
        questions, answers = u16(message, 4), u16(message, 6)
        if first_response:
            state.rcode = message[3] & 0x0F
            state.answers = answers
        question = read_name(message, 12) if questions > 0 else None
        if question is None or question[1] + 4 > len(message):
            return
        name, at = question
        if state.query is None:
            state.query, state.qtype = name, u16(message, at)
        # The first answer follows the only question: a name, the type, class, TTL, size and data.
        owner = read_name(message, at + 4) if first_response and questions == 1 and answers > 0 else None
        if owner is None or owner[1] + 10 > len(message):
            return
        if u16(message, owner[1]) in NAME_RECORDS and (target := read_name(message, owner[1] + 10)):
            state.target = target[0]

    def expire(self, state: State, flow: Flow) -> dict[str, object]:
        return {output.name: getattr(state, output.name) for output in self.outputs}


def u16(message: bytes, at: int) -> int:
    return message[at] << 8 | message[at + 1]


def read_name(message: bytes, at: int) -> tuple[str, int] | None:
    """Returns a name and the position after it; None if it is malformed or was cut."""
    labels: list[str] = []
    start, end, size = at, None, 1
    while at < len(message):
        length = message[at]
        if length == 0:
            return ".".join(labels) or ".", end or at + 1
        if length >= 0xC0:  # a pointer to another name
            if at + 2 > len(message):
                return None
            end = end or at + 2
            at = u16(message, at) & 0x3FFF
            # Pointers lead backwards only, so this loop ends. The header contains no name.
            if not 12 <= at < start:
                return None
            start = at
            continue
        size += 1 + length
        if length > 63 or size > 255 or at + 1 + length > len(message):
            return None
        labels.append(printable(message[at + 1 : at + 1 + length]))
        at += 1 + length
    return None


def printable(data: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in data)


Feature, BatchFeature = flowloom.export(Dns)
