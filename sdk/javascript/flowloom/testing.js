// Runs a plugin in node, without WebAssembly: `import { run } from "flowloom/testing"`.

import { FLOW, PACKET } from "./fields.js";
import { Plugin } from "./plugin.js";

const MAX_BYTES = 65_535;

// Returns the values of each flow. testing.d.ts describes the parameters.
export function run(author, flows, { options = {}, available = {} } = {}) {
  const plugin = new Plugin(
    author,
    Object.entries(options).map(([key, value]) => [key, String(value)]),
    {
      packet: Object.keys(PACKET),
      flow: Object.keys(FLOW),
      payloadBytes: MAX_BYTES,
      packetBytes: MAX_BYTES,
      ...available,
    },
  );
  const values = flows.flatMap((flow) => runFlow(plugin, author, flow));
  author.finish?.();
  return values;
}

// Returns the values of a flow, and of the flows that begin after a cut.
function runFlow(plugin, author, { packets, flow = {}, ...others }) {
  for (const name in others) throw new TypeError(`unknown key \`${name}\` of a flow; the keys are \`packets\` and \`flow\``);
  if (!Array.isArray(packets) || packets.length === 0)
    throw new TypeError("`packets` of a flow must be a list with at least one packet");
  const most = plugin.manifest.packetsPerFlow ?? Infinity;
  const values = [];
  let state;
  let count = 0;
  const expire = () => {
    const answer = plugin.outputs.check(author.expire(state, plugin.expired.ofTest(flow)));
    // Checks the types.
    plugin.outputs.values(answer);
    values.push(Object.fromEntries(plugin.outputs.declared.map(({ name }) => [name, answer[name] ?? null])));
    count = 0;
  };
  for (const packet of packets) {
    if (++count > most) continue;
    const row = plugin.packets.ofTest(shortened(packet, plugin.manifest));
    if (count === 1) state = author.init(row, plugin.opened.ofTest(flow));
    else author.update(state, row, plugin.updated.ofTest(flow));
    if (plugin.cuts(state)) expire();
  }
  if (count > 0) expire();
  return values;
}

// Returns the packet with as many bytes as the manifest requests.
function shortened(packet, { payloadBytes, packetBytes }) {
  const cut = (bytes, most) => Uint8Array.from(bytes).subarray(0, most);
  return {
    ...packet,
    ...(packet.payload && { payload: cut(packet.payload, payloadBytes) }),
    ...(packet.bytes && { bytes: cut(packet.bytes, packetBytes) }),
  };
}
