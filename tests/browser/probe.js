// What a test reads of a page: its states and its messages, from the first on.
window.states = [];
window.messages = [];
window.told = [];
document.addEventListener("sse:state", ({ detail: { source, ...change } }) => {
  states.push({ url: new URL(source.url).pathname, ...change });
});
for (const type of ["sse:gap", "sse:healed"]) {
  document.addEventListener(type, ({ detail: { source, ...detail } }) =>
    told.push({ type, ...detail }),
  );
}
window.follow = (connection) => {
  connection.addEventListener("sse:event", ({ detail }) => messages.push(detail));
  return connection;
};
document.addEventListener("sse:ready", () => sseKit.channels.forEach(follow));
