/** @import { History, Sample } from "./models.js" */
import { Chart } from "./chart.js";
import { byId, fill } from "./dom.js";
import { count, rate } from "./format.js";

const SAMPLES = 60;

/** What is drawn: for each card, its lines. @type {Record<string, (keyof Sample)[]>} */
const LINES = {
  active: ["active"],
  published: ["published"],
  delivered: ["delivered"],
  coming: ["opened", "closed"],
};

/** @type {Map<string, Chart>} */
const charts = new Map();
/** The time of the last point: it may be in the history and in a snapshot. */
let last = 0;

/** Begin anew, with the past. @param {History} history */
export function drawCharts({ samples }) {
  for (const [card, lines] of Object.entries(LINES)) {
    const place = byId(card).querySelector(".chart");
    if (!place) continue;
    place.replaceChildren();
    charts.set(card, new Chart(place, { samples: SAMPLES, series: lines.length }));
  }
  last = 0;
  samples.forEach(drawPoint);
}

/** @param {Sample} sample */
export function drawPoint(sample) {
  if (sample.at <= last) return;
  last = sample.at;
  for (const [card, lines] of Object.entries(LINES)) {
    const values = lines.map((line) => sample[line]);
    const write = card === "active" ? count : rate;
    const texts = values.map((value, index) => [
      `figure-${index}`,
      value === null ? "–" : write(value),
    ]);
    fill(byId(card), Object.fromEntries(texts));
    // Without a look before it there is no rate, and nothing to draw.
    const drawn = values.filter((value) => value !== null);
    if (drawn.length === values.length) charts.get(card)?.push(drawn);
  }
}
