// Where in the statistics a path leads.
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULTS, part } from "./tools.mjs";

globalThis.SSE_KIT_CONFIG = DEFAULTS;
const { valueAt } = await part("stats.js");

const STATS = {
  total: 3,
  by_type: { user: 2, "a.b": 1, "a.b.c": 4 },
  hub: { queue: { bytes: 9 }, name: "x" },
  empty: {},
  nothing: null,
  "by_type.own": 8,
};

for (const [path, value] of [
  ["total", 3],
  ["by_type.user", 2],
  ["by_type.a.b", 1],
  ["by_type.a.b.c", 4],
  ["by_type.own", 8],
  ["hub.queue.bytes", 9],
  ["hub.name", "x"],
  ["nothing", null],
  ["by_type.gone", 0],
  ["empty.gone", 0],
  ["hub.gone", undefined],
  ["total.gone", undefined],
  ["nothing.gone", undefined],
  ["hub.name.length", undefined],
  ["gone", undefined],
  ["", undefined],
  [".", undefined],
  ["toString", undefined],
  ["by_type.constructor", 0],
  ["__proto__.x", undefined],
]) {
  test(`the path "${path}" leads to ${value}`, () => {
    assert.equal(valueAt(STATS, path), value);
  });
}

for (const stats of [null, undefined, 7, "text", [1]]) {
  test(`${JSON.stringify(stats)} has nothing`, () => {
    assert.equal(valueAt(stats, "total"), undefined);
    assert.equal(valueAt(stats, "a.b"), undefined);
  });
}
