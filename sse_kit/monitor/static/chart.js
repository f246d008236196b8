// @ts-check
/** A line over time that moves to the left as samples come in, drawn as SVG. */

const HEIGHT = 100;
const MARGIN = 3; // so that the line is whole at its lowest and highest
const SVG = "http://www.w3.org/2000/svg";
const still = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * A smooth path through the points that never leaves the range of its two neighbours: the slope at
 * a point is the mean of both sides, none at a peak, at most three times the flatter side
 * (Fritsch and Carlson, 1980).
 *
 * @param {number[]} ys   from the oldest
 * @param {number} start  x of the oldest; the others follow one by one
 */
function curve(ys, start) {
  const rises = ys.map((y, index) => y - (ys[index - 1] ?? y));
  const slopes = ys.map((_, index) => {
    const before = rises[index] ?? 0;
    const after = rises[index + 1] ?? 0;
    if (before * after <= 0) return 0;
    const limit = 3 * Math.min(Math.abs(before), Math.abs(after));
    return Math.sign(after) * Math.min(Math.abs(before + after) / 2, limit);
  });
  const pieces = ys.map((y, index) => {
    if (index === 0) return `M${start} ${y}`;
    const x = start + index;
    const from = (ys[index - 1] ?? y) + (slopes[index - 1] ?? 0) / 3;
    const to = y - (slopes[index] ?? 0) / 3;
    return `C${x - 2 / 3} ${from} ${x - 1 / 3} ${to} ${x} ${y}`;
  });
  return pieces.join("");
}

export class Chart {
  #group;
  #span;
  #ceiling;
  /** @type {{ values: number[], line: Element, area: Element }[]} */
  #series;

  /**
   * @param {Element} place
   * @param {object} options
   * @param {number} options.samples   how many are shown
   * @param {number} options.series    how many lines
   * @param {number | undefined} [options.ceiling]  value at the top; else the largest one shown
   */
  constructor(place, { samples, series, ceiling }) {
    this.#span = samples - 1;
    this.#ceiling = ceiling;
    const svg = place.appendChild(document.createElementNS(SVG, "svg"));
    svg.setAttribute("viewBox", `0 ${-MARGIN} ${this.#span} ${HEIGHT + 2 * MARGIN}`);
    svg.setAttribute("preserveAspectRatio", "none");
    this.#group = svg.appendChild(document.createElementNS(SVG, "g"));
    this.#series = Array.from({ length: series }, (_, index) => ({
      values: [],
      line: this.#path(`line series-${index}`),
      area: this.#path(`area series-${index}`),
    }));
  }

  /**
   * Add one value for each line.
   *
   * @param {number[]} values
   */
  push(values) {
    this.#series.forEach((series, index) => {
      series.values.push(values[index] ?? 0);
      series.values.splice(0, series.values.length - this.#span - 2);
    });
    this.#draw();
    this.#slide();
  }

  /** The newest sample waits outside, on the right, until it is moved in. */
  #draw() {
    const shown = this.#series.flatMap((series) => series.values);
    const top = this.#ceiling ?? Math.max(...shown, 1) * 1.15;
    for (const { values, line, area } of this.#series) {
      const start = this.#span + 2 - values.length;
      const path = curve(values.map((value) => HEIGHT * (1 - Math.min(value / top, 1))), start);
      line.setAttribute("d", path);
      area.setAttribute("d", `${path}V${HEIGHT + MARGIN}H${start}Z`);
    }
  }

  #slide() {
    const moved = { transform: "translateX(-1px)" };
    const from = still.matches ? moved : { transform: "none" };
    this.#group.getAnimations().forEach((animation) => animation.cancel());
    this.#group.animate([from, moved], { duration: 1000, fill: "forwards" });
  }

  /**
   * A new path, below those that are there: the first line is on top.
   *
   * @param {string} name
   */
  #path(name) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    this.#group.prepend(path);
    return path;
  }
}
