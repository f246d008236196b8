/** @import { Outcome, Reader, Sink, StreamRequest } from "./types.js" */
import { retryAfter } from "./backoff.js";
import { Decoder } from "./decoder.js";

const MIME_TYPE = "text/event-stream";

/**
 * Read one response with fetch, which shows what an EventSource hides: status, Retry-After,
 * comments, ids without events. Aborting the signal ends it with the signal's reason.
 *
 * @type {Reader}
 */
export async function readByFetch(request, sink) {
  const { signal } = request;
  try {
    const response = await fetch(address(request, request.settings.cursor), init(request));
    const refusal = judge(response);
    if (refusal || !response.body) {
      response.body?.cancel().catch(() => {});
      return refusal ?? { ends: null, reason: "end" };
    }
    sink.opened();
    await pump(response.body.getReader(), request, sink);
    return { ends: null, reason: "end" };
  } catch (error) {
    if (signal.aborted) return { ends: null, reason: String(signal.reason) };
    if (error instanceof RangeError) return { ends: "error", reason: "too-long" };
    return { ends: null, reason: "network" };
  }
}

/**
 * @param {StreamRequest} request
 * @returns {RequestInit}
 */
function init({ lastEventId, settings, signal }) {
  const headers = new Headers({ Accept: MIME_TYPE, ...settings.headers });
  if (lastEventId && settings.cursor === "header") headers.set("Last-Event-ID", utf8(lastEventId));
  return { headers, signal, cache: "no-store", credentials: settings.credentials };
}

/**
 * @param {StreamRequest} request
 * @param {"header" | "query"} cursor  how the server is told where to go on
 */
function address({ url, lastEventId }, cursor) {
  const address = new URL(url);
  if (lastEventId && cursor === "query") address.searchParams.set("last_event_id", lastEventId);
  return address.href;
}

/**
 * The header is the id's UTF-8 bytes (HTML standard, 9.2.4); fetch takes them one by one.
 *
 * @param {string} text
 */
function utf8(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

/**
 * @param {Response} response
 * @returns {Outcome | null} null for a stream
 */
function judge(response) {
  const { status, headers } = response;
  if (status === 204) return { ends: "disconnected", reason: "no-content", status };
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    const atLeast = retryAfter(headers.get("Retry-After"));
    return { ends: null, reason: "http", status, atLeast };
  }
  if (status !== 200) return { ends: "error", reason: "http", status };
  const type = (headers.get("Content-Type") ?? "").split(";", 1)[0]?.trim().toLowerCase();
  return type === MIME_TYPE ? null : { ends: "error", reason: "content-type", status };
}

/**
 * @param {ReadableStreamDefaultReader<Uint8Array>} body
 * @param {StreamRequest} request
 * @param {Sink} sink
 */
async function pump(body, { lastEventId, settings, signal }, sink) {
  const decoder = new Decoder(lastEventId, settings.maxEvent);
  for (let read = await body.read(); !read.done; read = await body.read()) {
    sink.heard();
    for (const message of decoder.feed(read.value)) {
      if (signal.aborted) return; // whoever heard the last one closed the connection
      sink.message(message);
    }
    if (signal.aborted) return;
    if (decoder.retry !== null) sink.retry(decoder.retry);
    sink.moved(decoder.lastEventId);
  }
}

/**
 * Read by the browser's own EventSource, where fetch cannot be used. It tells no status, so every
 * failure is tried again; it shows no comments, so silence means nothing; and its own reconnecting,
 * which knows no backoff, is not used.
 *
 * @type {Reader}
 */
export function readByEventSource(request, sink) {
  return new Promise((resolve) => {
    const { signal, settings } = request;
    const withCredentials = settings.credentials === "include";
    const source = new EventSource(address(request, "query"), { withCredentials });
    /** @param {string} reason */
    const end = (reason) => {
      source.close();
      resolve({ ends: null, reason });
    };
    request.eachName((type) => {
      source.addEventListener(type, (event) => {
        if (!(event instanceof MessageEvent)) return;
        // What the query said is not known to the source: its id is "" until one comes.
        const lastEventId = event.lastEventId || request.lastEventId;
        sink.message({ type, data: event.data, lastEventId });
      });
    });
    source.onopen = () => sink.opened();
    source.onerror = (event) => event instanceof MessageEvent || end("network");
    signal.addEventListener("abort", () => end(String(signal.reason)));
  });
}
