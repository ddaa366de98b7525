"""Makes the mistake that its option selects. mistakes.py builds it.

Python prevents none of the mistakes. It has no `panic`, and authors do not see batches (`exception_in_batch`).
"""

import sys

import flowloom
from flowloom import Json, Output

VALUES = {
    "wrong_type_text": {"v": "x"},  # mistake: wrong_type_text
    "wrong_type_float": {"v": 1.5},  # mistake: wrong_type_float
    "not_a_number": {"v": float("nan")},  # mistake: not_a_number
    "too_large": {"v": 2**63},  # mistake: too_large
    "unknown_output": {"vv": 1},  # mistake: unknown_output
    "invalid_json": {"j": "{"},  # mistake: invalid_json
}


class Mistakes(flowloom.Plugin):
    description = "Makes the mistake that its option selects."
    packet = ["ip_size"]
    at_expire = ["bidirectional_packets"]
    outputs = [
        Output("v", int, "A value."),
        Output("t", str, "A text."),
        Output("j", Json, "A JSON value."),
    ]

    def open(self, options):
        self._mistake = options.text("mistake", "The name of the mistake.", required=True)
        if self._mistake == "unknown_packet_field":
            self.packet = ["ip_siz"]  # mistake: unknown_packet_field
        if self._mistake == "unknown_flow_field":
            self.at_expire = ["bidirectional_packet"]  # mistake: unknown_flow_field
        if self._mistake == "misspelt_key":
            self.at_updates = ["bidirectional_packets"]  # mistake: misspelt_key
        if self._mistake == "misspelt_method":
            self.__class__ = Misspelt
        if self._mistake == "exception_in_open":
            int("a number")  # mistake: exception_in_open

    def init(self, packet, flow):
        if self._mistake == "exception_in_init":
            raise ValueError("the first packet is wrong")  # mistake: exception_in_init
        return {"size": packet.ip_size}

    def update(self, state, packet, flow):
        state["size"] += packet.ip_size
        if self._mistake == "undeclared_packet_field":
            state["ttl"] = packet.ttl  # mistake: undeclared_packet_field
        if self._mistake == "exception_in_update":
            raise KeyError("key")  # mistake: exception_in_update
        if self._mistake == "loop":
            while True:  # mistake: loop
                pass
        if self._mistake == "recursion":
            state["size"] = endless(1)  # mistake: recursion
        if self._mistake == "allocation":
            while True:
                state["size"] = [state["size"], bytes(1 << 27)]  # mistake: allocation
        if self._mistake == "division":
            state["mean"] = ratio(state["size"], 0)  # mistake: division
        if self._mistake == "index":
            state["mean"] = [][state["size"]]  # mistake: index

    def expire(self, state, flow):
        if self._mistake == "undeclared_flow_field":
            return {"v": flow.src_port}  # mistake: undeclared_flow_field
        if self._mistake == "exception_in_expire":
            raise RuntimeError("the flow is wrong")  # mistake: exception_in_expire
        return {"v": state["size"], **VALUES.get(self._mistake, {})}

    def finish(self):
        if self._mistake == "print":
            print("to standard output")  # mistake: print
            print("to standard error", file=sys.stderr)
        assert self._mistake != "exception_in_finish", "the end is wrong"  # mistake: exception_in_finish


class Misspelt(flowloom.Plugin):
    def init(self, packet, flow):
        pass

    def udpate(self, state, packet, flow):  # mistake: misspelt_method
        pass

    def expire(self, state, flow):
        pass


def endless(n):
    return endless(n + 1)


def ratio(a, b):
    return a // b


Feature, BatchFeature = flowloom.export(Mistakes)
