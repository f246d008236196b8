// What a page writes in TypeScript; each line that is wrong says so.
import { connect, type Connection, type StateChange } from "../sse_kit.js";

const feed = document.querySelector("#feed");
const news: Connection = connect("/events", {
  element: feed,
  lastEventId: "e.7",
  idleTimeout: null,
  onGap: { "#board": "/board" },
  share: { mode: "auto", key: "ann" },
});
// @ts-expect-error no such way
connect("/events", { share: { mode: "shared" } });
// @ts-expect-error no such option
connect("/events", { patience: 1 });
// @ts-expect-error a number of milliseconds
connect("/events", { baseDelay: "1s" });

news.addEventListener("sse:state", ({ detail }) => {
  const { state, phase, reason, attempt, delay, status, previous, lastEventId }: StateChange =
    detail;
  if (state === "reconnecting" && phase === "waiting") console.log(reason, attempt, delay, status);
  console.log(previous?.length, lastEventId.length);
  // @ts-expect-error no such state
  if (state === "closed") return;
});
news.addEventListener("price", ({ data, lastEventId }) => console.log(data.length, lastEventId));
news.addEventListener("sse:event", ({ detail: { type, data } }) => console.log(type, data.length));
news.onmessage = (event) => console.log(event.data);
if (news.readyState === 2) news.reconnect();
news.close();
// @ts-expect-error it is read only
news.state = "connected";

feed?.addEventListener("sse:gap", ({ detail: { reason, missed, source } }) => {
  if (reason === "epoch") console.log((missed ?? 0) + 1, source.url);
});
feed?.addEventListener("sse:cleaned", ({ detail: { taken } }) => console.log(taken.join()));
document.addEventListener("sse:stats", ({ detail }) => console.log(detail["total"]));
document.addEventListener("sse:ready", () => window.sseKit.connect("/other").wake());
const { channels, config } = window.sseKit;
console.log(channels.size, config.connection.maxDelay + 1);
