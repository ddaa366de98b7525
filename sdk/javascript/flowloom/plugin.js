// A plugin: the author's module with what its `open` declared.

import { batchLoop } from "./batch.js";
import { FLOW, PACKET } from "./fields.js";
import { checkedManifest, checkFunctions } from "./manifest.js";
import { Options } from "./options.js";
import { Outputs } from "./outputs.js";
import { Rows } from "./rows.js";

export class Plugin {
  // Calls the author's `open` and `adapt`. `given` is a list of pairs of key and value. `called` receives the name of
  // each function before its call.
  constructor(author, given, available, called = () => {}) {
    const options = new Options(given);
    called("open");
    checkOpen(author);
    const asked = author.open(options);
    options.check();
    if (author.adapt !== undefined) {
      called("adapt");
      author.adapt(known(available), asked);
    }
    called("open");
    const manifest = checkedManifest(asked);
    checkFunctions(author, manifest);
    const { packet, payloadBytes, packetBytes } = manifest;
    const bytes = [...(payloadBytes ? ["payload"] : []), ...(packetBytes ? ["bytes"] : [])];
    this.packets = new Rows("packet", "packet", packet, bytes);
    [this.opened, this.updated, this.expired] = ["atInit", "atUpdate", "atExpire"].map(
      (place) => new Rows("flow", place, manifest[place]),
    );
    this.author = author;
    this.functions = { init: author.init, update: author.update, expire: author.expire };
    this.outputs = new Outputs(manifest.outputs);
    this.cutsFlows = manifest.cutsFlows;
    this.loop = batchLoop(this.packets, this.opened, this.updated, this.expired);
    this.manifest = { ...manifest, options: options.read(), packed: true };
  }

  // Returns whether the plugin ends the flow of this state.
  cuts(state) {
    return this.cutsFlows && Boolean(this.author.cuts(state));
  }
}

// The other functions are checked with the manifest.
function checkOpen(author) {
  if (typeof author.open !== "function") checkFunctions(author, {});
}

// Returns what is available, without fields that this SDK does not know.
function known({ packet, flow, payloadBytes, packetBytes }) {
  return {
    packet: packet.filter((name) => name in PACKET),
    flow: flow.filter((name) => name in FLOW),
    payloadBytes,
    packetBytes,
  };
}
