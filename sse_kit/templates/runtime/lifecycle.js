/** @import { Connection } from "./connection.js" */
import { later } from "./backoff.js";
import { channels } from "./channel.js";
import { config } from "./config.js";

/** The page's reasons to hold no stream at present. @type {Set<string>} */
const away = new Set();

/** The elements that were seen in the document: only they can be removed from it. */
const seen = new WeakSet();

/** @returns {Connection[]} */
function connections() {
  return /** @type {Connection[]} */ ([...channels].filter((channel) => "pause" in channel));
}

/** @param {string} why */
function leave(why) {
  away.add(why);
  for (const connection of connections()) connection.pause(why);
}

/** @param {string} why */
function comeBack(why) {
  away.delete(why);
  for (const connection of connections()) connection.resume(why);
}

/**
 * Have a connection keep to what the page does; before it is opened.
 *
 * @param {Connection} connection
 */
export function attend(connection) {
  if (connection.element?.isConnected) seen.add(connection.element);
  for (const why of away) connection.pause(why);
}

/**
 * Leave and come back with the page.
 *
 * `pagehide`, not `beforeunload`: that fires for a download link too, and the page stays.
 * A page that the browser keeps for the back button, freezes, or renders before anybody asked for
 * it, holds no stream; each goes on from its cursor when the page is back. (Chromium 156 lets go of
 * the connection of a frozen page only when it thaws, whoever closes it; nothing is read from it.)
 */
export function watchPage() {
  addEventListener("pagehide", () => leave("pagehide"));
  addEventListener("pageshow", () => comeBack("pagehide"));
  document.addEventListener("freeze", () => leave("frozen"));
  document.addEventListener("resume", () => comeBack("frozen"));
  addEventListener("online", () => connections().forEach((connection) => connection.wake()));
  document.addEventListener("visibilitychange", () => document.hidden || reviveExhausted());
  if ("prerendering" in document && document.prerendering) {
    leave("prerendering");
    document.addEventListener("prerenderingchange", () => comeBack("prerendering"), { once: true });
  }
  watchVisibility();
}

/** Somebody looks again at what gave up: that is worth another round of attempts. */
function reviveExhausted() {
  const exhausted = connections().filter(({ detail }) => detail.reason === "max-retries");
  exhausted.forEach((connection) => connection.reconnect());
}

function watchVisibility() {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const look = () => {
    clearTimeout(timer);
    const patience = config.lifecycle.pauseHiddenAfter;
    if (!document.hidden) comeBack("hidden");
    else if (patience !== null) timer = later(() => leave("hidden"), patience);
  };
  document.addEventListener("visibilitychange", look);
  look();
}

/** Close the streams whose element is gone from the document, by whatever call. */
export function closeRemoved() {
  for (const channel of connections()) {
    const { element } = channel;
    if (!element) continue;
    if (element.isConnected) seen.add(element);
    else if (seen.has(element)) channel.close("removed");
  }
}
