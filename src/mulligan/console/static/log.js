// The log of a work item as it grows: its end is followed, or stays where its reader is, who is told how much is new.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const tail = $("log-tail"), live = document.querySelector("[data-live]");
  if (!tail || !live) return;
  const MOST = 200000; // characters in the page, and as many that wait
  const text = $("log-text"), follow = $("log-follow"), more = $("log-more");
  let next = tail.dataset.next, following = true, asking = false, due = false;
  let attempt = Number([...text.querySelectorAll("b")].pop()?.dataset.attempt ?? (next ? 1 : 0));
  let waiting = [], lines = 0;
  const running = () => live.querySelector(".head .status.started") !== null;
  const paused = () => $("pause")?.getAttribute("aria-pressed") === "true";
  const at_end = () => text.scrollHeight - text.scrollTop - text.clientHeight < 8;
  const note = (said, kind) => {
    const made = document.createElement(kind);
    made.textContent = said;
    return made;
  };
  const bounded = (nodes, size, drop) => {
    let total = nodes.reduce((sum, each) => sum + size(each), 0), dropped = false;
    while (total > MOST && nodes.length > 1) {
      total -= size(nodes[0]);
      drop(nodes.shift());
      dropped = true;
    }
    return dropped;
  };
  const put = () => {
    if (!waiting.length) return;
    text.hidden = false;
    $("log-none").hidden = true;
    $("log-whole").hidden = false;
    text.append(...waiting);
    waiting = [];
    lines = 0;
    if (bounded([...text.childNodes], (each) => each.textContent.length, (each) => each.remove())) {
      text.prepend(note("What came before is in the whole log.\n", "i"));
    }
  };
  const show = () => {
    if (following) {
      put();
      text.scrollTop = text.scrollHeight;
    }
    more.hidden = !lines;
    more.textContent = `${lines.toLocaleString("en")} new line${lines === 1 ? "" : "s"}`;
    follow.hidden = !running() && !lines;
    follow.setAttribute("aria-pressed", String(following));
  };
  const take = ({ parts, next: place, skipped }) => {
    next = place ?? next;
    if (skipped) waiting.push(note("Some lines are left out: they are in the whole log.\n", "i"));
    for (const part of parts) {
      if (attempt && part.attempt !== attempt) waiting.push(note(`attempt ${part.attempt}\n`, "b"));
      attempt = part.attempt;
      waiting.push(document.createTextNode(part.text));
      lines += part.text.split("\n").length - 1 || 1;
    }
    bounded(waiting, (each) => each.textContent.length, () => {});
    show();
  };
  // Asking costs a look into an index; it is done while the item runs, and once more after the page has changed.
  const look = async () => {
    if (asking || paused() || document.hidden || !(due || running())) return;
    asking = true;
    due = false;
    try {
      const answer = await fetch(`${tail.dataset.log}${next ? `?after=${next}` : ""}`, { headers: { Accept: "application/json" }, redirect: "error" });
      if (answer.ok) take(await answer.json());
      else due = true;
    } catch { due = true; }
    asking = false;
  };
  const set = (on) => {
    following = on;
    show();
  };
  text.addEventListener("scroll", () => { if (at_end() !== following) set(at_end()); });
  follow.addEventListener("click", () => set(!following));
  more.addEventListener("click", () => set(true));
  document.addEventListener("patched", () => { due = true; look(); });
  document.addEventListener("visibilitychange", () => look());
  setInterval(look, 1000);
  show();
  look();
})();
