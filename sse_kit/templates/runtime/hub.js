/** @import { Ring } from "./ring.js" */
/** @import { Message, News, Relayed, Settings, State, Status, ToHub, Wire } from "./types.js" */
import { Connection } from "./connection.js";

/**
 * The connection of a stream that tabs share: what it hears it tells over their wires, and to a
 * tab that comes late what it has missed.
 *
 * All that it tells is numbered, so that a tab which joins while something is told knows what it
 * has and what it lacks. Hubs are numbered too, by the time: what is heard from one that was
 * replaced, and does not know it yet, is of no interest.
 */
export class Hub extends Connection {
  /** @type {Set<Wire>} */
  #wires = new Set();
  #epoch;
  #seq = 0;
  #ring;
  /** What was read and not told: the messages of a chunk go together. @type {Relayed[]} */
  #read = [];

  /**
   * @param {string} url
   * @param {Settings} settings
   * @param {Ring} ring
   * @param {number} [after]  the number of the last hub that is known of
   */
  constructor(url, settings, ring, after = 0) {
    // No page counts it among its channels.
    super(url, settings, new Set());
    this.#ring = ring;
    this.#epoch = Math.max(Date.now(), after + 1);
  }

  /** @param {Wire} wire */
  serve(wire) {
    this.#wires.add(wire);
    wire.onmessage = ({ data }) => this.hear(wire, data);
  }

  /**
   * Tell nothing more over a wire; without any, end.
   *
   * @param {Wire} wire
   */
  leave(wire) {
    this.#wires.delete(wire);
    wire.close();
    if (!this.#wires.size) this.close();
  }

  /**
   * @param {Wire} wire
   * @param {ToHub} said
   */
  hear(wire, { type, from, cursor }) {
    if (type === "hello") wire.postMessage(this.#welcome(from, cursor));
    else if (type === "ping") wire.postMessage({ epoch: this.#epoch, seq: this.#seq });
    else if (type === "reconnect") this.reconnect();
    else if (type === "wake") this.wake();
    else if (type === "leave") this.leave(wire);
  }

  /**
   * @override
   * @param {State} state
   * @param {Pick<Status, "phase" | "reason"> & Partial<Status>} given
   */
  move(state, given) {
    super.move(state, given);
    this.#flush();
    this.#relay({ status: this.detail });
  }

  /** Nobody listens here. @override */
  tell() {}

  /**
   * @override
   * @param {Message} message
   */
  deliver(message) {
    const own = message.lastEventId !== this.lastEventId;
    super.moveTo(message.lastEventId);
    this.#ring.add(message, own);
    this.#read.push({ ...message, own });
  }

  /**
   * @override
   * @param {string} lastEventId
   */
  moveTo(lastEventId) {
    this.#ring.pass(lastEventId);
    const moved = lastEventId !== this.lastEventId;
    super.moveTo(lastEventId);
    this.#flush();
    if (moved) this.#relay({ cursor: lastEventId });
  }

  #flush() {
    const messages = this.#read;
    this.#read = [];
    if (messages.length) this.#relay({ messages });
  }

  /** @param {News} news */
  #relay(news) {
    this.#seq += 1;
    const told = { epoch: this.#epoch, seq: this.#seq, ...news };
    for (const wire of this.#wires) wire.postMessage(told);
  }

  /**
   * @param {string} to
   * @param {string} cursor  "" is from now on
   */
  #welcome(to, cursor) {
    const missed = cursor ? this.#ring.after(cursor) : [];
    const messages = missed.map((message) => ({ ...message, own: true }));
    const news = { status: this.detail, messages, cursor: this.lastEventId };
    return { epoch: this.#epoch, seq: this.#seq, to, ...news };
  }
}
