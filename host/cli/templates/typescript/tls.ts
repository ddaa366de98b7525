// What a TLS client offers in its ClientHello.
//
// The ClientHello must begin in the first payload of the flow. Only this packet is read. A larger ClientHello continues
// in the next packets; the values that they contain are null. To read them, collect the payload in the state, in the
// order of `tcp_seq`.

import type * as flowloom from "flowloom";

// The objects have the fields that the manifest requests.
type Packet = flowloom.Packet<"payload">;
type Flow = flowloom.Flow<never>;
type State = {
  seen: boolean;
  sni: string | null;
  version: number | null;
  cipher_count: number | null;
  alpn: string | null;
};

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const ALPN = 16;
const SUPPORTED_VERSIONS = 43;
const MAX_TEXT = 255;

export function open(options: flowloom.Options): flowloom.Manifest {
  return {
    description: "What a TLS client offers in its ClientHello.",
    payloadBytes: 1500,
    packetsPerFlow: 10,
    outputs: {
      sni: ["text", "Name of the server that the client wants."],
      version: ["integer", "Highest version that the client offers: 771 is TLS 1.2, 772 is TLS 1.3."],
      cipher_count: ["integer", "Number of cipher suites that the client offers, without GREASE."],
      alpn: ["text", "First application protocol that the client offers."],
    },
  };
}

export function init(packet: Packet, flow: Flow): State {
  const state: State = { seen: false, sni: null, version: null, cipher_count: null, alpn: null };
  update(state, packet, flow);
  return state;
}

export function update(state: State, packet: Packet, flow: Flow): void {
  if (!state.seen && packet.payload.length > 0) {
    state.seen = true;
    readHello(state, packet.payload);
  }
}

export function expire(state: State, flow: Flow): flowloom.Values {
  const { sni, version, cipher_count, alpn } = state;
  return { sni, version, cipher_count, alpn };
}

function readHello(state: State, payload: Uint8Array): void {
  // Before the session id: record header (5 bytes), handshake header (4), version (2), random (32).
  if (payload.length < 44 || payload[0] !== HANDSHAKE || payload[1] !== 3 || payload[5] !== CLIENT_HELLO) return;
  const end = 9 + ((payload[6] << 16) | (payload[7] << 8) | payload[8]);
  const hello = payload.subarray(0, end);
  let at = 44 + payload[43];
  const suites = u16(hello, at);
  at += 2;
  if (at + suites > hello.length) return;
  state.cipher_count = withoutGrease(hello.subarray(at, at + suites)).length;
  at += suites;
  // Skip the compression methods, and the size of all extensions.
  at += 1 + (hello[at] ?? 0) + 2;
  while (at + 4 <= hello.length) {
    const kind = u16(hello, at);
    const size = u16(hello, at + 2);
    at += 4;
    if (at + size > hello.length) break;
    readExtension(state, kind, hello.subarray(at, at + size));
    at += size;
  }
  if (state.version === null && hello.length === end) state.version = u16(hello, 9);
}

function readExtension(state: State, kind: number, data: Uint8Array): void {
  if (kind === SERVER_NAME && data.length >= 5 && data[2] === 0) {
    state.sni = text(data, 5, u16(data, 3));
  } else if (kind === ALPN && data.length >= 3) {
    state.alpn = text(data, 3, data[2]);
  } else if (kind === SUPPORTED_VERSIONS) {
    const offered = withoutGrease(data.subarray(1));
    state.version = offered.length > 0 ? Math.max(...offered) : null;
  }
}

// Returns the 16-bit numbers in the data that are not GREASE (RFC 8701): 0x0a0a, 0x1a1a … 0xfafa.
function withoutGrease(data: Uint8Array): number[] {
  const numbers = [];
  for (let at = 0; at + 2 <= data.length; at += 2) {
    const number = u16(data, at);
    if ((number & 0x0f0f) !== 0x0a0a || number >> 8 !== (number & 0xff)) numbers.push(number);
  }
  return numbers;
}

// Returns a 16-bit number; 0 after the end of the data.
function u16(data: Uint8Array, at: number): number {
  return at + 2 <= data.length ? (data[at] << 8) | data[at + 1] : 0;
}

// Returns a part of the data as text; null if it is empty or was cut.
function text(data: Uint8Array, at: number, size: number): string | null {
  if (size === 0 || at + size > data.length) return null;
  const part = data.subarray(at, at + Math.min(size, MAX_TEXT));
  return String.fromCharCode(...part).replace(/[^ -~]/g, "?");
}
