/** @import { Message } from "./types.js" */
import { kit } from "./kit.js";
import { addressOf } from "./places.js";
import { safeFor } from "./safe_html.js";

const encoder = new TextEncoder();

/**
 * Have the streams of htmx 4 and its `hx-sse` extension be the kit's, whenever it is loaded: they
 * are answered with a response that does not end, so the extension reads and swaps, and never
 * reconnects.
 */
export function joinHtmx4() {
  for (const meta of ":-") {
    document.addEventListener(`htmx${meta}config${meta}request`, takeOver);
  }
}

/** @param {Event} event */
function takeOver(event) {
  const { ctx } = /** @type {CustomEvent} */ (event).detail;
  /** @type {Element} */
  const element = ctx.sourceElement;
  if (!kit() || addressOf(element) !== ctx.request.action) return;
  keepOut(element);
  ctx.fetch = async (/** @type {string} */ url, /** @type {any} */ request) =>
    new Response(body(url, request, element), { headers: { "Content-Type": "text/event-stream" } });
}

/**
 * Tell the extension, by the attribute that it reads, to leave connections alone. There may be JSON
 * in it already, or words, of which the last count.
 *
 * @param {Element} element
 */
function keepOut(element) {
  const said = element.getAttribute("hx-config") ?? element.getAttribute("data-hx-config") ?? "";
  const words = "sse.reconnect:false sse.pauseOnBackground:false";
  if (said.startsWith("{")) {
    const { sse, ...rest } = JSON.parse(said);
    const json = { ...rest, sse: { ...sse, reconnect: false, pauseOnBackground: false } };
    element.setAttribute("hx-config", JSON.stringify(json));
  } else if (!said.endsWith(words)) {
    element.setAttribute("hx-config", `${said} ${words}`);
  }
}

/**
 * @param {string} url
 * @param {{ headers: Record<string, string>, signal?: AbortSignal }} request
 * @param {Element} element
 */
function body(url, { headers, signal }, element) {
  const events = namesOf(element);
  const own = Object.entries(headers).filter(([name]) => !/^(hx-.*|accept)$/i.test(name));
  const more = own.length ? { headers: Object.fromEntries(own) } : {};
  const stream = kit().connect(url, { element, events, ...more });
  signal?.addEventListener("abort", () => stream.close());
  let open = true;
  return new ReadableStream({
    start(controller) {
      stream.addEventListener("sse:event", (event) => {
        const { detail } = /** @type {CustomEvent<Message>} */ (event);
        if (open) controller.enqueue(encoder.encode(frame(detail, element, events)));
      });
      stream.addEventListener("sse:state", () => {
        // After an error it may be connected again, and goes on.
        if (!open || stream.state !== "disconnected" || stream.detail.phase !== "ended") return;
        open = false;
        controller.close();
      });
    },
    cancel() {
      open = false;
      stream.close();
    },
  });
}

/**
 * Return which events an element swaps.
 *
 * @param {Element} element
 */
function namesOf(element) {
  const names = element.getAttribute("data-sse-swap") ?? "message";
  return names.split(",").map((name) => name.trim());
}

/**
 * Return a message as the extension swaps it, since it has no name, or dispatches it, since it has.
 *
 * @param {Message} message
 * @param {Element} element
 * @param {string[]} swapped
 */
function frame({ type, data, lastEventId }, element, swapped) {
  const swaps = swapped.includes(type);
  const text = swaps ? safeFor(element, data) : data;
  const head = (swaps ? "" : `event: ${type}\n`) + (lastEventId && `id: ${lastEventId}\n`);
  return `${head}data: ${text.replace(/\r\n?|\n/g, "\ndata: ")}\n\n`;
}
