// The module as a page sees it: what it exports, and that it starts itself where there is a page.
import { boot } from "./boot.js";
export { Channel, channels } from "./channel.js";
export { config } from "./config.js";
export { connect } from "./connect.js";
export { Connection } from "./connection.js";
export { Decoder } from "./decoder.js";

if (typeof document !== "undefined") boot();
