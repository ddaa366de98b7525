// Creates the packet and flow objects that a plugin receives, from a row of packed columns or from the
// parameters of an event.
//
// QuickJS evaluates `{ a: column[row], … }` much faster than a loop over names. The SDK therefore generates the code
// that creates an object, for the fields that the plugin requests. The prototype of each object is a proxy, which
// explains reads of other properties. It costs 20 ns for each object, and nothing for a read of a requested field.

import { FLOW, PACKET } from "./fields.js";
import { hint } from "./names.js";
import { decode } from "./utf8.js";

const ARRAYS = { boolean: Uint8Array, u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, f64: Float64Array };
const TABLES = { packet: PACKET, flow: FLOW };
// Byte strings of a packet, in the order of the contract, and what requests them.
const BYTES = { bytes: "packetBytes", payload: "payloadBytes" };
// The properties of an event's record `packet`. Other fields are among the values.
const RECORD = {
  time_ns: "timeNs",
  delta_time_ms: "deltaTimeMs",
  direction: "direction",
  raw_size: "rawSize",
  ip_size: "ipSize",
  transport_size: "transportSize",
  payload_size: "payloadSize",
  src_port: "srcPort",
  dst_port: "dstPort",
  protocol: "protocol",
};
const FLAGS = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];
// Properties that JavaScript reads itself.
const READ_BY_JAVASCRIPT = ["then", "toJSON", ...Object.getOwnPropertyNames(Object.prototype)];

// The rows of one type: packets, or flows at init, update or expire. `what` is "packet" or "flow"; `place` is the
// property of the manifest that requests the fields, `names`.
export class Rows {
  constructor(what, place, names, bytes = []) {
    this.what = what;
    this.place = place;
    for (const name of names) this.#check(name);
    this.kinds = names.map((name) => TABLES[what][name]);
    this.bytes = Object.keys(BYTES).filter((name) => bytes.includes(name));
    this.names = [...names, ...this.bytes];
    this.prototype = new Proxy(Object.create(null), {
      get: (_, name, row) => {
        if (typeof name === "symbol" || READ_BY_JAVASCRIPT.includes(name))
          return Reflect.get(Object.prototype, name, row);
        throw new ReferenceError(this.#absent(name));
      },
    });
    // The object of all rows without fields.
    this.empty = Object.freeze({ __proto__: this.prototype });
    // Returns the object of an event.
    this.ofEvent = this.#generate("record, values", (name, n) => ofEvent(what, name, this.kinds[n]));
    // Returns the object of a test, with 0, false or empty for fields that the test does not give.
    this.ofObject = this.#generate("given, missing", (name, n) => `given.${name} ?? missing[${n}]()`);
  }

  // Returns the expression that creates the object of row `row`. It reads the variables `p`, which is `base`, and `p0`,
  // `p1`, …, which are the columns, if `letter` is p.
  expression(letter, row) {
    return this.#literal((_, n) => cell(this.kinds[n], `${letter}${n}`, row), letter);
  }

  // The prototype of objects; the object itself if there are no fields.
  get base() {
    return this.names.length === 0 ? this.empty : this.prototype;
  }

  // Converts the columns of a batch to the form that `expression` reads.
  columns(columns, bytes = []) {
    return [...columns.map((column, n) => read(column, this.kinds[n])), ...bytes.map((column) => runs(column))];
  }

  // Returns the object of a test.
  ofTest(given) {
    for (const name in given) {
      if (!(name in TABLES[this.what]) && !(this.what === "packet" && name in BYTES))
        throw new ReferenceError(this.#unknown(name));
    }
    return this.ofObject(given, this.names.map((_, n) => () => nothing(this.kinds[n])));
  }

  #generate(parameters, expression) {
    return new Function("base", `return (${parameters}) => (${this.#literal(expression, "base")});`)(this.base);
  }

  // `__proto__` stands last: QuickJS then builds the object faster.
  #literal(expression, base) {
    if (this.names.length === 0) return base;
    return `{${this.names.map((name, n) => `${name}: ${expression(name, n)}, `).join("")}__proto__: ${base}}`;
  }

  // Throws an error if the manifest requests a field that does not exist.
  #check(name) {
    if (name in TABLES[this.what]) return;
    if (this.what === "packet" && name in BYTES)
      throw new Error(`\`${name}\` is not a packet field; set \`${BYTES[name]}\` in the manifest instead`);
    throw new Error(`\`${this.place}\` of the manifest: ${this.#unknown(name)}`);
  }

  #unknown(name) {
    const { what } = this;
    const other = what === "packet" ? "flow" : "packet";
    if (typeof name === "string" && name in TABLES[other]) {
      const places = other === "packet" ? "`packet`" : "`atInit`, `atUpdate` or `atExpire`";
      return `\`${name}\` is a ${other} field, not a ${what} field; add it to ${places} and read it from \`${other}\``;
    }
    const names = [...Object.keys(TABLES[what]), ...(what === "packet" ? Object.keys(BYTES) : [])];
    return `unknown ${what} field \`${name}\`${hint(String(name), names, "; `flowloom fields` lists the fields")}`;
  }

  // Returns the error for reading a property that a row does not have.
  #absent(name) {
    const { what, place } = this;
    const manifest = "in the manifest that `open` returns";
    if (what === "packet" && name in BYTES)
      return `packet.${name} was not requested; set \`${BYTES[name]}\` ${manifest}`;
    if (!(name in TABLES[what])) return this.#unknown(name);
    const when = what === "packet" ? "" : ` for ${place.slice(2).toLowerCase()}`;
    return `${what} field \`${name}\` was not requested${when}; add it to \`${place}\` ${manifest}`;
  }
}

// The values of an event that were not read yet.
export class Values {
  constructor(values) {
    // A byte string that is the only value has the form of a value.
    this.values = values.tag === "listed" ? values.val : [values];
    this.at = 0;
  }

  next() {
    return this.values[this.at++].val;
  }
}

// Returns the expression that reads a field of an event. The kind of a byte string is undefined.
function ofEvent(what, name, kind) {
  if (what === "flow" || kind === undefined) return "values.next()";
  if (FLAGS.includes(name)) return `record.tcpFlags.${name}`;
  if (name === "tcp_flags") return FLAGS.map((flag, n) => `record.tcpFlags.${flag} << ${n}`).join(" | ");
  if (name === "direction") return 'record.direction === "dst2src" ? 1 : 0';
  const property = RECORD[name];
  if (property === undefined) return "values.next()";
  // QuickJS passes a u32 of 2^31 or more as a negative number.
  return kind === "u32" ? `record.${property} >>> 0` : `record.${property}`;
}

// Returns the expression that reads a cell of a column. 64-bit numbers are exact up to 2^53.
function cell(kind, column, row) {
  switch (kind) {
    case "boolean":
      return `${column}[${row}] === 1`;
    case "u64":
    case "s64":
      return `${column}.low[2 * ${row}] + ${column}.high[2 * ${row} + 1] * 4294967296`;
    default:
      return `${column}[${row}]`;
  }
}

// Returns the value of a field that a flow or packet lacks.
function nothing(kind) {
  if (kind === undefined) return new Uint8Array();
  return kind === "text" ? "" : kind === "list" ? [] : kind === "boolean" ? false : 0;
}

// Converts a packed column to the form that the expression of `cell` reads.
function read(column, kind) {
  switch (kind) {
    case "text":
      return runs(column).map(decode);
    case "list":
      return cut(column.val.values, column.val.ends);
    case "u64":
      return { low: array(Uint32Array, column.val), high: array(Uint32Array, column.val) };
    case "s64":
      return { low: array(Uint32Array, column.val), high: array(Int32Array, column.val) };
    default:
      return array(ARRAYS[kind], column.val);
  }
}

// Returns the slots of a batch.
export function slots(column) {
  return array(Uint32Array, column.val);
}

function array(Type, bytes) {
  const whole = bytes.byteOffset % Type.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice();
  return new Type(whole.buffer, whole.byteOffset, whole.byteLength / Type.BYTES_PER_ELEMENT);
}

function runs(column) {
  return cut(column.val.bytes, array(Uint32Array, column.val.ends));
}

// Splits concatenated values into views.
function cut(values, ends) {
  const part = Array.isArray(values) ? "slice" : "subarray";
  const found = new Array(ends.length);
  let start = 0;
  for (let n = 0; n < ends.length; n++) {
    found[n] = values[part](start, ends[n]);
    start = ends[n];
  }
  return found;
}
