// What the pages do beyond plain links and forms: questions in dialogs, toasts, live updates, keys. Without it everything works too.
"use strict";
(() => {
  const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";
  const root = meta("root");
  const $ = (id) => document.getElementById(id);
  let ahead = Date.parse(meta("now")) - Date.now(); // the server's clock, by ours
  let paused = false;

  // ---- Toasts -------------------------------------------------------------------------------------------------------------
  const element = (tag, text, kind) => {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  const toast = ({ text, job, details = [], went_wrong: wrong = false, view: place = "" }) => {
    const made = element("div", "", `toast${wrong ? " wrong" : ""}`);
    made.append(element("strong", text));
    details.slice(0, 4).forEach((each) => made.append(element("p", each)));
    if (wrong) made.append(element("p", "Contact support with this id."));
    const buttons = element("div", "", "buttons");
    if (job || place) {
      const view = element("a", "View", "button");
      view.href = root + (place || `/jobs/${job}`);
      buttons.append(view);
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
    $(wrong ? "alarms" : "toasts").append(made);
    if (!wrong) setTimeout(() => made.matches(":hover, :focus-within") || made.remove(), 6000);
  };

  // ---- Actions ------------------------------------------------------------------------------------------------------------
  const dialog = $("dialog");
  const page = async (address) => {
    const answer = await fetch(address, { headers: { "X-Partial": "1", Accept: "text/html" }, redirect: "error" });
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
      if (said.text) toast(said);
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
  let asked = false, pending = false, last = 0;
  const refresh = (now = false) => {
    if (!live || asked) { pending = true; return; }
    if (!now && (paused || document.hidden)) { pending = true; return; }
    const wait = now ? 0 : Math.max(0, last + 1000 - Date.now());
    asked = true;
    setTimeout(async () => {
      pending = false;
      last = Date.now();
      try {
        patch(await page(location.href));
      } catch { /* the next event, or the next look, tries again */ }
      asked = false;
      if (pending) refresh();
    }, wait);
  };
  const swap = (old, fresh) => {
    if (old.isEqualNode(fresh) || old.matches(":active") || old.querySelector("input:not([type=checkbox]):focus")) return;
    const kept = new Map([...old.querySelectorAll("input[type=checkbox]")].map((each) => [each.value, each.checked]));
    const open = [...old.querySelectorAll("details")].map((each) => each.open);
    const focus = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") ?? document.activeElement.dataset.verb : null;
    const status = old.querySelector(".status")?.textContent;
    fresh.querySelectorAll("input[type=checkbox]").forEach((each) => { each.checked = kept.get(each.value) ?? false; });
    fresh.querySelectorAll("details").forEach((each, place) => { each.open = open[place] ?? each.open; });
    if (status !== fresh.querySelector(".status")?.textContent) fresh.classList.add("changed");
    old.replaceWith(fresh);
    if (focus) [...fresh.querySelectorAll("a, button")].find((each) => each.getAttribute("href") === focus || each.dataset.verb === focus)?.focus();
  };
  const patch = (found) => {
    ahead = Date.parse(found.querySelector('meta[name="now"]')?.content ?? "") - Date.now() || ahead;
    const fresh = new Map([...found.querySelectorAll("[data-key]")].map((each) => [each.dataset.key, each]));
    const here = new Map([...live.querySelectorAll("[data-key]")].map((each) => [each.dataset.key, each]));
    for (const [key, old] of here) {
      if (old.parentElement.closest("[data-key]")) continue; // it goes with the part that it is in
      if (fresh.has(key)) swap(old, fresh.get(key));
    }
    moved([...here.values()].filter((each) => each.matches("tr[data-item], tr[data-job]") && !fresh.has(each.dataset.key)));
    const list = live.querySelector("[data-list] tbody"), other = found.querySelector("[data-list] tbody");
    if (list && other) {
      const added = [...other.querySelectorAll(":scope > [data-key]")].filter((each) => !here.has(each.dataset.key));
      if (added.length && !list.querySelector("[data-key]")) list.replaceChildren(...other.childNodes);
      else announce(list, added.length);
    }
    chosen();
    countdowns();
    document.dispatchEvent(new CustomEvent("patched", { detail: found }));
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
  let stream, poll;
  const listen = () => {
    const job = live.dataset.job;
    stream = new EventSource(`${root}/api/stream${job ? `?job=${job}` : ""}`);
    stream.onopen = () => { clearInterval(poll); poll = undefined; lively(paused ? "Paused" : "Live", false); refresh(); };
    stream.onerror = () => {
      lively("Away", true);
      poll ??= setInterval(() => refresh(), 5000);
      if (stream.readyState === EventSource.CLOSED) setTimeout(() => document.hidden || listen(), 5000);
    };
    for (const kind of ["changed", "item_failed", "job_ended", "acted", "reset"]) stream.addEventListener(kind, () => refresh());
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
    lively(paused ? "Paused" : "Live", false);
    if (!paused) refresh(true);
  };
  $("pause")?.addEventListener("click", pause);
  const countdowns = () => document.querySelectorAll("[data-due]").forEach((each) => {
    const minutes = Math.max(0, Math.ceil((Date.parse(each.dataset.due) - Date.now() - ahead) / 60000));
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
