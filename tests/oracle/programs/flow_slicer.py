#!/usr/bin/env python3
"""Print each flow with its packets as one dictionary: flow_slicer.py CAPTURE.

A program of the kind that users of NFStream pass around. It keeps its state in dictionaries of the module, with the text of
`flow._C` as their key.
"""

import binascii
import sys

from nfstream import NFPlugin, NFStreamer

FLAGS = ("syn", "cwr", "ece", "urg", "ack", "psh", "rst", "fin")
SIZES = ("raw_size", "ip_size", "transport_size", "payload_size")

packets_of = {}
numbers = {}


def fields_of(packet):
    fields = {
        "time": packet.time,
        "delta_time": packet.delta_time,
        "direction": packet.direction,
        "src_ip": packet.src_ip,
        "src_mac": packet.src_mac,
        "dst_ip": packet.dst_ip,
        "dst_mac": packet.dst_mac,
        "src_port": packet.src_port,
        "dst_port": packet.dst_port,
        "protocol": packet.protocol,
        "vlan_id": packet.vlan_id,
        "ip_version": packet.ip_version,
        "ip_packet": binascii.b2a_hex(packet.ip_packet).decode(),
        "ip_packet_binary": packet.ip_packet,
    }
    for name in SIZES + FLAGS:
        fields[name] = getattr(packet, name)
    return fields


class FlowSlicer(NFPlugin):
    def on_init(self, packet, flow):
        packets_of[str(flow._C)] = []
        numbers[str(flow._C)] = 0
        self.on_update(packet, flow)

    def on_update(self, packet, flow):
        key = str(flow._C)
        numbers[key] += 1
        packets_of[key].append({"type": f"packet{numbers[key]}", **fields_of(packet)})

    def on_expire(self, flow):
        key = str(flow._C)
        flow_data = dict(zip(flow.keys(), flow.values()))
        everything = [*packets_of.pop(key), {"type": "flow", **flow_data}]
        print({"packet_num": numbers.pop(key), "all_data": everything})


if __name__ == "__main__":
    streamer = NFStreamer(
        source=sys.argv[1],
        decode_tunnels=True,
        bpf_filter=None,
        promiscuous_mode=True,
        snapshot_length=1536,
        idle_timeout=15,
        active_timeout=1800,
        accounting_mode=0,
        udps=FlowSlicer(),
        n_dissections=20,
        statistical_analysis=True,
        splt_analysis=28,
        n_meters=0,
        performance_report=0,
    )
    for _ in streamer:
        pass
