import type { Available, Flow, Packet, Plugin, Values } from "./index.js";

/** A flow of a test. Requested fields that it does not give are 0, false or empty. */
export interface TestFlow {
  /** The packets, in order. The first one is passed to `init`. */
  packets: readonly Partial<Packet>[];
  /** The flow fields at all events. */
  flow?: Partial<Flow>;
}

/** What the operator gives. */
export interface TestSettings {
  /** The options, as the operator writes them after the file: `{ n: 64 }`. */
  options?: Readonly<Record<string, string | number | boolean>>;
  /** What is available. The default is everything. */
  available?: Partial<Available>;
}

/**
 * Runs a plugin without WebAssembly, and returns the values of each flow. It calls `open` and `adapt`, passes one flow after
 * the other, and calls `finish`. If the plugin cuts a flow, the next packet begins another flow. It throws the errors that
 * Flowloom shows.
 */
export function run<State>(plugin: Plugin<State>, flows: readonly TestFlow[], settings?: TestSettings): Values[];
