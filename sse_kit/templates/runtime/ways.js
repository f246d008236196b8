/** @import { Hub } from "./hub.js" */
/** @import { Route, Wanted, Way } from "./types.js" */

/** One worker for all streams; its script is this module. */
const WORKER = "sse_kit";

/**
 * The hub is in a worker that all tabs have: it outlives each of them, and no tab's work holds it
 * up. A policy may forbid it, and text in a page has no address that it could be loaded from.
 *
 * @type {Way}
 */
function byWorker({ failed, lost }) {
  if (import.meta.url === document.baseURI) throw new Error("the module is in the page");
  const worker = new SharedWorker(import.meta.url, { type: "module", name: WORKER });
  const { port } = worker;
  worker.onerror = failed;
  const close = () => {
    port.postMessage({ type: "leave" });
    port.close();
  };
  // One that answered before has crashed, with the tab whose process it was in: there is a new one.
  return { wire: port, patience: 4, hung: (joined) => (joined ? lost() : failed()), close };
}

/**
 * The hub is in the tab that holds a lock: the browser gives it to the next one when that tab
 * closes, crashes, or lets go; when it hangs, another takes the lock away from it.
 *
 * @type {Way}
 */
function byLock(wanted) {
  return new Candidate(wanted);
}

/**
 * The tab has a hub of its own.
 *
 * @type {Way}
 */
function byItself({ makeHub }) {
  const { port1, port2 } = new MessageChannel();
  const hub = makeHub(port1);
  return { wire: port2, patience: 1, hung() {}, close: () => hub.leave(port1) };
}

/** What is tried for each mode, in order. */
export const WAYS = {
  auto: [byWorker, byLock, byItself],
  worker: [byWorker, byItself],
  locks: [byLock, byItself],
};

/** A tab that leads, or waits for its turn. @implements {Route} */
class Candidate {
  /** How the tab reaches whoever leads, itself too. */
  wire;
  patience = 1;
  #wanted;
  /** The hub, while this tab leads. @type {Hub | null} */
  #hub = null;
  /** Withdraws the candidacy. @type {AbortController | null} */
  #candidacy = null;
  #release = () => {};

  /** @param {Wanted} wanted */
  constructor(wanted) {
    if (!navigator.locks) throw new Error("no locks here");
    this.#wanted = wanted;
    this.wire = new BroadcastChannel(wanted.name);
    this.#stand(false);
  }

  /** Nobody answers: take the lock away from who has it. */
  hung() {
    if (!this.#hub) this.#stand(true);
  }

  close() {
    this.#candidacy?.abort();
    this.#resign();
    this.wire.close();
  }

  /** @param {boolean} steal */
  async #stand(steal) {
    this.#candidacy?.abort();
    this.#candidacy = new AbortController();
    const { signal } = this.#candidacy;
    try {
      const options = steal ? { steal } : { signal };
      await navigator.locks.request(this.#wanted.name, options, () => this.#lead(signal));
    } catch (error) {
      const withdrawnOrStolen = error instanceof DOMException && error.name === "AbortError";
      if (!withdrawnOrStolen) this.#wanted.failed();
    }
    if (signal.aborted) return;
    this.#resign();
    this.#stand(false);
  }

  /**
   * Lead for as long as the promise is not kept.
   *
   * @param {AbortSignal} signal
   */
  #lead(signal) {
    if (signal.aborted) return null;
    const wire = new BroadcastChannel(this.#wanted.name);
    this.#hub = this.#wanted.makeHub(wire);
    return new Promise((resolve) => {
      this.#release = () => {
        this.#hub?.leave(wire);
        this.#hub = null;
        resolve(null);
      };
    });
  }

  #resign() {
    this.#release();
    this.#release = () => {};
  }
}
