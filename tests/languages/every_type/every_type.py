"""tests/guests/every_type in Python."""

import flowloom
from flowloom import Json, Output, log


class EveryType(flowloom.Plugin):
    description = "An output of every type."
    packet = ["syn", "ttl", "dst_port", "tcp_flags", "direction", "tcp_seq", "time_ms", "src_ip"]
    payload_bytes = 8
    packet_bytes = 20
    at_init = ["id", "dst_ip"]
    at_update = ["bidirectional_packets"]
    at_expire = ["expiration_id", "bidirectional_mean_ps", "splt_ps"]
    outputs = [
        Output("syn", bool, ""),
        Output("sum", int, ""),
        Output("mean", float, ""),
        Output("peers", str, ""),
        Output("last", bytes, ""),
        Output("sizes", list[int], ""),
        Output("packets", list[float], ""),
        Output("letters", list[str], ""),
        Output("reason", Json, ""),
    ]

    def open(self, options):
        most = 2**32 - 1
        self.add = options.integer("add", "Added to `sum`.", default=0, least=0, most=most)
        self.factor = options.number("factor", "Factor of `mean`.", default=1.0)
        self.negate = options.boolean("negate", "Whether `syn` is negated.", default=False)
        self.name = options.text("name", "Text before `peers`.")
        self.limit = options.integer("cuts", "Packets after which a flow ends.", least=1, most=most)
        self.packets_per_flow = options.integer("most", "Packets of a flow to count.", least=1, most=most)
        self.cuts_flows = self.limit is not None
        self.needs_one_meter = self.name is not None
        self.flows = 0

    def init(self, packet, flow):
        state = {"syn": packet.syn, "sum": flow.id, "peers": flow.dst_ip, "packets": []}
        see(state, packet)
        return state

    def update(self, state, packet, flow):
        state["packets"].append(float(flow.bidirectional_packets))
        see(state, packet)

    def cuts(self, state):
        return len(state["packets"]) + 1 >= self.limit

    def expire(self, state, flow):
        updates = len(state["packets"])
        self.flows += 1
        answer = {
            "sum": state["sum"] + self.add,
            "peers": (self.name or "") + state["peers"],
            "sizes": flow.splt_ps,
            "reason": f'{{"ü":{flow.expiration_id}}}',
            "syn": state["syn"] != self.negate if updates % 2 == 0 else None,
            "last": state["last"] if updates != 1 else None,
            "packets": state["packets"] if updates else None,
            "letters": [peer[0] for peer in state["peers"].split(" ")] if updates else None,
        }
        if flow.bidirectional_mean_ps > 100:
            answer["mean"] = flow.bidirectional_mean_ps * self.factor
        return answer

    def finish(self):
        if self.name is not None:
            for write in (log.error, log.warn, log.info, log.debug):
                write(f"{self.name}: {self.flows} flows")


def see(state, packet):
    state["sum"] %= 2**40
    state["sum"] += packet.ttl + packet.dst_port + packet.tcp_flags + packet.direction
    state["sum"] += packet.tcp_seq + packet.time_ms
    if len(state["packets"]) < 3:
        state["peers"] += " " + packet.src_ip
    state["last"] = packet.payload + packet.bytes


Feature, BatchFeature = flowloom.export(EveryType)
