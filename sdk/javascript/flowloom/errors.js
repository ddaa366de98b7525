// Texts of exceptions, and of values in error messages.

const SDK = "/node_modules/flowloom/";
const MAX_FRAMES = 4;

// Returns a text like `TypeError in update (event 8 of 54 in the batch) at size (plugin.js:9:5), update
// (plugin.js:20:3): not a function`. `author` is the author's function that the SDK called. It is the place if no
// file of the author is in the stack.
export function describe(error, where, author) {
  const is = error instanceof Error;
  const text = is ? error.message || "no message" : `threw ${show(error)}, which is not an Error`;
  const found = frames(is ? error.stack : "");
  const place = found.length > 0 ? found.join(", ") : placeOf(author);
  return `${is ? error.name : "exception"} in ${where}${place ? ` at ${place}` : ""}: ${text}`;
}

// Returns the places in the author's files, the innermost first, from a stack of QuickJS.
function frames(stack) {
  const found = [];
  for (const line of String(stack ?? "").split("\n")) {
    const [, name, file, at] = /^\s*at (.*) \((\/.+?):(\d+(?::\d+)?)\)$/.exec(line) ?? [];
    if (file === undefined || file.startsWith(SDK)) continue;
    if (found.length === MAX_FRAMES) return [...found, "…"];
    found.push(`${name === "<anonymous>" ? "a function" : name} (${file.slice(1)}:${at})`);
  }
  return found;
}

// Returns the place of a function. The properties are QuickJS's own.
function placeOf(author) {
  return author?.fileName ? `${author.name} (${author.fileName.replace(/^\//, "")}:${author.lineNumber})` : "";
}

const MAX_LENGTH = 60;

// Returns a value as an author writes it, shortened.
export function show(value) {
  const text = inspect(value);
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text;
}

// Returns a value as an author writes it.
export function inspect(value) {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return `function ${value.name}`;
  if (value instanceof Error) return String(value);
  if (ArrayBuffer.isView(value) && value.length !== undefined)
    return `${value.constructor.name} [${Array.from(value, inspect).join(", ")}]`;
  if (value instanceof Map) return `Map ${inspect([...value])}`;
  if (value instanceof Set) return `Set ${inspect([...value])}`;
  if (value instanceof Promise) return "a Promise";
  if (value !== null && typeof value === "object") {
    try {
      return JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? `${inner}n` : inner)) ?? String(value);
    } catch {
      return Object.prototype.toString.call(value);
    }
  }
  return typeof value === "string" ? JSON.stringify(value) : Object.is(value, -0) ? "-0" : String(value);
}

// Returns the type of a value, as a manifest names it if it can.
export function typeName(value) {
  if (value === null) return "null";
  switch (typeof value) {
    case "string":
      return "text";
    case "number":
      return Number.isInteger(value) ? "integer" : "float";
    case "object":
      if (value instanceof Uint8Array) return "bytes";
      return Array.isArray(value) ? "list" : "object";
    default:
      return typeof value;
  }
}
