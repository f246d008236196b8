import { byId, fill, part } from "./dom.js";

/** Have each row's button ask once more, then send the order. */
export function watchKicks() {
  const dialog = /** @type {HTMLDialogElement} */ (byId("kick"));
  byId("rows").addEventListener("click", ({ target }) => {
    const row = target instanceof Element && target.matches(".kick") ? target.closest("tr") : null;
    if (!row) return;
    dialog.dataset["key"] = row.dataset["key"];
    fill(dialog, { id: part(row, "id")?.textContent ?? "" });
    dialog.returnValue = "";
    dialog.showModal();
  });
  dialog.addEventListener("click", ({ target }) => {
    if (target instanceof HTMLButtonElement) dialog.close(target.value);
  });
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "kick") void kick(dialog.dataset["key"] ?? "", name(dialog));
  });
}

/** @param {HTMLElement} dialog */
function name(dialog) {
  return part(dialog, "id")?.textContent ?? "";
}

/**
 * @param {string} key
 * @param {string} id
 */
async function kick(key, id) {
  tell("", "");
  try {
    const answer = await fetch("kick", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ key }),
    });
    if (answer.ok) tell(`The stream of ${id} was ended.`, "");
    else tell("", `${id} was not kicked: ${await answer.text()}`);
  } catch {
    tell("", `${id} was not kicked: the server does not answer.`);
  }
}

/**
 * @param {string} done
 * @param {string} problem
 */
function tell(done, problem) {
  byId("done").textContent = done;
  byId("problem").textContent = problem;
}
