/** @import { ToHub } from "./types.js" */
import { Hub } from "./hub.js";
import { Ring } from "./ring.js";

/** A tab is asked for a sign of life this much less often than it asks for one. */
const RARELY = 4;

/** The hubs of all streams, by name. @type {Map<string, Hub>} */
const hubs = new Map();

/**
 * In the worker that all tabs have: serve one tab, for one stream.
 *
 * @param {MessageEvent} event  the tab connects
 */
export function serveTab({ ports: [port] }) {
  if (!port) return;
  port.onmessage = ({ data }) => {
    const hub = hubFor(data);
    hub.serve(port);
    hub.hear(port, data);
    watchTab(port, data, () => hub.leave(port));
  };
}

/** @param {ToHub} hello */
function hubFor({ name, url, settings, sharing, cursor: lastEventId }) {
  for (const [each, { detail }] of hubs) if (detail.phase === "ended") hubs.delete(each);
  const known = hubs.get(name);
  if (known) return known;
  const hub = new Hub(url, { ...settings, lastEventId }, new Ring(sharing.replay, lastEventId));
  hubs.set(name, hub);
  hub.open();
  return hub;
}

/**
 * Give up a tab that does not answer: it has crashed, and nobody says so. (Chromium 156 has no
 * event for it. A lock would tell, but a page that holds one which is waited for is never frozen.)
 *
 * @param {MessagePort} port
 * @param {ToHub} hello
 * @param {() => void} giveUp
 */
function watchTab(port, { sharing }, giveUp) {
  let heard = true;
  port.addEventListener("message", () => {
    heard = true;
  });
  const clock = setInterval(() => {
    if (heard) {
      heard = false;
      port.postMessage({ ask: true });
    } else {
      clearInterval(clock);
      giveUp();
    }
  }, RARELY * sharing.hungAfter);
}
