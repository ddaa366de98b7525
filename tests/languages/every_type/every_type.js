// tests/guests/every_type in JavaScript.

export function open() {
  return {
    description: "An output of every type.",
    packet: ["syn", "ttl", "dst_port", "tcp_flags", "direction", "tcp_seq", "time_ms", "src_ip"],
    payloadBytes: 8,
    packetBytes: 20,
    atInit: ["id", "dst_ip"],
    atUpdate: ["bidirectional_packets"],
    atExpire: ["expiration_id", "bidirectional_mean_ps", "splt_ps"],
    outputs: {
      syn: ["boolean", ""],
      sum: ["integer", ""],
      mean: ["float", ""],
      peers: ["text", ""],
      last: ["bytes", ""],
      sizes: ["integers", ""],
      packets: ["floats", ""],
      letters: ["texts", ""],
      reason: ["json", ""],
    },
  };
}

export function init(packet, flow) {
  const state = { syn: packet.syn, sum: flow.id, peers: flow.dst_ip, packets: [] };
  see(state, packet);
  return state;
}

export function update(state, packet, flow) {
  state.packets.push(flow.bidirectional_packets);
  see(state, packet);
}

export function expire(state, flow) {
  const updates = state.packets.length;
  return {
    syn: updates % 2 === 0 ? state.syn : null,
    sum: state.sum,
    mean: flow.bidirectional_mean_ps > 100 ? flow.bidirectional_mean_ps : undefined,
    peers: state.peers,
    last: updates !== 1 ? state.last : null,
    sizes: flow.splt_ps,
    packets: updates > 0 ? state.packets : null,
    letters: updates > 0 ? state.peers.split(" ").map((peer) => peer[0]) : undefined,
    reason: `{"ü":${flow.expiration_id}}`,
  };
}

function see(state, packet) {
  state.sum %= 2 ** 40;
  state.sum += packet.ttl + packet.dst_port + packet.tcp_flags + packet.direction;
  state.sum += packet.tcp_seq + packet.time_ms;
  if (state.packets.length < 3) state.peers += ` ${packet.src_ip}`;
  state.last = Uint8Array.of(...packet.payload, ...packet.bytes);
}
