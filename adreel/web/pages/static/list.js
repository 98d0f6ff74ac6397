// Keeps the list of ads up to date: changed rows are swapped, and the focus and the place on the screen stay.
// Without JavaScript the list is that of the last load.
"use strict";

(() => {
  const BUSY_MILLISECONDS = 3000;
  const IDLE_MILLISECONDS = 20000;
  const ANSWER_MILLISECONDS = 15000;
  const shown = new Map();
  let looksAt = 0;

  function rows(root) {
    return [...root.querySelectorAll("[data-row]")];
  }

  function lookSoon() {
    clearTimeout(looksAt);
    const isBusy = document.querySelector("#ads[data-busy]");
    looksAt = setTimeout(look, isBusy ? BUSY_MILLISECONDS : IDLE_MILLISECONDS);
  }

  async function look() {
    if (!document.hidden) {
      try {
        const signal = AbortSignal.timeout(ANSWER_MILLISECONDS);
        const response = await fetch(location.href, { headers: { Accept: "text/html" }, signal });
        if (response.redirected) return location.reload(); // The sign-in has expired.
        if (response.ok) show(new DOMParser().parseFromString(await response.text(), "text/html"));
      } catch {
        // The server is away: the next look may find it.
      }
    }
    lookSoon();
  }

  function show(next) {
    const list = document.getElementById("ads");
    const fresh = next.getElementById("ads");
    // From no ad to the first one, or to none, the page has other parts.
    if (Boolean(list) !== Boolean(fresh)) return offerReload();
    const anchor = window.scrollY && list ? [...list.children].find((row) => row.getBoundingClientRect().bottom > 0) : null;
    const place = anchor?.getBoundingClientRect().top;
    for (const part of rows(document).filter((part) => part.parentElement !== list)) {
      const again = next.getElementById(part.id);
      if (again) swap(part, again);
    }
    if (list) swapRows(list, fresh);
    if (anchor?.isConnected) window.scrollBy(0, anchor.getBoundingClientRect().top - place);
  }

  function swapRows(list, fresh) {
    const ids = new Set([...fresh.children].map((row) => row.id));
    for (const row of [...list.children]) {
      if (!ids.has(row.id) && !row.contains(document.activeElement)) row.remove();
    }
    let at = list.firstElementChild;
    for (const again of [...fresh.children]) {
      const row = document.getElementById(again.id);
      if (row) swap(row, again);
      if (row && row === at) {
        at = at.nextElementSibling;
        continue;
      }
      if (!row) {
        shown.set(again.id, fingerprint(again));
        showLocalTimes(again);
      }
      list.insertBefore(row ?? document.adoptNode(again), at);
    }
    list.toggleAttribute("data-busy", fresh.hasAttribute("data-busy"));
  }

  // Sends the form of a row. The answer is the list without the ad, or the page of the ad with a reason.
  async function send(form) {
    try {
      const response = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { Accept: "text/html" } });
      const next = new DOMParser().parseFromString(await response.text(), "text/html");
      if (!next.getElementById("list-notice")) throw new Error("another page");
      if (!next.getElementById("ads")) return location.assign(response.url); // It was the last one of the list.
      history.replaceState(null, "", response.url);
      document.activeElement?.blur();
      show(next);
      document.getElementById("undo")?.focus({ preventScroll: true });
    } catch {
      form.submit(); // Without the script, for the answer as a page of its own. It is done once.
    }
  }

  // A row that is the same on the server stays, and so do its image and the focus.
  function swap(row, again) {
    const print = fingerprint(again);
    if (shown.get(row.id) === print) return;
    shown.set(row.id, print);
    const focused = row.contains(document.activeElement) ? document.activeElement.id : "";
    row.replaceChildren(...document.adoptNode(again).childNodes);
    showLocalTimes(row);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  // The content as the server sends it: the times of the page are local.
  function fingerprint(row) {
    const copy = row.cloneNode(true);
    for (const time of copy.querySelectorAll("time")) time.replaceWith(time.dateTime);
    return copy.innerHTML;
  }

  function offerReload() {
    if (document.getElementById("reload")) return;
    const line = document.createElement("p");
    line.className = "notice";
    line.setAttribute("role", "status");
    const link = document.createElement("a");
    link.id = "reload";
    link.href = location.href;
    link.textContent = "Show the list as it is now";
    line.append("The list has changed. ", link);
    document.querySelector("#list-notice").after(line);
  }

  for (const row of rows(document)) shown.set(row.id, fingerprint(row));
  document.addEventListener("submit", (event) => {
    if (!("keep" in event.target.dataset)) return;
    event.preventDefault();
    send(event.target);
  });
  document.addEventListener("visibilitychange", () => document.hidden || look());
  window.addEventListener("pageshow", (event) => event.persisted && look());
  lookSoon();
})();
