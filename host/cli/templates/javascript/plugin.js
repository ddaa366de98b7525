// The size of a flow's largest packet, and whether the source of the flow sent it.

export function open(options) {
  return {
    description: "The largest packet of a flow.",
    packet: ["ip_size", "direction"],
    outputs: {
      size: ["integer", "Largest ip_size of the flow, bytes."],
      by_source: ["boolean", "Whether the flow's source sent it."],
    },
  };
}

export function init(packet, flow) {
  const state = { size: 0, by_source: false };
  update(state, packet, flow);
  return state;
}

export function update(state, packet, flow) {
  if (packet.ip_size > state.size) {
    state.size = packet.ip_size;
    state.by_source = packet.direction === 0;
  }
}

export function expire(state, flow) {
  return state;
}
