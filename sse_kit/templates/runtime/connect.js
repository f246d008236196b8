/** @import { StreamOverrides } from "./models.js" */
/** @import { ConnectOptions } from "./types.js" */
import { config } from "./config.js";
import { Connection } from "./connection.js";
import { healGaps } from "./gaps.js";
import { attend } from "./lifecycle.js";

/**
 * Open a stream for this page: it leaves and comes back with the page, and heals its gaps.
 *
 * @param {string | URL} url
 * @param {ConnectOptions} [options]  what they leave out is the page's config
 */
export function connect(url, options = {}) {
  const settings = { ...config.connection, ...options };
  settings.lastEventId ??= cursorFor(settings.element ?? null, pageCursor());
  const connection = new Connection(String(url), settings);
  healGaps(connection, settings);
  attend(connection);
  connection.open();
  return connection;
}

/**
 * Return where the content of an element was rendered, so that nothing after it is lost: the
 * `data-sse-cursor` of it or of what is around it, or else that of the page or fragment it is in.
 *
 * @param {Element | null} element
 * @param {string} otherwise
 */
export function cursorFor(element, otherwise) {
  const near = element?.closest("[data-sse-cursor]");
  return near?.getAttribute("data-sse-cursor") ?? otherwise;
}

/** What comes after the page has loaded was not rendered with it. */
function pageCursor() {
  return document.readyState === "complete" ? "" : config.cursor;
}

/**
 * Open a stream that a data block names.
 *
 * @param {StreamOverrides} stream
 * @param {string} cursor  where the page or fragment that the block is in was rendered
 */
export function connectStream(stream, cursor) {
  const { url, element: selector, events = [], onGap = {}, connection } = stream;
  const element = selector ? document.querySelector(selector) : null;
  const lastEventId = stream.cursor || cursorFor(element, cursor);
  return connect(url, { ...connection, element, events, onGap, lastEventId });
}
