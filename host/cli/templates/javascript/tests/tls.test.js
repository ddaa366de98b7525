// Tests the functions of the plugin in node: `npm test`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "flowloom/testing";
import * as plugin from "../@SOURCE@";

const SUITES = [0, 4, 0x1a, 0x1a, 0x13, 0x01]; // GREASE and one other
const METHODS = [1, 0];
const VERSIONS = [0, 43, 0, 5, 4, 3, 4, 3, 3];
const ALPN = [0, 16, 0, 5, 0, 3, 2, 0x68, 0x32];

const EXTENSIONS = [...VERSIONS, ...ALPN];
const BODY = [3, 3, ...Array(32).fill(7), 0, ...SUITES, ...METHODS, 0, EXTENSIONS.length, ...EXTENSIONS];
const HELLO = Uint8Array.from([22, 3, 1, 0, BODY.length + 4, 1, 0, 0, BODY.length, ...BODY]);

test("a ClientHello with two extensions", () => {
  const packets = [{ payload: HELLO }];
  assert.deepEqual(run(plugin, [{ packets }]), [{ sni: null, version: 772, cipher_count: 1, alpn: "h2" }]);
});

test("a ClientHello that was cut", () => {
  const packets = [{ payload: HELLO.subarray(0, HELLO.length - 1) }];
  assert.deepEqual(run(plugin, [{ packets }]), [{ sni: null, version: 772, cipher_count: 1, alpn: null }]);
});
