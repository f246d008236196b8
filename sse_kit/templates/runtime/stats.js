import { backoff, later } from "./backoff.js";
import { config } from "./config.js";

/** An endpoint that fails is asked again after so many intervals at most. */
const MOST = 16;

/** Milliseconds in which several changes are one reason to ask. */
const SOON = 100;

/** @type {ReturnType<typeof setTimeout> | undefined} */
let next;
/** @type {AbortController | null} */
let asking = null;
let failures = 0;

/**
 * Show what `config.stats` tells to ask for, or a stream's event brings: fire `sse:stats` at the
 * document with it, and write each number into the elements that name it by its path,
 * `data-sse-stats="by_type.user"`.
 *
 * The endpoint is asked at an interval, and soon after a stream opened or ended; less and less often
 * while it fails; not at all while nobody looks, which is true of a page that was left, too.
 */
export function watchStats() {
  document.addEventListener("visibilitychange", askAgain);
  document.addEventListener("sse:state", (event) => {
    const { phase, source } = /** @type {CustomEvent} */ (event).detail;
    if (config.stats.event) source.addEventListener(config.stats.event, showMessage);
    if (!failures && (phase === "open" || phase === "ended")) askIn(SOON);
  });
}

/** Begin, or go on, with the config of now. */
export function askAgain() {
  failures = 0;
  asking?.abort();
  askIn(0);
}

/** @param {number} delay */
function askIn(delay) {
  clearTimeout(next);
  next = config.stats.endpoint && !document.hidden ? later(ask, delay) : undefined;
}

async function ask() {
  const { endpoint, interval, timeout } = config.stats;
  asking?.abort();
  next = undefined;
  const request = (asking = new AbortController());
  const { signal } = request;
  const timer = later(() => request.abort("timeout"), timeout);
  try {
    const answer = await fetch(endpoint, { cache: "no-store", signal });
    if (!answer.ok) throw new Error(`${endpoint} answered ${answer.status}`);
    show(await answer.json());
    failures = 0;
  } catch {
    if (signal.aborted && signal.reason !== "timeout") return; // another is asked instead
    failures += 1;
  } finally {
    clearTimeout(timer);
  }
  if (next) return; // something happened meanwhile
  const patience = { baseDelay: interval * 2, factor: 2, minDelay: interval };
  askIn(failures ? backoff(failures, { ...patience, maxDelay: interval * MOST }) : interval);
}

/** @param {MessageEvent} event */
function showMessage({ data }) {
  show(JSON.parse(data));
}

/** @param {unknown} stats */
function show(stats) {
  document.dispatchEvent(new CustomEvent("sse:stats", { detail: stats }));
  for (const place of document.querySelectorAll("[data-sse-stats]")) {
    const value = valueAt(stats, place.getAttribute("data-sse-stats") ?? "");
    if (value !== undefined && Object(value) !== value) place.textContent = String(value);
  }
}

/**
 * Return what is at a path. A count that is missing among others, as that of a type of which there
 * are no more connections, is 0.
 *
 * @param {any} stats
 * @param {string} path  a name of its own may have dots in it
 * @returns {unknown}
 */
export function valueAt(stats, path) {
  if (Object(stats) !== stats) return undefined;
  if (Object.hasOwn(stats, path)) return stats[path];
  for (let dot = path.indexOf("."); dot > 0; dot = path.indexOf(".", dot + 1)) {
    const inner = valueAt(stats, path.slice(0, dot));
    const found = valueAt(inner, path.slice(dot + 1));
    if (found !== undefined) return found;
    if (isCounts(inner)) return 0;
  }
  return undefined;
}

/** @param {unknown} value */
function isCounts(value) {
  const counts = Object(value) === value && Object.values(Object(value));
  return counts && counts.every((/** @type {unknown} */ count) => Number.isInteger(count));
}
