/** @import { Connection } from "./connection.js" */
import { kit } from "./kit.js";
import { addressOf } from "./places.js";
import { safeFor } from "./safe_html.js";

/** What htmx and its extensions are handling just now. @type {Element | null} */
let handled = null;

/** Ends what the extension listens for on behalf of an element. @type {WeakMap<Element, AbortController>} */
const listening = new WeakMap();

/** The one source of each element that connects. @type {WeakMap<Element, HtmxSource>} */
const sources = new WeakMap();

/** What a message said before it was made safe. @type {WeakMap<MessageEvent, string>} */
const said = new WeakMap();

/**
 * What htmx 2's extension takes for an EventSource; a stream of the kit is behind it.
 *
 * It is CONNECTING for as long as the kit could connect again, also after it gave up: else the
 * extension would begin a loop of its own, which knows no end and loses the last id. Each element
 * has one, whatever it is connected to, since its children keep listening to the one they found.
 */
class HtmxSource extends EventTarget {
  /** @type {((event: Event) => void) | null} */
  onopen = null;
  /** @type {((event: Event) => void) | null} */
  onerror = null;
  /** @type {((event: Event) => void) | null} */
  onmessage = null;
  /** @type {Connection | null} */
  #stream = null;
  #names = new Set(["open", "error", "message"]);

  get url() {
    return this.#stream?.url ?? "";
  }

  get readyState() {
    return this.#stream?.state === "error" ? 0 : (this.#stream?.readyState ?? 2);
  }

  /**
   * Be connected to `url`: with the stream that is open, if it is that.
   *
   * @param {string} url
   * @param {Element | null} element
   */
  follow(url, element) {
    const before = this.#stream;
    const same = before?.url === new URL(url, document.baseURI).href;
    if (same && before.detail.phase !== "ended") return;
    before?.close("replaced");
    const stream = kit().connect(url, {
      element,
      ...(same && { lastEventId: before.lastEventId }),
    });
    this.#stream = stream;
    this.#names.forEach((name) => stream.addEventListener(name, this.#relay));
  }

  close() {
    this.#stream?.close();
  }

  /**
   * @override
   * @param {string} type
   * @param {EventListenerOrEventListenerObject | null} listener
   */
  addEventListener(type, listener) {
    const signal = handled && listening.get(handled)?.signal;
    super.addEventListener(type, listener, signal ? { signal } : {});
    this.#names.add(type);
    this.#stream?.addEventListener(type, this.#relay);
  }

  /** @param {Event} event */
  #relay = (event) => {
    if (event.currentTarget !== this.#stream) return;
    const { type } = event;
    const { data, lastEventId, origin } = /** @type {MessageEvent} */ (event);
    const isMessage = event instanceof MessageEvent;
    const told = isMessage
      ? new MessageEvent(type, { data, lastEventId, origin })
      : new Event(type);
    this.dispatchEvent(told);
    if (type === "open") this.onopen?.(told);
    else if (type === "message") this.onmessage?.(told);
    else if (type === "error" && !isMessage) this.onerror?.(told);
  };
}

/** @param {string} url */
function createEventSource(url) {
  const element = handled && addressOf(handled) === url ? handled : null;
  const source = (element && sources.get(element)) ?? new HtmxSource();
  if (element) sources.set(element, source);
  source.follow(url, element);
  return source;
}

/**
 * Be what the extension asks for an EventSource.
 *
 * htmx tells of each node before it tells its extensions, so here it is known for whom the source
 * will be, and what was listened for by the same node before is dropped: else one that htmx
 * processes again, since an attribute changed, would swap twice.
 *
 * @param {Event} event
 */
function atNode({ target }) {
  const { htmx } = /** @type {any} */ (globalThis);
  if (!htmx || !kit() || !(target instanceof Element)) return;
  htmx.createEventSource = createEventSource;
  listening.get(target)?.abort();
  listening.set(target, new AbortController());
  handled = target;
  queueMicrotask(() => {
    handled = null;
  });
}

/**
 * Make a message safe before it is swapped; several elements may be told of one.
 *
 * @param {Event} event
 */
function beforeSwap(event) {
  const { target, detail: message } = /** @type {CustomEvent} */ (event);
  if (!(message instanceof MessageEvent && target instanceof Element)) return;
  const data = said.get(message) ?? message.data;
  said.set(message, data);
  // A swap of text makes no HTML of it.
  const style = target.getAttribute("hx-swap") ?? target.getAttribute("data-hx-swap") ?? "";
  const value = /^\s*textContent\b/.test(style) ? data : safeFor(target, data);
  Object.defineProperty(message, "data", { value, configurable: true });
}

/** Have the streams of htmx 2 and its `sse` extension be the kit's, whenever it is loaded. */
export function joinHtmx2() {
  document.addEventListener("htmx:afterProcessNode", atNode, true);
  document.addEventListener("htmx:sseBeforeMessage", beforeSwap, true);
}
