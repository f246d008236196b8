// A module of its own beside the runtime, for pages with htmx: their streams become the kit's.
import { joinHtmx2 } from "./htmx2.js";
import { joinHtmx4 } from "./htmx4.js";

const LOADED = Symbol.for("sse_kit.htmx");

if (!(LOADED in document)) {
  Object.defineProperty(document, LOADED, {});
  joinHtmx2();
  joinHtmx4();
}
