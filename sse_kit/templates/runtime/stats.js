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
let away = false;

/**
 * Show what `config.stats` tells to ask for, or a stream's event brings: fire `sse:stats` at the
 * document with it, and write each number into the elements that name it by its path,
 * `data-sse-stats="by_type.user"`.
 *
 * The endpoint is asked at an interval, and soon after a stream opened or ended; less and less often
 * while it fails; not at all while nobody looks.
 */
export function watchStats() {
  document.addEventListener("visibilitychange", askAgain);
  addEventListener("pagehide", () => pageIs(true));
  addEventListener("pageshow", () => pageIs(false));
  document.addEventListener("sse:state", (event) => {
    const { phase, source } = /** @type {CustomEvent} */ (event).detail;
    const { event: name, endpoint } = config.stats;
    if (name) source.addEventListener(name, showMessage);
    if (endpoint && !failures && (phase === "open" || phase === "ended")) askIn(SOON);
  });
}

/** Begin, or go on, with the config of now. */
export function askAgain() {
  failures = 0;
  if (away || document.hidden) stopAsking();
  else if (config.stats.endpoint) askIn(0);
}

/** @param {boolean} gone */
function pageIs(gone) {
  away = gone;
  askAgain();
}

function stopAsking() {
  clearTimeout(next);
  asking?.abort();
  asking = null;
}

/** @param {number} delay */
function askIn(delay) {
  clearTimeout(next);
  if (!away && !document.hidden) next = later(ask, delay);
}

async function ask() {
  const { endpoint, interval, timeout } = config.stats;
  stopAsking();
  const request = (asking = new AbortController());
  const timer = later(() => request.abort(), timeout);
  try {
    const answer = await fetch(endpoint, { cache: "no-store", signal: request.signal });
    if (!answer.ok) throw new Error(`${endpoint} answered ${answer.status}`);
    const stats = await answer.json();
    if (asking !== request) return;
    failures = 0;
    show(stats);
  } catch {
    failures += 1;
  }
  clearTimeout(timer);
  if (asking === request) askIn(failures ? slowly(interval) : interval);
}

/** @param {number} interval */
function slowly(interval) {
  const patience = { baseDelay: interval * 2, factor: 2, minDelay: interval };
  return backoff(failures, { ...patience, maxDelay: interval * MOST });
}

/** @param {Event} event */
function showMessage(event) {
  try {
    show(JSON.parse(/** @type {MessageEvent} */ (event).data));
  } catch (error) {
    reportError(error);
  }
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
 * @param {unknown} stats
 * @param {string} path  a name of its own may have dots in it
 * @returns {unknown}
 */
export function valueAt(stats, path) {
  const object = /** @type {Record<string, unknown>} */ (Object(stats));
  if (Object.hasOwn(object, path)) return object[path];
  for (let dot = path.indexOf("."); dot > 0; dot = path.indexOf(".", dot + 1)) {
    const [outer, inner] = [path.slice(0, dot), path.slice(dot + 1)];
    if (Object.hasOwn(object, outer)) return valueAt(object[outer], inner) ?? absent(object[outer]);
  }
  return undefined;
}

/** @param {unknown} counts */
function absent(counts) {
  const are = Object(counts) === counts && Object.values(Object(counts));
  return are && are.every((/** @type {unknown} */ count) => typeof count === "number") ? 0 : undefined;
}
