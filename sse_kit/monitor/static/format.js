const WHOLE = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const TENTHS = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const SHORT = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

/** @type {[number, string][]} */
const UNITS = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
  [1, "s"],
];

/** @param {number} value */
export function count(value) {
  return WHOLE.format(value);
}

/**
 * Return a rate per second, as long as it tells something.
 *
 * @param {number | null} value
 */
export function rate(value) {
  if (value === null) return "–";
  if (value > 0 && value < 0.05) return "<0.1";
  if (value >= 10_000) return SHORT.format(value);
  return (value < 100 ? TENTHS : WHOLE).format(value);
}

/** @param {number} seconds  in the two largest units: "2 h 5 min" */
export function duration(seconds) {
  let left = Math.floor(seconds);
  const parts = [];
  for (const [size, unit] of UNITS) {
    const here = Math.floor(left / size);
    left -= here * size;
    if (here) parts.push(`${here} ${unit}`);
    else if (parts.length) break;
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}

/** @param {number} bytes */
export function bytes(bytes) {
  const step = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), 3);
  return `${TENTHS.format(bytes / 1024 ** step)} ${["B", "KiB", "MiB", "GiB"][step]}`;
}
