import { connecting } from "./places.js";

/**
 * What a stream may put into the page, unless the element that shows it says `data-sse-trusted`:
 * HTML as the standard has it, without what runs, loads documents, or makes a library act.
 *
 * These are lists of what stays, not of what goes: nobody knows all attributes that some library
 * runs. So there are no `data-` attributes, and of htmx's only `hx-swap-oob`, inside limits (see
 * `staysInside`). Of other elements the text stays, but for those in `DROPPED`, which hold other
 * languages; and forms, which act for whoever is logged in, and whose fields hide their methods.
 */
const ELEMENTS = words(`a abbr address article aside b bdi bdo blockquote br button caption circle
  cite code col colgroup dd del details dfn div dl dt em ellipse fieldset figcaption figure footer g
  h1 h2 h3 h4 h5 h6 header hr i img input ins kbd label legend li line main mark meter nav ol
  optgroup option output p path picture polygon polyline pre progress q rect s samp section select
  small source span strong sub summary sup svg table tbody td template text textarea tfoot th thead
  time tr tspan u ul use var wbr`);

const ATTRIBUTES = words(`abbr alt checked cite class cols colspan cx cy d datetime dir disabled
  download dx dy headers height hidden high href hreflang hx-swap-oob id inputmode label lang list
  low max maxlength media min minlength multiple opacity open optimum pattern placeholder points r
  readonly rel required reversed role rows rowspan rx ry scope selected size sizes span src srcset
  start step style tabindex target title transform translate type value viewBox width wrap x x1 x2
  xmlns y y1 y2`);

/** As `stroke-width`, `aria-label`. */
const FAMILIES = /^(?:aria|fill|font|stroke|text)(?:-|$)/;

const DROPPED =
  "form,iframe,math,noembed,noframes,noscript,object,plaintext,script,style,title,xmp";

const ROUNDS = 4;

/** @param {string} text */
function words(text) {
  return new Set(text.split(/\s+/));
}

/**
 * Return the HTML of a message as `element` may show it.
 *
 * @param {Element} element
 * @param {string} html
 */
export function safeFor(element, html) {
  if (element.closest("[data-sse-trusted]")) return html;
  /** @type {Set<string>} */
  const taken = new Set();
  const safe = safeHtml(html, element, taken);
  if (taken.size) {
    const detail = { taken: [...taken] };
    element.dispatchEvent(new CustomEvent("sse:cleaned", { detail, bubbles: true }));
  }
  return safe;
}

/**
 * Return `html` without what may act, and tell what was taken out.
 *
 * What is returned was written from a clean tree, and found clean when it was read again: a text
 * that a parser reads differently the second time is not. In doubt all of it is plain text.
 *
 * @param {string} html
 * @param {Element} element
 * @param {Set<string>} taken
 */
function safeHtml(html, element, taken) {
  const template = document.createElement("template"); // nothing in it loads or runs
  template.innerHTML = html;
  try {
    clean(template.content, element, taken);
    for (let round = 0; round < ROUNDS; round += 1) {
      const text = template.innerHTML;
      const more = new Set();
      template.innerHTML = text;
      clean(template.content, element, more);
      // htmx looks for these tags by a pattern, wherever they stand.
      if (!more.size && !/<\/?(?:head|hx-)/i.test(text)) return text;
    }
  } catch (error) {
    reportError(error);
  }
  taken.add("all");
  return html.replace(/&/g, "&amp;").replace(/</g, "&lt;");
}

/**
 * @param {DocumentFragment} fragment
 * @param {Element} element
 * @param {Set<string>} taken
 */
function clean(fragment, element, taken) {
  for (const each of fragment.querySelectorAll(DROPPED)) {
    taken.add(each.localName);
    Element.prototype.remove.call(each); // a form's own may be a field of it
  }
  for (const each of fragment.querySelectorAll("*")) {
    if (!ELEMENTS.has(each.localName)) {
      taken.add(each.localName);
      each.replaceWith(...each.childNodes);
    } else if (!staysInside(each, element)) {
      taken.add("hx-swap-oob");
      each.remove();
    } else {
      cleanAttributes(each, taken);
      if (each instanceof HTMLTemplateElement) clean(each.content, element, taken);
    }
  }
}

/**
 * @param {Element} element
 * @param {Set<string>} taken
 */
function cleanAttributes(element, taken) {
  for (const name of element.getAttributeNames()) {
    const known = ATTRIBUTES.has(name) || FAMILIES.test(name);
    if (known && isHarmless(name, element.getAttribute(name) ?? "")) continue;
    taken.add(name);
    element.removeAttribute(name);
  }
}

/**
 * @param {string} name
 * @param {string} value
 */
function isHarmless(name, value) {
  if (name !== "href" && name !== "src") return true;
  const [, scheme] = /^([^/?#]*):/.exec(value.replace(/[\0- ]/g, "")) ?? [];
  return (
    !scheme ||
    /^(?:https?|mailto|tel)$/i.test(scheme) ||
    (name === "src" && /^data:image\//i.test(value))
  );
}

/**
 * Tell whether an out-of-band swap changes only what it may: what is in the element that connects
 * to the stream, and what that names in `data-sse-targets`. The forms that htmx reads differently
 * from version to version, such as several selectors, are none.
 *
 * @param {Element} swapped
 * @param {Element} element
 */
function staysInside(swapped, element) {
  const wish = swapped.getAttribute("hx-swap-oob");
  if (wish === null) return true;
  const match = /^(?:[a-z]+(?::([^\s,]+))?)?$/i.exec(wish);
  const selector = match?.[1] ?? (swapped.id && `#${CSS.escape(swapped.id)}`);
  if (!match || !selector) return false;
  const scope = connecting(element) ?? element;
  const named = scope.getAttribute("data-sse-targets");
  try {
    return [...document.querySelectorAll(selector)].every(
      (target) => (named && target.matches(named)) || (target !== scope && scope.contains(target)),
    );
  } catch {
    return false; // no selector
  }
}
