"""Has an option of every type, and requests what is available. adapt.py builds it."""

import flowloom
from flowloom import Output

WANTED = ["dst_port", "application_name", "bidirectional_mean_ps"]


class Adapts(flowloom.Plugin):
    description = "Requests what is available."
    flow_bytes = 1000
    outputs = [Output("values", list[str], "The options, and the fields that were requested.")]

    def open(self, options):
        self.read = [
            options.integer("count", "A number of things.", default=3, least=1, most=9),
            options.number("share", "A share.", required=True),
            options.boolean("all", "Whether all count.", default=False),
            options.text("name", "A name."),
        ]

    def adapt(self, available):
        if not available.packet:
            raise flowloom.OptionError("no packet fields are available")
        self.packet = [name for name in ("ttl", "src_ip") if name in available.packet]
        self.at_expire = [name for name in WANTED if name in available.flow]
        self.payload_bytes = min(available.payload_bytes, 16)
        self.packet_bytes = min(available.packet_bytes, 16)

    def init(self, packet, flow):
        state = [0, 0]
        self.update(state, packet, flow)
        return state

    def update(self, state, packet, flow):
        for n, name in enumerate(["payload", "bytes"]):
            state[n] = max(state[n], len(getattr(packet, name, b"")))

    def expire(self, state, flow):
        if self.read[3] == "wrong":
            return {"values": "a text"}
        fields = (name for name in WANTED if hasattr(flow, name))
        return {"values": (*map(str, self.read), *map(str, state), *fields)}


Feature, BatchFeature = flowloom.export(Adapts)
