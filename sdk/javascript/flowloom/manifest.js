// Checks the manifest that an author's `open` returns, and the functions of the author's module.

import { show } from "./errors.js";
import { hint, list, nearest } from "./names.js";
import { TYPES } from "./outputs.js";

const text = [(value) => typeof value === "string", "a text"];
const number = [(value) => Number.isInteger(value) && value >= 0 && value < 2 ** 32, "an integer from 0 to 2^32 - 1"];
const flag = [(value) => typeof value === "boolean", "true or false"];
const fields = [
  (value) => Array.isArray(value) && value.every((name) => typeof name === "string"),
  'a list of field names, for example ["ip_size"]',
];

// The properties of a manifest: default, condition and description.
const PROPERTIES = {
  description: ["", ...text],
  version: ["0.1.0", ...text],
  outputs: [{}, (value) => value !== null && typeof value === "object", 'an object like { size: ["integer", "Bytes."] }'],
  packet: [[], ...fields],
  atInit: [[], ...fields],
  atUpdate: [[], ...fields],
  atExpire: [[], ...fields],
  payloadBytes: [0, ...number],
  packetBytes: [0, ...number],
  packetsPerFlow: [null, ...number],
  flowBytes: [0, ...number],
  cutsFlows: [false, ...flag],
  needsOneMeter: [false, ...flag],
};

// The functions of a module.
const FUNCTIONS = ["open", "adapt", "init", "update", "expire", "cuts", "finish"];

// Returns the manifest with all properties. Throws an error if a property does not exist or has a wrong value.
export function checkedManifest(given) {
  if (given === null || typeof given !== "object" || Array.isArray(given) || given instanceof Promise)
    throw new TypeError(`open returned ${show(given)}; return the manifest: { packet: […], outputs: { … } }`);
  const known = Object.keys(PROPERTIES);
  const manifest = {};
  for (const name of known) manifest[name] = PROPERTIES[name][0];
  for (const name in given) {
    if (!known.includes(name))
      throw new TypeError(`unknown key \`${name}\` in the manifest${hint(name, known, `; the keys are ${list(known)}`)}`);
    const value = given[name];
    if (value === undefined || value === null) continue;
    const [, fits, what] = PROPERTIES[name];
    if (!fits(value)) throw new TypeError(`\`${name}\` of the manifest is ${show(value)}; it must be ${what}`);
    manifest[name] = value;
  }
  manifest.outputs = Object.entries(manifest.outputs).map(([name, value]) => output(name, value));
  return manifest;
}

function output(name, value) {
  const [kind, description = ""] = Array.isArray(value) ? value : [];
  if (typeof kind !== "string" || typeof description !== "string")
    throw new TypeError(
      `output \`${name}\` of the manifest is ${show(value)}; it must be a type and a sentence, ` +
        'for example ["integer", "Largest ip_size, bytes."]',
    );
  if (!TYPES.includes(kind))
    throw new TypeError(`unknown type \`${kind}\` of output \`${name}\`${hint(kind, TYPES, `; the types are ${list(TYPES)}`)}`);
  return { name, kind, description };
}

// Throws an error if the module lacks a function or has one with a misspelt name.
export function checkFunctions(author, manifest) {
  const names = Object.keys(author);
  // A plugin that does not cut flows may have a function `cut` of its own.
  const absent = FUNCTIONS.filter(
    (name) => typeof author[name] !== "function" && (name !== "cuts" || manifest.cutsFlows),
  );
  for (const name of names.filter((name) => !FUNCTIONS.includes(name) && typeof author[name] === "function")) {
    const meant = nearest(name, absent);
    if (meant !== undefined) throw new TypeError(`unknown function \`${name}\` of the plugin; did you mean \`${meant}\`?`);
  }
  for (const name of absent) {
    if (name === "adapt" || name === "finish") continue;
    if (name === "update" && manifest.packetsPerFlow === 1) continue;
    const why = name === "cuts" ? ", which `cutsFlows` needs" : "";
    throw new TypeError(`the plugin does not export the function \`${name}\`${why}; add \`export function ${name}(${PARAMETERS[name]})\``);
  }
  if (typeof author.cuts === "function" && !manifest.cutsFlows)
    throw new TypeError("the plugin exports `cuts`, but the manifest does not set `cutsFlows: true`");
}

const PARAMETERS = {
  open: "options",
  init: "packet, flow",
  update: "state, packet, flow",
  expire: "state, flow",
  cuts: "state",
};
