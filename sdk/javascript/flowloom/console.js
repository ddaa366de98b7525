// Passes `console` and `print` of a component to Flowloom's log.

import { inspect } from "./errors.js";
import { log } from "./index.js";

// Lines that the author's module wrote while it was built. A component has no log before `open`.
let pending = [];
log.write = (level, line) => pending.push([level, line]);

const line = (values) => values.map((value) => (typeof value === "string" ? value : inspect(value))).join(" ");
const writer = (level) => (...values) => {
  for (const part of line(values).split("\n")) log.write(level, part);
};
globalThis.print = writer("info");
globalThis.console = {
  log: writer("info"),
  info: writer("info"),
  warn: writer("warn"),
  error: writer("error"),
  debug: writer("debug"),
  trace: writer("debug"),
  assert: (condition, ...values) => condition || writer("error")("assertion failed:", ...values),
};

// Connects the log to the host's.
export function connect(host) {
  log.write = (level, text) => host.write(level, String(text));
  for (const [level, text] of pending) log.write(level, text);
  pending = [];
}
