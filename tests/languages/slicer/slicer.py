"""plugins/slicer in Python: ends a flow after a number of packets."""

import flowloom
from flowloom import Output


class State:
    __slots__ = ("packets",)


class Slicer(flowloom.Plugin):
    description = "Ends a flow after a number of packets."
    cuts_flows = True
    outputs = [
        Output("packets", int, "Packets of the flow."),
        Output("sliced", bool, "Whether the flow ended because it had `limit` packets."),
    ]

    def open(self, options):
        self.limit = options.integer("limit", "Packets after which a flow ends.", default=20, least=1)

    def init(self, packet, flow):
        state = State()
        state.packets = 1
        return state

    def update(self, state, packet, flow):
        state.packets += 1

    def cuts(self, state):
        return state.packets >= self.limit

    def expire(self, state, flow):
        return {"packets": state.packets, "sliced": state.packets >= self.limit}


Feature, BatchFeature = flowloom.export(Slicer)
