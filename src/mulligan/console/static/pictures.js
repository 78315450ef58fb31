// Pictures by keyboard, and ranges of windows chosen in them by mouse or keyboard. Without it the same is done by two fields.
"use strict";
(() => {
  const links = (group) => [...group.querySelectorAll("a")];
  const middle = (link) => {
    const box = link.getBoundingClientRect();
    return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  };

  // ---- One stop of the keyboard for each picture; arrows go on inside it ---------------------------------------------------
  const settle = (link) => {
    for (const each of links(link.closest("[data-rove]"))) each.tabIndex = each === link ? 0 : -1;
  };
  const ahead = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const neighbour = (link, key) => {
    const all = links(link.closest("[data-rove]"));
    if (key === "Home") return all[0];
    if (key === "End") return all.at(-1);
    const [x, y] = ahead[key], from = middle(link);
    let best, least = Infinity;
    for (const each of all) {
      const to = middle(each), along = (to.x - from.x) * x + (to.y - from.y) * y, aside = Math.abs((to.x - from.x) * y) + Math.abs((to.y - from.y) * x);
      if (along > 1 && along + 4 * aside < least) { least = along + 4 * aside; best = each; }
    }
    return best;
  };
  document.addEventListener("focusin", (event) => event.target.closest("[data-rove] a") && settle(event.target.closest("a")));

  // ---- Ranges ---------------------------------------------------------------------------------------------------------------
  const form = document.querySelector("[data-range]"), place = form?.closest("[data-range-of]");
  const cells = () => [...(place?.querySelectorAll("a[data-start]") ?? [])];
  const cellOf = (event) => event.target.closest?.("a[data-start]") ?? null;
  const ms = (text) => Date.parse(text);
  const spoken = (iso) => iso.replace(/T00:00:00(\.0+)?([+-]\d\d:\d\d|Z)$/, "");
  let anchor = null, chosen = null, choosing = false, dragged = false, down = null;
  const inside = (cell) => chosen && ms(cell.dataset.start) >= chosen[0] && ms(cell.dataset.end) <= chosen[1];
  const name = (cell) => cell.querySelector("title")?.textContent ?? "";
  const show = () => {
    const found = cells().filter((cell) => { cell.classList.toggle("chosen", Boolean(inside(cell))); return inside(cell); });
    form.querySelector("[data-clear]").hidden = !chosen;
    const states = {};
    for (const cell of found) { const state = name(cell).split(": ").slice(1).join(": "); states[state] = (states[state] ?? 0) + 1; }
    const counts = Object.entries(states).map(([state, count]) => `${count} ${state}`).join(", ");
    form.querySelector("[data-said]").textContent = !found.length ? "" : `${found.length} cell${found.length === 1 ? "" : "s"} chosen, from ${name(found[0]).split(": ")[0]} to ${name(found.at(-1)).split(": ")[0]}: ${counts}.`;
  };
  const choose = (first, last) => {
    const [one, other] = ms(first.dataset.start) <= ms(last.dataset.start) ? [first, last] : [last, first];
    chosen = [ms(one.dataset.start), ms(other.dataset.end)];
    form.elements.start.value = spoken(one.dataset.start);
    form.elements.end.value = spoken(other.dataset.end);
    show();
  };
  const clear = () => {
    anchor = chosen = null;
    form.elements.start.value = form.elements.end.value = "";
    show();
  };
  const mode = (on) => {
    choosing = on;
    anchor = null;
    form.querySelector("[data-choose]").setAttribute("aria-pressed", String(on));
    place.classList.toggle("choosing", on);
  };
  // The first press is where it begins, the second where it ends; a third begins anew.
  const pick = (cell) => {
    const begins = !anchor;
    choose(begins ? cell : anchor, cell);
    anchor = begins ? cell : null;
  };
  if (form) {
    form.querySelector("[data-hint]").hidden = false;
    place.addEventListener("pointerdown", (event) => {
      dragged = false;
      down = event.pointerType === "touch" || event.button || event.ctrlKey || event.metaKey ? null : cellOf(event);
    });
    place.addEventListener("pointerover", (event) => {
      const cell = down && cellOf(event);
      if (!cell || (cell === down && !dragged)) return;
      dragged = true;
      choose(down, cell);
    });
    document.addEventListener("pointerup", () => { down = null; });
    document.addEventListener("pointercancel", () => { down = null; });
    place.addEventListener("dragstart", (event) => cellOf(event) && event.preventDefault());
    place.addEventListener("click", (event) => {
      const cell = cellOf(event);
      if (event.target.closest("[data-choose]")) mode(!choosing);
      else if (event.target.closest("[data-clear]")) clear();
      else if (cell && dragged) event.preventDefault(); // it was the end of dragging, and opens nothing
      else if (cell && event.shiftKey) {
        event.preventDefault();
        anchor ??= cell;
        choose(anchor, cell);
      } else if (cell && choosing) {
        event.preventDefault();
        pick(cell);
      }
      dragged = false;
    });
    // What is written in the fields is shown where its cells are; a moment without a zone is of the job's, as in the calendar.
    form.addEventListener("input", () => {
      const [start, end] = ["start", "end"].map((each) => form.elements[each].value.trim());
      const from = cells().find((cell) => cell.dataset.start === start || spoken(cell.dataset.start) === start);
      const until = cells().find((cell) => cell.dataset.end === end || spoken(cell.dataset.end) === end);
      chosen = from && until ? [ms(from.dataset.start), ms(until.dataset.end)] : null;
      show();
    });
    document.addEventListener("patched", () => chosen && show());
  }

  document.addEventListener("keydown", (event) => {
    const link = event.target.closest?.("[data-rove] a");
    if (!link || event.ctrlKey || event.metaKey || event.altKey) return;
    const cell = place?.contains(link) && link.dataset.start ? link : null;
    if (ahead[event.key] || event.key === "Home" || event.key === "End") {
      const next = neighbour(link, event.key);
      event.preventDefault();
      if (!next) return;
      if (cell && event.shiftKey) { anchor ??= cell; choose(anchor, next); } else if (cell && choosing && anchor) choose(anchor, next);
      else if (!choosing) anchor = null;
      settle(next);
      next.focus();
    } else if (cell && (event.key === " " || (event.key === "Enter" && choosing))) {
      event.preventDefault();
      pick(cell);
    } else if (cell && event.key === "Escape") clear();
  });

  // ---- Keys that are shown once, forms that are sent once --------------------------------------------------------------------
  for (const button of document.querySelectorAll("[data-copy]")) {
    const field = document.getElementById(button.dataset.copy);
    button.hidden = false;
    button.addEventListener("click", async () => {
      field.select();
      try { await navigator.clipboard.writeText(field.value); button.textContent = "Copied"; } catch { button.textContent = "Selected: copy it"; }
    });
  }
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-once]")) return;
    if (event.target.sent) event.preventDefault();
    event.target.sent = true;
  });
})();
