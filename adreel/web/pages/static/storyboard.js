// Keeps an open page of a session up to date. Without JavaScript a person presses Refresh.
"use strict";

// A browser opens at most six connections to a server: keep some free for the clips.
const MAX_STREAMS = 3;
const POLL_MILLISECONDS = 2000;
const MAX_IMAGE_BYTES = 10_000_000;
const streams = new Map();
const served = new Map();
let timer = 0;
let updateAfterPause = false;

function follow() {
  const marker = document.getElementById("jobs");
  const jobs = marker ? marker.dataset.jobs.split(" ").filter(Boolean).slice(0, MAX_STREAMS) : [];
  for (const [job, stream] of streams) {
    if (!jobs.includes(job)) {
      stream.close();
      streams.delete(job);
    }
  }
  for (const job of jobs) {
    if (!streams.has(job)) streams.set(job, listen(job));
  }
}

function listen(job) {
  // Behind a proxy the server may have a sub-path, which precedes the path of the page.
  const page = document.getElementById("main").dataset.page;
  const root = page.slice(0, page.lastIndexOf("/sessions/"));
  const stream = new EventSource(`${root}/api/videos/events/${job}`);
  stream.addEventListener("status", refreshSoon);
  stream.addEventListener("end", () => {
    stream.close();
    refreshSoon();
  });
  return stream;
}

function refreshSoon() {
  clearTimeout(timer);
  timer = setTimeout(() => refresh().catch(() => {}), 150); // After an error the stream reconnects and refreshes again.
}

async function refresh() {
  const response = await fetch(document.getElementById("main").dataset.page, { headers: { Accept: "text/html" } });
  if (response.redirected) location.reload(); // The sign-in has expired.
  if (!response.ok) return;
  const next = new DOMParser().parseFromString(await response.text(), "text/html");
  updateAfterPause = false;
  for (const block of document.querySelectorAll("[data-live]")) update(block, next.getElementById(block.id));
  follow();
}

function update(block, fresh) {
  if (!fresh || fresh.outerHTML === served.get(block.id)) return;
  if ([...block.querySelectorAll("video")].some((video) => !video.paused && !video.ended)) {
    updateAfterPause = true;
    return;
  }
  served.set(block.id, fresh.outerHTML);
  const focused = block.contains(document.activeElement) ? document.activeElement.id : "";
  const opened = [...block.querySelectorAll("details[open]")].map((details) => details.id);
  block.replaceWith(document.adoptNode(fresh));
  showLocalTimes(fresh);
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus();
}

// The server writes times in UTC.
const MOMENT = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });

function showLocalTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = time.textContent;
    time.textContent = MOMENT.format(new Date(time.dateTime));
  }
}

function pauseOthers(playing) {
  for (const video of document.querySelectorAll("video")) {
    if (video !== playing) video.pause();
  }
}

// An ad that is made at the end of a job has no events of its own.
setInterval(() => {
  if (document.querySelector("[data-poll]")) refreshSoon();
}, POLL_MILLISECONDS);

function resumeAfterPause() {
  if (updateAfterPause) refreshSoon();
}

// Show chosen images before they are sent. Without JavaScript they show once they are stored.
function preview(input) {
  const tooLarge = [...input.files].find((file) => file.size > MAX_IMAGE_BYTES);
  input.setCustomValidity(tooLarge ? `${tooLarge.name} has more than 10 MB: choose a smaller image.` : "");
  input.reportValidity();
  const box = input.closest(".field").querySelector(".previews");
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

for (const block of document.querySelectorAll("[data-live]")) served.set(block.id, block.outerHTML);
showLocalTimes(document);
document.addEventListener("change", (event) => {
  if (event.target.type === "file") preview(event.target);
});
document.addEventListener("play", (event) => pauseOthers(event.target), true);
document.addEventListener("pause", resumeAfterPause, true);
document.addEventListener("ended", resumeAfterPause, true);
// The second submit of a double click would discard the response to the first.
document.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});
document.querySelector("[aria-invalid]")?.focus();
follow();
