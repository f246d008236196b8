/** @import { Message, Outcome, Settings, Sink, State } from "./types.js" */
import { backoff, later } from "./backoff.js";
import { Channel, channels } from "./channel.js";
import { readByEventSource, readByFetch } from "./reader.js";

/**
 * One stream that always comes back: the only place that reconnects.
 *
 *     const connection = connect(url, { element, lastEventId, events, …settings });
 *     connection.addEventListener("news", ({ data, lastEventId }) => …);
 *     connection.addEventListener("sse:state", ({ detail }) => …);
 *
 *     connection.state         connecting | connected | reconnecting | disconnected | error
 *     connection.detail        { state, phase, reason, attempt, delay, status }, see types.d.ts
 *     connection.readyState    as an EventSource's: 0, 1, 2
 *     connection.lastEventId   the cursor, which each reconnect goes on from
 *     connection.close()       for good
 *     connection.reconnect()   now, out of any state, from the cursor
 *     connection.pause(why)    let go of the stream, until `resume(why)` for each `why`
 *     connection.wake()        stop waiting: the network is back
 *
 * How it moves, and why (`state/phase reason`):
 *
 *     connecting/attempting new ─→ connected/open opened
 *     any attempt, any stream  ─→ reconnecting/waiting network | http | timeout | idle | end | bye
 *     the delay is over        ─→ reconnecting/attempting, with the reason of before
 *     pause(why)               ─→ disconnected/paused why      ─→ reconnecting/attempting resumed
 *     close(), the close event ─→ disconnected/ended closed | close-event | no-content (204) | …
 *     refused                  ─→ error/ended http | content-type | too-long | max-retries
 *     reconnect()              ─→ reconnecting/attempting requested
 */
export class Connection extends Channel {
  #settings;
  /** The request under way. @type {AbortController | null} */
  #request = null;
  /** The wait for the next attempt. @type {ReturnType<typeof setTimeout> | undefined} */
  #wait;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #watch; // aborts the request: the connect timeout, then the idle watchdog
  #heard = 0;
  /** When the stream opened; 0 if it did not. */
  #opened = 0;
  #attempt = 0;
  /** The server's reconnection time. @type {number | null} */
  #retry = null;
  /** What the server's `bye` asks for. @type {number | null} */
  #bye = null;
  /** @type {Set<string>} */
  #pauses = new Set();
  #names = new Set(["message", "gap", "bye"]);
  /** @type {((type: string) => void) | null} */
  #listen = null;

  /**
   * It does nothing before `open`.
   *
   * @param {string} url
   * @param {Settings} settings
   */
  constructor(url, settings) {
    super(url, settings);
    this.#settings = settings;
    for (const name of settings.events ?? []) this.#name(name);
    if (settings.closeEvent) this.#name(settings.closeEvent);
  }

  /** Begin. */
  open() {
    channels.add(this);
    const reason = this.#pauseReason;
    if (reason) this.move("connecting", { phase: "paused", reason });
    else this.#begin("connecting", "new");
  }

  /** @param {string} [reason] */
  close(reason = "closed") {
    channels.delete(this);
    if (this.detail.phase === "ended") return;
    this.#end("disconnected", { reason });
  }

  reconnect() {
    this.#stop();
    this.#attempt = 0;
    channels.add(this);
    const reason = this.#pauseReason;
    if (reason) this.move("disconnected", { phase: "paused", reason });
    else this.#begin("reconnecting", "requested");
  }

  /** @param {string} why */
  pause(why) {
    const running = !this.#pauses.size && this.#isLive;
    this.#pauses.add(why);
    if (!running) return;
    this.#stop();
    this.move("disconnected", { phase: "paused", reason: why });
  }

  /** @param {string} why */
  resume(why) {
    if (!this.#pauses.delete(why) || this.#pauses.size || !this.#isLive) return;
    this.#attempt = 0;
    if (this.state === "connecting") this.#begin("connecting", "new");
    else this.#begin("reconnecting", "resumed");
  }

  /** A server that asked for time gets it. */
  wake() {
    const { phase, reason } = this.detail;
    const wasAsked = reason === "http" || reason === "bye";
    if (phase === "waiting" && !wasAsked) this.#begin("reconnecting", reason);
  }

  /**
   * @override
   * @param {string} type
   * @param {EventListenerOrEventListenerObject | null} listener
   * @param {AddEventListenerOptions | boolean} [options]
   */
  addEventListener(type, listener, options) {
    this.#name(type);
    super.addEventListener(type, listener, options);
  }

  get #isLive() {
    return channels.has(this) && this.detail.phase !== "ended";
  }

  /** @returns {string} "" if there is none */
  get #pauseReason() {
    return [...this.#pauses][0] ?? "";
  }

  /** @param {string} type */
  #name(type) {
    if (this.#names.has(type) || /^(sse:.*|open|error)$/.test(type)) return;
    this.#names.add(type);
    this.#listen?.(type);
  }

  /**
   * Ask for the stream, once.
   *
   * @param {State} state
   * @param {string} reason
   */
  async #begin(state, reason) {
    this.#stop();
    const request = (this.#request = new AbortController());
    this.#opened = 0;
    this.#bye = null;
    this.move(state, { phase: "attempting", reason, attempt: this.#attempt });
    if (this.#request !== request) return; // a listener had another idea
    this.#abortAfter(this.#settings.connectTimeout, "timeout");
    const outcome = await this.#read(request);
    if (this.#request === request) this.#settle(outcome);
  }

  /** @param {AbortController} request */
  #read({ signal }) {
    const settings = this.#settings;
    const byFetch = settings.reader === "fetch" && typeof ReadableStream === "function";
    const read = byFetch ? readByFetch : readByEventSource;
    /** @param {(type: string) => void} callback */
    const eachName = (callback) => {
      this.#names.forEach(callback);
      this.#listen = callback;
    };
    const { url, lastEventId } = this;
    const idle = byFetch ? settings.idleTimeout : null;
    return read({ url, lastEventId, settings, eachName, signal }, this.#sink(signal, idle));
  }

  /**
   * @param {AbortSignal} signal
   * @param {number | null} idle
   * @returns {Sink}
   */
  #sink(signal, idle) {
    return {
      opened: () => {
        this.#opened = this.#heard = Date.now();
        this.#abortAfter(idle, "idle");
        this.move("connected", { phase: "open", reason: "opened" });
      },
      heard: () => {
        this.#heard = Date.now();
      },
      message: (message) => signal.aborted || this.#take(message),
      moved: (id) => this.moveTo(id),
      retry: (milliseconds) => {
        this.#retry = milliseconds;
      },
    };
  }

  /** @param {Message} message */
  #take(message) {
    if (message.type === "bye") this.#bye = askedFor(message.data);
    this.deliver(message);
    if (message.type === this.#settings.closeEvent && this.#request) {
      this.#end("disconnected", { reason: "close-event" });
    }
  }

  /** @param {Outcome} outcome */
  #settle({ ends, reason, status = 0, atLeast = 0 }) {
    const settings = this.#settings;
    this.#stop();
    if (ends) return this.#end(ends, { reason, status });
    const stable = this.#opened && Date.now() - this.#opened >= settings.stableAfter;
    this.#attempt = stable ? 1 : this.#attempt + 1;
    const attempt = this.#attempt;
    if (settings.maxRetries !== null && attempt > settings.maxRetries) {
      return this.#end("error", { reason: "max-retries", status, attempt: attempt - 1 });
    }
    const delay = this.#bye ?? atLeast + backoff(attempt, settings, this.#retry);
    const why = this.#bye === null ? reason : "bye";
    this.#wait = later(() => this.#begin("reconnecting", why), delay);
    this.move("reconnecting", { phase: "waiting", reason: why, attempt, delay, status });
  }

  /**
   * @param {"disconnected" | "error"} state
   * @param {{ reason: string, status?: number, attempt?: number }} given
   */
  #end(state, given) {
    this.#stop();
    this.move(state, { phase: "ended", ...given });
  }

  /** Let go of whatever is under way; nothing of it is heard of again. */
  #stop() {
    const request = this.#request;
    this.#request = null;
    this.#listen = null;
    clearTimeout(this.#wait);
    clearTimeout(this.#watch);
    request?.abort("stopped");
  }

  /**
   * Give up the request when nothing was heard for so long, or, before it opened, has come of it.
   *
   * @param {number | null} patience
   * @param {string} reason
   */
  #abortAfter(patience, reason) {
    clearTimeout(this.#watch);
    if (patience === null) return;
    const request = this.#request;
    const check = () => {
      const left = this.#opened ? this.#heard + patience - Date.now() : 0;
      if (left > 0) this.#watch = later(check, left);
      else request?.abort(reason);
    };
    this.#watch = later(check, patience);
  }
}

/**
 * Read the milliseconds of a goodbye.
 *
 * @param {string} data
 */
function askedFor(data) {
  try {
    const { retry } = JSON.parse(data);
    return Number.isFinite(retry) && retry >= 0 ? Number(retry) : null;
  } catch {
    return null;
  }
}
