// Types of the SDK, for editors and for TypeScript.

import type { FlowFields, PacketFields } from "./fields.js";

export type { FlowFields, PacketFields } from "./fields.js";

/** The name of a packet field. */
export type PacketField = keyof PacketFields;

/** The name of a flow field. */
export type FlowField = keyof FlowFields;

/** Bytes of a packet. They are valid until the function returns. */
export interface PacketBytes {
  /** The first `payloadBytes` bytes of the transport payload. Needs the grant `payload`. */
  readonly payload: Uint8Array;
  /** The first `packetBytes` bytes of the packet, from its IP header on. Needs the grant `bytes`. */
  readonly bytes: Uint8Array;
}

/**
 * A packet. It has the fields that the manifest requests; reading another one is an error.
 *
 * `Packet` permits all fields. `Packet<"ip_size" | "payload">` permits these.
 */
export type Packet<Name extends keyof (PacketFields & PacketBytes) = keyof (PacketFields & PacketBytes)> = Pick<
  PacketFields & PacketBytes,
  Name
>;

/**
 * A flow. It has the fields that the manifest requests for the event: in `atInit`, `atUpdate` or `atExpire`.
 *
 * `Flow` permits all fields. `Flow<"src_port">` permits this one.
 */
export type Flow<Name extends FlowField = FlowField> = Pick<FlowFields, Name>;

/** The JavaScript value of each output type. null and undefined are null in the output. */
export interface OutputTypes {
  boolean: boolean;
  /** An integer from -(2^53 - 1) to 2^53 - 1. */
  integer: number | bigint;
  float: number;
  text: string;
  bytes: Uint8Array | readonly number[];
  integers: ArrayLike<number | bigint>;
  floats: ArrayLike<number>;
  texts: readonly string[];
  /** A text that is one JSON value: JSON.stringify(…). */
  json: string;
}

/** The type of an output. */
export type OutputType = keyof OutputTypes;

/** The values that `expire` returns: a property for each output. */
export type Values = { readonly [name: string]: OutputTypes[OutputType] | null | undefined };

/** What `open` returns: which columns the plugin adds, and which data it requests. */
export interface Manifest {
  /** What the plugin computes, in one sentence. */
  description?: string;
  /** The version of the plugin. The default is 0.1.0. */
  version?: string;
  /** The columns: the type of each, and one sentence with the unit. */
  outputs?: Record<string, readonly [type: OutputType, description: string]>;
  /** Packet fields, for `init` and `update`. */
  packet?: readonly PacketField[];
  /** Flow fields for `init`. */
  atInit?: readonly FlowField[];
  /** Flow fields for `update`. They cost time for every packet. */
  atUpdate?: readonly FlowField[];
  /** Flow fields for `expire`. */
  atExpire?: readonly FlowField[];
  /** The number of bytes of each packet's transport payload to pass as `packet.payload`. The operator must grant them. */
  payloadBytes?: number;
  /** The number of bytes of each packet, from its IP header on, to pass as `packet.bytes`. The operator must grant them. */
  packetBytes?: number;
  /** The number of packets of a flow after which `update` is not called. */
  packetsPerFlow?: number | null;
  /** An estimate of the bytes of a flow's state, if it is large. */
  flowBytes?: number;
  /** Whether the plugin ends flows: `cuts` returns whether the flow of a state ends. */
  cutsFlows?: boolean;
  /** Whether the plugin keeps state across flows. The run then has one meter. */
  needsOneMeter?: boolean;
}

/** What the plugin may request in this run. */
export interface Available {
  readonly packet: PacketField[];
  readonly flow: FlowField[];
  /** The maximum of `payloadBytes`; 0 without a grant. */
  readonly payloadBytes: number;
  /** The maximum of `packetBytes`; 0 without a grant. */
  readonly packetBytes: number;
}

/** Settings of an option. */
export interface Settings<Value> {
  /** The value if the operator does not give the option. */
  default?: Value;
  /** Whether the operator must give the option. */
  required?: boolean;
}

/** Settings of an integer option. */
export interface IntegerSettings extends Settings<number> {
  /** The smallest accepted value. */
  least?: number;
  /** The largest accepted value. */
  most?: number;
}

/** An option has a value if it is required or has a default; otherwise it may be null. */
type Given<Value, More> = More extends { required: true } | { default: Value } ? Value : Value | null;

/** The options that the operator gives. `open` reads each of them once, and describes it in one sentence. */
export class Options {
  constructor(given: readonly (readonly [string, string])[]);
  /** Returns a text. */
  text<More extends Settings<string>>(key: string, description: string, more?: More): Given<string, More>;
  /** Returns an integer: `options.integer("n", "Bytes to use.", { default: 64, least: 1, most: 4096 })`. */
  integer<More extends IntegerSettings>(key: string, description: string, more?: More): Given<number, More>;
  /** Returns a number. */
  number<More extends Settings<number>>(key: string, description: string, more?: More): Given<number, More>;
  /** Returns a boolean, which the operator gives as `true` or `false`. */
  boolean<More extends Settings<boolean>>(key: string, description: string, more?: More): Given<boolean, More>;
}

/** An error in the options, or in what is available. Flowloom shows its message to the operator. */
export class OptionError extends Error {}

/** Writes lines to Flowloom's log. `console` does the same. */
export const log: {
  /** Logs a failed operation. */
  error(line: unknown): void;
  /** Logs something unexpected; the plugin continues. */
  warn(line: unknown): void;
  /** Logs information for the operator. */
  info(line: unknown): void;
  /** Logs details for the author of the plugin. `flowloom meter -v` shows them. */
  debug(line: unknown): void;
};

/** The functions that a plugin exports. `State` is the state of a flow. */
export interface Plugin<State> {
  /** Reads the options. Returns the columns and the requested data. */
  open(options: Options): Manifest;
  /** Changes the manifest to what the run offers. */
  adapt?(available: Available, manifest: Manifest): void;
  /** Handles the first packet of a flow. Returns the state of the flow. */
  init(packet: Packet, flow: Flow): State;
  /** Handles a later packet of a flow. */
  update(state: State, packet: Packet, flow: Flow): void;
  /** Handles the end of a flow. Returns a value for each output. */
  expire(state: State, flow: Flow): Values;
  /** Returns whether the flow ends with the current packet. Needs `cutsFlows`. */
  cuts?(state: State): boolean;
  /** Handles the end of the run. */
  finish?(): void;
}
