/** @import { Message } from "./types.js" */
import { isUpTo } from "./channel.js";

const TRIMMED = '{"reason":"trimmed","missed":null}';
const EPOCH = '{"reason":"epoch","missed":null}';

/**
 * The newest messages of a stream that have an id: what a tab that comes late has missed.
 *
 * It knows from where on it is complete, and so whether it can help. A gap empties it: what was
 * before is no help to anybody who has not heard of the gap.
 */
export class Ring {
  #limit;
  /** All that came after this id is here; "" if that cannot be said of any id. */
  #floor;
  /** By id, in order. @type {Map<string, Message>} */
  #kept = new Map();
  /** Where the stream is. */
  #last;
  /** Where the stream was at the last gap that set it back: who is of then has to hear of it. */
  #doubt = "";
  /** What that gap said. */
  #gap = "";

  /**
   * @param {number} limit  messages
   * @param {string} [floor]
   */
  constructor(limit, floor = "") {
    this.#limit = limit;
    this.#floor = this.#last = floor;
  }

  /**
   * @param {Message} message
   * @param {boolean} own  whether the id is its own, or that of one before it
   */
  add(message, own) {
    const { type, data, lastEventId } = message;
    if (type === "gap") {
      this.#kept.clear();
      this.#floor = own ? lastEventId : "";
      if (isUpTo(lastEventId, this.#last)) [this.#doubt, this.#gap] = [this.#last, data];
    } else if (own && lastEventId) {
      // The newest place counts.
      this.#kept.delete(lastEventId);
      this.#kept.set(lastEventId, message);
      this.#trim();
    }
    this.#last = lastEventId;
  }

  /** Note an id that came without a message. @param {string} id */
  pass(id) {
    if (!this.#floor && !this.#kept.size) this.#floor = id;
    this.#last = id;
  }

  /** @param {string} id */
  has(id) {
    return this.#kept.has(id);
  }

  /**
   * Return what came after a cursor; where that is not known, a gap says so, and is followed by
   * what is known to be later.
   *
   * @param {string} cursor
   * @returns {Message[]}
   */
  after(cursor) {
    if (isUpTo(cursor, this.#doubt)) return [gap(this.#gap, this.#last)];
    if (cursor === this.#last) return [];
    const ids = [...this.#kept.keys()];
    let count = ids.lastIndexOf(cursor) + 1;
    if (!count) while (isUpTo(ids[count] ?? "", cursor)) count += 1;
    const messages = [...this.#kept.values()].slice(count);
    const floor = this.#floor;
    if (count || cursor === floor || isUpTo(floor, cursor)) return messages;
    return isUpTo(cursor, floor) ? [gap(TRIMMED, floor), ...messages] : [gap(EPOCH, this.#last)];
  }

  copy() {
    const copy = new Ring(this.#limit, this.#floor);
    copy.#kept = new Map(this.#kept);
    copy.#last = this.#last;
    copy.#doubt = this.#doubt;
    copy.#gap = this.#gap;
    return copy;
  }

  #trim() {
    if (this.#kept.size <= this.#limit) return;
    const [oldest = ""] = this.#kept.keys();
    this.#kept.delete(oldest);
    this.#floor = oldest;
  }
}

/**
 * A gap as the server tells of one.
 *
 * @param {string} data
 * @param {string} lastEventId
 * @returns {Message}
 */
function gap(data, lastEventId) {
  return { type: "gap", data, lastEventId };
}
