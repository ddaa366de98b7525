"""Count, mean and standard deviation of a flow's packet sizes, and the entropy of its first payload bytes.

The Python version of plugins/first_bytes_stats.
"""

import math

import flowloom
from flowloom import Flow, Options, Output, Packet


class State:
    """The state of a flow."""

    __slots__ = ("count", "first", "mean", "squares")

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        # The sum of the squared differences from the mean.
        self.squares = 0.0
        self.first = b""


class FirstBytesStats(flowloom.Plugin):
    description = "Packet sizes, and the entropy of a flow's first payload bytes."
    packet = ["ip_size"]
    outputs = [
        Output("count", int, "Packets of the flow."),
        Output("mean", float, "Mean of their ip_size, bytes."),
        Output("stddev", float, "Sample standard deviation of their ip_size, bytes; 0 for one packet."),
        Output("bytes", int, "Payload bytes that the entropy is of."),
        Output(
            "entropy", float, "Shannon entropy of the first payload bytes, bits a byte; null without payload."
        ),
    ]

    def open(self, options: Options) -> None:
        about = "Number of payload bytes per flow to use for the entropy."
        self.payload_bytes = options.integer("n", about, default=64, least=1, most=4096)

    def init(self, packet: Packet, flow: Flow) -> State:
        state = State()
        self.update(state, packet, flow)
        return state

    def update(self, state: State, packet: Packet, flow: Flow) -> None:
        state.count += 1
        size = packet.ip_size
        off = size - state.mean
        state.mean += off / state.count
        state.squares += off * (size - state.mean)
        missing = self.payload_bytes - len(state.first)
        if missing > 0:
            state.first += packet.payload[:missing]

    def expire(self, state: State, flow: Flow) -> dict[str, object]:
        return {
            "count": state.count,
            "mean": state.mean,
            "stddev": math.sqrt(state.squares / (state.count - 1)) if state.count > 1 else 0.0,
            "bytes": len(state.first),
            "entropy": entropy(state.first) if state.first else None,
        }


def entropy(data: bytes) -> float:
    """Sums in the order of the byte values, because the result of a float sum depends on the order."""
    total = 0.0
    for value in sorted(set(data)):
        share = data.count(value) / len(data)
        total -= share * math.log2(share)
    return total


Feature, BatchFeature = flowloom.export(FirstBytesStats)
