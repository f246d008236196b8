/**
 * The runtime, once it is there, for the modules beside it.
 *
 * @typedef {object} Kit
 * @property {Set<import("./channel.js").Channel>} channels
 * @property {import("./models.js").ClientConfig} config
 * @property {typeof import("./connect.js").connect} connect
 *
 * @returns {Kit}
 */
export function kit() {
  const { sseKit } = /** @type {any} */ (globalThis);
  return sseKit;
}
