/** @import { ConnectionConfig } from "./models.js" */

/** A timer for more milliseconds than fit into 31 bits fires at once. */
const LONGEST = 2 ** 31 - 1;

/**
 * Return the milliseconds before the `attempt`-th retry in a row, counted from 1: full jitter, so
 * that clients which were cut off together don't come back together, above a floor, so that none
 * comes back in no time.
 *
 * @param {number} attempt
 * @param {Pick<ConnectionConfig, "baseDelay" | "factor" | "minDelay" | "maxDelay">} config
 * @param {number | null} [retry]  the server's reconnection time: the base in place of the config's
 */
export function backoff(attempt, { baseDelay, factor, minDelay, maxDelay }, retry = null) {
  const window = Math.min(maxDelay, (retry ?? baseDelay) * factor ** (attempt - 1));
  return Math.round(minDelay + Math.random() * Math.max(0, window - minDelay));
}

/**
 * Return the milliseconds that a `Retry-After` asks for (RFC 9110, 10.2.3): seconds, or a date.
 *
 * @param {string | null} value
 */
export function retryAfter(value) {
  if (!value) return 0;
  const delay = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Math.max(0, delay) || 0; // no date is not a number
}

/**
 * @param {() => void} callback
 * @param {number} delay
 * @returns {ReturnType<typeof setTimeout>}
 */
export function later(callback, delay) {
  return setTimeout(callback, Math.min(delay, LONGEST));
}
