// The options of a plugin, which the operator sets.

import { show } from "./errors.js";
import { hint, list } from "./names.js";

// An error in the options, or in what is available. Flowloom shows its message to the operator.
export class OptionError extends Error {}

// The options that the operator gave. `open` reads them one by one, and describes each in one sentence, which
// Flowloom shows to the operator. Options that it does not read are errors; the error lists the options that
// it reads.
export class Options {
  #given = new Map();
  #read = new Map();

  // `given` is a list of pairs of key and value. Throws an OptionError if a key occurs twice.
  constructor(given) {
    for (const [key, value] of given) {
      if (this.#given.has(key)) throw new OptionError(`option \`${key}\` is given twice`);
      this.#given.set(key, value);
    }
  }

  // Returns a text: text("name", "The name of the list.", { default: "all" }). Every method returns `default`,
  // which is null unless it is set, if the operator did not give the option. It throws an OptionError if the
  // value is invalid, and if the option is missing and `required` is true.
  text(key, description, more) {
    checkSettings(key, more, []);
    return this.#take(key, "text", description, more, "a text", (text) => text);
  }

  // Returns an integer from `least` to `most`: integer("n", "Bytes to use.", { default: 64, least: 1, most: 4096 }).
  integer(key, description, more) {
    checkSettings(key, more, ["least", "most"]);
    const { least = -(2 ** 53), most = 2 ** 53 } = more ?? {};
    const parse = (text) => {
      const value = /^-?\d+$/.test(text) ? Number(text) : NaN;
      return value >= least && value <= most ? value : undefined;
    };
    return this.#take(key, "integer", description, more, `an integer from ${least} to ${most}`, parse);
  }

  // Returns a number.
  number(key, description, more) {
    checkSettings(key, more, []);
    const parse = (text) => (text.trim() === "" || Number.isNaN(Number(text)) ? undefined : Number(text));
    return this.#take(key, "float", description, more, "a number", parse);
  }

  // Returns a boolean, given as `true` or `false`.
  boolean(key, description, more) {
    checkSettings(key, more, []);
    const parse = (text) => ({ true: true, false: false })[text];
    return this.#take(key, "boolean", description, more, "true or false", parse);
  }

  // Throws an OptionError if an option was not read. The SDK calls it after `open`.
  check() {
    for (const key of this.#given.keys()) {
      if (!this.#read.has(key)) throw new OptionError(`unknown option \`${key}\`; ${this.#accepted()}`);
    }
  }

  // Returns the descriptions of the options that were read, as the manifest has them.
  read() {
    return [...this.#read.values()];
  }

  #take(key, kind, description, more, accepts, parse) {
    if (typeof description !== "string" || description.trim() === "")
      throw new TypeError(`option \`${key}\` needs a description: one sentence for people`);
    const { default: fallback = null, required = false } = more ?? {};
    // In the manifest, a required option has no default, and the default of an optional one may be empty.
    const text = required ? null : String(fallback ?? "");
    this.#read.set(key, { name: key, kind, accepts, default: text, description });
    if (!this.#given.has(key)) {
      if (required) throw new OptionError(`option \`${key}\` is missing; ${this.#accepted()}`);
      return fallback;
    }
    const given = this.#given.get(key);
    const value = parse(given);
    if (value === undefined) throw new OptionError(`option \`${key}\` must be ${accepts}, not "${given}"`);
    return value;
  }

  #accepted() {
    if (this.#read.size === 0) return "this plugin accepts no options";
    return `this plugin accepts ${this.read().map(line).join("; ")}`;
  }
}

// Throws an error for a setting of an option that does not exist.
function checkSettings(key, more, others) {
  if (more !== undefined && (more === null || typeof more !== "object"))
    throw new TypeError(`the settings of option \`${key}\` are ${show(more)}; they must be an object like { default: 1 }`);
  const known = ["default", "required", ...others];
  for (const name in more) {
    if (!known.includes(name))
      throw new TypeError(
        `unknown setting \`${name}\` of option \`${key}\`${hint(name, known, `; the settings are ${list(known)}`)}`,
      );
  }
}

// Explains reads of properties that options do not have. `options.limit` would otherwise be undefined.
const METHODS = ["text", "integer", "number", "boolean"];
Object.setPrototypeOf(
  Options.prototype,
  new Proxy(Object.prototype, {
    get(target, name, receiver) {
      if (typeof name === "symbol" || name in target || name === "toJSON" || name === "then")
        return Reflect.get(target, name, receiver);
      throw new ReferenceError(
        `options have no property \`${name}\`${hint(name, METHODS, `; read an option with ${list(METHODS)}: options.integer("${name}", "…")`)}`,
      );
    },
  }),
);

function line({ name, accepts, default: text, description }) {
  const when = text === null ? "required" : text === "" ? "optional" : `default ${text}`;
  return `\`${name}\` (${accepts}, ${when}): ${description.replace(/\.$/, "")}`;
}
