// The first DNS question of a flow, and its answer.

/** @import { Flow, Manifest, Options, Packet } from "flowloom" */
/**
 * @typedef {object} State
 * @property {string | null} query
 * @property {number | null} qtype
 * @property {number | null} rcode
 * @property {number | null} answers
 * @property {string | null} target
 */

const UDP = 17;
const PORT = 53;
const NAME_RECORDS = [2, 5, 12]; // NS, CNAME, PTR

/** @param {Options} options @returns {Manifest} */
export function open(options) {
  return {
    description: "The first DNS question of a flow, and its answer.",
    packet: ["protocol", "src_port", "dst_port"],
    payloadBytes: 512,
    outputs: {
      query: ["text", "Name in the first question."],
      qtype: ["integer", "Record type of the first question: 1 is A, 28 is AAAA."],
      rcode: ["integer", "Code of the first response: 0 is no error, 3 is NXDOMAIN."],
      answers: ["integer", "Number of answers that the first response announces."],
      target: ["text", "Name to which the first answer leads, if it is an NS, CNAME or PTR record."],
    },
  };
}

/** @param {Packet} packet @param {Flow} flow @returns {State} */
export function init(packet, flow) {
  const state = { query: null, qtype: null, rcode: null, answers: null, target: null };
  update(state, packet, flow);
  return state;
}

/** @param {State} state @param {Packet} packet @param {Flow} flow */
export function update(state, packet, flow) {
  const message = packet.payload;
  if (packet.protocol !== UDP || message.length < 12) return;
  if (packet.src_port !== PORT && packet.dst_port !== PORT) return;
  const firstResponse = message[2] >= 0x80 && state.rcode === null;
  const questions = u16(message, 4);
  const answers = u16(message, 6);
  if (firstResponse) {
    state.rcode = message[3] & 0x0f;
    state.answers = answers;
  }
  const question = questions > 0 ? readName(message, 12) : null;
  if (question === null || question.end + 4 > message.length) return;
  if (state.query === null) {
    state.query = question.name;
    state.qtype = u16(message, question.end);
  }
  // The first answer follows the only question: a name, the type, class, TTL, size and data.
  const owner = firstResponse && questions === 1 && answers > 0 ? readName(message, question.end + 4) : null;
  if (owner === null || owner.end + 10 > message.length) return;
  if (NAME_RECORDS.includes(u16(message, owner.end))) {
    state.target = readName(message, owner.end + 10)?.name ?? null;
  }
}

/** @param {State} state @param {Flow} flow */
export function expire(state, flow) {
  return state;
}

/** @param {Uint8Array} message @param {number} at */
function u16(message, at) {
  return (message[at] << 8) | message[at + 1];
}

/**
 * Returns a name and the position after it; null if it is malformed or was cut.
 * @param {Uint8Array} message @param {number} at
 */
function readName(message, at) {
  const labels = [];
  let start = at;
  let end = 0;
  let size = 1;
  while (at < message.length) {
    const length = message[at];
    if (length === 0) return { name: labels.join(".") || ".", end: end || at + 1 };
    if (length >= 0xc0) {
      // A pointer to another name.
      if (at + 2 > message.length) return null;
      end ||= at + 2;
      at = u16(message, at) & 0x3fff;
      // Pointers lead backwards only, so this loop ends. The header contains no name.
      if (at < 12 || at >= start) return null;
      start = at;
      continue;
    }
    size += 1 + length;
    if (length > 63 || size > 255 || at + 1 + length > message.length) return null;
    labels.push(printable(message.subarray(at + 1, at + 1 + length)));
    at += 1 + length;
  }
  return null;
}

/** @param {Uint8Array} data */
function printable(data) {
  return String.fromCharCode(...data).replace(/[^ -~]/g, "?");
}
