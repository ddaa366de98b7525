// Count, mean and standard deviation of a flow's packet sizes, and the entropy of its first payload
// bytes. The JavaScript version of plugins/first_bytes_stats.

/** @import { Manifest, Options, Packet } from "flowloom" */
/** @typedef {ReturnType<typeof init>} State */

let most = 0; // payload bytes to use

/** @param {Options} options @returns {Manifest} */
export function open(options) {
  const about = "Number of payload bytes per flow to use for the entropy.";
  most = options.integer("n", about, { default: 64, least: 1, most: 4096 });
  return {
    description: "Packet sizes, and the entropy of a flow's first payload bytes.",
    packet: ["ip_size"],
    payloadBytes: most,
    outputs: {
      count: ["integer", "Packets of the flow."],
      mean: ["float", "Mean of their ip_size, bytes."],
      stddev: ["float", "Sample standard deviation of their ip_size, bytes; 0 for one packet."],
      bytes: ["integer", "Payload bytes that the entropy is of."],
      entropy: ["float", "Shannon entropy of the first payload bytes, bits a byte; null without payload."],
    },
  };
}

/** @param {Packet} packet */
export function init(packet) {
  // `squares` is the sum of the squared differences from the mean.
  const state = { count: 0, mean: 0, squares: 0, first: /** @type {number[]} */ ([]) };
  update(state, packet);
  return state;
}

/** @param {State} state @param {Packet} packet */
export function update(state, packet) {
  state.count++;
  const off = packet.ip_size - state.mean;
  state.mean += off / state.count;
  state.squares += off * (packet.ip_size - state.mean);
  const missing = most - state.first.length;
  if (missing > 0) state.first.push(...packet.payload.subarray(0, missing));
}

/** @param {State} state */
export function expire(state) {
  return {
    count: state.count,
    mean: state.mean,
    stddev: state.count > 1 ? Math.sqrt(state.squares / (state.count - 1)) : 0,
    bytes: state.first.length,
    entropy: state.first.length > 0 ? entropy(state.first) : null,
  };
}

export function finish() {}

// Sums in the order of the byte values, because the result of a float sum depends on the order.
/** @param {number[]} bytes */
function entropy(bytes) {
  const counts = new Array(256).fill(0);
  for (const byte of bytes) counts[byte]++;
  let entropy = 0;
  for (const count of counts) {
    if (count === 0) continue;
    const share = count / bytes.length;
    entropy -= share * Math.log2(share);
  }
  return entropy;
}
