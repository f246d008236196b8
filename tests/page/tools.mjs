// What the tests of the parts share: the parts, Python's defaults, and a server made of promises.
import { mock } from "node:test";

export const DEFAULTS = JSON.parse(process.env.SSE_KIT_DEFAULTS);
export const part = (name) => import(`${process.env.SSE_KIT_RUNTIME}/${name}`);

const bytes = new TextEncoder();

/** Let everything happen that waits for nothing but its turn. */
export const settle = async () => {
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
};

/** Let `milliseconds` pass. */
export const pass = async (milliseconds) => {
  await settle();
  mock.timers.tick(milliseconds);
  await settle();
};

/** One request that was made, and what the test has it answered with. */
class Call {
  constructor(url, init) {
    this.url = url;
    this.headers = init.headers;
    this.init = init;
    this.answered = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.fail = () => reject(new TypeError("failed to fetch"));
      init.signal.addEventListener("abort", () => reject(init.signal.reason));
    });
  }

  get aborted() {
    return this.init.signal.aborted;
  }

  answer(status, headers = {}, body = null) {
    this.resolve(new Response(body, { status, headers }));
    return settle();
  }

  /** Begin a stream; `write` and `end` go on with it. */
  async stream(text = "", type = "text/event-stream") {
    const body = new ReadableStream({ start: (controller) => (this.controller = controller) });
    this.init.signal.addEventListener("abort", () =>
      this.controller.error(this.init.signal.reason),
    );
    await this.answer(200, { "Content-Type": type }, body);
    await this.write(text);
  }

  write(text) {
    if (text) this.controller.enqueue(bytes.encode(text));
    return settle();
  }

  end() {
    this.controller.close();
    return settle();
  }

  cut() {
    this.controller.error(new TypeError("network error"));
    return settle();
  }
}

/** Answer `fetch` by hand: returns the list of calls, which grows. */
export function serve() {
  const calls = [];
  globalThis.fetch = (url, init) => {
    calls.push(new Call(url, init));
    return calls.at(-1).answered;
  };
  return calls;
}
