// Tests the functions of the plugin in node: `npm test`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "flowloom/testing";
import * as plugin from "../@SOURCE@";

test("a request and its response", () => {
  const packets = [
    { payload: Buffer.from("GET / HTTP/1.1\r\nhost: example.com \r\nUser-Agent: a\r\n\r\n") },
    { payload: Buffer.from("HTTP/1.1 404 Not Found\r\n\r\n") },
  ];
  const expected = { method: "GET", host: "example.com", status: 404, user_agent: "a" };
  assert.deepEqual(run(plugin, [{ packets }]), [expected]);
});

test("a header line that was cut", () => {
  const packets = [{ payload: Buffer.from("GET / HTTP/1.1\r\nHost: exam") }];
  assert.deepEqual(run(plugin, [{ packets }]), [{ method: "GET", host: null, status: null, user_agent: null }]);
});
