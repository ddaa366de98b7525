"""The first HTTP/1 request and response of a flow.

A request and a response are read if a packet begins with them. Header lines that continue in the next packet are left out.
"""

import flowloom
from flowloom import Flow, Output, Packet

MAX_TEXT = 255


class State:
    __slots__ = ("method", "host", "status", "user_agent")

    def __init__(self) -> None:
        self.method: str | None = None
        self.host: str | None = None
        self.status: int | None = None
        self.user_agent: str | None = None


class Http(flowloom.Plugin):
    description = "The first HTTP/1 request and response of a flow."
    payload_bytes = 1500
    packets_per_flow = 50
    outputs = [
        Output("method", str, "Method of the first request."),
        Output("host", str, "Header `Host` of the first request."),
        Output("status", int, "Status code of the first response."),
        Output("user_agent", str, "Header `User-Agent` of the first request."),
    ]

    def init(self, packet: Packet, flow: Flow) -> State:
        state = State()
        self.update(state, packet, flow)
        return state

    def update(self, state: State, packet: Packet, flow: Flow) -> None:
        payload = packet.payload
        if state.status is None and payload.startswith(b"HTTP/1."):
            # `HTTP/1.1 200 OK`
            code = payload[9:12]
            if len(code) == 3 and payload[8] == ord(" ") and code.isdigit():
                state.status = int(code)
        elif state.method is None and payload:
            read_request(state, payload)

    def expire(self, state: State, flow: Flow) -> dict[str, object]:
        return {output.name: getattr(state, output.name) for output in self.outputs}


def read_request(state: State, payload: bytes) -> None:
    # The part after the last line feed is not a complete line.
    request, *headers = [line.removesuffix(b"\r") for line in payload.split(b"\n")[:-1]] or [b""]
    # `GET / HTTP/1.1`
    method, _, rest = request.partition(b" ")
    if not method or method.strip(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-") or len(rest) < 10 or rest[-9:-1] != b" HTTP/1.":
        return
    state.method = text(method)
    for line in headers:
        if not line:
            return
        name, colon, value = line.partition(b":")
        if colon and name.lower() == b"host":
            state.host = state.host or text(value.strip(b" \t"))
        elif colon and name.lower() == b"user-agent":
            state.user_agent = state.user_agent or text(value.strip(b" \t"))


def text(data: bytes) -> str | None:
    """Returns the data as text; None if it is empty."""
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in data[:MAX_TEXT]) or None


Feature, BatchFeature = flowloom.export(Http)
