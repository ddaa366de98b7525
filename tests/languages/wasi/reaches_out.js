// first_bytes_stats, which also tries to access the system. wasi.py builds it with WASI.

import * as stats from "./first_bytes_stats.js";

const attempts = {
  wall_ms: () => Date.now(),
  passed_ms: () => {
    const start = performance.now();
    for (let n = 0; n < 10_000; n++);
    return performance.now() - start;
  },
  random: () => Math.random(),
  globals: () => ["fetch", "os", "process", "require", "std", "WebSocket"].filter((name) => name in globalThis),
};

function attempt(reach) {
  try {
    return reach();
  } catch (error) {
    return String(error);
  }
}

export function open(options) {
  const manifest = stats.open(options);
  manifest.outputs.reached = ["json", "What came of its attempts."];
  return manifest;
}

export function init(packet, flow) {
  const reached = {};
  for (const name in attempts) reached[name] = attempt(attempts[name]);
  return { stats: stats.init(packet, flow), reached: JSON.stringify(reached) };
}

export function update(state, packet, flow) {
  stats.update(state.stats, packet, flow);
}

export function expire(state, flow) {
  return { ...stats.expire(state.stats, flow), reached: state.reached };
}

export function finish() {}
