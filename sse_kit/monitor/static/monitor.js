/** @import { Snapshot } from "./models.js" */
/** @import { Connection } from "../../templates/sse_kit.js" */
import { byId } from "./dom.js";
import { drawCharts, drawPoint } from "./charts.js";
import { showBreakdowns, showTransport } from "./lists.js";
import { showRows } from "./rows.js";
import { watchKicks } from "./kick.js";
import { onView, readView, showOrder } from "./view.js";

/** What is on the page comes from this stream. @type {Connection | null} */
let shown = null;
/** The newest one, which takes its place at its first snapshot. @type {Connection | null} */
let coming = null;

/** Follow what the form asks for; the stream of before goes on until the new one has something. */
function follow() {
  if (coming !== shown) coming?.close();
  byId("pause").setAttribute("aria-pressed", "false");
  const query = readView();
  const search = query.size ? `?${query}` : "";
  history.replaceState(null, "", search || location.pathname);
  showOrder();
  const stream = window.sseKit.connect(`events${search}`);
  stream.addEventListener("history", ({ data }) => drawCharts(JSON.parse(data)));
  stream.addEventListener("snapshot", ({ data }) => show(stream, JSON.parse(data)));
  coming = stream;
}

/**
 * @param {Connection} stream
 * @param {Snapshot} snapshot
 */
function show(stream, snapshot) {
  if (stream !== coming) return;
  if (stream !== shown) shown?.close();
  shown = stream;
  drawPoint(snapshot.sample);
  showRows(snapshot);
  showBreakdowns(snapshot);
  showTransport(snapshot);
  const company = snapshot.viewers > 1 ? `, ${snapshot.viewers}\u00a0watching` : "";
  byId("as-of").textContent = `At ${new Date(snapshot.at).toLocaleTimeString()}${company}`;
}

/** What changes by itself can be stopped (WCAG 2.2, 2.2.2). */
function watchPause() {
  const button = byId("pause");
  button.addEventListener("click", () => {
    const pause = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(pause));
    if (pause) coming?.pause("asked");
    else coming?.resume("asked");
  });
}

/** What is not live looks so; the words are in the status. */
function watchState() {
  document.addEventListener("sse:state", () => {
    byId("monitor").dataset["live"] = String(coming?.state === "connected");
  });
}

watchState();
watchPause();
watchKicks();
onView(follow);
follow();
