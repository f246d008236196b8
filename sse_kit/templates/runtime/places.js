/** `sse-connect`, `data-sse-connect`, `hx-sse:connect`, `data-hx-sse-connect`, … */
const CONNECTS = /(?:^|-)sse.connect$/;

/**
 * Return the address that an element connects to, in whatever version of htmx, or null.
 *
 * @param {Element} element
 */
export function addressOf(element) {
  const name = element.getAttributeNames().find((attribute) => CONNECTS.test(attribute));
  return name === undefined ? null : element.getAttribute(name);
}

/**
 * Return the nearest element that connects: this one, or one around it.
 *
 * @param {Element | null} element
 */
export function connecting(element) {
  let place = element;
  while (place && addressOf(place) === null) place = place.parentElement;
  return place;
}
