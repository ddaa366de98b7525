// What an author's module may import: `import { log, OptionError } from "flowloom"`.

export { OptionError, Options } from "./options.js";

// Lines for Flowloom's log; on the console outside of a component.
export const log = {
  // Something failed. The last such line is shown where a call fails for good.
  error: (line) => log.write("error", line),
  // Something is odd.
  warn: (line) => log.write("warn", line),
  // Worth knowing.
  info: (line) => log.write("info", line),
  // For the plugin's author.
  debug: (line) => log.write("debug", line),
  write: (level, line) => console.error(level, line),
};
