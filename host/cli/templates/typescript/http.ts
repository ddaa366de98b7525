// The first HTTP/1 request and response of a flow.
//
// A request and a response are read if a packet begins with them. Header lines that continue in the next packet are
// left out.

import type * as flowloom from "flowloom";

// The objects have the fields that the manifest requests.
type Packet = flowloom.Packet<"payload">;
type Flow = flowloom.Flow<never>;
type State = {
  method: string | null;
  host: string | null;
  status: number | null;
  user_agent: string | null;
};

const MAX_TEXT = 255;

export function open(options: flowloom.Options): flowloom.Manifest {
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

export function init(packet: Packet, flow: Flow): State {
  const state: State = { method: null, host: null, status: null, user_agent: null };
  update(state, packet, flow);
  return state;
}

export function update(state: State, packet: Packet, flow: Flow): void {
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

export function expire(state: State, flow: Flow): flowloom.Values {
  return state;
}

function readRequest(state: State, payload: Uint8Array): void {
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

// Returns a string with one character per byte.
function latin1(data: Uint8Array): string {
  return String.fromCharCode(...data);
}

// Returns the text without blanks and tabs around it.
function trim(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && " \t".includes(value[start])) start++;
  while (start < end && " \t".includes(value[end - 1])) end--;
  return value.slice(start, end);
}

// Returns the text with `?` for characters that are not printable ASCII; null if it is empty.
function text(value: string): string | null {
  return value.slice(0, MAX_TEXT).replace(/[^ -~]/g, "?") || null;
}
