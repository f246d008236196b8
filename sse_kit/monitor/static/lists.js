/** @import { Breakdown, Snapshot } from "./models.js" */
import { arrange, byId, copy, fill, part } from "./dom.js";
import { bytes, count } from "./format.js";

const STATUS = {
  ok: "Healthy",
  degraded: "Degraded",
  down: "Down",
};

/** @param {Snapshot} snapshot */
export function showBreakdowns({ topics, types, states, ends }) {
  Object.entries({ topics, types, states, ends }).forEach(([id, breakdown]) => {
    showBreakdown(byId(id), breakdown);
  });
  suggest(byId("known-topics"), topics, []);
  suggest(byId("type"), types, [""]);
}

/**
 * @param {HTMLElement} card
 * @param {Breakdown} breakdown
 */
function showBreakdown(card, { kinds, shown }) {
  const list = card.querySelector("ul");
  if (!list) return;
  const most = Math.max(...shown.map((each) => each.count), 1);
  const template = list.dataset["filters"] ? "item-button" : "item";
  arrange(list, shown, ({ name }) => name, (counted, old) => {
    const item = old ?? copy(template);
    fill(item, { name: label(card.id, counted.name), count: count(counted.count) });
    const name = part(item, "name");
    if (name) name.dataset["value"] = counted.name;
    item.style.setProperty("--share", String(counted.count / most));
    return item;
  });
  const more = kinds > shown.length ? `${count(shown.length)} of ${count(kinds)}` : count(kinds);
  fill(card, { kinds: more });
  card.dataset["some"] = String(shown.length > 0);
}

/**
 * Return what people call it: states and reasons are the kit's own words, the rest is yours.
 *
 * @param {string} card
 * @param {string} name
 */
function label(card, name) {
  if (card !== "states" && card !== "ends") return name;
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/**
 * Have an option for each name, beside those that are always there; what is chosen stays.
 *
 * @param {HTMLElement} list
 * @param {Breakdown} breakdown
 * @param {string[]} always
 */
function suggest(list, { shown }, always) {
  const select = list instanceof HTMLSelectElement ? list : null;
  const chosen = select?.value ? [select.value] : [];
  const names = new Set([...always, ...shown.map(({ name }) => name), ...chosen]);
  // By name: sorted by how many there are, they would move while somebody chooses.
  arrange(list, [...names].sort(), (name) => name, (name, old) => {
    const option = /** @type {HTMLOptionElement} */ (old ?? document.createElement("option"));
    if (!old) [option.value, option.textContent] = [name, name || "All"];
    return option;
  });
  if (select) select.value = chosen[0] ?? "";
}

/** @param {Snapshot} snapshot */
export function showTransport({ transport, hub }) {
  const card = byId("transport");
  card.dataset["status"] = hub ? transport.status : "down";
  fill(card, {
    status: hub ? STATUS[transport.status] : "Not running",
    name: transport.name,
    traits: traits(transport),
    detail: hub ? transport.detail : "The registry was not entered, or has been left.",
    answer: transport.answer === null ? "–" : `${transport.answer.toFixed(1)} ms`,
    position: hub?.position ?? "–",
    ring: hub ? `${count(hub.ring_records)} records, ${bytes(hub.ring_bytes)}` : "–",
    catching_up: hub ? count(hub.catching_up) : "–",
    gaps: hub ? count(hub.gaps) : "–",
    malformed: hub ? count(hub.malformed) : "–",
  });
}

/** @param {Snapshot["transport"]} transport */
function traits({ shared, durable, replays }) {
  return [
    shared ? "shared by processes" : "in this process only",
    durable ? "durable" : "not durable",
    replays ? "with a history" : "without a history",
  ].join(", ");
}
