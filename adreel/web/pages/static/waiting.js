// While scenes are being made: how long it takes, how many are made in the tab's title, and a notification at the end
// for a person who asks for it. Without JavaScript the page says when each scene was ordered.
"use strict";

{
  const main = document.getElementById("main");
  const tell = document.getElementById("tell");
  const name = document.querySelector("h1").textContent;
  const plainTitle = document.title.replace(/^\(\d+\/\d+\) /, "");
  const wish = `adreel.tell.${main.dataset.page.split("?")[0]}`;
  // The clocks of the server and of this machine may differ.
  const offset = Date.parse(main.dataset.now) - Date.now();
  let wasMaking = false;

  function elapsedWords(since) {
    const seconds = Math.max(0, Math.round((Date.now() + offset - Date.parse(since)) / 1000));
    const minutes = Math.floor(seconds / 60);
    if (minutes >= 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min so far`;
    return minutes ? `${minutes} min ${seconds % 60} s so far` : `${seconds} s so far`;
  }

  function showElapsed() {
    for (const words of document.querySelectorAll("[data-since]")) words.textContent = elapsedWords(words.dataset.since);
  }

  function showState() {
    const { made, state } = document.getElementById("jobs").dataset;
    const [done, all] = made.split("/").map(Number);
    const isMaking = all > 0 || document.querySelector("#cut-state .progress") !== null;
    if (all) document.title = `(${done}/${all}) ${plainTitle}`;
    if (wasMaking && !isMaking) end(state === "completed");
    wasMaking = isMaking;
    showTell();
    showElapsed();
  }

  function end(isComplete) {
    document.title = `${isComplete ? "✓" : "!"} ${plainTitle}`;
    if (!sessionStorage.getItem(wish)) return;
    sessionStorage.removeItem(wish);
    const clips = [...document.querySelectorAll(".scene-body > [data-status]")];
    const stored = clips.filter((clip) => clip.dataset.status === "completed").length;
    const told = new Notification(isComplete ? `${name} is ready` : `${name} is not complete`, {
      body: `${stored} of ${clips.length} clips are stored.`,
      tag: wish,
    });
    told.addEventListener("click", () => window.focus());
  }

  function showTell() {
    const isOffered = window.isSecureContext && "Notification" in window;
    tell.hidden = !(isOffered && wasMaking);
    if (tell.hidden) return;
    const isWished = sessionStorage.getItem(wish) !== null;
    tell.setAttribute("aria-pressed", String(isWished));
    tell.disabled = Notification.permission === "denied";
    if (tell.disabled) tell.textContent = "This browser shows no notifications of this page";
    else tell.textContent = isWished ? "You will be told when it is ready" : "Tell me when it is ready";
  }

  tell.addEventListener("click", async () => {
    if (sessionStorage.getItem(wish)) sessionStorage.removeItem(wish);
    else if ((await Notification.requestPermission()) === "granted") sessionStorage.setItem(wish, "yes");
    showTell();
  });
  document.addEventListener("adreel:updated", showState);
  setInterval(showElapsed, 1000);
  showState();
}
