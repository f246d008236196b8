// better-sse on Node: a channel, and a session for each subscriber.
import { createServer } from "node:http";
import { setImmediate, setTimeout } from "node:timers/promises";
import { createChannel, createSession } from "better-sse";

const channel = createChannel();

function payload(size) {
  return `@${process.hrtime.bigint()}@`.padEnd(size - 1, "x") + "~";
}

async function publish(asked) {
  const names = ["count", "size", "group", "times", "interval"];
  const [count, size, group, times, interval] = names.map((name) => Number(asked.get(name)));
  const start = performance.now();
  for (let turn = 0; turn < times; turn += 1) {
    if (turn) await setTimeout(start + turn * interval * 1000 - performance.now());
    for (let number = 0; number < count; number += 1) {
      if (group && number && number % group === 0) await setImmediate();
      channel.broadcast(payload(size), "message");
    }
  }
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, "http://bench");
  if (url.pathname === "/events") {
    channel.register(await createSession(request, response));
  } else {
    await publish(url.searchParams);
    response.end("published");
  }
});
server.keepAliveTimeout = 0; // the generator's connection is kept for as long as it wants
server.listen(Number(process.argv[2]), "127.0.0.1", 2048);
