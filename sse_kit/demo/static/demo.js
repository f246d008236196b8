// @ts-check
/** The page: what each event of the stream does to it. All text goes in as text, never as HTML. */

import { Chart } from "./chart.js";
import { Stream } from "./stream.js";

const config = SSE_KIT_CONFIG;

/** @param {string} id */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

const page = JSON.parse(element("state").textContent ?? "");

// Numbers and times --------------------------------------------------------------------------

/**
 * @param {number} value
 * @param {number} base
 * @param {string[]} units
 */
function scaled(value, base, units) {
  const step = Math.min(
    Math.floor(Math.log(Math.max(value, 1)) / Math.log(base)),
    units.length - 1,
  );
  const figure = value / base ** step;
  return { figure: figure.toFixed(figure < 100 && step > 0 ? 1 : 0), unit: units[step] };
}

/** @param {number} bytes */
const size = (bytes) => {
  const { figure, unit } = scaled(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]);
  return `${figure} ${unit}`;
};

/** @param {number} bytes */
const rate = (bytes) => scaled(bytes, 1000, ["B/s", "kB/s", "MB/s", "GB/s"]);

/** @param {number} at  milliseconds since 1970 */
const clock = (at) =>
  new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** @param {number} since  milliseconds since 1970 */
function age(since) {
  const seconds = Math.max(0, Math.round((Date.now() - since) / 1000));
  if (seconds < 60) return `${seconds} s`;
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
}

// The status light ---------------------------------------------------------------------------

const STATES = {
  connecting: "Connecting",
  connected: "Connected",
  reconnecting: "Reconnecting",
};

/** @param {import("./stream.js").State} state */
function showState(state) {
  const light = element("light");
  if (light.dataset.state === state) return;
  light.dataset.state = state;
  element("light-text").textContent = STATES[state];
}

// The machine --------------------------------------------------------------------------------

/**
 * @param {string} id
 * @param {{ series: number, ceiling?: number }} options
 */
function chart(id, options) {
  const place = /** @type {Element} */ (element(id).querySelector(".chart"));
  return new Chart(place, { samples: config.samples, ...options });
}

const charts = {
  cpu: chart("cpu", { series: 1, ceiling: 100 }),
  memory: chart("memory", { series: 1, ceiling: 100 }),
  network: chart("network", { series: 2 }),
};
let sampledAt = 0;

/**
 * @param {string} id
 * @param {{ figure: string, unit: string }} main
 * @param {string} detail
 */
function showFigure(id, { figure, unit }, detail) {
  const card = element(id);
  for (const [part, text] of Object.entries({ figure, unit, detail })) {
    /** @type {HTMLElement} */ (card.querySelector(`[data-part=${part}]`)).textContent = text;
  }
}

/** The page's first samples come with it; one of them may come again on the stream. */
function showMetrics(sample) {
  if (sample.at <= sampledAt) return;
  sampledAt = sample.at;
  charts.cpu.push([sample.cpu]);
  charts.memory.push([sample.memory]);
  charts.network.push([sample.received, sample.sent]);
  const sent = rate(sample.sent);
  showFigure("cpu", { figure: sample.cpu.toFixed(0), unit: "%" }, `of ${sample.cores} cores`);
  showFigure(
    "memory",
    { figure: sample.memory.toFixed(0), unit: "%" },
    `${size(sample.used)} of ${size(sample.total)}`,
  );
  showFigure("network", rate(sample.received), `in, and ${sent.figure} ${sent.unit} out`);
}

// Messages -----------------------------------------------------------------------------------

const messages = element("messages");
const shown = new Set();

/**
 * @param {string} template
 * @param {number} at
 * @param {string} [text]
 */
function insert(template, at, text) {
  const source = /** @type {HTMLTemplateElement} */ (element(template));
  const item = /** @type {HTMLElement} */ (source.content.cloneNode(true)).children[0];
  if (text !== undefined) /** @type {Element} */ (item.querySelector("p")).textContent = text;
  localise(/** @type {HTMLTimeElement} */ (item.querySelector("time")), at);
  item.dataset.new = "";
  messages.prepend(item);
  while (messages.children.length > config.messages) messages.lastElementChild?.remove();
  return item;
}

/**
 * @param {HTMLTimeElement} time
 * @param {number} at
 */
function localise(time, at) {
  time.dateTime = new Date(at).toISOString();
  time.textContent = clock(at);
}

/** A message that the page was rendered with may come again on the stream. */
function showMessage({ id, at, text }) {
  if (shown.has(id)) return;
  shown.add(id);
  insert("message-item", at, text);
}

for (const item of messages.children) {
  shown.add(/** @type {HTMLElement} */ (item).dataset.id);
  const time = /** @type {HTMLTimeElement} */ (item.querySelector("time"));
  localise(time, Date.parse(time.dateTime));
}

/**
 * Post to the server; returns what went wrong, as a sentence for people, or nothing.
 *
 * @param {string} url
 * @param {URLSearchParams} [body]
 */
async function post(url, body) {
  try {
    const answer = await fetch(url, { method: "POST", body: body ?? new URLSearchParams() });
    return answer.ok ? "" : await answer.text();
  } catch {
    return "The server does not answer. Try again when the light is back.";
  }
}

const form = /** @type {HTMLFormElement} */ (element("write"));
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = /** @type {HTMLInputElement} */ (element("text"));
  const text = field.value.trim();
  if (!text) return;
  const problem = await post(config.messagesUrl, new URLSearchParams({ text }));
  element("write-problem").textContent = problem;
  if (!problem && field.value.trim() === text) field.value = "";
});

// The job ------------------------------------------------------------------------------------

const start = /** @type {HTMLButtonElement} */ (element("start"));

/** @param {{ state: string, done: number, steps: number, found: number, seconds: number }} job */
function showJob({ state, done, steps, found, seconds }) {
  const bar = /** @type {HTMLProgressElement} */ (element("progress"));
  bar.max = steps;
  bar.value = done;
  start.disabled = state === "running";
  element("job").dataset.state = state;
  element("percent").textContent = `${Math.floor((100 * done) / steps)} %`;
  const primes = found.toLocaleString();
  element("result").textContent = {
    idle: "Not started",
    running: `${primes} found so far`,
    finished: `${primes} primes, in ${seconds.toFixed(1)} s`,
    interrupted: "The server restarted in the middle of it",
  }[state] ?? "";
}

start.addEventListener("click", async () => {
  element("job-problem").textContent = await post(config.jobsUrl);
});

// Connections --------------------------------------------------------------------------------

const table = /** @type {HTMLTableElement} */ (element("connections"));

/** @param {{ total: number, shown: { id: string, tab: string, client: string, since: number, events: number }[] }} roster */
function showConnections(roster) {
  const source = /** @type {HTMLTemplateElement} */ (element("connection-row"));
  const rows = roster.shown.map(({ id, tab, client, since, events }) => {
    const copy = /** @type {DocumentFragment} */ (source.content.cloneNode(true));
    const row = /** @type {HTMLTableRowElement} */ (copy.firstElementChild);
    row.dataset.here = String(tab === page.tab);
    const texts = { id, client, age: age(since), events: events.toLocaleString() };
    for (const [part, text] of Object.entries(texts)) {
      /** @type {HTMLElement} */ (row.querySelector(`[data-part=${part}]`)).textContent = text;
    }
    return row;
  });
  table.tBodies[0].replaceChildren(...rows);
  element("connection-count").textContent = String(roster.total);
}

// The stream ---------------------------------------------------------------------------------

/** What was on screen stays; what came after the restart follows by itself, from its beginning. */
function showGap({ reason }) {
  insert(reason === "epoch" ? "restart-item" : "gap-item", Date.now());
  if (reason === "epoch" && start.disabled) {
    const bar = /** @type {HTMLProgressElement} */ (element("progress"));
    showJob({ state: "interrupted", done: bar.value, steps: bar.max, found: 0, seconds: 0 });
  }
}

page.samples.forEach(showMetrics);
showJob(page.job);
showConnections(page.connections);

const stream = new Stream(`${config.streamUrl}?tab=${page.tab}`, {
  cursor: page.cursor,
  baseDelay: config.baseDelay,
  maxDelay: config.maxDelay,
  silence: config.silence,
  onState: showState,
});
stream.on("metrics", showMetrics);
stream.on("messages", showMessage);
stream.on("job", showJob);
stream.on("connections", showConnections);
stream.on("gap", showGap);
stream.on("bye", () => showState("reconnecting"));
stream.open();

// A page that the browser keeps for the back button holds no connection meanwhile.
addEventListener("pagehide", () => stream.close());
addEventListener("pageshow", (event) => event.persisted && stream.open());
