// Implements the two interfaces of the contract with the functions of the author's module.

import { FLOW, PACKET } from "./fields.js";
import { log } from "./index.js";
import { OptionError, Options } from "./options.js";
import { outputColumn, TYPES, value } from "./outputs.js";
import { Rows, slots, Values } from "./rows.js";

const INIT = 0;
const UPDATE = 1;

// Returns `feature` and `batchFeature`, which the component exports.
export function component(author, host) {
  log.write = (level, line) => host.write(level, String(line));
  const instance = new Instance(author);
  const bind = (name) => (...given) => logExceptions(name, () => instance[name](...given));
  const open = bind("open");
  const finish = bind("finish");
  return {
    feature: { open, init: bind("init"), update: bind("update"), expire: bind("expire"), finish },
    batchFeature: { open, process: bind("process"), finish },
  };
}

// Calls a function and logs its exceptions. An exception becomes a trap, which has no text, so the log is
// the only place for the text. A thrown string is not logged: it is the error result of `open`.
function logExceptions(name, call) {
  try {
    return call();
  } catch (error) {
    if (typeof error !== "string") {
      const place = String(error?.stack ?? "").trim().split("\n")[0].trim();
      log.error(`${error} in ${name === "process" ? "a batch" : name} (${place})`);
    }
    throw error;
  }
}

class Instance {
  slots = [];
  ids = new Map();

  constructor(author) {
    this.author = author;
  }

  open(given, available) {
    try {
      const options = new Options(given);
      const manifest = this.author.open(options);
      options.check();
      this.author.adapt?.(known(available), manifest);
      return this.manifest(manifest, options.read());
    } catch (error) {
      throw error instanceof OptionError ? error.message : error;
    }
  }

  manifest(manifest, options) {
    const { payloadBytes = 0, packetBytes = 0, packet = [], atInit = [], atUpdate = [], atExpire = [] } = manifest;
    this.outputs = Object.entries(manifest.outputs ?? {}).map(([name, [kind, description]]) => {
      if (!TYPES.includes(kind))
        throw `output \`${name}\` must have one of the types ${TYPES.join(", ")}, not ${kind}`;
      return { name, kind, description };
    });
    this.names = new Set(this.outputs.map(({ name }) => name));
    const extra = [...(payloadBytes ? ["payload"] : []), ...(packetBytes ? ["bytes"] : [])];
    try {
      this.packets = new Rows("packet", packet, PACKET, extra);
      [this.opened, this.updated, this.expired] = [atInit, atUpdate, atExpire].map(
        (names) => new Rows("flow", names, FLOW),
      );
    } catch (error) {
      throw error.message;
    }
    this.cutsFlows = manifest.cutsFlows ?? false;
    return {
      version: manifest.version ?? "0.1.0",
      description: manifest.description ?? "",
      outputs: this.outputs,
      options,
      packet,
      payloadBytes,
      packetBytes,
      atInit,
      atUpdate,
      atExpire,
      packetsPerFlow: manifest.packetsPerFlow ?? null,
      flowBytes: manifest.flowBytes ?? 0,
      cutsFlows: this.cutsFlows,
      packed: true,
      needsOneMeter: manifest.needsOneMeter ?? false,
    };
  }

  init(flow, packet, values) {
    const event = new Values(values);
    const state = this.author.init(this.packets.ofPacket(packet, event), this.opened.ofValues(event));
    this.ids.set(flow, state);
    return this.verdict(state);
  }

  update(flow, packet, values) {
    const event = new Values(values);
    const state = this.ids.get(flow);
    this.author.update(state, this.packets.ofPacket(packet, event), this.updated.ofValues(event));
    return this.verdict(state);
  }

  verdict(state) {
    return this.cutsFlows && this.author.cuts(state) ? "cut" : "keep";
  }

  expire(flow, values) {
    const state = this.ids.get(flow);
    this.ids.delete(flow);
    const answer = this.check(this.author.expire(state, this.expired.ofValues(new Values(values))));
    return this.outputs.map(({ name, kind }) => value(name, kind, answer[name]));
  }

  process(events) {
    const { init, update, expire } = this.author;
    const packet = this.packets.row;
    const packets = this.packets.columns(
      events.packets,
      [events.payload, events.bytes].filter((column) => column !== null),
    );
    const opened = this.opened.columns(events.opened);
    const updated = this.updated.columns(events.updated);
    const expired = this.expired.columns(events.expired);
    const openedRow = this.opened.row;
    const updatedRow = this.updated.row;
    const { kinds } = events;
    const slot = slots(events.slots);
    const states = this.slots;
    const answers = [];
    let inits = 0;
    let updates = 0;
    for (let n = 0; n < kinds.length; n++) {
      const kind = kinds[n];
      if (kind === UPDATE) {
        update(states[slot[n]], packet(packets, inits + updates), updatedRow(updated, updates));
        updates++;
      } else if (kind === INIT) {
        states[slot[n]] = init(packet(packets, inits + updates), openedRow(opened, inits));
        inits++;
      } else {
        const answer = expire(states[slot[n]], this.expired.row(expired, answers.length));
        answers.push(this.check(answer));
        states[slot[n]] = undefined;
      }
    }
    if (answers.length === 0) return [];
    return this.outputs.map(({ name, kind }) => outputColumn(name, kind, answers.map((answer) => answer[name])));
  }

  finish() {
    this.author.finish?.();
  }

  check(answer) {
    for (const name in answer) {
      if (!this.names.has(name))
        throw new Error(`expire returned a value for \`${name}\`, which is not a declared output`);
    }
    return answer;
  }
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
