// Plays an ad on a stage above the board: its finished file, or the takes of its scenes as one film.
// Two videos take turns, so that the next clip is loaded before the last one ends. Nothing needs this script.

const stage = document.getElementById("player");
const names = JSON.parse(stage.dataset.names);
const use = document.getElementById("player-use");
const [frame, chapters, said] = [".player-frame", ".chapters", ".player-said"].map((name) => stage.querySelector(name));
const videos = [newVideo(), newVideo()];
const swapped = new Map(); // scenario -> the take that is played in place of the current one
const broken = new Set();
let playlist;
let parts = []; // what is played: the scenes with their takes, or the chapters of the finished ad
let isFinishedAd = false;
let at = 0;
let active = videos[0];
let hasEnded = false;

function newVideo() {
  const video = document.createElement("video");
  video.playsInline = true;
  video.preload = "auto";
  video.setAttribute("aria-hidden", "true"); // The buttons below are its controls.
  frame.append(video);
  return video;
}

// Behind a proxy the server may have a sub-path, which precedes the path of the page.
function addressOf(path) {
  const page = document.getElementById("main").dataset.page;
  return page.slice(0, page.lastIndexOf("/sessions/")) + path;
}

function readPlaylist() {
  const button = document.getElementById("play-ad");
  playlist = button ? JSON.parse(button.dataset.playlist) : { scenes: [], ad: null };
}

function makeParts() {
  if (isFinishedAd) {
    const { src, seconds, chapters: known } = playlist.ad;
    const starts = known.length ? known : [{ scenario: null, start: 0 }];
    return starts.map(({ scenario, start }, number) => {
      const end = starts[number + 1]?.start ?? seconds;
      return { scenario, name: names[scenario] ?? "The ad", src, start, seconds: end - start };
    });
  }
  return playlist.scenes.map(({ scenario, takes, current }) => {
    const id = swapped.get(scenario) ?? current;
    const take = takes.find((each) => each.take === id);
    return { scenario, name: names[scenario], take, src: take?.src, start: 0, seconds: take?.seconds ?? 0 };
  });
}

function canPlay(part) {
  return Boolean(part?.src) && !broken.has(part.src);
}

// Moves to the next part that can be played, in a direction.
function go(number, { offset = 0, isPlaying = true, step = 1 } = {}) {
  const skipped = [];
  while (parts[number] && !canPlay(parts[number])) {
    skipped.push(parts[number].name);
    number += step;
  }
  if (skipped.length) say(`${skipped.join(", ")}: no clip that can be played, skipped.`);
  if (!parts[number]) {
    if (step > 0) finish();
    return;
  }
  at = number;
  hasEnded = false;
  const address = addressOf(parts[at].src);
  if (active.getAttribute("src") !== address) {
    const earlier = active;
    active = videos.find((video) => video !== earlier);
    earlier.pause();
    if (active.getAttribute("src") !== address) active.src = address;
  }
  active.currentTime = parts[at].start + offset;
  if (isPlaying) active.play().catch(paint); // A browser may want one more press.
  paint();
}

// The last picture of the earlier clip stays until the next one has a picture.
function reveal({ target }) {
  if (target !== active || stage.hidden) return;
  for (const video of videos) video.classList.toggle("is-shown", video === active);
  const next = parts.slice(at + 1).find(canPlay);
  const spare = videos.find((video) => video !== active);
  const address = next && addressOf(next.src);
  if (next && address !== active.getAttribute("src") && address !== spare.getAttribute("src")) spare.src = address;
  paint();
}

function finish() {
  hasEnded = true;
  active.pause();
  paint();
}

function position() {
  const part = parts[at];
  return part ? Math.min(Math.max(active.currentTime - part.start, 0), part.seconds) : 0;
}

function swap(step) {
  const scene = playlist.scenes.find(({ scenario }) => scenario === parts[at]?.scenario);
  if (!scene?.takes.length) return;
  const shown = swapped.get(scene.scenario) ?? scene.current;
  const number = scene.takes.findIndex(({ take }) => take === shown);
  const take = scene.takes[(number + step + scene.takes.length) % scene.takes.length];
  if (take.take === shown) return say(`${names[scene.scenario]} has one take.`);
  const offset = position();
  swapped.set(scene.scenario, take.take);
  isFinishedAd = false;
  parts = makeParts();
  say(`${names[scene.scenario]}, take ${take.number}`);
  const isPlaying = !active.paused;
  const place = parts.findIndex(({ scenario }) => scenario === scene.scenario);
  go(place, { offset: offset < take.seconds - 0.1 ? offset : 0, isPlaying });
}

function toggle() {
  if (hasEnded) go(0);
  else if (active.paused) active.play().catch(paint);
  else active.pause();
}

function back() {
  if (position() > 2 || at === 0) go(at, { isPlaying: !active.paused });
  else go(at - 1, { isPlaying: !active.paused, step: -1 });
}

function forward() {
  if (at + 1 < parts.length) go(at + 1, { isPlaying: !active.paused });
}

function changeSource() {
  const scenario = parts[at]?.scenario;
  isFinishedAd = !isFinishedAd;
  parts = makeParts();
  go(Math.max(0, parts.findIndex((part) => part.scenario === scenario)));
}

function open() {
  readPlaylist();
  swapped.clear();
  broken.clear();
  isFinishedAd = Boolean(playlist.ad);
  parts = makeParts();
  stage.hidden = false;
  say("");
  go(0);
  stage.scrollIntoView({ block: "start" });
  document.getElementById("player-toggle").focus({ preventScroll: true });
}

async function close() {
  if (document.fullscreenElement) await document.exitFullscreen();
  stage.hidden = true;
  for (const video of videos) {
    video.pause();
    video.removeAttribute("src");
    video.load();
    video.classList.remove("is-shown");
  }
  document.getElementById("play-ad")?.focus();
}

function changeScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else stage.requestFullscreen().catch(() => say("This browser keeps the ad on the page."));
}

function say(words) {
  said.textContent = words;
}

function label(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

// Showing the state of the player

function paint() {
  if (stage.hidden) return;
  const part = parts[at];
  const before = parts.slice(0, at).reduce((sum, { seconds }) => sum + seconds, 0);
  const total = parts.reduce((sum, { seconds }) => sum + seconds, 0);
  const done = hasEnded ? total : before + position();
  const state = hasEnded ? "ended" : active.paused ? "paused" : "playing";
  stage.dataset.state = state;
  stage.dataset.scene = part?.scenario ?? "";
  const words = { ended: "Play again", paused: "Play", playing: "Pause" };
  document.getElementById("player-toggle").textContent = words[state];
  stage.querySelector(".player-time").textContent = `${label(done)} / ${label(total)}`;
  paintChapters();
  paintTakes(part);
  const source = document.getElementById("player-source");
  source.hidden = !playlist.ad || !playlist.scenes.some(({ takes }) => takes.length);
  source.textContent = isFinishedAd ? "Play the clips" : "Play the finished ad";
  document.getElementById("player-sound").setAttribute("aria-pressed", String(active.muted));
  document.getElementById("player-full").setAttribute("aria-pressed", String(Boolean(document.fullscreenElement)));
}

function paintChapters() {
  const key = JSON.stringify(parts.map((part) => [part.name, part.seconds, canPlay(part)]));
  if (chapters.dataset.key !== key) {
    const focused = [...chapters.children].findIndex((item) => item.contains(document.activeElement));
    chapters.dataset.key = key;
    chapters.replaceChildren(...parts.map(newChapter));
    chapters.children[focused]?.firstElementChild.focus();
  }
  [...chapters.children].forEach((item, number) => {
    const [button] = item.children;
    const share = number < at || hasEnded ? 1 : number === at ? position() / (parts[at].seconds || 1) : 0;
    if (number === at) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    button.querySelector(".chapter-done").style.transform = `scaleX(${canPlay(parts[number]) ? share : 0})`;
  });
}

function newChapter(part, number) {
  const item = document.createElement("li");
  item.style.flexGrow = part.seconds || 1;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "chapter";
  button.disabled = !canPlay(part);
  const track = document.createElement("span");
  track.className = "chapter-track";
  track.append(Object.assign(document.createElement("span"), { className: "chapter-done" }));
  button.append(track, canPlay(part) ? part.name : `${part.name}: no clip`);
  button.addEventListener("click", () => go(number, { isPlaying: hasEnded || !active.paused }));
  item.append(button);
  return item;
}

function paintTakes(part) {
  const scene = playlist.scenes.find(({ scenario }) => scenario === part?.scenario);
  const shown = scene && (swapped.get(scene.scenario) ?? scene.current);
  const number = scene ? scene.takes.findIndex(({ take }) => take === shown) + 1 : 0;
  document.getElementById("player-takes").hidden = !scene || scene.takes.length < 2;
  stage.querySelector(".player-take").textContent = scene ? `take ${number} of ${scene.takes.length}` : "";
  const isCurrent = !scene || shown === scene.current;
  if (isCurrent && use.contains(document.activeElement)) document.getElementById("player-toggle").focus();
  use.hidden = isCurrent;
  if (isCurrent) return;
  use.dataset.scene = scene.scenario;
  use.elements.take.value = shown;
  use.setAttribute("action", use.getAttribute("action").replace(/\/scenes\/[^/]+\//, `/scenes/${scene.scenario}/`));
}

// The page has changed: a take was chosen, or a new clip is stored. What is playing goes on.
function follow() {
  if (stage.hidden) return;
  const earlier = new Map(playlist.scenes.map(({ scenario, current }) => [scenario, current]));
  readPlaylist();
  for (const { scenario, takes, current } of playlist.scenes) {
    const before = earlier.get(scenario);
    if (before === current) continue;
    if (swapped.get(scenario) === current) say(`Take ${takes.find(({ take }) => take === current).number} is now used.`);
    if (before && scenario === parts[at]?.scenario && !swapped.has(scenario)) swapped.set(scenario, before);
  }
  if (!isFinishedAd) parts = makeParts();
  paint();
}

function pressed(event) {
  if (stage.hidden || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const { target } = event;
  if (target.closest("input, textarea, select, video, [contenteditable]")) return;
  if (!stage.contains(target)) {
    // Elsewhere on the page the keys have their usual meaning, and so they have while the stage is out of sight.
    const { top, bottom } = stage.getBoundingClientRect();
    if (bottom < 0 || top > innerHeight || target.closest("a, button, summary, [tabindex]:not(main)")) return;
  }
  const actions = {
    " ": target.closest("a, button, summary") ? null : toggle,
    ArrowLeft: back,
    ArrowRight: forward,
    ArrowUp: () => swap(-1),
    ArrowDown: () => swap(1),
    Escape: close,
  };
  if (!actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
}

for (const video of videos) {
  for (const event of ["loadeddata", "seeked", "playing"]) video.addEventListener(event, reveal);
  for (const event of ["play", "pause", "timeupdate"]) video.addEventListener(event, paint);
  video.addEventListener("timeupdate", () => {
    // The finished ad goes on by itself from one chapter to the next.
    const next = parts[at + 1];
    if (isFinishedAd && video === active && next && video.currentTime >= next.start) at += 1;
  });
  video.addEventListener("ended", () => {
    if (video !== active) return;
    if (isFinishedAd) finish();
    else go(at + 1);
  });
  video.addEventListener("error", () => {
    const path = video.getAttribute("src");
    const lost = path && parts.find((part) => part.src && addressOf(part.src) === path);
    if (!lost) return;
    broken.add(lost.src);
    if (video !== active) return paint();
    if (isFinishedAd && playlist.scenes.some(({ takes }) => takes.length)) return changeSource();
    go(at);
  });
}
document.addEventListener("click", (event) => {
  if (!event.target.closest("#play-ad") || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  open();
});
document.addEventListener("keydown", pressed);
document.addEventListener("adreel:updated", follow);
document.addEventListener("fullscreenchange", paint);
document.getElementById("player-full").hidden = !document.fullscreenEnabled;
const actions = { back, toggle, next: forward, close, source: changeSource, full: changeScreen };
for (const [id, action] of Object.entries(actions)) {
  document.getElementById(`player-${id}`).addEventListener("click", action);
}
document.getElementById("player-up").addEventListener("click", () => swap(-1));
document.getElementById("player-down").addEventListener("click", () => swap(1));
document.getElementById("player-sound").addEventListener("click", () => {
  const isMuted = !active.muted;
  for (const video of videos) video.muted = isMuted;
  paint();
});
frame.addEventListener("click", toggle);
