// Tests of the plugin without plugd: `node --test` in this folder.
import assert from "node:assert/strict";
import test from "node:test";

import { Plugin } from "./plugin.js";

test("it lives", () => {
  assert.equal(new Plugin().methods.ping().pong, true);
});

test("it takes the stored configuration when it is connected", async () => {
  const plugin = new Plugin();
  await plugin.connected({ call: async (method) => ({ method, config: { greeting: "Good day" } }) });
  assert.equal(plugin.greeting, "Good day");
});

test("it refuses an empty greeting", () => {
  const plugin = new Plugin();
  assert.deepEqual(plugin.methods.configure({ greeting: " " }), { ok: false });
  assert.equal(plugin.greeting, "Hello");
});

test("it takes events", () => {
  assert.deepEqual(new Plugin().methods.event({ event: "EventThreadPublished", id: "x" }), { ok: true });
});
