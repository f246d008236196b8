/** @import { Message, Status, State, StateChange } from "./types.js" */

/** Every channel of this page that was opened and not closed by it. @type {Set<Channel>} */
export const channels = new Set();

/** @type {Status} */
const NEW = {
  state: "connecting",
  phase: "waiting",
  reason: "new",
  attempt: 0,
  delay: 0,
  status: 0,
};

/**
 * The face of a stream towards the page: shaped as an EventSource, and what that hides beside it.
 *
 * It holds state and dispatches events, and does nothing by itself. `Connection` reads a stream of
 * its own; who gets a stream from elsewhere (another tab, a worker) extends this class and calls
 * `move`, `deliver` and `moveTo`.
 *
 * Events: `open`, `message`, `error` and the stream's own names, as on an EventSource;
 * `sse:state` with a StateChange at each change; `sse:event` with each Message, of whatever name.
 * Where there is an element, it gets `sse:state` too, bubbling, and has `data-sse-state`.
 */
export class Channel extends EventTarget {
  /** @type {((event: Event) => void) | null} */
  onopen = null;
  /** @type {((event: MessageEvent) => void) | null} */
  onmessage = null;
  /** @type {((event: Event) => void) | null} */
  onerror = null;

  /** The absolute address. @type {string} */
  url;
  /** @type {Element | null} */
  element;
  /** The id to go on from: the last that was read. */
  lastEventId;

  #detail = NEW;
  /** What waits, and whether it has an id of its own. @type {[Message, boolean][] | null} */
  #held = null;
  /** What is at or before this position, the page has from elsewhere. */
  #seen = "";

  /**
   * @param {string} url  relative to the page
   * @param {{ element?: Element | null, lastEventId?: string }} [options]
   */
  constructor(url, { element = null, lastEventId = "" } = {}) {
    super();
    this.url = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
    this.element = element;
    this.lastEventId = lastEventId;
    // As listeners, so that what they throw is reported, and disturbs nobody.
    super.addEventListener("open", (event) => this.onopen?.(event));
    super.addEventListener("error", (event) => this.onerror?.(event));
    super.addEventListener("message", (event) => {
      this.onmessage?.(/** @type {MessageEvent} */ (event));
    });
  }

  /** @returns {Readonly<Status>} */
  get detail() {
    return this.#detail;
  }

  get state() {
    return this.#detail.state;
  }

  /** As an EventSource's: 0 connecting, 1 open, 2 closed for good. */
  get readyState() {
    const { phase } = this.#detail;
    return phase === "ended" ? 2 : phase === "open" ? 1 : 0;
  }

  /**
   * Enter a state and tell of it; what is left out is 0.
   *
   * @param {State} state
   * @param {Pick<Status, "phase" | "reason"> & Partial<Status>} given
   */
  move(state, given) {
    const previous = this.#detail === NEW ? null : this.#detail.state;
    this.#detail = { attempt: 0, delay: 0, status: 0, ...given, state };
    /** @type {StateChange} */
    const detail = { ...this.#detail, previous, lastEventId: this.lastEventId };
    this.element?.setAttribute("data-sse-state", state);
    this.tell("sse:state", detail);
    if (given.phase === "open") this.dispatchEvent(new Event("open"));
    if (given.phase === "waiting" || state === "error") this.dispatchEvent(new Event("error"));
  }

  /**
   * Tell the page of something: here, and at the element, or else the document, where it bubbles.
   *
   * @param {string} type
   * @param {object} detail
   */
  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
    const place = this.element?.isConnected ? this.element : globalThis.document;
    place?.dispatchEvent(
      new CustomEvent(type, { detail: { ...detail, source: this }, bubbles: true }),
    );
  }

  /** @param {Message} message */
  deliver(message) {
    const own = message.lastEventId !== this.lastEventId;
    this.lastEventId = message.lastEventId;
    this.#give(message, own);
  }

  /** Move the cursor without an event. @param {string} lastEventId */
  moveTo(lastEventId) {
    this.lastEventId = lastEventId;
  }

  /** Keep what comes until `release`: the page is not ready for it. */
  hold() {
    this.#held ??= [];
  }

  /**
   * Deliver what was kept, without what is at or before `seen`: the page has it from elsewhere.
   *
   * @param {string} [seen]  a position, or "" for nothing
   */
  release(seen = "") {
    const held = this.#held ?? [];
    this.#held = null;
    this.#seen = seen || this.#seen;
    held.forEach(([message, own]) => this.#give(message, own));
  }

  /**
   * @param {Message} message
   * @param {boolean} own  whether the id is its own, or that of one before it
   */
  #give(message, own) {
    if (this.#held) {
      this.#held.push([message, own]);
      return;
    }
    if (own && this.#seen) {
      if (isUpTo(message.lastEventId, this.#seen)) return;
      this.#seen = "";
    }
    const { type, ...init } = message;
    this.dispatchEvent(new CustomEvent("sse:event", { detail: message }));
    this.dispatchEvent(new MessageEvent(type, { ...init, origin: new URL(this.url).origin }));
  }
}

/**
 * Tell whether a position, `epoch.offset`, is at or before another of the same log. What is no
 * position, or of another log, is not.
 *
 * @param {string} id
 * @param {string} seen
 */
export function isUpTo(id, seen) {
  const [epoch, offset] = split(id);
  const [otherEpoch, other] = split(seen);
  return epoch === otherEpoch && offset !== null && other !== null && offset <= other;
}

/**
 * @param {string} position
 * @returns {[string, bigint | null]}
 */
function split(position) {
  const match = /^([^.]+)\.(\d+)$/.exec(position);
  return match ? [match[1] ?? "", BigInt(match[2] ?? "")] : ["", null];
}
