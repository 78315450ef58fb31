// Trees of calls: what is not there yet is loaded when it is opened, a page at a time, and what is there follows what happens.
"use strict";
(() => {
  const page = async (address) => {
    const answer = await fetch(address, { headers: { "X-Partial": "1", Accept: "text/html" }, redirect: "error" });
    if (!answer.ok) throw new Error(String(answer.status));
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  };
  const items = (list) => [...list.children].filter((each) => each.dataset.call);
  const line = (item) => item.querySelector(":scope > .leaf > [data-line]");
  // Take over what is new in a list: lines change in their places, what is open stays open, what has been added stands at the end.
  const merge = (list, fresh) => {
    const here = new Map(items(list).map((each) => [each.dataset.call, each]));
    for (const other of items(fresh)) {
      const item = here.get(other.dataset.call);
      if (!item) { list.append(other); continue; }
      const branch = item.querySelector(":scope > details"), grown = other.querySelector(":scope > details");
      if (!branch && grown) { item.replaceWith(other); continue; }
      const old = line(item), now = line(other);
      if (old && now && !old.isEqualNode(now) && !old.contains(document.activeElement)) old.replaceWith(now);
      const counts = branch?.querySelector(":scope > summary > [data-counts]"), said = grown?.querySelector(":scope > summary > [data-counts]");
      if (counts && said && !counts.isEqualNode(said)) counts.replaceWith(said);
      const failed = item.querySelector(":scope > .failed-calls"), named = other.querySelector(":scope > .failed-calls");
      if (named && !failed) item.append(named);
      else if (named && !failed.isEqualNode(named) && !failed.contains(document.activeElement)) failed.replaceWith(named);
      const inner = branch?.querySelector(":scope > ul.tree"), further = grown?.querySelector(":scope > ul.tree");
      if (inner && further?.children.length) merge(inner, further);
    }
  };
  const load = async (branch, address) => {
    const list = branch.querySelector(":scope > ul.tree");
    branch.setAttribute("aria-busy", "true");
    try {
      const found = await page(address);
      merge(list, found.querySelector("[data-tree]"));
      branch.querySelector(":scope > .more")?.remove();
      branch.dataset.loaded = "1";
      const next = found.querySelector('a[rel="next"]');
      if (next) {
        const more = document.createElement("a");
        more.className = "more";
        more.href = next.getAttribute("href");
        more.dataset.more = "1";
        more.textContent = `Show more: ${items(list).length.toLocaleString("en")} are shown`;
        branch.append(more);
      }
    } catch { /* its link leads to the same */ }
    branch.removeAttribute("aria-busy");
  };
  document.addEventListener("toggle", (event) => {
    const branch = event.target;
    if (branch.matches?.("details[data-branch]") && branch.open && !branch.querySelector(":scope > ul.tree > li")) load(branch, branch.dataset.branch);
  }, true);
  document.addEventListener("click", (event) => {
    const more = event.target.closest?.("details[data-branch] > a.more");
    if (!more || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    const branch = more.parentElement, before = items(branch.querySelector(":scope > ul.tree")).length;
    load(branch, more.href).then(() => items(branch.querySelector(":scope > ul.tree"))[before]?.querySelector("summary, a")?.focus());
  });
  document.addEventListener("patched", (event) => {
    const here = document.querySelector("main [data-tree]"), fresh = event.detail?.querySelector("[data-tree]");
    if (here && fresh) merge(here, fresh);
    for (const branch of document.querySelectorAll("details[data-branch][data-loaded][open]")) {
      page(branch.dataset.branch).then((found) => merge(branch.querySelector(":scope > ul.tree"), found.querySelector("[data-tree]"))).catch(() => {});
    }
  });
})();
