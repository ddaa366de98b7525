// The mistakes of a JavaScript author. The option `mistake` selects one.
//
// JavaScript permits all of the mistakes, except `panic`: it has only exceptions. There is no `exception_in_batch`,
// because authors do not see batches. An index that is out of range gives undefined.

import { log } from "flowloom";

let mistake;
let events = 0;

// A misspelt function replaces `update`.
export let update = see;
export let udpate;

export function open(options) {
  mistake = options.text("mistake", "The mistake to make.", { required: true });
  const manifest = {
    description: "Mistakes of an author.",
    packet: ["ip_size", "direction", "src_port"],
    atInit: ["src_port"],
    atExpire: ["bidirectional_packets"],
    outputs: { v: ["integer", "A number."], t: ["text", "A text."], j: ["json", "A JSON value."] },
  };
  switch (mistake) {
    case "unknown_packet_field": // mistake: unknown_packet_field
      manifest.packet.push("ip_siz");
      break;
    case "unknown_flow_field": // mistake: unknown_flow_field
      manifest.atExpire.push("bidirectional_packet");
      break;
    case "flow_field_of_packet": // mistake: flow_field_of_packet
      manifest.packet.push("bidirectional_packets");
      break;
    case "misspelt_key": // mistake: misspelt_key
      manifest.outptus = manifest.outputs;
      delete manifest.outputs;
      break;
    case "misspelt_type": // mistake: misspelt_type
      manifest.outputs.v[0] = "integr";
      break;
    case "output_without_type": // mistake: output_without_type
      manifest.outputs.v = "A number.";
      break;
    case "packet_is_text": // mistake: packet_is_text
      manifest.packet = "ip_size";
      break;
    case "negative_bytes": // mistake: negative_bytes
      manifest.payloadBytes = -1;
      break;
    case "misspelt_method": // mistake: misspelt_method
      udpate = see;
      update = undefined;
      break;
    case "absent_method": // mistake: absent_method
      update = undefined;
      break;
    case "cuts_without_function": // mistake: cuts_without_function
      manifest.cutsFlows = true;
      break;
    case "misspelt_option_setting": // mistake: misspelt_option_setting
      options.integer("n", "A number.", { defualt: 1 });
      break;
    case "option_as_property": // mistake: option_as_property
      manifest.payloadBytes = options.n;
      break;
    case "misspelt_option_type": // mistake: misspelt_option_type
      options.integr("n", "A number.");
      break;
    case "no_manifest": // mistake: no_manifest
      return undefined;
    case "exception_in_open": // mistake: exception_in_open
      absent.push(1);
  }
  return manifest;
}

export function init(packet, flow) {
  if (mistake === "exception_in_init") null.size; // mistake: exception_in_init
  return { packets: 1, sizes: [] };
}

function see(state, packet, flow) {
  state.packets++;
  if (++events < 3) return;
  switch (mistake) {
    case "undeclared_packet_field": // mistake: undeclared_packet_field
      state.packets += packet.ttl;
      break;
    case "misspelt_packet_field": // mistake: misspelt_packet_field
      state.packets += packet.ipSize;
      break;
    case "undeclared_payload": // mistake: undeclared_payload
      state.packets += packet.payload.length;
      break;
    case "flow_field_at_update": // mistake: flow_field_at_update
      state.packets += flow.src_port;
      break;
    case "flow_field_in_packet": // mistake: flow_field_in_packet
      state.packets += packet.bidirectional_packets;
      break;
    case "exception_in_update": // mistake: exception_in_update
      largest(state);
      break;
    case "thrown_text": // mistake: thrown_text
      throw "no more";
    case "print": // mistake: print
      if (events > 3) break;
      print("print", 1);
      console.log("console.log", packet, [1n, undefined], Uint8Array.of(1, 2));
      console.info("console.info");
      console.warn("console.warn");
      console.error("console.error", new Error("a text"));
      console.debug("console.debug is shown with -v");
      log.info("log.info");
      break;
    case "clock": // mistake: clock
      state.packets += Date.now();
      break;
    case "loop": // mistake: loop
      for (;;) state.packets++;
    case "recursion": // mistake: recursion
      recurse(state);
      break;
    case "allocation": // mistake: allocation
      for (;;) state.sizes.push(new Uint8Array(1 << 28));
    case "division": // mistake: division
      state.packets = 1n / BigInt(state.sizes.length);
      break;
    case "mixed_bigint": // mistake: mixed_bigint
      state.packets += 1n;
  }
}

function largest(state) {
  return Math.max(...state.absent.sizes);
}

function recurse(state) {
  return recurse(state) + 1;
}

export function expire(state, flow) {
  const values = { v: state.packets, t: "a text" };
  switch (mistake) {
    case "undeclared_flow_field": // mistake: undeclared_flow_field
      values.v = flow.dst_port;
      break;
    case "misspelt_flow_field": // mistake: misspelt_flow_field
      values.v = flow.bidirectional_packet;
      break;
    case "wrong_type_text": // mistake: wrong_type_text
      values.v = "x";
      break;
    case "wrong_type_float": // mistake: wrong_type_float
      values.v = 1.5;
      break;
    case "wrong_type_integer": // mistake: wrong_type_integer
      values.t = 5;
      break;
    case "not_a_number": // mistake: not_a_number
      values.v = 0 / 0;
      break;
    case "too_large": // mistake: too_large
      values.v = 2 ** 53;
      break;
    case "too_large_bigint": // mistake: too_large_bigint
      values.v = 2n ** 63n;
      break;
    case "object_for_json": // mistake: object_for_json
      values.j = { size: 1 };
      break;
    case "invalid_json": // mistake: invalid_json
      values.j = "{size: 1}";
      break;
    case "unknown_output": // mistake: unknown_output
      values.vv = 1;
      break;
    case "no_values": // mistake: no_values
      return undefined;
    case "list_of_values": // mistake: list_of_values
      return [1, "a text", null];
    case "exception_in_expire": // mistake: exception_in_expire
      values.v = state.absent.length;
  }
  return values;
}

export function finish() {
  if (mistake === "exception_in_finish") throw new RangeError("nothing to finish"); // mistake: exception_in_finish
}
