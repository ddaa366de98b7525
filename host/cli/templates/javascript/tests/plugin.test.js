// Tests the functions of the plugin in node: `npm test`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "flowloom/testing";
import * as plugin from "../plugin.js";

test("the largest packet came from the destination", () => {
  const packets = [
    { ip_size: 60, direction: 0 },
    { ip_size: 1500, direction: 1 },
    { ip_size: 52, direction: 0 },
  ];
  assert.deepEqual(run(plugin, [{ packets }]), [{ size: 1500, by_source: false }]);
});
