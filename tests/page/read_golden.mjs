// What the decoder makes of each golden stream, in one way of cutting it: prints those that differ.
import { readFileSync } from "node:fs";

const [file, decoder, way] = process.argv.slice(2);
const { Decoder } = await import(decoder);

/** A generator of its own, so that a failure comes again (Park and Miller, 1988). */
let seed = 42;
const random = (limit) => {
  seed = (seed * 48271) % 2147483647;
  return seed % limit;
};

const WAYS = {
  whole: (bytes) => [bytes],
  bytes: (bytes) => Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)),
  random: (bytes) => {
    const places = Array.from({ length: 1 + random(9) }, () => random(bytes.length + 1));
    const edges = [0, ...places.sort((a, b) => a - b), bytes.length];
    return edges.slice(1).map((stop, index) => bytes.subarray(edges[index], stop));
  },
};

const cases = JSON.parse(readFileSync(file, "utf-8"));
let checked = 0;
for (const { b64, events, last_id, retry } of cases) {
  const stream = new Decoder();
  const found = WAYS[way](new Uint8Array(Buffer.from(b64, "base64")))
    .flatMap((chunk) => stream.feed(chunk))
    .map(({ type, data, lastEventId }) => [type, data, lastEventId]);
  const seen = JSON.stringify([found, stream.lastEventId, stream.retry]);
  const expected = JSON.stringify([events, last_id, retry]);
  checked += 1;
  if (seen !== expected) console.log(b64, "expected", expected, "saw", seen);
}
console.error(checked);
