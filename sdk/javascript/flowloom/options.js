// What the operator may set.

// What is wrong with the options, for the operator.
export class OptionError extends Error {}

// The options of a run, read one by one in `open`. Those that are never read are errors, which list
// what was.
export class Options {
  #given = new Map();
  #read = new Map();

  // Options as pairs of key and value.
  constructor(given) {
    for (const [key, value] of given) {
      if (this.#given.has(key)) throw new OptionError(`option \`${key}\` is given twice`);
      this.#given.set(key, value);
    }
  }

  text(key, fallback = null) {
    return this.#take(key, (text) => text, "a text", fallback);
  }

  // An integer within bounds: integer("n", 64, { least: 1, most: 4096 }).
  integer(key, fallback = null, { least = -(2 ** 53), most = 2 ** 53 } = {}) {
    const parse = (text) => {
      const value = /^-?\d+$/.test(text) ? Number(text) : NaN;
      return value >= least && value <= most ? value : undefined;
    };
    return this.#take(key, parse, `an integer from ${least} to ${most}`, fallback);
  }

  number(key, fallback = null) {
    const parse = (text) => (text.trim() === "" || Number.isNaN(Number(text)) ? undefined : Number(text));
    return this.#take(key, parse, "a number", fallback);
  }

  boolean(key, fallback = null) {
    return this.#take(key, (text) => ({ true: true, false: false })[text], "true or false", fallback);
  }

  // Called after `open`.
  check() {
    for (const key of this.#given.keys()) {
      if (!this.#read.has(key)) throw new OptionError(`there is no option \`${key}\`; ${this.#accepted()}`);
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
    if (this.#read.size === 0) return "this plugin takes none";
    const options = [...this.#read].map(([key, what]) => `\`${key}\` (${what})`);
    return `this plugin takes ${options.join("; ")}`;
  }
}
