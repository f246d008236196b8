/** @import { Overrides } from "./models.js" */

/** What the models of Python say where a page says nothing: the only defaults there are. */
const DEFAULTS = SSE_KIT_CONFIG;

/** The selector of data blocks: JSON, which no policy for scripts concerns. */
export const BLOCKS = 'script[type="application/json"][data-sse-kit]';

/** What this page runs on; `configure` puts the page's blocks over the defaults. */
export const config = structuredClone(DEFAULTS);

/**
 * Put a block over the config, section by section; its streams are not of the config.
 *
 * @param {Overrides} block
 */
export function configure({ streams, ...sections }) {
  const target = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (config));
  for (const [name, value] of Object.entries(sections)) {
    const section = target[name];
    target[name] = typeof section === "object" ? { ...section, ...Object(value) } : value;
  }
}

/**
 * Read the data blocks of a document, each once; one that is no JSON is reported, and left out.
 *
 * @param {ParentNode} root
 * @returns {Overrides[]}
 */
export function takeBlocks(root) {
  return [...root.querySelectorAll(BLOCKS)].flatMap((block) => {
    if (block.hasAttribute("data-sse-read")) return [];
    block.setAttribute("data-sse-read", "");
    try {
      return [JSON.parse(block.textContent ?? "")];
    } catch (error) {
      reportError(error);
      return [];
    }
  });
}

/**
 * The position that a document, or a part of one, was rendered at: the last that its blocks tell.
 *
 * @param {Overrides[]} blocks
 */
export function cursorOf(blocks) {
  return blocks.reduce((found, { cursor }) => cursor || found, "");
}
