// The first HTTP/1 request and response of a flow.
//
// A request and a response are read if a packet begins with them. Header lines that continue in the next packet are
// left out.

/** @import { Flow, Manifest, Options, Packet } from "flowloom" */
/**
 * @typedef {object} State
 * @property {string | null} method
 * @property {string | null} host
 * @property {number | null} status
 * @property {string | null} user_agent
 */

const MAX_TEXT = 255;

/** @param {Options} options @returns {Manifest} */
export function open(options) {
  return {
    description: "The first HTTP/1 request and response of a flow.",
    payloadBytes: 1500,
    packetsPerFlow: 50,
    outputs: {
      method: ["text", "Method of the first request."],
      host: ["text", "Header `Host` of the first request."],
      status: ["integer", "Status code of the first response."],
      user_agent: ["text", "Header `User-Agent` of the first request."],
    },
  };
}

/** @param {Packet} packet @param {Flow} flow @returns {State} */
export function init(packet, flow) {
  const state = { method: null, host: null, status: null, user_agent: null };
  update(state, packet, flow);
  return state;
}

/** @param {State} state @param {Packet} packet @param {Flow} flow */
export function update(state, packet, flow) {
  const payload = packet.payload;
  if (payload.length === 0) return;
  if (state.status === null && latin1(payload.subarray(0, 7)) === "HTTP/1.") {
    // `HTTP/1.1 200 OK`
    const code = /^ ([0-9]{3})/.exec(latin1(payload.subarray(8, 12)));
    if (code) state.status = Number(code[1]);
  } else if (state.method === null) {
    readRequest(state, payload);
  }
}

/** @param {State} state @param {Flow} flow */
export function expire(state, flow) {
  return state;
}

/** @param {State} state @param {Uint8Array} payload */
function readRequest(state, payload) {
  // The part after the last line feed is not a complete line.
  const [request, ...headers] = latin1(payload).split("\n").slice(0, -1).map((line) => line.replace(/\r$/, ""));
  // `GET / HTTP/1.1`
  const method = /^([A-Z-]+) .+ HTTP\/1\..$/s.exec(request ?? "");
  if (!method) return;
  state.method = text(method[1]);
  for (const line of headers) {
    if (line === "") return;
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0)).toLowerCase();
    if (name === "host") state.host ??= text(trim(line.slice(colon + 1)));
    else if (name === "user-agent") state.user_agent ??= text(trim(line.slice(colon + 1)));
  }
}

/**
 * Returns a string with one character per byte.
 * @param {Uint8Array} data
 */
function latin1(data) {
  return String.fromCharCode(...data);
}

/**
 * Returns the text without blanks and tabs around it.
 * @param {string} value
 */
function trim(value) {
  let start = 0;
  let end = value.length;
  while (start < end && " \t".includes(value[start])) start++;
  while (start < end && " \t".includes(value[end - 1])) end--;
  return value.slice(start, end);
}

/**
 * Returns the text with `?` for characters that are not printable ASCII; null if it is empty.
 * @param {string} value
 */
function text(value) {
  return value.slice(0, MAX_TEXT).replace(/[^ -~]/g, "?") || null;
}
