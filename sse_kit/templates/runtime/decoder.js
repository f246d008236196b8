/** @import { Message } from "./types.js" */

/** A line may end in any of the three ways, and in no other (HTML standard, 9.2.5). */
const LINE_END = /\r\n|\r|\n/g;

/**
 * Bytes of an event stream in, messages out, as the HTML standard has it (9.2.6); no I/O.
 *
 * One decoder reads one response: what has no empty line after it when that ends is dropped with
 * the decoder. What outlives it, the last event id and the reconnection time, is read from it.
 */
export class Decoder {
  /** The server's reconnection time in milliseconds, if it set one. @type {number | null} */
  retry = null;

  #text = new TextDecoder(); // drops one leading BOM, and keeps what a chunk has of a character
  #afterReturn = false;
  #line = "";
  #data = "";
  #type = "";
  #id;
  #limit;

  /**
   * @param {string} [lastEventId] what the request was sent with
   * @param {number} [limit]       characters that one event may have
   */
  constructor(lastEventId = "", limit = Infinity) {
    this.lastEventId = lastEventId;
    this.#id = lastEventId;
    this.#limit = limit;
  }

  /**
   * @param {Uint8Array} bytes
   * @returns {Message[]} the events that these bytes complete
   * @throws {RangeError} an event is longer than the limit
   */
  feed(bytes) {
    const text = this.#text.decode(bytes, { stream: true });
    /** @type {Message[]} */
    const found = [];
    let start = this.#afterReturn && text.startsWith("\n") ? 1 : 0;
    if (text) this.#afterReturn = text.endsWith("\r"); // its LF may come with the next chunk
    LINE_END.lastIndex = start;
    for (let end = LINE_END.exec(text); end; end = LINE_END.exec(text)) {
      const line = this.#line + text.slice(start, end.index);
      start = LINE_END.lastIndex;
      this.#line = "";
      const message = line ? this.#field(line) : this.#dispatch();
      if (message) found.push(message);
    }
    this.#line += text.slice(start);
    this.#measure();
    return found;
  }

  /** @param {string} line */
  #field(line) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "data") this.#data += `${value}\n`;
    else if (name === "event") this.#type = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^[0-9]+$/.test(value)) this.retry = Number(value);
    this.#measure();
  }

  /** @returns {Message | undefined} nothing for a block without data, which still moves the id */
  #dispatch() {
    const data = this.#data;
    const type = this.#type || "message";
    this.lastEventId = this.#id;
    this.#data = this.#type = "";
    if (data) return { type, data: data.slice(0, -1), lastEventId: this.lastEventId };
  }

  #measure() {
    if (this.#line.length + this.#data.length > this.#limit) {
      throw new RangeError(`an event is longer than ${this.#limit} characters`);
    }
  }
}
