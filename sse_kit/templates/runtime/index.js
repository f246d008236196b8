// The module as a page sees it: what it exports, and that it starts itself where there is a page.
// Where there is none, but tabs can connect, it is the worker that they share.
import { boot } from "./boot.js";
export { Channel, channels } from "./channel.js";
export { config } from "./config.js";
export { connect } from "./connect.js";
export { Connection } from "./connection.js";
export { Decoder } from "./decoder.js";
import { serveTab } from "./worker.js";

if (typeof document !== "undefined") boot();
else if ("onconnect" in globalThis) Object.assign(globalThis, { onconnect: serveTab });
