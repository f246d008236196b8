/** @import { Relayed, Route, Settings, Sharing, State, Status } from "./types.js" */
/** @import { Told, ToHub, Way, Wire } from "./types.js" */
import { isUpTo } from "./channel.js";
import { Connection } from "./connection.js";
import { Hub } from "./hub.js";
import { Ring } from "./ring.js";
import { WAYS } from "./ways.js";

/** Tabs of another release may be open: they understand each other if this is the same. */
const PROTOCOL = 1;

/** In so many parts is the time divided after which a silent hub counts as hung. */
const TICKS = 3;

/** The ways that were found not to work in this page. @type {Set<Way>} */
const impossible = new Set();

/**
 * A connection whose stream is read by a hub that other tabs may have too, wherever that is.
 *
 * To the page it is what any connection is; `begin` joins a hub instead of asking a server, and
 * `stop` leaves it. Tabs share what is the same: address, settings, and whose stream it is.
 *
 * It takes from a hub what it does not have: after each welcome, ids that it knows are passed over
 * until the first that it does not know, so a hub that begins earlier doubles nothing. It keeps
 * what it heard, since it may have to be the next hub, whose other tabs may have heard less.
 */
export class Shared extends Connection {
  #sharing;
  #settings;
  #name;
  #me = Math.random().toString(36).slice(2);
  #ring;
  /** @type {Route | null} */
  #route = null;
  /** Changes whenever it joins or leaves. */
  #turn = 0;
  /** The newest hub that was heard of. */
  #epoch = 0;
  /** The number of the last news of that hub; NaN before its welcome. */
  #seq = NaN;
  /** Whether what comes may be known already. */
  #overlaps = false;
  /** For how many ticks of the clock nothing was heard. */
  #silence = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #clock;

  /**
   * @param {string} url
   * @param {Settings} settings
   * @param {Sharing} sharing
   */
  constructor(url, settings, sharing) {
    super(url, settings);
    const { element, onGap, share, events, lastEventId, ...same } = settings;
    this.#sharing = sharing;
    this.#settings = structuredClone(same);
    this.#name = JSON.stringify([PROTOCOL, sharing.key, this.url, Object.entries(same).sort()]);
    this.#ring = new Ring(sharing.replay, this.lastEventId);
  }

  /**
   * @override
   * @param {string} [reason]
   */
  reconnect(reason) {
    if (Number.isNaN(this.#seq)) super.reconnect(reason);
    else this.#say("reconnect");
  }

  /** @override */
  wake() {
    this.#say("wake");
  }

  /**
   * @override
   * @param {State} state
   * @param {string} reason
   */
  async begin(state, reason) {
    this.stop();
    const turn = this.#turn;
    this.move(state, { phase: "attempting", reason });
    // A listener may have had another idea.
    if (this.#turn === turn) this.#join();
  }

  /** @override */
  stop() {
    this.#turn += 1;
    clearInterval(this.#clock);
    const route = this.#route;
    this.#route = null;
    this.#epoch = 0;
    this.#seq = NaN;
    route?.close();
  }

  #join() {
    for (const way of WAYS[this.#sharing.mode]) {
      if (impossible.has(way)) continue;
      try {
        return this.#take(way);
      } catch {
        impossible.add(way);
      }
    }
  }

  /** @param {Way} way */
  #take(way) {
    const turn = this.#turn;
    const lost = () => {
      if (this.#turn === turn) this.#joinAgain();
    };
    const failed = () => {
      impossible.add(way);
      lost();
    };
    const makeHub = this.#makeHub.bind(this);
    const route = way({ name: this.#name, makeHub, failed, lost });
    this.#route = route;
    route.wire.onmessage = ({ data }) => this.#turn === turn && this.#hear(data);
    this.#say("hello");
    this.#watch(route);
  }

  #joinAgain() {
    if (this.detail.phase !== "attempting") return this.begin("reconnecting", "handover");
    this.stop();
    this.#join();
  }

  /** @param {Wire} wire */
  #makeHub(wire) {
    const settings = { ...this.#settings, lastEventId: this.lastEventId };
    const hub = new Hub(this.url, settings, this.#ring.copy(), this.#epoch);
    hub.serve(wire);
    const { state, phase, reason } = this.detail;
    if (state === "connecting") hub.open();
    else hub.reconnect(phase === "attempting" ? reason : "handover");
    return hub;
  }

  /** @param {ToHub["type"]} type */
  #say(type) {
    this.#route?.wire.postMessage({
      type,
      from: this.#me,
      cursor: this.lastEventId,
      name: this.#name,
      url: this.url,
      settings: this.#settings,
      sharing: this.#sharing,
    });
  }

  /**
   * Ask a hub that is silent, and do something about one that does not answer. Should the clock be
   * late, it was this tab that did not listen.
   *
   * @param {Route} route
   */
  #watch(route) {
    const tick = this.#sharing.hungAfter / TICKS;
    this.#silence = TICKS * (1 - route.patience);
    let last = performance.now();
    this.#clock = setInterval(() => {
      const late = performance.now() - last > 2 * tick;
      last = performance.now();
      this.#silence = Math.min(this.#silence + 1, late ? TICKS - 1 : TICKS);
      const joined = !Number.isNaN(this.#seq);
      if (this.#silence === TICKS - 1) this.#say(joined ? "ping" : "hello");
      else if (this.#silence === TICKS) route.hung(joined);
    }, tick);
  }

  /** @param {Told} told */
  #hear(told) {
    const { epoch, seq, to, ask } = told;
    if (ask) this.#say("ping");
    // It is what a tab said, or for another, or of a hub that was replaced.
    if (!(epoch >= this.#epoch) || (to && to !== this.#me)) return;
    this.#silence = 0;
    if (epoch > this.#epoch) this.#greet(told);
    const isNext = to ? Number.isNaN(this.#seq) : seq === this.#seq + 1;
    if (isNext) this.#apply(told);
    // It had begun without.
    else if (to && seq === this.#seq && !this.lastEventId) this.#advance(told.cursor ?? "");
    // Something was not heard.
    else if (!to && seq > this.#seq + 1) this.#greet(told);
  }

  /**
   * Take no message before a welcome; the state is true without one. Who has no cursor has nothing
   * to catch up with, and begins where its state does: the tab that opened the stream would miss
   * what comes before it hears itself.
   *
   * @param {Told} told
   */
  #greet({ epoch, seq, to, status }) {
    this.#epoch = epoch;
    this.#seq = NaN;
    if (to) return;
    this.#say("hello");
    if (!status) return;
    if (this.lastEventId) this.#follow(status);
    else this.#seq = seq - 1;
  }

  /** @param {Told} told */
  #apply({ seq, to, status, messages = [], cursor = "" }) {
    this.#seq = seq;
    if (to) this.#overlaps = true;
    // Of ids that are no positions the hub cannot tell that this tab is ahead of it.
    const isAhead = to && !isUpTo(cursor, cursor) && this.#ring.has(cursor);
    const turn = this.#turn;
    if (status) this.#follow(status);
    for (const message of isAhead ? [] : messages) {
      // Whoever heard the last one left.
      if (this.#turn !== turn) return;
      this.#accept(message);
    }
    if (this.#turn === turn && cursor) this.#advance(cursor);
  }

  /** @param {Status} status */
  #follow(status) {
    const { state, phase, reason } = this.detail;
    if (status.state === state && status.phase === phase && status.reason === reason) return;
    if (status.phase === "ended") this.stop();
    const again = status.state === "connecting" && state !== "connecting";
    this.move(again ? "reconnecting" : status.state, status);
  }

  /** @param {Relayed} relayed */
  #accept({ own, ...message }) {
    if (own && this.#overlaps && message.type !== "gap") {
      if (this.#knows(message.lastEventId)) return;
      this.#overlaps = false;
    }
    // The hub may be behind.
    const { lastEventId } = own ? message : this;
    this.#ring.add(message, own);
    this.deliver({ ...message, lastEventId });
  }

  /** @param {string} cursor */
  #advance(cursor) {
    if (this.#overlaps && this.#knows(cursor)) return;
    this.moveTo(cursor);
    this.#ring.pass(cursor);
  }

  /** @param {string} id */
  #knows(id) {
    return id === this.lastEventId || this.#ring.has(id) || isUpTo(id, this.lastEventId);
  }
}
