// The first DNS question of a flow, and its answer.

import type * as flowloom from "flowloom";

const PACKET = ["protocol", "src_port", "dst_port"] as const;

// The objects have the fields that the manifest requests.
type Packet = flowloom.Packet<(typeof PACKET)[number] | "payload">;
type Flow = flowloom.Flow<never>;
type State = {
  query: string | null;
  qtype: number | null;
  rcode: number | null;
  answers: number | null;
  target: string | null;
};

const UDP = 17;
const PORT = 53;
const NAME_RECORDS = [2, 5, 12]; // NS, CNAME, PTR

export function open(options: flowloom.Options): flowloom.Manifest {
  return {
    description: "The first DNS question of a flow, and its answer.",
    packet: PACKET,
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

export function init(packet: Packet, flow: Flow): State {
  const state: State = { query: null, qtype: null, rcode: null, answers: null, target: null };
  update(state, packet, flow);
  return state;
}

export function update(state: State, packet: Packet, flow: Flow): void {
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

export function expire(state: State, flow: Flow): flowloom.Values {
  return state;
}

function u16(message: Uint8Array, at: number): number {
  return (message[at] << 8) | message[at + 1];
}

// Returns a name and the position after it; null if it is malformed or was cut.
function readName(message: Uint8Array, at: number): { name: string; end: number } | null {
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

function printable(data: Uint8Array): string {
  return String.fromCharCode(...data).replace(/[^ -~]/g, "?");
}
