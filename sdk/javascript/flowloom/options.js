// The options of a plugin, which the operator sets.

// An error in the options. Flowloom shows its message to the operator.
export class OptionError extends Error {}

// The options that the operator gave. `open` reads them one by one. Options that it does not read are
// errors; the error lists the options that it reads.
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

  // Returns a text. Every method returns `fallback` if the operator did not give the option, and throws
  // an OptionError if the value is invalid.
  text(key, fallback = null) {
    return this.#take(key, (text) => text, "a text", fallback);
  }

  // Returns an integer from `least` to `most`: integer("n", 64, { least: 1, most: 4096 }).
  integer(key, fallback = null, { least = -(2 ** 53), most = 2 ** 53 } = {}) {
    const parse = (text) => {
      const value = /^-?\d+$/.test(text) ? Number(text) : NaN;
      return value >= least && value <= most ? value : undefined;
    };
    return this.#take(key, parse, `an integer from ${least} to ${most}`, fallback);
  }

  // Returns a number.
  number(key, fallback = null) {
    const parse = (text) => (text.trim() === "" || Number.isNaN(Number(text)) ? undefined : Number(text));
    return this.#take(key, parse, "a number", fallback);
  }

  // Returns a boolean, given as `true` or `false`.
  boolean(key, fallback = null) {
    return this.#take(key, (text) => ({ true: true, false: false })[text], "true or false", fallback);
  }

  // Throws an OptionError if an option was not read. The SDK calls it after `open`.
  check() {
    for (const key of this.#given.keys()) {
      if (!this.#read.has(key)) throw new OptionError(`unknown option \`${key}\`; ${this.#accepted()}`);
    }
  }

  #take(key, parse, accepts, fallback) {
    this.#read.set(key, fallback === null ? accepts : `${accepts}, default ${fallback}`);
    if (!this.#given.has(key)) return fallback;
    const given = this.#given.get(key);
    const value = parse(given);
    if (value === undefined) throw new OptionError(`option \`${key}\` must be ${accepts}, not "${given}"`);
    return value;
  }

  #accepted() {
    if (this.#read.size === 0) return "this plugin accepts no options";
    const options = [...this.#read].map(([key, what]) => `\`${key}\` (${what})`);
    return `this plugin accepts ${options.join("; ")}`;
  }
}
