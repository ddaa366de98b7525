// Replaces the functions that need a clock, which a component without WASI does not have.

function fail() {
  throw new Error("a plugin has no clock; use the packet fields `time_ms` and `time_us`, which are packet time");
}

const Clock = Date;
globalThis.Date = class Date extends Clock {
  constructor(...parts) {
    if (parts.length === 0) fail();
    super(...parts);
  }
};
Date.now = fail;
globalThis.performance = { now: fail };
