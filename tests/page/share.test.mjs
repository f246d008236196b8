// Tabs that share a stream, all in one process: with locks and broadcasts made of promises.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { DEFAULTS, part, pass, serve, settle } from "./tools.mjs";

const { Shared } = await part("share.js");
const { channels } = await part("channel.js");

const HUNG_AFTER = DEFAULTS.share.hungAfter;

/** @type {ReturnType<typeof serve>} */
let calls;
/** Who is on the air. */
let air;
/** What was said there. */
let said;

/** Tells all others, a turn later, and each in order; who sleeps hears it when awake. */
class Broadcast {
  onmessage = null;
  deaf = false;
  asleep = false;
  #waiting = [];

  constructor(name) {
    this.name = name;
    air.add(this);
  }

  postMessage(data) {
    said.push(data);
    const others = [...air].filter((other) => other !== this && other.name === this.name);
    for (const other of others) {
      if (other.deaf) continue;
      other.#waiting.push(structuredClone(data));
      queueMicrotask(() => other.#hear());
    }
  }

  wake() {
    this.asleep = false;
    this.#hear();
  }

  close() {
    air.delete(this);
  }

  #hear() {
    while (!this.asleep && air.has(this) && this.#waiting.length) {
      this.onmessage?.({ data: this.#waiting.shift() });
    }
  }
}

/** Grants a lock to one after the other, or to who steals it. */
class Lock {
  holder = null;
  queue = [];

  request({ signal, steal }, callback) {
    return new Promise((resolve, reject) => {
      const request = { callback, resolve, reject };
      signal?.addEventListener("abort", () => {
        if (!this.queue.includes(request)) return;
        this.queue = this.queue.filter((each) => each !== request);
        reject(new DOMException("", "AbortError"));
      });
      if (steal) {
        this.holder?.reject(new DOMException("", "AbortError"));
        this.holder = null;
        this.queue.unshift(request);
      } else this.queue.push(request);
      this.next();
    });
  }

  async next() {
    if (this.holder || !this.queue.length) return;
    const holder = (this.holder = this.queue.shift());
    const value = await holder.callback();
    holder.resolve(value);
    if (this.holder === holder) this.holder = null;
    this.next();
  }
}

/** All locks, by name. */
class Locks extends Map {
  request(name, options, callback) {
    if (!this.has(name)) this.set(name, new Lock());
    return this.get(name).request(options, callback);
  }
}

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: 1e12 });
  let tabs = 100;
  mock.method(Math, "random", () => Number(`0.${(tabs += 1)}`));
  calls = serve();
  air = new Set();
  said = [];
  globalThis.BroadcastChannel = Broadcast;
  const value = { locks: new Locks() };
  Object.defineProperty(globalThis, "navigator", { value, configurable: true });
});

afterEach(() => {
  for (const channel of [...channels]) channel.close();
  mock.reset();
  mock.timers.reset();
});

/** Open a tab: what it went through is in `states` and `told`. */
async function tab(options = {}, sharing = {}) {
  const connection = new Shared(
    "http://server/events",
    { ...DEFAULTS.connection, ...options },
    { ...DEFAULTS.share, mode: "locks", key: "me", ...sharing },
  );
  connection.states = [];
  connection.told = [];
  connection.addEventListener("sse:state", ({ detail: { state, phase, reason } }) =>
    connection.states.push(`${state}/${phase} ${reason}`),
  );
  connection.addEventListener("sse:event", ({ detail: { type, data } }) =>
    connection.told.push(type === "gap" ? JSON.parse(data).reason : data),
  );
  connection.open();
  await settle();
  return connection;
}

const last = () => calls.at(-1);
const event = (id, data = id) => `id: ${id}\ndata: ${data}\n\n`;
const events = (...ids) => ids.map((id) => event(id)).join("");
const SET_BACK = `id: e.4\nevent: gap\ndata: {"reason":"ahead"}\n\n${event("e.5", "new")}`;
const open = () => calls.filter((call) => !call.aborted);

/** The wires of so many tabs, in the order they came: of the first tab two, since it leads. */
async function threeTabs() {
  const tabs = [];
  for (let count = 0; count < 3; count += 1) {
    tabs.push(await tab({ lastEventId: "e.0" }));
    await pass(10); // no two are opened at one time
  }
  const [client, hub, second, third] = air;
  return { tabs, wires: { client, hub, second, third } };
}

test("tabs share one request, and each hears all", async () => {
  const tabs = [await tab(), await tab(), await tab()];
  assert.equal(calls.length, 1);
  await last().stream(events("e.1", "e.2"));
  for (const each of tabs) {
    assert.deepEqual(each.told, ["e.1", "e.2"]);
    assert.deepEqual(each.states, ["connecting/attempting new", "connected/open opened"]);
    assert.equal(each.lastEventId, "e.2");
    assert.equal(each.readyState, 1);
  }
});

test("the request is the tab's own: settings, headers, and where it goes on", async () => {
  await tab({ headers: { Authorization: "Bearer x" }, lastEventId: "e.7" });
  assert.equal(last().headers.get("Authorization"), "Bearer x");
  assert.equal(last().headers.get("Last-Event-ID"), "e.7");
});

for (const [name, options, sharing] of [
  ["another user", {}, { key: "you" }],
  ["other headers", { headers: { Authorization: "Bearer y" } }, {}],
  ["other credentials", { credentials: "include" }, {}],
]) {
  test(`tabs with ${name} share nothing`, async () => {
    const one = await tab();
    const other = await tab(options, sharing);
    assert.equal(calls.length, 2);
    await calls[0].stream(event("e.1", "mine"));
    await calls[1].stream(event("e.2", "yours"));
    assert.deepEqual([one.told, other.told], [["mine"], ["yours"]]);
  });
}

test("what concerns a tab alone does not keep it from sharing", async () => {
  await tab({ lastEventId: "e.1", onGap: { "#a": "/a" } });
  await tab({ lastEventId: "e.2", onGap: {}, events: ["x"] });
  assert.equal(calls.length, 1);
});

test("no page counts the hub among its channels", async () => {
  const one = await tab();
  assert.deepEqual([...channels], [one]);
});

test("an id without a message moves the cursor of each tab", async () => {
  const tabs = [await tab(), await tab()];
  await last().stream("id: e.4\n\n");
  assert.deepEqual(tabs.map(({ lastEventId }) => lastEventId), ["e.4", "e.4"]);
});

test("a tab that comes late is told what it has missed, and then what comes", async () => {
  await tab({ lastEventId: "e.0" });
  await last().stream(events("e.1", "e.2", "e.3"));
  const late = await tab({ lastEventId: "e.1" });
  assert.deepEqual(late.told, ["e.2", "e.3"]);
  assert.deepEqual(late.states, ["connecting/attempting new", "connected/open opened"]);
  await last().write(event("e.4"));
  assert.deepEqual(late.told, ["e.2", "e.3", "e.4"]);
});

test("a tab that was rendered later than the stream is hears nothing twice", async () => {
  await tab({ lastEventId: "e.0" });
  await last().stream(event("e.1"));
  const ahead = await tab({ lastEventId: "e.3" });
  await last().write(events("e.2", "e.3"));
  await last().write("id: e.2\n\n");
  assert.equal(ahead.lastEventId, "e.3");
  await last().write("data: sent\n\n" + event("e.4"));
  assert.deepEqual(ahead.told, ["sent", "e.4"]);
});

test("a tab that comes late without a cursor begins now", async () => {
  await tab({ lastEventId: "e.0" });
  await last().stream(events("e.1", "e.2"));
  const late = await tab();
  assert.deepEqual(late.told, []);
  assert.equal(late.lastEventId, "e.2");
});

/** From here on the hub of a tab hears nothing before it is woken; returns its wire. */
function drowsyHub() {
  const wires = [];
  globalThis.BroadcastChannel = class extends Broadcast {
    constructor(name) {
      super(name);
      this.asleep = wires.push(this) === 2; // the first one is the tab's own
    }
  };
  return () => wires[1];
}

test("the tab that opens a stream misses nothing of it, however late its welcome", async () => {
  const hub = drowsyHub();
  const leader = await tab();
  await last().stream(events("e.1", "e.2"));
  hub().wake();
  await last().write(event("e.3"));
  assert.deepEqual(leader.told, ["e.1", "e.2", "e.3"]);
  assert.deepEqual(leader.states, ["connecting/attempting new", "connected/open opened"]);
  assert.equal(leader.lastEventId, "e.3");
});

test("nor does a stream without ids", async () => {
  const hub = drowsyHub();
  const leader = await tab();
  await last().stream("data: a\n\n");
  hub().wake();
  await last().write("data: b\n\n");
  assert.deepEqual(leader.told, ["a", "b"]);
});

test("a tab that knows no state yet is not connected, and begins with its welcome", async () => {
  const hub = drowsyHub();
  await tab();
  await last().stream(event("e.1"));
  const late = await tab();
  await last().write(event("e.2"));
  assert.equal(late.state, "connecting");
  hub().wake();
  await last().write(event("e.3"));
  assert.deepEqual([late.state, late.told], ["connected", ["e.3"]]);
});

test("a late welcome tells where a tab without a cursor is", async () => {
  const hub = drowsyHub();
  await tab();
  await last().stream(event("e.1"));
  const late = await tab();
  await last().cut();
  assert.deepEqual([late.state, late.lastEventId], ["reconnecting", ""]);
  hub().wake();
  await settle();
  assert.equal(late.lastEventId, "e.1");
});

test("a tab that needs more than was kept is told of a gap", async () => {
  await tab({ lastEventId: "e.0" }, { replay: 2 });
  await last().stream(events("e.1", "e.2", "e.3", "e.4"));
  const late = await tab({ lastEventId: "e.1" }, { replay: 2 });
  assert.deepEqual(late.told, ["trimmed", "e.3", "e.4"]);
  assert.equal(late.lastEventId, "e.4");
});

test("what is told between a greeting and its welcome is heard once", async () => {
  await tab({ lastEventId: "e.0" });
  await last().stream(event("e.1"));
  const late = new Promise((resolve) => {
    queueMicrotask(() => resolve(tab({ lastEventId: "e.0" })));
  });
  await Promise.all([late, last().write(events("e.2", "e.3")), last().write(event("e.4"))]);
  assert.deepEqual((await late).told, ["e.1", "e.2", "e.3", "e.4"]);
});

test("an id that comes again in a quiet stream is no double", async () => {
  const tabs = [await tab(), await tab()];
  await last().stream(events("order.5", "order.3", "x", "order.5", "x"));
  for (const { told } of tabs) assert.deepEqual(told, ["order.5", "order.3", "x", "order.5", "x"]);
});

test("each state reaches each tab", async () => {
  const tabs = [await tab(), await tab()];
  await last().stream();
  await last().cut();
  await pass(500);
  await last().answer(503);
  const { detail } = tabs[1];
  assert.deepEqual([detail.attempt, detail.status], [2, 503]);
  await pass(detail.delay);
  await last().stream();
  for (const { states } of tabs) {
    assert.deepEqual(states, [
      "connecting/attempting new",
      "connected/open opened",
      "reconnecting/waiting network",
      "reconnecting/attempting network",
      "reconnecting/waiting http",
      "reconnecting/attempting http",
      "connected/open opened",
    ]);
  }
});

test("the next tab goes on where it is when the one that led closes", async () => {
  const [first, second, third] = [await tab(), await tab(), await tab()];
  await last().stream(events("e.1", "e.2"));
  first.close();
  await settle();
  assert.equal(calls.length, 2);
  assert.equal(calls[0].aborted, true);
  assert.equal(last().headers.get("Last-Event-ID"), "e.2");
  await last().stream(event("e.3"));
  assert.deepEqual(first.told, ["e.1", "e.2"]);
  for (const each of [second, third]) {
    assert.deepEqual(each.told, ["e.1", "e.2", "e.3"]);
    assert.deepEqual(each.states.slice(2), [
      "reconnecting/attempting handover",
      "connected/open opened",
    ]);
  }
});

for (const who of ["second", "third"]) {
  test(`what the ${who} tab heard less when the first left, it hears once`, async () => {
    const { tabs, wires } = await threeTabs();
    await last().stream(event("e.1"));
    wires[who].deaf = true;
    await last().write(events("e.2", "e.3"));
    wires[who].deaf = false;
    tabs[0].close();
    await settle();
    assert.equal(last().headers.get("Last-Event-ID"), who === "second" ? "e.1" : "e.3");
    await last().stream(events(...(who === "second" ? ["e.2", "e.3", "e.4"] : ["e.4"])));
    for (const { told } of tabs.slice(1)) assert.deepEqual(told, ["e.1", "e.2", "e.3", "e.4"]);
  });

  test(`what the ${who} tab heard only after the first left, it hears once`, async () => {
    const { tabs, wires } = await threeTabs();
    await last().stream(event("e.1"));
    wires[who].asleep = true;
    await last().write(events("e.2", "e.3"));
    tabs[0].close();
    await settle();
    wires[who].wake();
    await last().stream(events(...(who === "second" ? ["e.2", "e.3", "e.4"] : ["e.4"])));
    for (const { told } of tabs.slice(1)) assert.deepEqual(told, ["e.1", "e.2", "e.3", "e.4"]);
  });
}

test("ids that are no positions are not doubled either", async () => {
  const tabs = [await tab({ lastEventId: "a" }), await tab({ lastEventId: "a" }), await tab()];
  const [, , second] = air;
  await last().stream(event("b"));
  second.deaf = true;
  await last().write(events("c", "d"));
  second.deaf = false;
  tabs[0].close();
  await settle();
  assert.equal(last().headers.get("Last-Event-ID"), "b");
  await last().stream(events("c", "d", "f"));
  for (const { told } of tabs.slice(1)) assert.deepEqual(told, ["b", "c", "d", "f"]);
});

test("what a tab did not hear is asked for when the next is heard", async () => {
  const { tabs, wires } = await threeTabs();
  await last().stream(event("e.1"));
  wires.third.deaf = true;
  await last().write(event("e.2"));
  wires.third.deaf = false;
  await last().write(event("e.3"));
  assert.deepEqual(tabs[2].told, ["e.1", "e.2", "e.3"]);
});

test("a gap of the server reaches each tab, and is where it goes on", async () => {
  const { tabs } = await threeTabs();
  await last().stream(events("e.8", "e.9"));
  await last().write(SET_BACK);
  for (const each of tabs) {
    assert.deepEqual(each.told, ["e.8", "e.9", "ahead", "new"]);
    assert.equal(each.lastEventId, "e.5");
  }
});

test("a fork that the new hub is told of reaches who heard the old one", async () => {
  const { tabs } = await threeTabs();
  await last().stream(events("e.8", "e.9"));
  tabs[0].close();
  await settle();
  await last().stream(SET_BACK);
  for (const { told } of tabs.slice(1)) assert.deepEqual(told, ["e.8", "e.9", "ahead", "new"]);
});

test("a tab that was away while the stream was set back is told", async () => {
  const { tabs } = await threeTabs();
  await last().stream(events("e.8", "e.9"));
  tabs[2].pause("frozen");
  await last().write(SET_BACK);
  tabs[2].resume("frozen");
  await settle();
  await last().write(event("e.6"));
  assert.deepEqual(tabs[2].told, ["e.8", "e.9", "ahead", "e.6"]);
});

test("a tab that leads and hangs is replaced, and follows when it wakes", async () => {
  const { tabs, wires } = await threeTabs();
  const [hung, ...others] = tabs;
  await last().stream(event("e.1"));
  wires.client.asleep = wires.hub.asleep = true;
  wires.hub.postMessage = () => {};
  for (let round = 0; round < HUNG_AFTER / 10; round += 1) await pass(10);
  assert.equal(calls.length, 2);
  assert.equal(last().headers.get("Last-Event-ID"), "e.1");
  await last().stream(event("e.2"));
  for (const { told } of others) assert.deepEqual(told, ["e.1", "e.2"]);
  wires.client.wake();
  await settle();
  await last().write(event("e.3"));
  assert.deepEqual(hung.told, ["e.1", "e.2", "e.3"]);
  assert.equal(open().length, 1);
  others.forEach((each) => each.close());
  await settle();
  assert.equal(open().length, 1);
  assert.equal(last().headers.get("Last-Event-ID"), "e.3");
});

test("a hub that was replaced and does not know it is not listened to", async () => {
  const { tabs, wires } = await threeTabs();
  await last().stream(event("e.1"));
  const old = said.findLast(({ messages }) => messages);
  tabs[0].close();
  await settle();
  await last().stream(event("e.2"));
  const late = { ...old, seq: old.seq + 1, messages: [{ ...old.messages[0], lastEventId: "e.9" }] };
  wires.third.onmessage({ data: late });
  await last().write(event("e.3"));
  assert.deepEqual(tabs[2].told, ["e.1", "e.2", "e.3"]);
});

test("a quiet hub is asked, and that it answers is enough", async () => {
  const { tabs } = await threeTabs();
  await last().stream();
  for (let round = 0; round < 20; round += 1) await pass(HUNG_AFTER / 3);
  assert.ok(said.some(({ type }) => type === "ping"));
  assert.equal(calls.length, 1);
  assert.deepEqual(tabs[2].states, ["connecting/attempting new", "connected/open opened"]);
});

test("a tab that was busy itself does not blame the hub", async () => {
  const { wires } = await threeTabs();
  await last().stream();
  let now = 0;
  mock.method(performance, "now", () => (now += 10 * HUNG_AFTER));
  wires.hub.asleep = true;
  for (let round = 0; round < 9; round += 1) await pass(HUNG_AFTER / 3);
  assert.equal(calls.length, 1);
});

test("a tab that is paused hears nothing, and then all it has missed", async () => {
  const { tabs } = await threeTabs();
  await last().stream(event("e.1"));
  tabs[1].pause("hidden");
  await last().write(event("e.2"));
  assert.deepEqual(tabs[1].told, ["e.1"]);
  tabs[1].resume("hidden");
  await settle();
  assert.deepEqual(tabs[1].told, ["e.1", "e.2"]);
  assert.equal(calls.length, 1);
  assert.deepEqual(tabs[1].states.slice(2), [
    "disconnected/paused hidden",
    "reconnecting/attempting resumed",
    "connected/open opened",
  ]);
});

test("the tab that leads hands over when it pauses, and follows when it is back", async () => {
  const { tabs } = await threeTabs();
  await last().stream(event("e.1"));
  tabs[0].pause("frozen");
  await settle();
  await last().stream(event("e.2"));
  tabs[0].resume("frozen");
  await settle();
  assert.equal(open().length, 1);
  assert.deepEqual(tabs[0].told, ["e.1", "e.2"]);
  assert.equal(tabs[0].state, "connected");
});

test("a tab that is alone comes back to where it was", async () => {
  const one = await tab({ lastEventId: "e.0" });
  await last().stream(event("e.1"));
  one.pause("pagehide");
  await settle();
  assert.equal(open().length, 0);
  one.resume("pagehide");
  await settle();
  assert.equal(last().headers.get("Last-Event-ID"), "e.1");
  await last().stream(event("e.2"));
  assert.deepEqual(one.told, ["e.1", "e.2"]);
  assert.equal(one.states.at(-2), "reconnecting/attempting resumed");
});

test("a tab that is opened paused asks for nothing before it resumes", async () => {
  const one = new Shared(
    "http://server/events",
    DEFAULTS.connection,
    { ...DEFAULTS.share, mode: "locks", key: "" },
  );
  one.pause("prerendering");
  one.open();
  await settle();
  assert.equal(calls.length, 0);
  one.resume("prerendering");
  await settle();
  assert.equal(calls.length, 1);
});

test("an end reaches each tab, and nothing is left; who connects then asks anew", async () => {
  const { tabs } = await threeTabs();
  await last().answer(403);
  for (const each of tabs) {
    assert.equal(each.states.at(-1), "error/ended http");
    assert.equal(each.detail.status, 403);
    assert.equal(each.readyState, 2);
  }
  assert.equal(air.size, 0);
  await pass(10 * HUNG_AFTER);
  assert.equal(calls.length, 1);
  tabs[1].reconnect();
  await settle();
  assert.equal(calls.length, 2);
  assert.equal(tabs[1].states.at(-1), "reconnecting/attempting requested");
});

test("the close event is heard by each tab before the end", async () => {
  const { tabs } = await threeTabs();
  await last().stream("event: close\ndata: done\n\n");
  for (const each of tabs) {
    assert.deepEqual(each.told, ["done"]);
    assert.equal(each.states.at(-1), "disconnected/ended close-event");
  }
});

test("any tab may reconnect the one stream", async () => {
  const { tabs } = await threeTabs();
  await last().stream(event("e.1"));
  tabs[2].reconnect();
  await settle();
  assert.equal(open().length, 1);
  assert.equal(last().headers.get("Last-Event-ID"), "e.1");
  assert.equal(tabs[0].states.at(-1), "reconnecting/attempting requested");
});

test("any tab that is online again ends the waiting of all", async () => {
  const { tabs } = await threeTabs();
  last().fail();
  await settle();
  tabs[2].wake();
  await settle();
  assert.equal(calls.length, 2);
});

test("after it was closed a tab hears nothing more of what came at once", async () => {
  const { tabs } = await threeTabs();
  tabs[1].addEventListener("message", () => tabs[1].close());
  await last().stream(events("e.1", "e.2"));
  assert.deepEqual(tabs[1].told, ["e.1"]);
  assert.deepEqual(tabs[2].told, ["e.1", "e.2"]);
});

test("a listener that closes the tab while it joins leaves nothing", async () => {
  const one = new Shared(
    "http://server/events",
    DEFAULTS.connection,
    { ...DEFAULTS.share, mode: "locks", key: "" },
  );
  one.addEventListener("sse:state", () => one.close(), { once: true });
  one.open();
  await settle();
  assert.equal(air.size, 0);
  assert.equal(calls.length, 0);
});

test("when all are closed nothing is left", async () => {
  const { tabs } = await threeTabs();
  await last().stream(event("e.1"));
  for (const each of tabs) each.close();
  await settle();
  assert.deepEqual([open().length, air.size], [0, 0]);
  for (const { holder, queue } of navigator.locks.values()) {
    assert.deepEqual([holder, queue], [null, []]);
  }
});

test("where no lock can be had, a tab reads for itself", async () => {
  navigator.locks.request = () => Promise.reject(new DOMException("", "SecurityError"));
  const tabs = [await tab(), await tab()];
  assert.equal(calls.length, 2);
  await last().stream(event("e.1"));
  assert.deepEqual(tabs[1].told, ["e.1"]);
  assert.deepEqual(tabs[1].states, ["connecting/attempting new", "connected/open opened"]);
  tabs.forEach((each) => each.close());
  await settle();
  assert.equal(open().length, 0);
});
