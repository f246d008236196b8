// A module of its own beside the runtime, for the pages of those who write them: what streams do, and
// what in the page cannot work, with the remedy, is written to the console.
/** @import { Channel } from "./channel.js" */
/** @import { Message } from "./types.js" */
import { later } from "./backoff.js";
import { kit } from "./kit.js";
import { addressOf, connecting } from "./places.js";

/** Of htmx 2 and 4; what an event should not be called. */
const STYLES =
  /^(?:innerHTML|outerHTML|textContent|before(?:begin|end)|after(?:begin|end)|(?:inner|outer)Morph|outerSync)$/;
const SWAPS = ["sse-swap", "data-sse-swap"];
const SWAPPING = SWAPS.map((name) => `[${name}]`).join();
const OWN = new Set(["gap", "bye", "close"]);

/** What was said already. @type {Set<string>} */
const told = new Set();

/** What each element was sent. @type {WeakMap<Element, Set<string>>} */
const heard = new WeakMap();

/**
 * Say once, in the console, what is wrong and what to do.
 *
 * @param {string} text
 * @param {Element} [element]
 */
function tell(text, element) {
  const line = `[sse_kit] ${element ? `${nameOf(element)} ` : ""}${text}`;
  if (told.has(line)) return;
  told.add(line);
  console.warn(line);
}

/** @param {Element} element */
function nameOf(element) {
  return element.id ? `#${element.id}` : `<${element.localName}>`;
}

/** The version of htmx: "2", "4", or "" if there is none. */
function version() {
  return String(/** @type {any} */ (globalThis).htmx?.version ?? "").charAt(0);
}

/** @param {Element} element */
function swapsOf(element) {
  const names = SWAPS.map((name) => element.getAttribute(name)).find((value) => value !== null);
  return (names ?? "").split(",").flatMap((name) => name.trim() || []);
}

/** Milliseconds after a change, in which htmx does what it has to. */
const SETTLED = 500;

/** @type {ReturnType<typeof setTimeout> | undefined} */
let look;

/** Look for what cannot work in the page as it is, once it is quiet. */
function lookSoon() {
  clearTimeout(look);
  look = later(lookForMisuse, SETTLED);
}

function lookForMisuse() {
  if (document.readyState !== "complete") {
    lookSoon();
    return;
  }
  checkScripts();
  document.querySelectorAll(SWAPPING).forEach(checkSwap);
  for (const element of document.querySelectorAll("*")) {
    if (addressOf(element) !== null) checkConnection(element);
  }
  console.debug("[sse_kit] looked for misuse");
}

function checkScripts() {
  const sources = [...document.scripts].map(({ src }) => src);
  const cores = new Set(sources.filter((src) => /\/htmx(?:\.min)?\.js\b/.test(src)));
  if (cores.size > 1) tell(`htmx is loaded twice, keep one: ${[...cores].join(" and ")}`);
  const old = sources.find((src) => /htmx-ext-sse/.test(src));
  const young = sources.find((src) => /\/hx-sse(?:\.min)?\.js/.test(src));
  if (version() === "2" && young) {
    tell(
      `${young} is for htmx 4, this is htmx 2: leave exts="sse4" out, install_sse adds the right one`,
    );
  } else if (version() === "4" && old) {
    tell(`${old} is for htmx 2, this is htmx 4: load htmx.org's dist/ext/hx-sse.js`);
  }
}

/** @param {Element} element */
function checkSwap(element) {
  const names = swapsOf(element);
  const style = names.find((name) => STYLES.test(name));
  if (style)
    tell(`waits for an event "${style}", which is a style: write hx-swap="${style}"`, element);
  const source = connecting(element);
  if (!source) {
    tell(
      `waits for "${names}", but nothing feeds it: put it into an element with sse-connect`,
      element,
    );
  } else if (version() === "4" && source !== element) {
    const remedy = "name the event there, and send parts with hx-swap-oob";
    tell(`waits for "${names}", but htmx 4 swaps into ${nameOf(source)} alone: ${remedy}`, element);
  } else if (version() === "4" && element.hasAttribute("sse-swap")) {
    tell("has sse-swap, which htmx 4 does not know: create_sse_element(…, htmx=4)", element);
  }
}

/** @param {Element} element */
function checkConnection(element) {
  const young = element.getAttributeNames().some((name) => /hx-sse.connect$/.test(name));
  const live = [...kit().channels].some((channel) => channel.element === element);
  if (version() === "2" && young) {
    tell("is made for htmx 4, this is htmx 2: create_sse_element(…, htmx=2)", element);
  } else if (version() === "" || (!live && !element.hasAttribute("data-sse-state"))) {
    const remedy = version() === "4" ? "hx-sse.js of htmx.org" : 'htmx-ext-sse, with hx-ext="sse"';
    tell(`is not connected: load the extension for it, ${remedy}`, element);
  }
  const style = element.getAttribute("hx-swap") ?? "";
  if (/^(?:outer|delete)/.test(style) && (young || swapsOf(element).length)) {
    tell(
      `has hx-swap="${style}": its first message ends its stream with it; put another inside`,
      element,
    );
  }
}

/** @param {Event} event */
function tellOfCleaning(event) {
  const { target, detail } = /** @type {CustomEvent} */ (event);
  const remedy = "if no user wrote it, say trusted=True; if it changes other elements, targets=…";
  tell(`shows a message without its ${detail.taken.join(", ")}: ${remedy}`, asElement(target));
}

/** @param {EventTarget | null} target */
function asElement(target) {
  return target instanceof Element ? target : undefined;
}

/** @param {Event} event */
function tellOfState(event) {
  if (!kit().config.debug) return;
  const { source, state, phase, reason, attempt, delay } = /** @type {CustomEvent} */ (event)
    .detail;
  const retry = phase === "waiting" ? `, attempt ${attempt} in ${delay} ms` : "";
  console.log(`[sse_kit] ${source.url} ${state}/${phase} ${reason}${retry}`);
  source.addEventListener("sse:event", hear);
}

/** @param {Event} event */
function hear(event) {
  const { currentTarget, detail } = /** @type {CustomEvent<Message>} */ (event);
  const { element, url } = /** @type {Channel} */ (currentTarget);
  const { type } = detail;
  if (!element || addressOf(element) === null || OWN.has(type)) return;
  const names = heard.get(element) ?? new Set();
  heard.set(element, names.add(type));
  const waiting = [element, ...element.querySelectorAll(SWAPPING)];
  if (waiting.some((each) => swapsOf(each).includes(type))) return;
  for (const each of waiting) {
    const silent = swapsOf(each).find((name) => !names.has(name) && !OWN.has(name));
    if (silent)
      tell(`waits for "${silent}", but ${url} sends "${type}", which nothing shows`, each);
  }
}

function watch() {
  if (!kit().config.debug) return;
  document.addEventListener("sse:cleaned", tellOfCleaning);
  new MutationObserver(lookSoon).observe(document, { childList: true, subtree: true });
  lookSoon();
}

// At once: the page's first streams open before it is ready.
document.addEventListener("sse:state", tellOfState);
if (kit()) watch();
else document.addEventListener("sse:ready", watch);
