"""The size of a flow's largest packet, and whether the source of the flow sent it."""

import flowloom
from flowloom import Flow, Output, Packet


class State:
    __slots__ = ("by_source", "size")

    def __init__(self) -> None:
        self.by_source = True
        self.size = 0


class Biggest(flowloom.Plugin):
    description = "The largest packet of a flow."
    packet = ["ip_size", "direction"]
    outputs = [
        Output("size", int, "Largest ip_size of the flow, bytes."),
        Output("by_source", bool, "Whether the flow's source sent it."),
    ]

    def init(self, packet: Packet, flow: Flow) -> State:
        state = State()
        self.update(state, packet, flow)
        return state

    def update(self, state: State, packet: Packet, flow: Flow) -> None:
        if packet.ip_size > state.size:
            state.size = packet.ip_size
            state.by_source = packet.direction == 0

    def expire(self, state: State, flow: Flow) -> dict[str, object]:
        return {"size": state.size, "by_source": state.by_source}


Feature, BatchFeature = flowloom.export(Biggest)
