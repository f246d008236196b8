// @ts-check
/**
 * One EventSource that always comes back.
 *
 * The browser reconnects by itself after a broken stream, with the id of the last event; but it
 * gives up for good after an HTTP error, and never notices a network that swallows everything. In
 * both cases a new EventSource is made here, from the last id that was seen.
 *
 * @typedef {"connecting" | "connected" | "reconnecting"} State
 * @typedef {object} Options
 * @property {string} cursor     where the page was rendered: the first stream goes on from there
 * @property {number} baseDelay  milliseconds before the first own retry, doubled for each further
 * @property {number} maxDelay   the longest delay, milliseconds; the shortest is half of the present
 * @property {number} silence    milliseconds without an event after which a stream counts as dead
 * @property {(state: State) => void} onState
 */
export class Stream {
  /** @type {Map<string, (data: any) => void>} */
  #handlers = new Map();
  /** @type {EventSource | undefined} */
  #source;
  #retry = 0;
  #watch = 0;
  #attempts = 0;
  #heard = 0;
  #url;
  #cursor;
  #options;

  /**
   * @param {string} url
   * @param {Options} options
   */
  constructor(url, options) {
    this.#url = url;
    this.#cursor = options.cursor;
    this.#options = options;
  }

  /**
   * Have `handler` called with the parsed data of each event of that name; before `open`.
   *
   * @param {string} name
   * @param {(data: any) => void} handler
   */
  on(name, handler) {
    this.#handlers.set(name, handler);
  }

  /** Connect, and stay connected until `close`. */
  open() {
    this.close();
    const url = new URL(this.#url, document.baseURI);
    url.searchParams.set("last_event_id", this.#cursor);
    const source = new EventSource(url);
    source.onopen = () => this.#opened();
    source.onerror = () => this.#broke(source);
    for (const [name, handler] of this.#handlers) {
      source.addEventListener(name, (event) => {
        this.#heard = Date.now();
        this.#cursor = event.lastEventId || this.#cursor;
        handler(JSON.parse(event.data));
      });
    }
    this.#source = source;
    this.#heard = Date.now();
    this.#watch = setInterval(() => this.#check(), this.#options.silence / 4);
  }

  /** Let go of the connection; `open` goes on where it was. */
  close() {
    clearTimeout(this.#retry);
    clearInterval(this.#watch);
    this.#source?.close();
  }

  #opened() {
    this.#attempts = 0;
    this.#heard = Date.now();
    this.#options.onState("connected");
  }

  /** @param {EventSource} source */
  #broke(source) {
    this.#options.onState("reconnecting");
    if (source.readyState === EventSource.CLOSED) {
      this.#comeBack();
    }
  }

  #check() {
    const silent = Date.now() - this.#heard > this.#options.silence;
    if (silent && this.#source?.readyState === EventSource.OPEN) {
      this.#options.onState("reconnecting");
      this.#comeBack();
    }
  }

  /** Half of the delay is random: clients cut off together don't come back together. */
  #comeBack() {
    this.close();
    const { baseDelay, maxDelay } = this.#options;
    const delay = Math.min(maxDelay, baseDelay * 2 ** this.#attempts);
    this.#attempts += 1;
    this.#retry = setTimeout(() => this.open(), delay * (0.5 + Math.random() / 2));
  }
}
