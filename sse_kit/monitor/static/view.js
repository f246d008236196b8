import { byId } from "./dom.js";

/** Milliseconds without a key pressed after which what was typed is asked for. */
const TYPED = 250;

/** What is asked for if nothing is said. */
const NOT_SAID = new Map([
  ["sort", "age"],
]);

const form = /** @type {HTMLFormElement} */ (byId("view"));

/** Return what the form says, without what goes without saying. */
export function readView() {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (value && value !== NOT_SAID.get(name)) query.set(name, String(value));
  }
  return query;
}

/** Put what an address says into the form; a type that is not known yet gets its option. */
function writeView() {
  for (const [name, value] of new URLSearchParams(location.search)) {
    const field = form.elements.namedItem(name);
    if (field instanceof HTMLSelectElement) {
      if (name === "type") field.append(new Option(value, value));
      field.value = value;
    } else if (field instanceof HTMLInputElement) {
      if (field.type === "checkbox") field.checked = value === field.value;
      else field.value = value;
    }
  }
}

/** Mark the column that the rows are ordered by, and offer to clear what was asked for. */
export function showOrder() {
  const { sort, ascending } = order();
  for (const head of document.querySelectorAll("[data-column]")) {
    const here = head.getAttribute("data-column") === sort.value;
    if (here) head.setAttribute("aria-sort", ascending.checked ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  }
  byId("clear").hidden = readView().size === 0;
}

function order() {
  const sort = /** @type {HTMLSelectElement} */ (form.elements.namedItem("sort"));
  const ascending = /** @type {HTMLInputElement} */ (form.elements.namedItem("ascending"));
  return { sort, ascending };
}

/**
 * Call back whenever something else is asked for: in the form, at the head of a column, or by
 * clicking a name of the lists.
 *
 * @param {() => void} asked
 */
export function onView(asked) {
  writeView();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  const soon = (/** @type {number} */ delay) => {
    clearTimeout(typing);
    typing = setTimeout(asked, delay);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    soon(0);
  });
  form.addEventListener("input", ({ target }) => {
    soon(target instanceof HTMLInputElement && target.type !== "checkbox" ? TYPED : 0);
  });
  form.addEventListener("reset", () => soon(0));
  byId("connections").addEventListener("click", ({ target }) => {
    if (target instanceof HTMLElement && target.dataset["sort"]) sortBy(target.dataset["sort"], soon);
  });
  byId("monitor").addEventListener("click", ({ target }) => {
    if (target instanceof HTMLElement) filterBy(target, soon);
  });
}

/**
 * Order by a column; once more: the other way round.
 *
 * @param {string} column
 * @param {(delay: number) => void} soon
 */
function sortBy(column, soon) {
  const { sort, ascending } = order();
  ascending.checked = sort.value === column && !ascending.checked;
  sort.value = column;
  soon(0);
}

/**
 * @param {HTMLElement} target
 * @param {(delay: number) => void} soon
 */
function filterBy(target, soon) {
  const filters = target.closest("ul")?.dataset["filters"];
  const value = target.dataset["value"];
  if (!filters || value === undefined || !target.matches("button")) return;
  const field = form.elements.namedItem(filters);
  if (field instanceof HTMLSelectElement || field instanceof HTMLInputElement) field.value = value;
  byId("connections-title").scrollIntoView({ block: "nearest" });
  soon(0);
}
