// What the pages do beyond plain links and forms: questions in dialogs, toasts, live updates, keys. Without it everything works too.
"use strict";
(() => {
  const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";
  const root = meta("root");
  const $ = (id) => document.getElementById(id);
  // The server's clock by one that nobody sets, so that neither skew nor a change of the browser's clock matters.
  let ahead = Date.parse(meta("now")) - performance.now();
  let paused = false;

  // ---- Toasts -------------------------------------------------------------------------------------------------------------
  const element = (tag, text, kind) => {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  const toast = ({ text, job, details = [], went_wrong: wrong = false, view: place = "", login = false }) => {
    const made = element("div", "", `toast${wrong ? " wrong" : ""}`);
    made.append(element("strong", text));
    details.slice(0, 4).forEach((each) => made.append(element("p", each)));
    if (wrong && job) made.append(element("p", "Contact support with this id."));
    const buttons = element("div", "", "buttons");
    if (job || place) {
      const view = element("a", "View", "button");
      view.href = root + (place || `/jobs/${job}`);
      buttons.append(view);
    }
    if (login) {
      const link = element("a", "Log in", "button");
      link.href = location.href; // leads to the login, and back here
      buttons.append(link);
    }
    if (wrong && job) {
      const copy = element("button", "Copy ID");
      copy.addEventListener("click", () => navigator.clipboard?.writeText(job).then(() => (copy.textContent = "Copied")));
      buttons.append(copy);
    }
    const close = element("button", "Close");
    close.addEventListener("click", () => made.remove());
    buttons.append(close);
    made.append(buttons);
    // Beside an open dialog nothing can be pressed, so what went wrong is said in it.
    if (wrong && dialog?.open) {
      made.setAttribute("role", "alert");
      dialog.querySelectorAll(".toast").forEach((each) => each.remove());
      dialog.prepend(made);
    } else $(wrong ? "alarms" : "toasts").append(made);
    if (!wrong) setTimeout(() => made.matches(":hover, :focus-within") || made.remove(), 6000);
  };

  // ---- Actions ------------------------------------------------------------------------------------------------------------
  const dialog = $("dialog");
  const page = async (address, whole = false) => {
    const answer = await fetch(address, { headers: { "X-Partial": "1", Accept: "text/html" }, redirect: "error" });
    if (whole && !answer.ok) throw new Error(`${answer.status}`); // a page about a problem is no news of this one
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  };
  const ask = async (address, opener) => {
    const found = await page(address);
    dialog.replaceChildren(...found.querySelector("main").childNodes);
    dialog.opener = opener;
    dialog.showModal();
    (dialog.querySelector("[data-primary]") ?? dialog.querySelector("a, button"))?.focus();
  };
  dialog?.addEventListener("close", () => dialog.opener?.isConnected && dialog.opener.focus());
  const act = async (form, button) => {
    const body = new URLSearchParams(new FormData(form));
    if (button) button.disabled = true;
    try {
      const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json", "X-CSRF-Token": meta("csrf") } });
      const kind = answer.headers.get("content-type") ?? "";
      const said = kind.includes("json") ? await answer.json() : {};
      if (answer.status === 401) toast({ text: "You are no longer logged in. Nothing was done.", went_wrong: true, login: true });
      else if (said.text) toast(said);
      else toast({ text: said.detail ?? `It did not work: ${answer.status}.`, went_wrong: true, details: [] });
      if (answer.ok && dialog.contains(form)) dialog.close();
    } catch {
      toast({ text: "The server does not answer. Nothing is lost: try again.", went_wrong: true });
    }
    if (button) button.disabled = false;
    refresh(true);
  };
  document.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    const link = event.target.closest("a");
    if (link?.matches("[data-ask]")) {
      event.preventDefault();
      ask(link.href, link).catch(() => location.assign(link.href));
    } else if (link?.matches("dialog [data-close]")) {
      event.preventDefault();
      link.closest("dialog").close();
    } else if (event.target.matches("[data-theme-choice]")) theme(event.target.dataset.themeChoice);
  });
  document.addEventListener("submit", (event) => {
    if (event.submitter?.matches("[data-many]")) {
      event.preventDefault();
      const address = `${event.submitter.formAction}?${new URLSearchParams(new FormData(event.target))}`;
      ask(address, event.submitter).catch(() => location.assign(address));
      return;
    }
    if (!event.target.matches("[data-act]")) return;
    event.preventDefault();
    act(event.target, event.submitter);
  });

  // ---- Live updates: the page as it is now, patched in by the keys of its parts ---------------------------------------------
  const live = document.querySelector("[data-live]");
  let fetching = false, again = "", timer = 0, last = -Infinity;
  // However much happens: one request at a time, and a second of rest after each but for what somebody asked for.
  const refresh = (now = false) => {
    if (!live) return;
    again = now ? "now" : again || "later";
    if (fetching || (!now && (paused || document.hidden))) return;
    if (now) { clearTimeout(timer); timer = 0; }
    timer ||= setTimeout(update, now ? 0 : Math.max(0, last + 1000 - performance.now()), now);
  };
  const update = async (now) => {
    timer = 0;
    if (!now && (paused || document.hidden)) return;
    fetching = true;
    again = "";
    try {
      patch(await page(location.href, true), now);
    } catch { /* the next event, or the next look, tries again */ }
    fetching = false;
    last = performance.now();
    if (again) refresh(again === "now");
  };
  const swap = (old, fresh, now = false) => {
    if (old.isEqualNode(fresh) || old.matches(":active") || old.querySelector("input:not([type=checkbox]):focus")) return;
    const kept = new Map([...old.querySelectorAll("input[type=checkbox]")].map((each) => [each.value, each.checked]));
    const open = [...old.querySelectorAll("details")].map((each) => each.open);
    const focus = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") ?? document.activeElement.dataset.verb : null;
    const status = old.querySelector(".status")?.textContent;
    fresh.querySelectorAll("input[type=checkbox]").forEach((each) => { each.checked = kept.get(each.value) ?? false; });
    fresh.querySelectorAll("details").forEach((each, place) => { each.open = open[place] ?? each.open; });
    if (status !== fresh.querySelector(".status")?.textContent) fresh.classList.add("changed");
    // A button that the pointer is on does not become another one before it is pressed.
    const under = now ? null : old.querySelector(":is(button, .button):hover")?.closest(".actions");
    if (under && fresh.querySelectorAll(".actions").length === 1) {
      fresh.querySelector(".actions").replaceWith(under);
      under.addEventListener("pointerleave", () => refresh(), { once: true });
    }
    const scrolled = [...old.querySelectorAll(".scroll, pre")].map((each) => [each.scrollLeft, each.scrollTop]);
    old.replaceWith(fresh);
    fresh.querySelectorAll(".scroll, pre").forEach((each, place) => scrolled[place] && each.scrollTo(...scrolled[place]));
    if (focus) [...fresh.querySelectorAll("a, button")].find((each) => each.getAttribute("href") === focus || each.dataset.verb === focus)?.focus({ preventScroll: true });
  };
  // What the pointer is on, else what has the focus, else what stands at the top, does not move when something above it grows.
  const parts = () => [...live.querySelectorAll("[data-key]")];
  const steady = (change) => {
    const top = (each) => each.getBoundingClientRect().top;
    const held = parts().findLast((each) => each.matches(":hover")) ?? parts().findLast((each) => each.contains(document.activeElement)) ?? parts().find((each) => top(each) >= 0);
    const before = held && top(held);
    change();
    const after = held && parts().find((each) => each.dataset.key === held.dataset.key);
    if (after) scrollBy({ top: top(after) - before, behavior: "instant" });
  };
  const blocks = (of) => [...of.children].filter((each) => each.dataset.key);
  // Whole parts of a page come and go: an error that is new, what was called.
  const rearrange = (other) => {
    const there = new Set(blocks(other).map((each) => each.dataset.key));
    blocks(live).forEach((each) => there.has(each.dataset.key) || each.remove());
    let before = live.firstElementChild;
    for (const each of [...other.children]) {
      const here = each.dataset.key ? blocks(live).find((one) => one.dataset.key === each.dataset.key) : [...live.children].find((one) => each.id && one.id === each.id);
      if (here) before = here;
      else if (each.dataset.key) { before.after(each); before = each; }
    }
  };
  const patch = (found, now) => {
    const other = found.querySelector("[data-live]");
    if (!other) return;
    ahead = Date.parse(found.querySelector('meta[name="now"]')?.content ?? "") - performance.now() || ahead;
    steady(() => put(other, now));
    chosen();
    countdowns();
    document.dispatchEvent(new CustomEvent("patched", { detail: found }));
  };
  const put = (found, now) => {
    const fresh = new Map([...found.querySelectorAll("[data-key]")].map((each) => [each.dataset.key, each]));
    const here = new Map(parts().map((each) => [each.dataset.key, each]));
    for (const [key, old] of here) {
      if (old.parentElement.closest("[data-key]")) continue; // it goes with the part that it is in
      if (fresh.has(key)) swap(old, fresh.get(key).cloneNode(true), now);
    }
    moved([...here.values()].filter((each) => each.isConnected && each.matches("tr[data-item], tr[data-job]") && !fresh.has(each.dataset.key) && !each.parentElement.closest("[data-key]")));
    rearrange(found);
    const list = live.querySelector("[data-list] tbody"), other = found.querySelector("[data-list] tbody");
    if (list && other) {
      const added = [...other.querySelectorAll(":scope > [data-key]")].filter((each) => !here.has(each.dataset.key));
      if (added.length && !list.querySelector("[data-key]")) list.replaceChildren(...other.childNodes);
      else announce(list, added.length);
    }
  };
  // Rows that stand here although the list has moved on: they stay, dimmed, and tell the truth.
  const moved = async (rows) => {
    if (!rows.length) return;
    const query = new URLSearchParams(rows.slice(0, 50).map((each) => (each.dataset.item ? ["item", each.dataset.item] : ["job", each.dataset.job])));
    const found = await page(`${root}/rows?${query}`);
    for (const old of rows) {
      const fresh = found.querySelector(old.dataset.item ? `tr[data-item="${old.dataset.item}"]` : `tr[data-job="${old.dataset.job}"]`);
      if (!fresh) continue;
      fresh.dataset.key = old.dataset.key;
      fresh.classList.add("gone");
      swap(old, fresh);
    }
  };
  const announce = (list, count) => {
    let pill = document.querySelector(".pill");
    if (!count) { pill?.remove(); return; }
    if (!pill) {
      pill = element("button", "", "pill");
      pill.addEventListener("click", () => location.reload());
      list.closest(".scroll").before(pill);
    }
    pill.textContent = `${count} new: show`;
  };
  const lively = (text, lost) => {
    $("live-text").textContent = text;
    $("live").classList.toggle("lost", lost);
  };
  // The last event that was heard, so that a page which is opened next goes on there.
  const heard = (id) => {
    try {
      if (id) sessionStorage.setItem("heard", `${id} ${Date.now()}`);
      const [last, at] = (sessionStorage.getItem("heard") ?? "").split(" ");
      return Math.abs(Date.now() - at) < 60000 ? last : "";
    } catch { return ""; } // where nothing may be stored
  };
  const DID = { retry: "retried", "retry-now": "made due", overwrite: "set to run again", cancel: "cancelled" };
  const STATES = { PENDING: "Pending", STARTED: "Running", RETRY: "Retrying", SUCCESS: "Success", FAILURE: "Failed", REVOKED: "Manually Cancelled" };
  const ended = ({ operation, name, action, state, error, matched, done, left_alone: left, actor }) => {
    if (actor !== meta("caller")) return;
    const count = (number) => number.toLocaleString("en");
    const text = state === "DONE" ? `${count(done)} ${DID[action]}.` : `${state === "ABORTED" ? "Aborted" : "It failed"}: ${count(done)} of ${count(matched)} ${DID[action]}.`;
    const others = Object.entries(left).map(([why, number]) => `${count(number)} left alone: ${STATES[why.replace(/^is /, "")] ?? why}`);
    toast({ text, details: [name, ...(error ? [error] : []), ...others], view: `/operations/${operation}`, went_wrong: state === "FAILED" });
  };
  let stream, poll;
  const listen = () => {
    stream?.close();
    const query = new URLSearchParams(live.dataset.job ? { job: live.dataset.job } : {}), after = heard();
    if (after) query.set("after", after);
    stream = new EventSource(`${root}/api/stream?${query}`);
    stream.onopen = () => { clearInterval(poll); poll = undefined; lively(paused ? "Paused" : "Live", false); refresh(); };
    stream.onerror = () => {
      lively("Disconnected", true);
      poll ??= setInterval(() => refresh(), 5000);
      if (stream.readyState === EventSource.CLOSED) refused();
    };
    for (const kind of ["changed", "item_failed", "job_ended", "acted", "operation_ended", "reset", "ready"]) {
      stream.addEventListener(kind, (event) => {
        heard(event.lastEventId);
        if (kind === "operation_ended") ended(JSON.parse(event.data));
        if (kind !== "ready") refresh();
      });
    }
  };
  // An answer that is no stream: who is logged out is led to the login, and back; a server that has no room is asked again.
  const refused = async () => {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "manual" }).catch(() => null);
    if (answer?.type === "opaqueredirect" && !document.querySelector("dialog[open]")) location.reload();
    else setTimeout(() => document.hidden || listen(), 5000);
  };
  if (live && window.EventSource) {
    $("live").hidden = false;
    listen();
    // A page that nobody sees listens to nothing: browsers allow but a few connections to one server.
    document.addEventListener("visibilitychange", () => {
      stream.close();
      clearInterval(poll);
      poll = undefined;
      if (!document.hidden) { listen(); refresh(); }
    });
    setInterval(() => refresh(), 30000);
  }
  const pause = () => {
    paused = !paused;
    $("pause").setAttribute("aria-pressed", String(paused));
    const lost = stream?.readyState !== EventSource.OPEN;
    lively(lost ? "Disconnected" : paused ? "Paused" : "Live", lost);
    if (!paused) refresh(true);
  };
  $("pause")?.addEventListener("click", pause);
  const countdowns = () => document.querySelectorAll("[data-due]").forEach((each) => {
    const minutes = Math.max(0, Math.ceil((Date.parse(each.dataset.due) - performance.now() - ahead) / 60000));
    if (!minutes && !each.dataset.over) refresh();
    each.dataset.over = minutes ? "" : "1";
    each.textContent = `Retrying (in ${minutes} minute${minutes === 1 ? "" : "s"})`;
  });
  setInterval(countdowns, 5000);

  // ---- Selection ----------------------------------------------------------------------------------------------------------
  const picks = () => [...document.querySelectorAll('td.pick input[name="item"], td.pick input[name="job"]')];
  const chosen = () => {
    const count = picks().filter((each) => each.checked).length, shown = $("selection");
    if (!shown) return;
    shown.hidden = !count;
    const said = shown.querySelector("[data-count]");
    if (said) said.textContent = `${count} selected`;
  };
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) picks().forEach((each) => { each.checked = event.target.checked; });
    if (event.target.matches(".pick input")) chosen();
  });

  chosen();

  // ---- Theme and keys -----------------------------------------------------------------------------------------------------
  const theme = (name) => {
    document.cookie = `theme=${name}; path=${root || "/"}; max-age=31536000; samesite=strict`;
    if (name) document.documentElement.dataset.theme = name;
    else delete document.documentElement.dataset.theme;
  };
  if ($("themes")) $("themes").hidden = false;
  const rows = () => [...document.querySelectorAll("tbody tr[data-key]")];
  const row = () => document.activeElement.closest?.("tr[data-key]");
  const step = (by) => {
    const all = rows(), place = all.indexOf(row());
    all[Math.min(all.length - 1, Math.max(0, place < 0 ? 0 : place + by))]?.focus();
  };
  const press = (...verbs) => verbs.map((verb) => row()?.querySelector(`[data-verb="${verb}"]`)).find(Boolean)?.click();
  const places = { o: "/", j: "/jobs", i: "/work-items", p: "/pipelines", w: "/workers", a: "/audit", s: "/settings", c: "/causes", t: "/trends", b: "/operations" };
  const keys = {
    "/": () => $("q")?.focus(),
    j: () => step(1),
    k: () => step(-1),
    x: () => row()?.querySelector("input[type=checkbox]")?.click(),
    o: () => row()?.querySelector("[data-open]")?.click(),
    Enter: () => row() === document.activeElement && row().querySelector("[data-open]")?.click(),
    r: () => press("retry", "retry-now", "overwrite"),
    c: () => press("cancel"),
    p: () => live && pause(),
    t: () => theme(document.documentElement.dataset.theme === "dark" || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches) ? "light" : "dark"),
    "?": () => $("help").showModal(),
  };
  let going = 0;
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=checkbox]):not([type=radio]), textarea, select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (Date.now() - going < 1500 && places[event.key]) {
      going = 0;
      location.assign(root + places[event.key]);
    } else if (event.key === "g") going = Date.now();
    else if (keys[event.key]) {
      if (event.key !== "Enter") event.preventDefault();
      keys[event.key]();
    }
  });
})();
