// The size of a flow's largest packet, and whether the source of the flow sent it.

/** @import { Flow, Manifest, Options, Packet } from "flowloom" */
/** @typedef {{ size: number, by_source: boolean }} State */

/** @param {Options} options @returns {Manifest} */
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

/** @param {Packet} packet @param {Flow} flow @returns {State} */
export function init(packet, flow) {
  const state = { size: 0, by_source: false };
  update(state, packet, flow);
  return state;
}

/** @param {State} state @param {Packet} packet @param {Flow} flow */
export function update(state, packet, flow) {
  if (packet.ip_size > state.size) {
    state.size = packet.ip_size;
    state.by_source = packet.direction === 0;
  }
}

/** @param {State} state @param {Flow} flow */
export function expire(state, flow) {
  return state;
}
