// The module that plugins import: `import { log, OptionError } from "flowloom"`.

export { OptionError, Options } from "./options.js";

// Writes lines to Flowloom's log. Outside of a component it writes to the console.
export const log = {
  // Logs a failed operation. If a call traps, Flowloom shows the last such line with the trap.
  error: (line) => log.write("error", line),
  // Logs something unexpected; the plugin continues.
  warn: (line) => log.write("warn", line),
  // Logs information for the operator.
  info: (line) => log.write("info", line),
  // Logs details for the author of the plugin.
  debug: (line) => log.write("debug", line),
  write: (level, line) => console[level](line),
};
