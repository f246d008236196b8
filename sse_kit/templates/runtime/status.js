/** @import { State } from "./types.js" */
import { channels } from "./channel.js";
import { config } from "./config.js";

export const INDICATORS = "[data-sse-status]";

/** Of several streams an indicator shows the one that is worst off. */
const WORST_FIRST = /** @type {const} */ ([
  "error",
  "reconnecting",
  "connecting",
  "connected",
  "disconnected",
]);

/**
 * Write the state into each indicator: `data-sse-state` on it, for its light, and in words into
 * its `[data-sse-text]`. `data-sse-status` may be the selector of the one element it is about.
 */
export function showStatus() {
  for (const indicator of document.querySelectorAll(INDICATORS)) {
    const state = worst(indicator.getAttribute("data-sse-status"));
    if (!state || indicator.getAttribute("data-sse-state") === state) continue;
    indicator.setAttribute("data-sse-state", state);
    const words = indicator.querySelector("[data-sse-text]") ?? indicator;
    words.textContent = wordsFor(state);
  }
}

/** @param {State} state */
function wordsFor(state) {
  const { connecting, connected, reconnecting, disconnected, error } = config.status;
  return { connecting, connected, reconnecting, disconnected, error }[state];
}

/** @param {string | null} selector */
function worst(selector) {
  const meant = [...channels].filter(({ element }) => !selector || element?.matches(selector));
  const states = meant.map(({ state }) => state);
  return WORST_FIRST.find((state) => states.includes(state)) ?? (states.length ? "error" : null);
}
