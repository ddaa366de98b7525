// Creates the packet and flow objects that a plugin receives, from a row of packed columns or from the
// parameters of an event.
//
// QuickJS evaluates `{ a: columns[0][row], … }` much faster than a loop over names. The SDK therefore
// generates the function that creates the object, for the fields that the plugin requests.

import { decode } from "./utf8.js";

const ARRAYS = { boolean: Uint8Array, u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, f64: Float64Array };

// The rows of one type: packets, or flows at init, update or expire.
export class Rows {
  constructor(what, names, table, extra = []) {
    const unknown = names.find((name) => !(name in table));
    if (unknown)
      throw new Error(`unknown ${what} field \`${unknown}\`; \`flowloom fields\` lists the fields`);
    this.names = names;
    // The property names in a packet's record. Some fields have none.
    this.places = names.map((name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase()));
    this.kinds = names.map((name) => table[name]);
    this.extra = extra;
    const cells = this.kinds.map((kind, n) => cell(kind, n));
    const properties = [...names, ...extra].map((name, n) => `${name}: ${cells[n] ?? `columns[${n}][row]`}`);
    // Converts a row of a batch to an object.
    this.row = new Function("columns", "row", `return {${properties.join(", ")}};`);
  }

  // Converts the columns of a batch to the form that `row` reads.
  columns(columns, extra = []) {
    return [...columns.map((column, n) => read(column, this.kinds[n])), ...extra.map((column) => runs(column))];
  }

  // Returns the object of a flow, whose values are next.
  ofValues(values) {
    const row = {};
    for (const name of this.names) row[name] = values.next();
    return row;
  }

  // Returns the object of a packet, from its record and from the values.
  ofPacket(record, values) {
    const row = {};
    this.names.forEach((name, n) => {
      const value = record[this.places[n]];
      if (FLAGS.includes(name)) row[name] = record.tcpFlags[name];
      else if (value === undefined) row[name] = values.next();
      // QuickJS passes a u32 of 2^31 or more as a negative number.
      else row[name] = this.kinds[n] === "u32" ? value >>> 0 : plain(value);
    });
    // The contract passes the bytes before the payload.
    const extra = {};
    for (const name of ["bytes", "payload"]) if (this.extra.includes(name)) extra[name] = values.next();
    for (const name of this.extra) row[name] = extra[name];
    return row;
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

const FLAGS = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];

// Converts the direction, an enumeration, and the TCP flags, a set, to numbers. Other values are unchanged.
function plain(value) {
  if (value === "src2dst") return 0;
  if (value === "dst2src") return 1;
  if (value === null || typeof value !== "object") return value;
  return FLAGS.reduce((bits, flag, n) => bits | (value[flag] << n), 0);
}

// Returns the expression that reads a cell of column n. 64-bit numbers are exact up to 2^53.
function cell(kind, n) {
  switch (kind) {
    case "boolean":
      return `columns[${n}][row] === 1`;
    case "u64":
    case "s64":
      return `columns[${n}].low[2 * row] + columns[${n}].high[2 * row + 1] * 4294967296`;
    default:
      return `columns[${n}][row]`;
  }
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
