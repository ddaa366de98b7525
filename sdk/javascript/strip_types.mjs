// Replaces the types in TypeScript files with blanks, so that lines and columns stay the same:
//
//     node strip_types.mjs FILE.ts …
//
// Node's own function does it, the same that runs TypeScript files.

import { readFileSync, writeFileSync } from "node:fs";
import * as node from "node:module";
import { basename } from "node:path";

if (node.stripTypeScriptTypes === undefined) {
  console.error(`TypeScript needs node 22.13 or later; this is node ${process.versions.node}`);
  process.exit(1);
}
for (const path of process.argv.slice(2)) {
  try {
    writeFileSync(path, node.stripTypeScriptTypes(readFileSync(path, "utf8")));
  } catch (error) {
    // The stack begins with `:LINE`, and the line of the source with the place underlined.
    const [, line = "", code = ""] = /^.*:(\d+)\n(.*\n.*)\n/.exec(error.stack) ?? [];
    console.error(`${basename(path)}:${line}: ${error.message}\n${code}`);
    process.exit(1);
  }
}
