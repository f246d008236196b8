// @ts-check
/** A line over time that moves to the left as samples come in, drawn as SVG. */

const HEIGHT = 100;
const SVG = "http://www.w3.org/2000/svg";
const still = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * A path through the points, level at each of them, so that it never shows a value outside.
 *
 * @param {number[]} heights  from the oldest, each 0 to 1
 * @param {number} end        x of the newest
 */
function line(heights, end) {
  const start = end - heights.length + 1;
  return heights
    .map((height, index) => {
      const x = start + index;
      const y = HEIGHT * (1 - height);
      const before = HEIGHT * (1 - heights[Math.max(index - 1, 0)]);
      return index === 0 ? `M${x} ${y}` : `C${x - 0.5} ${before} ${x - 0.5} ${y} ${x} ${y}`;
    })
    .join("");
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
   * @param {number} [options.ceiling] value at the top; without it the largest one shown
   */
  constructor(place, { samples, series, ceiling }) {
    this.#span = samples - 1;
    this.#ceiling = ceiling;
    const svg = place.appendChild(document.createElementNS(SVG, "svg"));
    svg.setAttribute("viewBox", `0 0 ${this.#span} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    this.#group = svg.appendChild(document.createElementNS(SVG, "g"));
    this.#series = Array.from({ length: series }, (_, index) => ({
      values: [],
      area: this.#path(`area series-${index}`),
      line: this.#path(`line series-${index}`),
    }));
  }

  /**
   * Add one value for each line.
   *
   * @param {number[]} values
   */
  push(values) {
    this.#series.forEach((series, index) => {
      series.values.push(values[index]);
      series.values.splice(0, series.values.length - this.#span - 2);
    });
    this.#draw();
    this.#slide();
  }

  /** The newest sample waits outside, on the right, until it is moved in. */
  #draw() {
    const shown = this.#series.flatMap((series) => series.values);
    const top = this.#ceiling ?? Math.max(...shown, 1) * 1.15;
    const end = this.#span + 1;
    for (const { values, line: stroke, area } of this.#series) {
      const path = line(values.map((value) => Math.min(value / top, 1)), end);
      stroke.setAttribute("d", path);
      area.setAttribute("d", `${path}V${HEIGHT}H${end - values.length + 1}Z`);
    }
  }

  #slide() {
    const moved = { transform: "translateX(-1px)" };
    const from = still.matches ? moved : { transform: "none" };
    this.#group.getAnimations().forEach((animation) => animation.cancel());
    this.#group.animate([from, moved], { duration: 1000, fill: "forwards" });
  }

  /** @param {string} name */
  #path(name) {
    const path = this.#group.appendChild(document.createElementNS(SVG, "path"));
    path.setAttribute("class", name);
    return path;
  }
}
