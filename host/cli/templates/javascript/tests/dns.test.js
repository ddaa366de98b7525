// Tests the functions of the plugin in node: `npm test`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "flowloom/testing";
import * as plugin from "../@SOURCE@";

const UDP = 17;
const NOTHING = { query: null, qtype: null, rcode: null, answers: null, target: null };

test("a question and its answer, whose name is compressed", () => {
  const question = Buffer.from("\x01a\x07example\x00\x00\x05\x00\x01", "latin1");
  const answer = Buffer.from("\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x04\x01b\xc0\x0e", "latin1");
  const asked = Buffer.concat([Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), question]);
  const answered = Buffer.concat([Buffer.from([0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]), question, answer]);
  const packets = [
    { protocol: UDP, src_port: 40000, dst_port: 53, payload: asked },
    { protocol: UDP, src_port: 53, dst_port: 40000, payload: answered },
  ];
  const expected = { query: "a.example", qtype: 5, rcode: 0, answers: 1, target: "b.example" };
  assert.deepEqual(run(plugin, [{ packets }]), [expected]);
});

test("a name that leads to itself is ignored", () => {
  const payload = Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1]);
  const packets = [{ protocol: UDP, src_port: 40000, dst_port: 53, payload }];
  assert.deepEqual(run(plugin, [{ packets }]), [NOTHING]);
});
