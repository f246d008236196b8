/** @import { Channel } from "./channel.js" */
/** @import { Settings } from "./types.js" */
import { backoff, later } from "./backoff.js";
import { isUpTo } from "./channel.js";
import { cursorOf, takeBlocks } from "./config.js";

const MARK = "data-sse-on-gap";
const ATTEMPTS = 5;

/**
 * Make right what a gap made wrong: fetch the fragments it concerns anew, from the server that
 * knows, while what the stream brings waits.
 *
 * Which ones: `onGap` of the connection, selector to URL; and each element in the connection's
 * element, or the document, that has `data-sse-on-gap="URL"`. An empty URL is this page's own: of
 * an answer that has the element's id in it, the content of that element alone is taken. An answer
 * that tells its cursor (the header SSE-Cursor, or the data block of a page) is not told again
 * what it holds already.
 *
 * @param {Channel} channel
 * @param {Settings} settings
 */
export function healGaps(channel, settings) {
  channel.addEventListener("gap", async (event) => {
    const { data, lastEventId } = /** @type {MessageEvent} */ (event);
    channel.tell("sse:gap", { ...parsed(data), lastEventId });
    const places = [...concerned(channel, settings.onGap ?? {})];
    if (!places.length) return;
    channel.hold(); // another gap waits too, and begins this again
    const cursors = await Promise.all(places.map(([place, url]) => heal(place, url, settings)));
    channel.release(earliest(cursors));
    channel.tell("sse:healed", { healed: !cursors.includes(null) });
  });
}

/** @param {string} data */
function parsed(data) {
  try {
    return JSON.parse(data);
  } catch {
    return { reason: data, missed: null };
  }
}

/**
 * @param {Channel} channel
 * @param {Record<string, string>} onGap
 * @returns {Map<Element, string>} the elements, and where their content comes from
 */
function concerned({ element }, onGap) {
  const places = new Map();
  for (const [selector, url] of Object.entries(onGap)) {
    document.querySelectorAll(selector).forEach((place) => places.set(place, url));
  }
  const marked = [...(element ?? document).querySelectorAll(`[${MARK}]`)];
  if (element?.hasAttribute(MARK)) marked.push(element);
  for (const place of marked) places.set(place, place.getAttribute(MARK) ?? "");
  return places;
}

/**
 * @param {Element} place
 * @param {string} url
 * @param {Settings} settings
 * @returns {Promise<string | null>} the cursor of what is shown now, or null: it could not be had
 */
async function heal(place, url, settings) {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    try {
      return await refetch(place, url || location.href, settings);
    } catch {
      await new Promise((resolve) => later(() => resolve(null), backoff(attempt, settings)));
    }
  }
  return null;
}

/**
 * @param {Element} place
 * @param {string} url
 * @param {Settings} settings
 */
async function refetch(place, url, { headers, credentials, connectTimeout }) {
  const signal = connectTimeout === null ? null : AbortSignal.timeout(connectTimeout);
  const answer = await fetch(url, {
    headers: headers ?? {},
    credentials,
    cache: "no-store",
    signal,
  });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  const template = document.createElement("template"); // its scripts never run
  template.innerHTML = await answer.text();
  const blocks = takeBlocks(template.content);
  const found = place.id && template.content.getElementById(place.id);
  place.replaceChildren(...(found || template.content).childNodes);
  /** @type {any} */ (globalThis).htmx?.process(place);
  return answer.headers.get("SSE-Cursor") ?? cursorOf(blocks);
}

/**
 * @param {(string | null)[]} cursors
 * @returns {string} "" if one is not known, or they are of different logs
 */
function earliest(cursors) {
  const known = cursors.map((cursor) => cursor ?? "");
  return known.find((cursor) => known.every((other) => isUpTo(cursor, other))) ?? "";
}
