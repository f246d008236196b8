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
  settings.lastEventId ??= cursorFor(settings.element ?? null);
  const connection = new Connection(String(url), settings);
  healGaps(connection, settings);
  attend(connection);
  connection.open();
  return connection;
}

/**
 * Return where the page was rendered, so that nothing after it is lost: the `data-sse-cursor` of
 * the element or one around it, or else, until the page has loaded, the cursor of the page.
 *
 * @param {Element | null} element
 */
export function cursorFor(element) {
  const near = element?.closest("[data-sse-cursor]")?.getAttribute("data-sse-cursor");
  return near ?? (document.readyState === "complete" ? "" : config.cursor);
}

/**
 * Open a stream that a data block names.
 *
 * @param {StreamOverrides} stream
 * @param {string} [blockCursor]
 */
export function connectStream(stream, blockCursor) {
  const { url, element, events = [], onGap = {}, connection, cursor = blockCursor } = stream;
  return connect(url, {
    ...connection,
    element: element ? document.querySelector(element) : null,
    events,
    onGap,
    ...(cursor ? { lastEventId: cursor } : {}),
  });
}
