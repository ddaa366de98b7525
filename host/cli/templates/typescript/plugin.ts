// The size of a flow's largest packet, and whether the source of the flow sent it.

import type * as flowloom from "flowloom";

const PACKET = ["ip_size", "direction"] as const;

// The objects have the fields that the manifest requests.
type Packet = flowloom.Packet<(typeof PACKET)[number]>;
type Flow = flowloom.Flow<never>;
type State = { size: number; by_source: boolean };

export function open(options: flowloom.Options): flowloom.Manifest {
  return {
    description: "The largest packet of a flow.",
    packet: PACKET,
    outputs: {
      size: ["integer", "Largest ip_size of the flow, bytes."],
      by_source: ["boolean", "Whether the flow's source sent it."],
    },
  };
}

export function init(packet: Packet, flow: Flow): State {
  const state = { size: 0, by_source: false };
  update(state, packet, flow);
  return state;
}

export function update(state: State, packet: Packet, flow: Flow): void {
  if (packet.ip_size > state.size) {
    state.size = packet.ip_size;
    state.by_source = packet.direction === 0;
  }
}

export function expire(state: State, flow: Flow): flowloom.Values {
  return state;
}
