// Implements the two interfaces of the contract with the functions of the author's module.

import { connect } from "./console.js";
import { describe } from "./errors.js";
import { log } from "./index.js";
import { OptionError } from "./options.js";
import { Plugin } from "./plugin.js";
import { slots, Values } from "./rows.js";

const FUNCTIONS = ["init", "update", "expire"];

// Returns `feature` and `batchFeature`, which the component exports.
export function component(author, host) {
  const instance = new Instance(author, host);
  const bind = (name) => (...given) => instance[name](...given);
  const finish = bind("finish");
  return {
    feature: { open: bind("open"), init: bind("init"), update: bind("update"), expire: bind("expire"), finish },
    batchFeature: { open: bind("open"), process: bind("process"), finish },
  };
}

class Instance {
  slots = [];
  ids = new Map();

  constructor(author, host) {
    this.author = author;
    this.host = host;
  }

  // A thrown string is the error result of the contract. Flowloom shows it to the operator.
  open(given, available) {
    connect(this.host);
    let called = "open";
    try {
      this.plugin = new Plugin(this.author, given, available, (name) => (called = name));
      return this.plugin.manifest;
    } catch (error) {
      throw error instanceof OptionError ? error.message : describe(error, called, this.author[called]);
    }
  }

  init(flow, packet, values) {
    try {
      const { packets, opened } = this.plugin;
      const event = new Values(values);
      const state = this.author.init(packets.ofEvent(packet, event), opened.ofEvent(null, event));
      this.ids.set(flow, state);
      return this.plugin.cuts(state) ? "cut" : "keep";
    } catch (error) {
      throw logged(error, `init of flow ${flow}`, this.author.init);
    }
  }

  update(flow, packet, values) {
    try {
      const { packets, updated } = this.plugin;
      const event = new Values(values);
      const state = this.ids.get(flow);
      this.author.update(state, packets.ofEvent(packet, event), updated.ofEvent(null, event));
      return this.plugin.cuts(state) ? "cut" : "keep";
    } catch (error) {
      throw logged(error, `update of flow ${flow}`, this.author.update);
    }
  }

  expire(flow, values) {
    try {
      const { expired, outputs } = this.plugin;
      const state = this.ids.get(flow);
      this.ids.delete(flow);
      return outputs.values(outputs.check(this.author.expire(state, expired.ofEvent(null, new Values(values)))));
    } catch (error) {
      throw logged(error, `expire of flow ${flow}`, this.author.expire);
    }
  }

  process(events) {
    const { kinds } = events;
    const answers = [];
    const at = { event: kinds.length, answer: 0 };
    try {
      this.pass(events, answers, at);
      if (answers.length === 0) return [];
      // From here on, a wrong value belongs to the event that returned it.
      for (at.answer = 0; at.answer < answers.length; at.answer++)
        answers[at.answer] = this.plugin.outputs.check(answers[at.answer]);
      return this.plugin.outputs.columns(answers, at);
    } catch (error) {
      const event = at.event < kinds.length ? at.event : nth(kinds, 2, at.answer);
      const name = FUNCTIONS[kinds[event]];
      throw logged(error, `${name} (event ${event + 1} of ${kinds.length} in the batch)`, this.author[name]);
    }
  }

  pass(events, answers, at) {
    const { packets, opened, updated, expired, functions, loop } = this.plugin;
    const columns = {
      p: packets.columns(events.packets, [events.bytes, events.payload].filter((column) => column !== null)),
      o: opened.columns(events.opened),
      u: updated.columns(events.updated),
      e: expired.columns(events.expired),
    };
    loop(events.kinds, slots(events.slots), this.slots, columns, functions, answers, at);
  }

  finish() {
    try {
      this.author.finish?.();
    } catch (error) {
      throw logged(error, "finish", this.author.finish);
    }
  }
}

// Logs an exception, and returns it. It becomes a trap, which has no text, so the log is the only place for the text.
function logged(error, where, author) {
  log.error(describe(error, where, author));
  return error;
}

// Returns the index of the element with this value that has `n` such elements before it.
function nth(elements, value, n) {
  return elements.findIndex((element) => element === value && n-- === 0);
}
