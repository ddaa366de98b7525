// Has an option of every type, and requests what is available. adapt.py builds it.

import { OptionError } from "flowloom";

const WANTED = ["dst_port", "application_name", "bidirectional_mean_ps"];
let read;

export function open(options) {
  read = [
    options.integer("count", "A number of things.", { default: 3, least: 1, most: 9 }),
    options.number("share", "A share.", { required: true }),
    options.boolean("all", "Whether all count.", { default: false }),
    options.text("name", "A name."),
  ];
  return {
    description: "Requests what is available.",
    flowBytes: 1000,
    outputs: { values: ["texts", "The options, and the fields that were requested."] },
  };
}

export function adapt(available, manifest) {
  if (available.packet.length === 0) throw new OptionError("no packet fields are available");
  manifest.packet = ["ttl", "src_ip"].filter((name) => available.packet.includes(name));
  manifest.atExpire = WANTED.filter((name) => available.flow.includes(name));
  manifest.payloadBytes = Math.min(available.payloadBytes, 16);
  manifest.packetBytes = Math.min(available.packetBytes, 16);
}

export function init(packet) {
  const state = [0, 0];
  update(state, packet);
  return state;
}

export function update(state, packet) {
  ["payload", "bytes"].forEach((name, n) => {
    if (name in packet) state[n] = Math.max(state[n], packet[name].length);
  });
}

export function expire(state, flow) {
  if (read[3] === "wrong") return { values: "a text" };
  return { values: [...read, ...state, ...WANTED.filter((name) => name in flow)].map(text) };
}

// The texts of Python.
function text(value) {
  return { null: "None", true: "True", false: "False" }[value] ?? String(value);
}
