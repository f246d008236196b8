/**
 * Return the element with an id, which the page has.
 *
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/**
 * Return a copy of what is in a template.
 *
 * @param {string} id
 * @returns {HTMLElement}
 */
export function copy(id) {
  const template = /** @type {HTMLTemplateElement} */ (byId(id));
  return /** @type {HTMLElement} */ (template.content.firstElementChild?.cloneNode(true));
}

/**
 * Return a part of an element, or null: some pages have fewer.
 *
 * @param {ParentNode} root
 * @param {string} name
 * @returns {HTMLElement | null}
 */
export function part(root, name) {
  return root.querySelector(`[data-part=${name}]`);
}

/**
 * Put texts into the parts of an element; never HTML.
 *
 * @param {ParentNode} root
 * @param {Record<string, string>} texts
 */
export function fill(root, texts) {
  for (const [name, text] of Object.entries(texts)) {
    const place = part(root, name);
    if (place && place.textContent !== text) place.textContent = text;
  }
}

/**
 * Have one child for each item, in order; those that stay are kept, with what has the focus.
 *
 * @template T
 * @param {HTMLElement} parent
 * @param {readonly T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T, child: HTMLElement | undefined) => HTMLElement} make  new, or the one of before
 */
export function arrange(parent, items, keyOf, make) {
  const focused = document.activeElement;
  const old = new Map(
    /** @type {HTMLElement[]} */ ([...parent.children]).map((child) => [child.dataset["key"], child]),
  );
  const children = items.map((item) => {
    const child = make(item, old.get(keyOf(item)));
    child.dataset["key"] = keyOf(item);
    return child;
  });
  const kept = new Set(children);
  for (const child of [...parent.children]) {
    if (!kept.has(/** @type {HTMLElement} */ (child))) child.remove();
  }
  children.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
  // An element that is moved loses the focus.
  if (focused instanceof HTMLElement && focused !== document.activeElement && parent.contains(focused)) {
    focused.focus({ preventScroll: true });
  }
}
