import assert from "node:assert/strict";
import { test } from "node:test";
import { part } from "./tools.mjs";

const { Ring } = await part("ring.js");

const message = (lastEventId, data = lastEventId) => ({ type: "message", data, lastEventId });

/** A ring that began at `floor`, and what came then. */
function ring(limit, floor, ...ids) {
  const made = new Ring(limit, floor);
  for (const id of ids) made.add(message(id), true);
  return made;
}

/** What a tab with that cursor is told: data, or the reason and the id of a gap. */
const told = (made, cursor) =>
  made
    .after(cursor)
    .map(({ type, data, lastEventId }) =>
      type === "gap" ? `${JSON.parse(data).reason} ${lastEventId}` : data,
    );

for (const [name, cursor, expected] of [
  ["that has the first is told the rest", "e.5", ["e.7", "e.9"]],
  ["between two is told the later", "e.8", ["e.9"]],
  ["where the ring begins is told all", "e.3", ["e.5", "e.7", "e.9"]],
  ["that began later than the ring is told all after it", "e.4", ["e.5", "e.7", "e.9"]],
  ["that has the last is told nothing", "e.9", []],
  ["that is ahead is told nothing", "e.12", []],
  ["from before it is told so, and what is there", "e.2", ["trimmed e.3", "e.5", "e.7", "e.9"]],
  ["of another log is told so", "f.7", ["epoch e.10"]],
  ["that is no position is told so", "x", ["epoch e.10"]],
]) {
  test(`a tab ${name}`, () => {
    const made = ring(9, "e.3", "e.5", "e.7", "e.9");
    made.pass("e.10");
    assert.deepEqual(told(made, cursor), expected);
  });
}

test("what is too much pushes out the oldest, and that is known", () => {
  const full = ring(2, "e.0", "e.1", "e.2", "e.3");
  assert.deepEqual(told(full, "e.1"), ["e.2", "e.3"]);
  assert.deepEqual(told(full, "e.0"), ["trimmed e.1", "e.2", "e.3"]);
});

test("a ring without room still knows who has missed nothing", () => {
  const none = ring(0, "e.0", "e.1");
  assert.deepEqual(told(none, "e.1"), []);
  assert.deepEqual(told(none, "e.0"), ["trimmed e.1"]);
});

test("ids that are no positions are compared as they are", () => {
  const opaque = ring(9, "a", "b", "c");
  assert.deepEqual(told(opaque, "a"), ["b", "c"]);
  assert.deepEqual(told(opaque, "b"), ["c"]);
  assert.deepEqual(told(opaque, "z"), ["epoch c"]);
  opaque.pass("d");
  assert.deepEqual(told(opaque, "d"), []);
});

test("an id that comes again is at its newest place", () => {
  assert.deepEqual(told(ring(9, "", "a", "b", "a"), "b"), ["a"]);
});

test("a stream that began nowhere helps from its first id on", () => {
  const begun = new Ring(9);
  begun.pass("e.4");
  begun.add(message("e.5"), true);
  begun.pass("e.9");
  assert.deepEqual(told(begun, "e.4"), ["e.5"]);
  assert.deepEqual(told(begun, "e.3"), ["trimmed e.4", "e.5"]);
  assert.deepEqual(told(ring(9, "", "e.5"), "e.4"), ["epoch e.5"]);
});

test("what has no id of its own is not kept", () => {
  const made = ring(9, "e.0", "e.1");
  made.add(message("e.1", "sent"), false);
  made.add(message("", "none"), true);
  assert.deepEqual(told(made, "e.0"), ["e.1"]);
});

test("a gap empties it, for whoever was before the gap has to hear of it", () => {
  const made = ring(9, "e.0", "e.1");
  made.add({ type: "gap", data: "", lastEventId: "f.0" }, true);
  made.add(message("f.1"), true);
  assert.deepEqual(told(made, "f.0"), ["f.1"]);
  assert.deepEqual(told(made, "e.1"), ["epoch f.1"]);
  assert.equal(made.has("e.1"), false);
});

test("after a gap without an id nobody counts as complete", () => {
  const made = ring(9, "e.0", "e.1");
  made.add({ type: "gap", data: '{"reason":"dropped"}', lastEventId: "e.1" }, false);
  made.pass("e.1");
  made.add(message("e.5"), true);
  assert.deepEqual(told(made, "e.1"), ["dropped e.5"]);
  assert.deepEqual(told(made, "e.5"), []);
});

test("where the stream was set back, nobody counts as complete who may be of before", () => {
  const made = ring(9, "e.0", "e.8", "e.9");
  made.add({ type: "gap", data: '{"reason":"ahead"}', lastEventId: "e.4" }, true);
  made.add(message("e.5", "new"), true);
  for (const cursor of ["e.4", "e.5", "e.9"]) assert.deepEqual(told(made, cursor), ["ahead e.5"]);
  made.add(message("e.10"), true);
  made.add(message("e.11"), true);
  assert.deepEqual(told(made, "e.10"), ["e.11"]);
  assert.deepEqual(told(made.copy(), "e.9"), ["ahead e.11"]);
});

test("a copy goes its own way", () => {
  const first = ring(9, "e.0", "e.1");
  const second = first.copy();
  second.add(message("e.2"), true);
  assert.deepEqual(told(first, "e.0"), ["e.1"]);
  assert.deepEqual(told(second, "e.0"), ["e.1", "e.2"]);
});
