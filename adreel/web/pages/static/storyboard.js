// Keeps an open page up to date, sends its forms without leaving it, and keeps what is typed.
// Without JavaScript a person presses Refresh, and each form leads to the page anew.
"use strict";

// A browser opens at most six connections to a server: keep some free for the clips.
const MAX_STREAMS = 3;
const POLL_MILLISECONDS = 2000;
const LAST_POLLS = 6;
const MAX_IMAGE_BYTES = 10_000_000;
const DRAFT = "adreel.draft.";
const SENT = "adreel.sent";
// The server writes times in UTC.
const MOMENT = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
});
const streams = new Map();
const served = new Map();
const seen = new Map();
const changed = new Set();
const paused = new Set();
let timer = 0;
let actions = 0;
let isLeaving = false;

// Following the jobs of an ad

function follow() {
  const marker = document.getElementById("jobs");
  const jobs = marker ? marker.dataset.jobs.split(" ").filter(Boolean).slice(0, MAX_STREAMS) : [];
  for (const [job, stream] of streams) {
    if (!jobs.includes(job)) {
      stream.close();
      streams.delete(job);
      refreshBusy();
    }
  }
  for (const job of jobs) {
    if (!streams.has(job)) streams.set(job, listen(job));
  }
}

function listen(job) {
  // Behind a proxy the server may have a sub-path, which precedes the path of the page.
  const page = pageAddress();
  const root = page.slice(0, page.lastIndexOf("/sessions/"));
  const stream = new EventSource(`${root}/api/videos/events/${job}`);
  stream.addEventListener("status", (event) => showStatus(JSON.parse(event.data)));
  stream.addEventListener("end", () => {
    stream.close();
    refreshSoon();
  });
  return stream;
}

function showStatus(status) {
  for (const scene of status.scenes) {
    const { progress, ...rest } = scene;
    const key = `${status.job_id} ${scene.scenario}`;
    const state = JSON.stringify(rest);
    const isNew = seen.has(key) ? seen.get(key) !== state : !isShown(scene);
    seen.set(key, state);
    // The narration and the still of a scene are in its card; the music belongs to the ad.
    if (isNew) changed.add(scene.scenario.split("-").pop());
    else if (scene.status === "generating") showProgress(scene.scenario, progress);
  }
  if (status.cut || changed.size) refreshSoon();
}

// Whether the page was rendered with the state that the first event of a job tells.
function isShown(scene) {
  if (document.getElementById(`${scene.scenario}-state`)?.dataset.status !== scene.status) return false;
  const shown = [...document.querySelectorAll(`#${scene.scenario} :is(video, audio, img)`)];
  return !scene.video_url || shown.some((each) => each.src.endsWith(scene.video_url));
}

function showProgress(scenario, progress) {
  const block = document.querySelector(`#${scenario}-state .progress`);
  if (!block) return;
  const steps = JSON.parse(document.getElementById("board").dataset.steps);
  block.querySelector("progress").value = progress;
  const [words, percent] = block.querySelectorAll("p:first-of-type span");
  words.textContent = steps.find(([minimum]) => progress >= minimum)[1];
  percent.textContent = `${progress} %`;
}

// A job that has ended sends no more events: those of the last seconds may have been on their way.
function refreshBusy() {
  const busy = document.querySelectorAll(".scene [data-status='generating']");
  for (const part of busy) changed.add(part.closest(".scene").id);
  if (busy.length) refreshSoon();
}

function refreshSoon() {
  clearTimeout(timer);
  timer = setTimeout(refresh, 150);
}

// Replaces what belongs to the ad, and the parts of changed scenes.
async function refresh() {
  const scenes = [...changed].filter((name) => document.getElementById(name)?.matches(".scene"));
  const started = actions;
  changed.clear();
  try {
    const response = await fetch(onlyParts(pageAddress(), ["ad", ...scenes]), { headers: { Accept: "text/html" } });
    if (response.redirected) leaveTo(location.href); // The sign-in has expired.
    if (!response.ok) throw new Error(response.statusText);
    const next = parsed(await response.text());
    // An action that was answered meanwhile has shown something newer.
    if (started !== actions) throw new Error("outdated");
    updateBlocks(next);
  } catch {
    for (const scene of scenes) changed.add(scene);
    if (started !== actions) refreshSoon(); // After other errors the stream reconnects and refreshes again.
  }
}

function updateBlocks(next) {
  paused.clear();
  for (const block of document.querySelectorAll("[data-live]")) update(block, next.getElementById(block.id));
  document.getElementById("main").dataset.page = next.getElementById("main").dataset.page;
  follow();
  document.dispatchEvent(new Event("adreel:updated"));
}

function update(block, fresh) {
  if (!fresh || fresh.outerHTML === served.get(block.id)) return;
  if ([...block.querySelectorAll("video, audio")].some((played) => !played.paused && !played.ended)) {
    paused.add(block.id);
    return;
  }
  served.set(block.id, fresh.outerHTML);
  replace(block, fresh);
}

// Focus, the cursor in a text, and what was opened stay.
function replace(block, fresh) {
  const focused = block.contains(document.activeElement) ? document.activeElement : null;
  const cursor = focused && "selectionStart" in focused ? [focused.selectionStart, focused.selectionEnd] : null;
  const opened = [...block.querySelectorAll("details[open]")].map((details) => details.id);
  const place = block.dataset.draft ? window.scrollY : null;
  const strip = block.querySelector(".takes ol")?.scrollLeft;
  block.replaceWith(document.adoptNode(fresh));
  showLocalTimes(fresh);
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  if (strip) fresh.querySelector(".takes ol")?.scrollTo({ left: strip });
  if (!focused) return;
  const again = document.getElementById(focused.id) || fresh.querySelector("button");
  again?.focus({ preventScroll: true });
  if (cursor?.[0] != null && again?.id === focused.id) again.setSelectionRange(...cursor);
  if (place !== null) window.scrollTo(window.scrollX, place);
}

function resumeAfterPause() {
  if (!paused.size) return;
  for (const id of paused) changed.add(id.split("-")[0]);
  refreshSoon();
}

function pageAddress() {
  return document.getElementById("main")?.dataset.page;
}

function onlyParts(address, parts) {
  return address + (address.includes("?") ? "&" : "?") + parts.map((part) => `only=${part}`).join("&");
}

function parsed(html) {
  return new DOMParser().parseFromString(html, "text/html");
}

function leaveTo(address) {
  isLeaving = true;
  location.assign(address);
}

// Sending a form of an ad's page

async function send(form, button) {
  const fields = new FormData(form);
  if (button?.name) fields.append(button.name, button.value);
  const before = values(form);
  const [path, query] = form.getAttribute("action").split("?"); // A button is called "action".
  // A form that stayed on the page may not know the jobs that were started since.
  const jobs = pageAddress().split("?")[1] || query || "";
  const scene = form.dataset.scene ?? form.closest(".scene")?.id;
  let address = jobs ? `${path}?${jobs}` : path;
  if (scene) address = onlyParts(address, ["ad", scene]);
  form.setAttribute("aria-busy", "true");
  try {
    const body = form.enctype === "multipart/form-data" ? fields : new URLSearchParams(fields);
    const response = await fetch(address, { method: "POST", body, headers: { Accept: "text/html" } });
    if (response.status === 401) return leaveTo(pageAddress()); // The sign-in has expired. Drafts survive it.
    const text = await response.text();
    const next = parsed(text);
    if (!next.getElementById("main")?.dataset.page) return complain(form, reasonOf(next, text));
    actions += 1;
    answer(form, next, before);
    return;
  } catch {
    complain(form, "The server did not answer. What you typed is kept. Press again: the same order is carried out once.");
  } finally {
    form.removeAttribute("aria-busy");
    delete form.dataset.sent;
  }
}

function reasonOf(next, text) {
  const words = next.querySelector("main .words")?.textContent;
  if (words) return words;
  try {
    return JSON.parse(text).detail;
  } catch {
    return "The server's answer can't be read. What you typed is kept.";
  }
}

function complain(form, reason) {
  form.querySelector("[data-complaint]")?.remove();
  const complaint = document.createElement("p");
  complaint.className = "wrong words";
  complaint.dataset.complaint = "yes";
  complaint.setAttribute("role", "alert");
  complaint.textContent = reason;
  form.append(complaint);
}

// Shows the answer to a form: its own fields, what it says, and the parts that have changed.
function answer(sent, next, before) {
  for (const form of draftForms()) {
    const fresh = next.getElementById(form.id);
    if (!fresh || (form !== sent && hasFiles(form))) continue;
    const typedSince = Object.fromEntries(Object.entries(values(form)).filter(([name, value]) => before[name] !== value));
    const kept = form === sent ? typedSince : unsaved(form);
    for (const block of fresh.querySelectorAll("[data-live]")) served.set(block.id, block.outerHTML);
    replace(form, fresh);
    for (const [name, value] of Object.entries(kept)) setValue(fresh, name, value);
    keepDraft(fresh);
    if (form === sent) fresh.querySelector("[aria-invalid]")?.focus();
  }
  for (const block of document.querySelectorAll("[data-said]")) {
    const said = next.getElementById(block.id);
    if (said || block.id === "said") block.replaceChildren(...(said?.childNodes ?? []));
    if (block.childElementCount && !sent.dataset.scene) block.scrollIntoView({ block: "nearest" });
  }
  updateBlocks(next);
  history.replaceState(null, "", pageAddress());
}

// What is typed and not saved yet

function draftForms() {
  return document.querySelectorAll("form[data-draft]");
}

function names(form) {
  const kept = [...form.elements].filter((field) => field.name && !["hidden", "file", "submit"].includes(field.type));
  return new Set(kept.map((field) => field.name));
}

function values(form) {
  return Object.fromEntries([...names(form)].map((name) => [name, form.elements[name].value]));
}

function setValue(form, name, value) {
  if (!names(form).has(name)) return;
  const field = form.elements[name];
  const isKnown = field.type !== "select-one" || [...field.options].some((option) => option.value === value);
  if (!isKnown) field.add(new Option(value, value));
  field.value = value;
}

function storedValue(form, name) {
  const shown = form.elements[`shown.${name}`];
  if (shown) return shown.value;
  const field = form.elements[name];
  // The elements of a form are found by their ids too.
  const fields = (field instanceof RadioNodeList ? [...field] : [field]).filter((each) => each.name === name);
  if (fields[0].type === "radio") return fields.find((each) => each.defaultChecked)?.value ?? "";
  if (fields[0].type === "select-one") return [...fields[0].options].find((each) => each.defaultSelected)?.value ?? "";
  return fields[0].defaultValue;
}

function unsaved(form) {
  const differs = ([name, value]) => "unsaved" in form.dataset || value.trim() !== storedValue(form, name).trim();
  return Object.fromEntries(Object.entries(values(form)).filter(differs));
}

function hasFiles(form) {
  return [...form.elements].some((field) => field.type === "file" && field.files.length);
}

function hasUnsaved(form) {
  return hasFiles(form) || Object.keys(unsaved(form)).length > 0;
}

function keepDraft(form) {
  const found = unsaved(form);
  // A text that was typed into an earlier version must not replace a later one unasked.
  const kept = form.elements.version ? { ...found, version: form.elements.version.value } : found;
  if (Object.keys(found).length) sessionStorage.setItem(DRAFT + form.dataset.draft, JSON.stringify(kept));
  else sessionStorage.removeItem(DRAFT + form.dataset.draft);
  markUnsaved(form);
}

function markUnsaved(form) {
  const mark = form.querySelector(".unsaved span");
  if (mark) mark.hidden = !hasUnsaved(form);
}

function restoreDrafts() {
  const sent = sessionStorage.getItem(SENT);
  // The form is gone, and this is no error page: what it sent is stored.
  if (sent && !document.querySelector(`form[data-draft="${sent}"], [data-problem]`)) {
    sessionStorage.removeItem(DRAFT + sent);
  }
  sessionStorage.removeItem(SENT);
  for (const form of draftForms()) {
    const kept = sessionStorage.getItem(DRAFT + form.dataset.draft);
    // A form that came back with errors has what was sent.
    if (kept && !("unsaved" in form.dataset)) {
      const { version, ...typed } = JSON.parse(kept);
      if (version && form.elements.version) form.elements.version.value = version;
      for (const [name, value] of Object.entries(typed)) {
        setValue(form, name, value);
        const field = form.elements[name];
        (field?.[0] ?? field)?.closest?.("details")?.setAttribute("open", "");
      }
    }
    keepDraft(form);
  }
}

// Times, clips and images

function showLocalTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = time.textContent;
    time.textContent = MOMENT.format(new Date(time.dateTime));
  }
}

// Two takes that are compared play together.
function pauseOthers(playing) {
  const together = playing.closest("[data-together]");
  for (const other of document.querySelectorAll("video, audio")) {
    if (other !== playing && !together?.contains(other)) other.pause();
  }
}

// Show chosen images before they are sent. Without JavaScript they show once they are stored.
function preview(input) {
  const box = input.closest(".field").querySelector(".previews");
  if (!box) return;
  const tooLarge = [...input.files].find((file) => file.size > MAX_IMAGE_BYTES);
  input.setCustomValidity(tooLarge ? `${tooLarge.name} has more than 10 MB: choose a smaller image.` : "");
  input.reportValidity();
  for (const earlier of box.querySelectorAll("[data-chosen]")) earlier.remove();
  for (const file of input.files) {
    const image = new Image(96, 96);
    image.alt = image.title = file.name;
    image.dataset.chosen = "yes";
    box.append(image);
    const reader = new FileReader();
    reader.addEventListener("load", () => (image.src = reader.result));
    reader.readAsDataURL(file);
  }
}

// An ad that is made at the end of a job has no events of its own. A list shows the last changes a few seconds after
// the end of what it follows.
let polls = 0;
setInterval(() => {
  polls = document.querySelector("[data-poll]") ? LAST_POLLS : polls - 1;
  if (polls > 0) refreshSoon();
}, POLL_MILLISECONDS);

for (const block of document.querySelectorAll("[data-live]")) served.set(block.id, block.outerHTML);
showLocalTimes(document);
document.addEventListener("input", (event) => {
  if (event.target.form?.dataset.draft) keepDraft(event.target.form);
});
document.addEventListener("change", (event) => {
  if (event.target.type === "file") preview(event.target);
  if (event.target.form?.dataset.draft) keepDraft(event.target.form);
});
document.addEventListener("play", (event) => pauseOthers(event.target), true);
document.addEventListener("pause", resumeAfterPause, true);
document.addEventListener("ended", resumeAfterPause, true);
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  // The second submit of a double click would discard the response to the first.
  const isSecond = form.dataset.sent;
  form.dataset.sent = "yes";
  // The answer can be shown in place only where the page has parts for it.
  const staysOnPage = pageAddress() && (form.dataset.draft || form.dataset.scene || form.closest("[data-live]"));
  if (isSecond || staysOnPage) event.preventDefault();
  if (isSecond) return;
  if (staysOnPage) {
    send(form, event.submitter);
  } else if (form.dataset.draft) {
    sessionStorage.setItem(SENT, form.dataset.draft);
    isLeaving = true;
  }
});
window.addEventListener("beforeunload", (event) => {
  if (!isLeaving && [...draftForms()].some(hasUnsaved)) event.preventDefault();
});
window.addEventListener("pageshow", () => {
  isLeaving = false;
  for (const form of document.forms) delete form.dataset.sent;
});
document.querySelector("[aria-invalid]")?.focus();
restoreDrafts();
follow();
