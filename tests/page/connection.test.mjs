import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { DEFAULTS, part, pass, serve, settle } from "./tools.mjs";

const { Connection } = await part("connection.js");
const { channels } = await part("channel.js");

/** @type {ReturnType<typeof serve>} */
let calls;
let states;
let messages;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1e12 });
  mock.method(Math, "random", () => 1);
  calls = serve();
});

afterEach(() => {
  for (const connection of [...channels]) connection.close();
  mock.reset();
  mock.timers.reset();
});

function open(options = {}) {
  const settings = { ...DEFAULTS.connection, ...options };
  const connection = new Connection("http://server/events", settings);
  states = [];
  messages = [];
  connection.addEventListener("sse:state", ({ detail }) => states.push(detail));
  connection.addEventListener("sse:event", ({ detail }) => messages.push(detail));
  connection.open();
  return connection;
}

const last = () => calls.at(-1);
const told = () => states.map(({ state, phase, reason }) => `${state}/${phase} ${reason}`);
const header = (call) => call.headers.get("Last-Event-ID");

test("a stream that opens is connected, and what it says is dispatched by name", async () => {
  const connection = open();
  const seen = [];
  connection.addEventListener("news", (event) => seen.push(event));
  connection.onmessage = (event) => seen.push(event);
  assert.equal(connection.readyState, 0);
  await last().stream("event: news\nid: e.1\ndata: a\n\ndata: b\n\n");
  assert.deepEqual(told(), ["connecting/attempting new", "connected/open opened"]);
  assert.equal(connection.readyState, 1);
  assert.deepEqual(
    seen.map(({ type, data, lastEventId, origin }) => [type, data, lastEventId, origin]),
    [
      ["news", "a", "e.1", "http://server"],
      ["message", "b", "e.1", "http://server"],
    ],
  );
  assert.ok(seen.every((event) => event instanceof MessageEvent));
});

test("the request asks for a stream, past every cache", () => {
  open({ headers: { Authorization: "Bearer x" } });
  const { url, init, headers } = last();
  assert.equal(url, "http://server/events");
  assert.deepEqual(
    [init.cache, init.credentials, headers.get("Accept"), headers.get("Authorization")],
    ["no-store", "same-origin", "text/event-stream", "Bearer x"],
  );
  assert.equal(header(last()), null);
});

test("an event of the server's named error is a message, not a failure", async () => {
  const connection = open();
  const seen = [];
  connection.addEventListener("error", (event) => seen.push(event instanceof MessageEvent));
  await last().stream("event: error\ndata: x\n\n");
  await last().end();
  assert.deepEqual(seen, [true, false]);
});

for (const [name, fail] of [
  ["network", (call) => call.fail()],
  ["http", (call) => call.answer(503)],
]) {
  test(`a first connect that fails is tried again: ${name}`, async () => {
    open();
    fail(last());
    await pass(0);
    assert.deepEqual(told(), ["connecting/attempting new", `reconnecting/waiting ${name}`]);
    const { attempt, delay, status } = states.at(-1);
    assert.deepEqual([attempt, delay, status], [1, 500, name === "http" ? 503 : 0]);
    await pass(499);
    assert.equal(calls.length, 1);
    await pass(1);
    assert.equal(calls.length, 2);
    assert.equal(told().at(-1), `reconnecting/attempting ${name}`);
    await last().stream();
    assert.equal(told().at(-1), "connected/open opened");
  });
}

test("each failure in a row doubles the delay", async () => {
  open();
  const delays = [];
  for (let round = 0; round < 8; round += 1) {
    last().fail();
    await settle();
    delays.push(states.at(-1).delay);
    await pass(states.at(-1).delay);
  }
  assert.deepEqual(delays, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
});

test("a stream that does not hold begins nothing anew, one that held does", async () => {
  open();
  const delays = [];
  for (const held of [0, 4999, 5000, 0]) {
    await last().stream();
    await pass(held);
    await last().end();
    delays.push(states.at(-1).delay);
    await pass(states.at(-1).delay);
  }
  assert.deepEqual(delays, [500, 1000, 500, 1000]);
});

test("the server's retry is the base of the delays, as long as it says nothing else", async () => {
  open();
  await last().stream("retry: 3000\n\n");
  await last().cut();
  assert.equal(states.at(-1).delay, 3000);
  await pass(3000);
  last().fail();
  await settle();
  assert.equal(states.at(-1).delay, 6000);
});

test("Retry-After is added to the delay", async () => {
  open();
  await last().answer(429, { "Retry-After": "20" });
  assert.equal(states.at(-1).delay, 20_500);
});

for (const status of [408, 425, 429, 500, 501, 502, 503, 504, 599]) {
  test(`status ${status} is tried again`, async () => {
    open();
    await last().answer(status);
    assert.equal(told().at(-1), "reconnecting/waiting http");
    assert.equal(states.at(-1).status, status);
  });
}

for (const status of [201, 206, 400, 401, 403, 404, 410, 422]) {
  test(`status ${status} ends it for good`, async () => {
    const connection = open();
    await last().answer(status, { "Content-Type": "text/event-stream" });
    assert.equal(told().at(-1), "error/ended http");
    assert.equal(states.at(-1).status, status);
    assert.equal(connection.readyState, 2);
    await pass(1e7);
    assert.equal(calls.length, 1);
  });
}

test("status 204 stops it, without an error", async () => {
  const connection = open();
  connection.onerror = assert.fail;
  await last().answer(204);
  assert.equal(told().at(-1), "disconnected/ended no-content");
  await pass(1e7);
  assert.equal(calls.length, 1);
});

for (const type of ["text/html", "text/event-streamer", "application/json", ""]) {
  test(`the content type ${JSON.stringify(type)} ends it for good`, async () => {
    open();
    await last().answer(200, { "Content-Type": type }, "data: x\n\n");
    assert.equal(told().at(-1), "error/ended content-type");
    assert.deepEqual(messages, []);
  });
}

for (const type of [
  "TEXT/Event-Stream",
  "text/event-stream;charset=utf-8",
  "text/event-stream ;",
]) {
  test(`the content type ${type} is that of a stream`, async () => {
    open();
    await last().stream("data: x\n\n", type);
    assert.equal(messages.length, 1);
  });
}

test("so many retries in a row end it, and a stream that held counts them anew", async () => {
  const connection = open({ maxRetries: 2 });
  for (let round = 0; round < 2; round += 1) {
    last().fail();
    await pass(30_000);
  }
  await last().stream();
  await pass(5000);
  await last().end();
  for (let round = 0; round < 2; round += 1) {
    await pass(30_000);
    last().fail();
    await settle();
  }
  assert.equal(told().at(-1), "error/ended max-retries");
  assert.equal(states.at(-1).attempt, 2);
  assert.equal(calls.length, 5);
  connection.reconnect();
  assert.equal(told().at(-1), "reconnecting/attempting requested");
  await last().stream();
  assert.equal(connection.state, "connected");
});

test("no retries means that the first failure ends it", async () => {
  open({ maxRetries: 0 });
  last().fail();
  await settle();
  assert.equal(told().at(-1), "error/ended max-retries");
});

test("headers that do not come in time are not waited for", async () => {
  open();
  await pass(14_999);
  assert.equal(last().aborted, false);
  await pass(1);
  assert.equal(last().aborted, true);
  assert.equal(told().at(-1), "reconnecting/waiting timeout");
});

test("silence ends a stream, but any byte is no silence", async () => {
  open();
  await last().stream();
  for (let beat = 0; beat < 5; beat += 1) {
    await pass(44_000);
    await last().write(": heartbeat\n\n");
  }
  assert.equal(told().at(-1), "connected/open opened");
  await pass(44_999);
  assert.equal(last().aborted, false);
  await pass(1);
  assert.equal(last().aborted, true);
  assert.equal(told().at(-1), "reconnecting/waiting idle");
});

test("without patience set there is no watchdog", async () => {
  open({ connectTimeout: null, idleTimeout: null });
  await pass(1e8);
  await last().stream();
  await pass(1e8);
  assert.deepEqual(told(), ["connecting/attempting new", "connected/open opened"]);
});

test("a goodbye gives the delay itself", async () => {
  open();
  await last().stream('event: bye\nretry: 1234\ndata: {"retry": 1234}\n\n');
  await last().end();
  assert.equal(told().at(-1), "reconnecting/waiting bye");
  assert.equal(states.at(-1).delay, 1234);
  await pass(1234);
  await last().stream();
  await last().end();
  assert.equal(told().at(-1), "reconnecting/waiting end");
});

for (const data of ["", "soon", "{}", '{"retry": -1}', '{"retry": "1"}', "null"]) {
  test(`a goodbye of ${JSON.stringify(data)} leaves the delay to the backoff`, async () => {
    open();
    await last().stream(`event: bye\ndata: ${data}\n\n`);
    await last().end();
    assert.equal(states.at(-1).delay, 500);
  });
}

test("the close event is delivered, and ends it", async () => {
  const connection = open();
  await last().stream("event: close\ndata\n\ndata: never\n\n");
  assert.deepEqual(told().at(-1), "disconnected/ended close-event");
  assert.deepEqual(
    messages.map(({ type }) => type),
    ["close"],
  );
  assert.equal(connection.readyState, 2);
  assert.equal(last().aborted, true);
});

test("without a close event, close is a name like others", async () => {
  open({ closeEvent: "" });
  await last().stream("event: close\ndata\n\ndata: more\n\n");
  assert.equal(messages.length, 2);
});

test("each request goes on from the last id, as UTF-8", async () => {
  open({ lastEventId: "e.7" });
  assert.equal(header(last()), "e.7");
  await last().stream("id: ü\ndata: x\n\n");
  await last().end();
  await pass(500);
  assert.equal(header(last()), "\u00c3\u00bc");
});

test("an id without data moves the cursor, and an empty one takes it back", async () => {
  const connection = open();
  await last().stream("id: e.1\n\n");
  assert.equal(connection.lastEventId, "e.1");
  await last().write("id\n\n");
  assert.equal(connection.lastEventId, "");
  await last().end();
  await pass(500);
  assert.equal(header(last()), null);
});

test("the id of an event that was cut off does not count", async () => {
  const connection = open();
  await last().stream("id: e.1\ndata: whole\n\nid: e.2\ndata: half\n");
  await last().end();
  assert.equal(connection.lastEventId, "e.1");
  assert.equal(messages.length, 1);
});

test("an HTTP error does not lose the cursor", async () => {
  open();
  await last().stream("id: e.1\ndata: x\n\n");
  await last().end();
  for (let round = 0; round < 3; round += 1) {
    await pass(30_000);
    assert.equal(header(last()), "e.1");
    await last().answer(500);
  }
});

test("the cursor may go into the query", async () => {
  open({ cursor: "query", lastEventId: "e&1" });
  assert.equal(last().url, "http://server/events?last_event_id=e%261");
  assert.equal(header(last()), null);
});

test("after close nothing is dispatched, and nothing asked", async () => {
  const connection = open();
  connection.addEventListener("message", () => connection.close());
  await last().stream("data: 1\nid: 1\n\ndata: 2\nid: 2\n\n");
  assert.equal(messages.length, 1);
  assert.equal(connection.lastEventId, "1");
  assert.equal(told().at(-1), "disconnected/ended closed");
  assert.equal(last().aborted, true);
  await pass(1e7);
  assert.equal(calls.length, 1);
  assert.equal(channels.size, 0);
});

test("close while waiting stops the wait, and twice is once", async () => {
  const connection = open();
  last().fail();
  await settle();
  connection.close();
  connection.close();
  await pass(1e7);
  assert.equal(calls.length, 1);
  assert.equal(told().filter((each) => each.includes("ended")).length, 1);
});

test("close as an answer to connecting asks nothing", async () => {
  const settings = { ...DEFAULTS.connection };
  const connection = new Connection("http://server/", settings);
  connection.addEventListener("sse:state", () => connection.close());
  connection.open();
  await settle();
  assert.equal(calls.length, 0);
  assert.equal(connection.state, "disconnected");
});

test("reconnect gives up what is under way, and goes on from the cursor at once", async () => {
  const connection = open();
  await last().stream("id: e.1\ndata: x\n\n");
  connection.reconnect();
  assert.equal(calls[0].aborted, true);
  assert.equal(calls.length, 2);
  assert.equal(header(last()), "e.1");
  assert.equal(told().at(-1), "reconnecting/attempting requested");
});

test("while there is a reason to pause there is no stream", async () => {
  const connection = open();
  await last().stream("id: e.1\ndata: x\n\n");
  connection.pause("pagehide");
  connection.pause("frozen");
  assert.equal(last().aborted, true);
  assert.deepEqual(told().slice(2), ["disconnected/paused pagehide"]);
  assert.equal(connection.readyState, 0);
  connection.resume("pagehide");
  connection.reconnect();
  await pass(1e7);
  assert.equal(calls.length, 1);
  connection.resume("frozen");
  assert.equal(told().at(-1), "reconnecting/attempting resumed");
  assert.equal(header(last()), "e.1");
});

test("a pause before it began delays the first connect", async () => {
  const connection = new Connection("http://server/", { ...DEFAULTS.connection });
  connection.pause("prerendering");
  connection.open();
  assert.equal(calls.length, 0);
  connection.resume("prerendering");
  assert.equal(calls.length, 1);
  assert.equal(connection.state, "connecting");
});

test("what ended stays ended when the page comes back", async () => {
  const connection = open();
  await last().answer(401);
  connection.pause("pagehide");
  connection.resume("pagehide");
  assert.equal(told().at(-1), "error/ended http");
  assert.equal(calls.length, 1);
});

test("when the network is back nobody waits, but for a server that asked for time", async () => {
  const connection = open();
  last().fail();
  await settle();
  connection.wake();
  assert.equal(calls.length, 2);
  await last().answer(503, { "Retry-After": "9" });
  connection.wake();
  assert.equal(calls.length, 2);
});

test("an event that is too long ends it for good", async () => {
  open({ maxEvent: 10 });
  await last().stream("data: 0123456789\n\n");
  assert.equal(told().at(-1), "error/ended too-long");
});

test("what is held comes on release, but for what the page has from elsewhere", async () => {
  const connection = open();
  await last().stream("id: e.9\ndata: 9\n\n");
  connection.hold();
  await last().write("id: e.10\ndata: 10\n\ndata: sent\n\nid: e.11\ndata: 11\n\n");
  assert.equal(messages.length, 1);
  connection.release("e.12");
  assert.deepEqual(
    messages.map(({ data }) => data),
    ["9", "sent"],
  );
  await last().write("id: e.12\ndata: 12\n\nid: e.13\ndata: 13\n\nid: f.1\ndata: new log\n\n");
  assert.deepEqual(
    messages.map(({ data }) => data),
    ["9", "sent", "13", "new log"],
  );
});
