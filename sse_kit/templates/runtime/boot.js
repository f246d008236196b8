import { channels } from "./channel.js";
import { BLOCKS, config, configure, cursorOf, takeBlocks } from "./config.js";
import { connect, connectStream } from "./connect.js";
import { closeRemoved, watchPage } from "./lifecycle.js";
import { askAgain, watchStats } from "./stats.js";
import { INDICATORS, showStatus } from "./status.js";

/** What the page's changes are searched for. */
const MARKS = `${BLOCKS}, ${INDICATORS}`;

/** Read the blocks that came into the document, and then open the streams that they name. */
function readBlocks() {
  const blocks = takeBlocks(document);
  blocks.forEach(configure);
  if (blocks.some(({ stats }) => stats)) askAgain();
  const cursor = cursorOf(blocks);
  for (const stream of blocks.flatMap(({ streams = [] }) => streams)) connectStream(stream, cursor);
}

/** @param {MutationRecord[]} records */
function lookAtChanges(records) {
  if (records.some(({ removedNodes }) => removedNodes.length)) closeRemoved();
  const added = records.flatMap((record) => [...record.addedNodes]);
  const matters = added.some(
    (node) => node instanceof Element && (node.matches(MARKS) || node.querySelector(MARKS)),
  );
  if (!matters) return;
  readBlocks();
  showStatus();
}

/** Start the page's side, once, however often the module was loaded. */
export function boot() {
  if ("sseKit" in window) return;
  Object.assign(window, { sseKit: Object.freeze({ channels, config, connect }) });
  watchPage();
  watchStats();
  readBlocks();
  showStatus();
  new MutationObserver(lookAtChanges).observe(document, { childList: true, subtree: true });
  document.addEventListener("sse:state", showStatus);
  document.dispatchEvent(new Event("sse:ready"));
}
