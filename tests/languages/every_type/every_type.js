// tests/guests/every_type in JavaScript.

import { log } from "flowloom";

let add, factor, negate, name;
let flows = 0;
/** Only a plugin that cuts flows exports this function. */
export let cuts;

export function open(options) {
  add = options.integer("add", "Added to `sum`.", { default: 0, least: 0, most: 2 ** 32 - 1 });
  factor = options.number("factor", "Factor of `mean`.", { default: 1 });
  negate = options.boolean("negate", "Whether `syn` is negated.", { default: false });
  name = options.text("name", "Text before `peers`.");
  const limit = options.integer("cuts", "Packets after which a flow ends.", { least: 1, most: 2 ** 32 - 1 });
  const most = options.integer("most", "Packets of a flow to count.", { least: 1, most: 2 ** 32 - 1 });
  if (limit !== null) cuts = (state) => state.packets.length + 1 >= limit;
  return {
    description: "An output of every type.",
    ...(most === null ? {} : { packetsPerFlow: most }),
    cutsFlows: limit !== null,
    needsOneMeter: name !== null,
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
  flows++;
  return {
    syn: updates % 2 === 0 ? state.syn !== negate : null,
    sum: state.sum + add,
    mean: flow.bidirectional_mean_ps > 100 ? flow.bidirectional_mean_ps * factor : undefined,
    peers: (name ?? "") + state.peers,
    last: updates !== 1 ? state.last : null,
    sizes: flow.splt_ps,
    packets: updates > 0 ? state.packets : null,
    letters: updates > 0 ? state.peers.split(" ").map((peer) => peer[0]) : undefined,
    reason: `{"ü":${flow.expiration_id}}`,
  };
}

export function finish() {
  if (name === null) return;
  for (const level of ["error", "warn", "info", "debug"]) log[level](`${name}: ${flows} flows`);
}

function see(state, packet) {
  state.sum %= 2 ** 40;
  state.sum += packet.ttl + packet.dst_port + packet.tcp_flags + packet.direction;
  state.sum += packet.tcp_seq + packet.time_ms;
  if (state.packets.length < 3) state.peers += ` ${packet.src_ip}`;
  state.last = Uint8Array.of(...packet.payload, ...packet.bytes);
}
