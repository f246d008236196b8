import { connecting } from "./places.js";

/**
 * What a stream may put into the page, unless the element that shows it says `data-sse-trusted`:
 * HTML as the standard has it, without what runs, loads documents, or makes a library act.
 *
 * A list of what stays, not of what goes: nobody knows all attributes that some library runs. So
 * there are no `data-` attributes, and of htmx's only `hx-swap-oob`, inside limits (see
 * `staysInside`). Of what is not on the list, the text stays; of what holds other languages,
 * nothing. Forms go too: they act for whoever is logged in, and hide the properties of elements
 * behind their fields.
 */

const HTML = "http://www.w3.org/1999/xhtml";
const SVG = "http://www.w3.org/2000/svg";

/** @param {string} text */
const words = (text) => new Set(text.trim().split(/\s+/));

/** @type {Record<string, Set<string>>} */
const ELEMENTS = {
  [HTML]: words(`a abbr address article aside audio b bdi bdo blockquote br button caption cite code
    col colgroup data datalist dd del details dfn div dl dt em fieldset figcaption figure footer h1
    h2 h3 h4 h5 h6 header hgroup hr i img input ins kbd label legend li main mark menu meter nav ol
    optgroup option output p picture pre progress q rp rt ruby s samp search section select small
    source span strong sub summary sup table tbody td template textarea tfoot th thead time tr track
    u ul var video wbr`),
  [SVG]: words(`circle clipPath defs desc ellipse g line linearGradient mask path polygon polyline
    radialGradient rect stop svg symbol text tspan use`),
};

/** Beside `aria-…`. */
const ATTRIBUTES = words(`abbr alt checked cite class clip-path clip-rule cols colspan controls cx cy
  d datetime default dir disabled dominant-baseline download dx dy fill fill-opacity fill-rule
  font-size font-weight fx fy gradientTransform gradientUnits headers height hidden high href
  hreflang hx-swap-oob id inputmode kind label lang list loading loop low mask max maxlength min
  minlength multiple muted offset opacity open optimum pattern placeholder points poster preload
  preserveAspectRatio r readonly rel required reversed role rows rowspan rx ry scope selected size
  sizes span src srclang start step stop-color stop-opacity stroke stroke-dasharray
  stroke-dashoffset stroke-linecap stroke-linejoin stroke-opacity stroke-width style tabindex target
  text-anchor title transform translate type value viewBox width wrap x x1 x2 xmlns y y1 y2`);

const DROPPED = words(`form iframe math noembed noframes noscript object plaintext script style title
  xmp`);

const ROUNDS = 4;

/**
 * Return the HTML of a message as `element` may show it.
 *
 * @param {Element} element
 * @param {string} html
 */
export function safeFor(element, html) {
  if (element.closest("[data-sse-trusted]")) return html;
  const { text, taken } = safeHtml(html, (target) => mayChange(element, target));
  if (taken.size) {
    const detail = { taken: [...taken] };
    element.dispatchEvent(new CustomEvent("sse:cleaned", { detail, bubbles: true }));
  }
  return text;
}

/**
 * Return `html` without what may act, and what was taken out of it.
 *
 * The text that is returned was written from a clean tree, and found clean when it was read again:
 * one that a parser reads differently the second time is not. In doubt all of it is plain text.
 *
 * @param {string} html
 * @param {(target: Element) => boolean} mayChange  what an out-of-band swap may change
 */
export function safeHtml(html, mayChange) {
  /** @type {Set<string>} */
  const taken = new Set();
  const template = document.createElement("template"); // nothing in it loads or runs
  template.innerHTML = html;
  try {
    clean(template.content, mayChange, taken);
    for (let round = 0; round < ROUNDS; round += 1) {
      const text = template.innerHTML;
      const more = new Set();
      template.innerHTML = text;
      clean(template.content, mayChange, more);
      if (!more.size && isPlain(text)) return { text, taken };
    }
  } catch (error) {
    reportError(error);
  }
  const plain = document.createElement("span");
  plain.textContent = html;
  return { text: plain.innerHTML, taken: taken.add("all") };
}

/** htmx looks for these by patterns, wherever they stand. @param {string} html */
function isPlain(html) {
  return !/<\/?(?:head|hx-)/i.test(html);
}

/**
 * @param {DocumentFragment} fragment
 * @param {(target: Element) => boolean} mayChange
 * @param {Set<string>} taken
 */
function clean(fragment, mayChange, taken) {
  const comments = document.createNodeIterator(fragment, NodeFilter.SHOW_COMMENT);
  for (let node = comments.nextNode(); node; node = comments.nextNode()) {
    /** @type {Comment} */ (node).remove();
  }
  for (const element of fragment.querySelectorAll([...DROPPED].join())) {
    taken.add(element.localName);
    // Not by the form's own method: a field of that name hides it.
    Element.prototype.remove.call(element);
  }
  for (const element of fragment.querySelectorAll("*")) cleanElement(element, mayChange, taken);
}

/**
 * @param {Element} element
 * @param {(target: Element) => boolean} mayChange
 * @param {Set<string>} taken
 */
function cleanElement(element, mayChange, taken) {
  const { localName } = element;
  if (!ELEMENTS[element.namespaceURI ?? ""]?.has(localName)) {
    taken.add(localName);
    element.replaceWith(...element.childNodes);
  } else if (!staysInside(element, mayChange)) {
    taken.add("hx-swap-oob");
    element.remove();
  } else {
    cleanAttributes(element, taken);
    if (element instanceof HTMLTemplateElement) clean(element.content, mayChange, taken);
  }
}

/**
 * @param {Element} element
 * @param {Set<string>} taken
 */
function cleanAttributes(element, taken) {
  for (const name of element.getAttributeNames()) {
    const stays = ATTRIBUTES.has(name) || name.startsWith("aria-");
    if (stays && isHarmless(name, element.getAttribute(name) ?? "")) continue;
    taken.add(name);
    element.removeAttribute(name);
  }
}

/**
 * @param {string} name
 * @param {string} value
 */
function isHarmless(name, value) {
  if (name !== "href" && name !== "src" && name !== "poster") return true;
  if (name === "src" && /^data:image\//i.test(value)) return true;
  try {
    return /^(?:https?|mailto|tel):$/.test(new URL(value, document.baseURI).protocol);
  } catch {
    return false;
  }
}

/**
 * Tell whether an out-of-band swap changes only what it may. The forms that htmx reads differently
 * from version to version, such as several selectors, do not.
 *
 * @param {Element} element
 * @param {(target: Element) => boolean} mayChange
 */
function staysInside(element, mayChange) {
  const wish = element.getAttribute("hx-swap-oob");
  if (wish === null) return true;
  const match = /^(?:[a-z]+(?::([^\s,]+))?)?$/i.exec(wish);
  const selector = match?.[1] ?? (element.id && `#${CSS.escape(element.id)}`);
  if (!match || !selector) return false;
  try {
    return [...document.querySelectorAll(selector)].every(mayChange);
  } catch {
    return false;
  }
}

/**
 * A stream may change what is in the element that connects to it, and what that names.
 *
 * @param {Element} element
 * @param {Element} target
 */
function mayChange(element, target) {
  const scope = connecting(element) ?? element;
  const named = scope.getAttribute("data-sse-targets");
  if (named && target.matches(named)) return true;
  return target !== scope && scope.contains(target);
}
