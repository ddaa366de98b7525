// Converts output values to the contract's types, for records and for columns.

import { encode } from "./utf8.js";

export const TYPES = ["boolean", "integer", "float", "text", "bytes", "integers", "floats", "json"];

export function value(kind, value) {
  return value === null || value === undefined ? { tag: "null" } : { tag: kind, val: value };
}

const CASES = {
  boolean: "booleans",
  integer: "integers",
  float: "floats",
  text: "texts",
  bytes: "bytes",
  integers: "integer-lists",
  floats: "float-lists",
  json: "jsons",
};

// Returns the column for these values. null and undefined become null.
export function outputColumn(kind, values) {
  const isThere = (value) => value !== null && value !== undefined;
  const valid = values.every(isThere) ? new Uint8Array() : Uint8Array.from(values, (value) => Number(isThere(value)));
  const filled = (nothing) => values.map((value) => value ?? nothing);
  let val;
  if (kind === "boolean") val = Uint8Array.from(values, Number);
  else if (kind === "integer" || kind === "float") val = filled(0);
  else if (kind === "text" || kind === "json") val = runs("bytes", filled("").map(encode));
  else val = runs(kind === "bytes" ? "bytes" : "values", filled([]));
  return { values: { tag: CASES[kind], val }, valid };
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
