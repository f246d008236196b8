/** @import { Row, Snapshot } from "./models.js" */
import { arrange, byId, copy, fill, part } from "./dom.js";
import { count, duration, rate } from "./format.js";

const STATES = {
  connecting: "Connecting",
  connected: "Connected",
  disconnected: "Disconnected",
  error: "Error",
  reconnecting: "Catching up",
};

/** Records of lag that deserve a look: more than a queue holds, if nobody said otherwise. */
const MUCH = 100;

/** @param {Snapshot} snapshot */
export function showRows({ rows, matching, total }) {
  arrange(byId("rows"), rows, ({ key }) => key, showRow);
  const found = matching === total ? count(total) : `${count(matching)} of ${count(total)}`;
  byId("shown").textContent =
    rows.length < matching ? `${found}, the first ${count(rows.length)}` : found;
  const empty = byId("empty");
  empty.hidden = rows.length > 0;
  empty.textContent = total ? "No connection matches." : "No connection yet.";
}

/**
 * @param {Row} row
 * @param {HTMLElement | undefined} old
 */
function showRow(row, old) {
  const line = old ?? copy("row");
  const more = row.topic_count - row.topics.length;
  fill(line, {
    id: row.id,
    type: row.type,
    state: STATES[row.state],
    age: duration(row.age),
    idle: duration(row.idle),
    lag: count(row.lag),
    messages: count(row.messages),
    rate: rate(row.rate),
    dropped: count(row.dropped),
    topics: [...row.topics, ...(more > 0 ? [`and ${count(more)} more`] : [])].join(", ") || "–",
    metadata: Object.entries(row.metadata).map(([name, value]) => `${name}: ${value}`).join("\n"),
  });
  line.dataset["state"] = row.state;
  mark(line, "lag", row.lag >= MUCH);
  mark(line, "dropped", row.dropped > 0);
  line.querySelector(".kick")?.setAttribute("aria-label", `Kick ${row.id}`);
  return line;
}

/**
 * @param {HTMLElement} line
 * @param {string} name
 * @param {boolean} marked
 */
function mark(line, name, marked) {
  const cell = part(line, name);
  if (cell) cell.dataset["marked"] = String(marked);
}
