// @ts-check
/**
 * The page: what each event of the stream does to it. What people wrote goes in as text, never as
 * HTML. The shapes are those of `sse_kit/demo/models.py`; times are milliseconds since 1970.
 *
 * @typedef {{ at: number, cpu: number, cores: number, memory: number, used: number,
 *   total: number, received: number, sent: number }} Sample
 * @typedef {{ id: string, at: number, text: string }} Message
 * @typedef {{ state: "idle" | "running" | "finished" | "interrupted", done: number,
 *   steps: number, found: number, seconds: number }} Job
 * @typedef {{ id: string, tab: string, client: string, since: number, events: number }} Connection
 * @typedef {{ total: number, shown: Connection[] }} Roster
 * @typedef {{ cursor: string, tab: string, samples: Sample[], job: Job,
 *   connections: Roster }} Page
 */

import { Chart } from "./chart.js";
import { Stream } from "./stream.js";

const config = SSE_KIT_CONFIG;

/** @type {Page} */
const page = JSON.parse(element("state").textContent);

/**
 * @param {string} id
 * @returns {any}
 */
function element(id) {
  return document.getElementById(id);
}

/**
 * Return a copy of what is in a template.
 *
 * @param {string} id
 * @returns {HTMLElement}
 */
function copy(id) {
  return element(id).content.firstElementChild.cloneNode(true);
}

/**
 * Put texts into the parts of an element.
 *
 * @param {ParentNode} root
 * @param {Record<string, string>} texts
 */
function fill(root, texts) {
  for (const [part, text] of Object.entries(texts)) {
    const place = root.querySelector(`[data-part=${part}]`);
    if (place) place.textContent = text;
  }
}

// Numbers and times --------------------------------------------------------------------------

/**
 * @param {number} value
 * @param {number} base
 * @param {string[]} units
 */
function scaled(value, base, units) {
  const steps = Math.floor(Math.log(Math.max(value, 1)) / Math.log(base));
  const step = Math.min(steps, units.length - 1);
  const figure = value / base ** step;
  return { figure: figure.toFixed(step > 0 && figure < 100 ? 1 : 0), unit: units[step] };
}

/** @param {number} bytes */
function size(bytes) {
  const { figure, unit } = scaled(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]);
  return `${figure} ${unit}`;
}

/** @param {number} bytes  in a second */
function rate(bytes) {
  return scaled(bytes, 1000, ["B/s", "kB/s", "MB/s", "GB/s"]);
}

/** @param {number} since */
function age(since) {
  const seconds = Math.max(0, Math.round((Date.now() - since) / 1000));
  if (seconds < 60) return `${seconds} s`;
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
}

/**
 * Show a time as the reader's own.
 *
 * @param {HTMLTimeElement} place
 * @param {number} at
 */
function showTime(place, at) {
  const time = new Date(at);
  place.dateTime = time.toISOString();
  place.textContent = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

// The status light ---------------------------------------------------------------------------

const STATES = {
  connecting: "Connecting",
  connected: "Connected",
  reconnecting: "Reconnecting",
  disconnected: "Disconnected",
};

/** @param {keyof STATES} state */
function showState(state) {
  element("light").dataset.state = state;
  const text = element("light-text");
  if (text.textContent !== STATES[state]) text.textContent = STATES[state];
}

// The machine --------------------------------------------------------------------------------

/**
 * @param {string} id
 * @param {{ series: number, ceiling?: number }} options
 */
function chart(id, options) {
  return new Chart(element(id).querySelector(".chart"), { samples: config.samples, ...options });
}

const charts = {
  cpu: chart("cpu", { series: 1, ceiling: 100 }),
  memory: chart("memory", { series: 1, ceiling: 100 }),
  network: chart("network", { series: 2 }),
};
const rendered = new Set(page.samples.map(({ at }) => at));

/** @param {Sample} sample */
function drawSample({ cpu, cores, memory, used, total, received, sent }) {
  charts.cpu.push([cpu]);
  charts.memory.push([memory]);
  charts.network.push([received, sent]);
  const out = rate(sent);
  fill(element("cpu"), { figure: cpu.toFixed(0), unit: "%", detail: `of ${cores} cores` });
  fill(element("memory"), {
    figure: memory.toFixed(0),
    unit: "%",
    detail: `${size(used)} of ${size(total)}`,
  });
  fill(element("network"), { ...rate(received), detail: `${out.figure} ${out.unit} out` });
}

/**
 * A sample that the page was rendered with may come again on the stream.
 *
 * @param {Sample} sample
 */
function showSample(sample) {
  if (!rendered.has(sample.at)) drawSample(sample);
}

// Messages -----------------------------------------------------------------------------------

const messages = element("messages");
const shown = new Set();

/**
 * @param {HTMLElement} item
 * @param {number} at
 */
function insert(item, at) {
  showTime(/** @type {HTMLTimeElement} */ (item.querySelector("time")), at);
  item.dataset.new = "";
  messages.prepend(item);
  while (messages.children.length > config.messages) messages.lastElementChild.remove();
}

/**
 * A message that the page was rendered with may come again on the stream.
 *
 * @param {Message} message
 */
function showMessage({ id, at, text }) {
  if (shown.has(id)) return;
  shown.add(id);
  const item = copy("message-item");
  fill(item, { text });
  insert(item, at);
}

for (const item of messages.children) {
  const time = item.querySelector("time");
  shown.add(item.dataset.id);
  showTime(time, Date.parse(time.dateTime));
}

/**
 * Post to the server; returns what went wrong, as a sentence for people, or "".
 *
 * @param {string} url
 * @param {Record<string, string>} [fields]
 */
async function post(url, fields) {
  try {
    const answer = await fetch(url, { method: "POST", body: new URLSearchParams(fields) });
    return answer.ok ? "" : await answer.text();
  } catch {
    return "The server does not answer. Try again when the light is back.";
  }
}

element("write").addEventListener("submit", async (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  const field = element("text");
  const text = field.value;
  const problem = await post(config.messagesUrl, { text });
  element("write-problem").textContent = problem;
  if (!problem && field.value === text) field.value = "";
});

// The job ------------------------------------------------------------------------------------

/** @param {Job} job */
function showJob({ state, done, steps, found, seconds }) {
  const results = {
    idle: "Not started",
    running: `${found.toLocaleString()} found so far`,
    finished: `${found.toLocaleString()} primes, in ${seconds.toFixed(1)} s`,
    interrupted: "Interrupted by the restart",
  };
  element("job").dataset.state = state;
  element("start").disabled = state === "running";
  element("progress").max = steps;
  element("progress").value = done;
  element("percent").textContent = `${Math.floor((100 * done) / steps)} %`;
  element("result").textContent = results[state];
}

element("start").addEventListener("click", async () => {
  element("job-problem").textContent = await post(config.jobsUrl);
});

// Connections --------------------------------------------------------------------------------

/** @param {Connection} connection */
function row({ id, tab, client, since, events }) {
  const cells = copy("connection-row");
  cells.dataset.here = String(tab === page.tab);
  fill(cells, { id, client, age: age(since), events: events.toLocaleString() });
  return cells;
}

/** @param {Roster} roster */
function showConnections({ total, shown: connections }) {
  element("connections").tBodies[0].replaceChildren(...connections.map(row));
  element("connection-count").textContent = String(total);
}

// The stream ---------------------------------------------------------------------------------

/**
 * Something was missed. After a restart the new log follows from its beginning; what was on screen
 * stays, but a job that ran on the old server has nobody to finish it.
 *
 * @param {{ reason: string }} gap
 */
function showGap({ reason }) {
  const restarted = reason === "epoch";
  insert(copy(restarted ? "restart-item" : "gap-item"), Date.now());
  if (restarted && element("job").dataset.state === "running") {
    const { value, max } = element("progress");
    showJob({ state: "interrupted", done: value, steps: max, found: 0, seconds: 0 });
  }
}

page.samples.forEach(drawSample);
showJob(page.job);
showConnections(page.connections);

const stream = new Stream(`${config.streamUrl}?tab=${page.tab}`, {
  cursor: page.cursor,
  baseDelay: config.baseDelay,
  maxDelay: config.maxDelay,
  silence: config.silence,
  onState: showState,
});
stream.on("metrics", showSample);
stream.on("messages", showMessage);
stream.on("job", showJob);
stream.on("connections", showConnections);
stream.on("gap", showGap);
stream.on("bye", () => showState("reconnecting"));
stream.on("close", () => {
  stream.close();
  showState("disconnected");
});
stream.open();

// A page that the browser keeps for the back button holds no connection meanwhile.
addEventListener("pagehide", () => stream.close());
addEventListener("pageshow", (event) => event.persisted && stream.open());
