import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { DEFAULTS, part } from "./tools.mjs";

const { backoff, later, retryAfter } = await part("backoff.js");
const { minDelay, baseDelay, maxDelay } = DEFAULTS.connection;

afterEach(() => mock.reset());

const chance = (value) => mock.method(Math, "random", () => value);
const delays = (retry) =>
  [1, 2, 3, 4, 5, 6, 7, 8, 2000].map((n) => backoff(n, DEFAULTS.connection, retry));

test("the longest delays double up to the cap", () => {
  chance(1);
  assert.deepEqual(delays(), [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
});

test("the shortest delay is the floor, however often it failed", () => {
  chance(0);
  assert.deepEqual(new Set(delays()), new Set([minDelay]));
});

test("a delay may be anything between", () => {
  const found = Array.from({ length: 1000 }, () => backoff(1, DEFAULTS.connection));
  assert.ok(found.every((delay) => minDelay <= delay && delay <= baseDelay));
  assert.ok(Math.max(...found) - Math.min(...found) > 0.9 * (baseDelay - minDelay));
});

test("the server's reconnection time is the base, below the cap and above the floor", () => {
  chance(1);
  assert.deepEqual(delays(2000).slice(0, 3), [2000, 4000, 8000]);
  assert.equal(delays(10 * maxDelay)[0], maxDelay);
  assert.equal(delays(0)[0], minDelay);
});

test("Retry-After is seconds or a date", () => {
  mock.timers.enable({ apis: ["Date"], now: Date.UTC(2030, 0, 1) });
  assert.equal(retryAfter("7"), 7000);
  assert.equal(retryAfter("Tue, 01 Jan 2030 00:00:05 GMT"), 5000);
  assert.equal(retryAfter("Mon, 31 Dec 2029 00:00:00 GMT"), 0);
  for (const none of [null, "", "soon", "-1"]) assert.equal(retryAfter(none), 0);
  mock.timers.reset();
});

test("a delay too long for a timer does not fire at once", () => {
  const set = mock.method(globalThis, "setTimeout", () => 1);
  later(() => {}, 1e15);
  assert.equal(set.mock.calls[0].arguments[1], 2 ** 31 - 1);
});
