// Converts output values to the contract's types, for records and for columns.

import { encode } from "./utf8.js";

export const TYPES = ["boolean", "integer", "float", "text", "bytes", "integers", "floats", "texts", "json"];

export function value(name, kind, value) {
  if (!isThere(value)) return { tag: "null" };
  checkList(name, kind, value);
  return { tag: kind, val: value };
}

function isThere(value) {
  return value !== null && value !== undefined;
}

// Throws a TypeError for a text in the place of a list of texts: it would be a list of its characters.
function checkList(name, kind, value) {
  if (kind === "texts" && typeof value === "string")
    throw new TypeError(`output \`${name}\` must be a list of texts, not one text`);
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

// Returns the column for these values. null and undefined become null.
export function outputColumn(name, kind, values) {
  const valid = values.every(isThere) ? new Uint8Array() : Uint8Array.from(values, (value) => Number(isThere(value)));
  const filled = (nothing) => values.map((value) => value ?? nothing);
  let val;
  if (kind === "boolean") val = Uint8Array.from(values, Number);
  else if (kind === "integer" || kind === "float") val = filled(0);
  else if (kind === "text" || kind === "json") val = runs("bytes", filled("").map(encode));
  else if (kind === "texts") val = textLists(name, filled([]));
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

// Concatenates lists of texts.
function textLists(name, values) {
  for (const value of values) checkList(name, "texts", value);
  const { values: texts, ends } = runs("values", values);
  return { texts: runs("bytes", texts.map(encode)), ends };
}
