// Checks output values, and converts them to the contract's types, for records and for columns.

import { show, typeName } from "./errors.js";
import { hint, list } from "./names.js";
import { encode } from "./utf8.js";

// Returns the value of the contract, or undefined if a value has another type than the output.
const CONVERT = {
  boolean: (value) => (typeof value === "boolean" ? value : undefined),
  integer,
  float: (value) => (typeof value === "number" ? value : undefined),
  text,
  bytes: (value) => (value instanceof Uint8Array ? value : elements(value, byte)),
  integers: (value) => elements(value, integer),
  floats: (value) => elements(value, CONVERT.float),
  texts: (value) => elements(value, text),
  json: text,
};

export const TYPES = Object.keys(CONVERT);

function integer(value) {
  if (Number.isSafeInteger(value)) return value;
  // The tool that builds components does not accept a BigInt.
  return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : undefined;
}

function byte(value) {
  return Number.isInteger(value) && value >= 0 && value <= 255 ? value : undefined;
}

function text(value) {
  return typeof value === "string" ? value : undefined;
}

// Converts the elements of an array or of a typed array.
function elements(value, convert) {
  if (!Array.isArray(value) && !(ArrayBuffer.isView(value) && value.length !== undefined)) return undefined;
  const found = new Array(value.length);
  for (let n = 0; n < value.length; n++) {
    found[n] = convert(value[n]);
    if (found[n] === undefined) return undefined;
  }
  return found;
}

// The outputs of a plugin, and what `expire` returns for them.
export class Outputs {
  // `declared` is the list of outputs of the contract's manifest.
  constructor(declared) {
    this.declared = declared;
    this.names = new Set(declared.map(({ name }) => name));
  }

  // Throws an error if an answer of `expire` is not an object, or has a property that is not an output.
  check(answer) {
    if (answer === null || typeof answer !== "object" || Array.isArray(answer) || answer instanceof Promise) {
      if (answer === undefined && this.declared.length === 0) return {};
      const example = this.declared.map(({ name }) => `${name}: …`).join(", ");
      const async = answer instanceof Promise ? "; `expire` must not be async" : "";
      throw new TypeError(`expire returned ${show(answer)}${async}; return an object: { ${example} }`);
    }
    for (const name in answer) {
      if (!this.names.has(name)) {
        const known = [...this.names];
        const others = known.length === 0 ? "; the manifest has no `outputs`" : `; the outputs are ${list(known)}`;
        throw new TypeError(
          `expire returned a value for \`${name}\`, which is not an output of the manifest${hint(name, known, others)}`,
        );
      }
    }
    return answer;
  }

  // Returns the values of a checked answer.
  values(answer) {
    return this.declared.map(({ name, kind }) => {
      const value = answer[name];
      return isThere(value) ? { tag: kind, val: converted(name, kind, value) } : { tag: "null" };
    });
  }

  // Returns the columns of checked answers. If a value is wrong, `at.answer` is the index of its answer.
  columns(answers, at) {
    return this.declared.map(({ name, kind }) => column(name, kind, answers, at));
  }
}

// null and undefined become null.
function isThere(value) {
  return value !== null && value !== undefined;
}

function converted(name, kind, value) {
  const result = CONVERT[kind](value);
  if (result === undefined) throw new TypeError(wrong(name, kind, value));
  return result;
}

// Returns the error for a value of a wrong type.
function wrong(name, kind, value) {
  const convert = { integers: CONVERT.integer, floats: CONVERT.float, texts: CONVERT.text, bytes: byte }[kind];
  const isList = convert !== undefined && typeof value === "object" && value.length !== undefined;
  const n = isList ? Array.prototype.findIndex.call(value, (element) => convert(element) === undefined) : -1;
  const [element, where] = n >= 0 ? [value[n], ` at index ${n}`] : [value, ""];
  const returned = `expire returned ${show(element)} (${typeName(element)})${where} for output \`${name}\`, which is ${kind}`;
  return returned + advice(kind, element);
}

function advice(kind, value) {
  const isInteger = kind === "integer" || kind === "integers";
  if (isInteger && (typeof value === "bigint" || Number.isInteger(value)))
    return "; JavaScript plugins return integers up to 2^53 - 1, because larger numbers are not exact";
  if (isInteger && Number.isFinite(value)) return "; round it, or declare the output as float";
  if (isInteger && typeof value === "number") return "; return null for no value";
  if (kind === "json") return "; return JSON.stringify(…)";
  if (kind === "bytes") return "; return a Uint8Array";
  if (kind.endsWith("s")) return "; return an array";
  if (kind === "text" && typeof value !== "object") return "; return String(…)";
  return "";
}

const CASES = {
  boolean: "booleans",
  integer: "integers",
  float: "floats",
  text: "texts",
  bytes: "bytes",
  integers: "integer-lists",
  floats: "float-lists",
  texts: "text-lists",
  json: "jsons",
};

// The value of the contract that stands for null.
const NOTHING = { boolean: false, integer: 0, float: 0, text: "", json: "" };

function column(name, kind, answers, at) {
  const convert = CONVERT[kind];
  const nothing = NOTHING[kind] ?? [];
  const values = new Array(answers.length);
  let valid = [];
  for (let n = 0; n < answers.length; n++) {
    const value = answers[n][name];
    if (isThere(value)) {
      const result = convert(value);
      if (result === undefined) {
        at.answer = n;
        throw new TypeError(wrong(name, kind, value));
      }
      values[n] = result;
    } else {
      if (valid.length === 0) valid = new Uint8Array(answers.length).fill(1);
      valid[n] = 0;
      values[n] = nothing;
    }
  }
  return { values: { tag: CASES[kind], val: packed(kind, values) }, valid: Uint8Array.from(valid) };
}

function packed(kind, values) {
  if (kind === "boolean") return Uint8Array.from(values, Number);
  if (kind === "integer" || kind === "float") return values;
  if (kind === "text" || kind === "json") return runs("bytes", values.map(encode));
  if (kind !== "texts") return runs(kind === "bytes" ? "bytes" : "values", values);
  const { values: texts, ends } = runs("values", values);
  return { texts: runs("bytes", texts.map(encode)), ends };
}

// Concatenates values of variable length.
function runs(name, values) {
  const all = [];
  const ends = values.map((value) => {
    for (const element of value) all.push(element);
    return all.length;
  });
  return { [name]: name === "bytes" ? Uint8Array.from(all) : all, ends };
}
