"""The size of a flow's largest packet, and whether the source of the flow sent it."""

import flowloom
from flowloom import Output


class State:
    __slots__ = ("by_source", "size")


class Biggest(flowloom.Plugin):
    description = "The largest packet of a flow."
    packet = ["ip_size", "direction"]
    outputs = [
        Output("size", int, "Largest ip_size of the flow, bytes."),
        Output("by_source", bool, "Whether the flow's source sent it."),
    ]

    def init(self, packet, flow):
        state = State()
        state.size = 0
        self.update(state, packet, flow)
        return state

    def update(self, state, packet, flow):
        if packet.ip_size > state.size:
            state.size = packet.ip_size
            state.by_source = packet.direction == 0

    def expire(self, state, flow):
        return {"size": state.size, "by_source": state.by_source}


Feature, BatchFeature = flowloom.export(Biggest)
