// On the page of a guest and of shares: comments jump to their moment, and a button takes the moment of the film.
// Nothing needs it. A module, because the other script of a page has names of its own.

function label(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

function offer(video) {
  const text = document.getElementById("text");
  if (!text) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button button-small button-tint";
  const line = document.createElement("p");
  line.className = "buttons";
  line.append(button);
  video.after(line);
  const show = () => (button.textContent = `Comment at ${label(video.currentTime)}`);
  for (const event of ["timeupdate", "seeked", "loadedmetadata"]) video.addEventListener(event, show);
  show();
  button.addEventListener("click", () => {
    video.pause();
    document.getElementById("moment").value = label(video.currentTime);
    const scene = document.getElementById("scenario");
    if (scene) scene.value = video.dataset.film;
    text.focus();
  });
}

function jump(event) {
  const link = event.target.closest("[data-moment]");
  const video = link && document.querySelector(`video[data-film="${link.dataset.of}"]`);
  if (!video) return;
  event.preventDefault();
  // Another format of the ad may be in front of it.
  const tab = video.closest(".panel")?.previousElementSibling?.control;
  if (tab) tab.checked = true;
  video.currentTime = Number(link.dataset.moment);
  video.scrollIntoView({ block: "nearest" });
  video.play().catch(() => {});
}

async function copy(button) {
  const field = document.getElementById(button.dataset.copies);
  field.select();
  await navigator.clipboard.writeText(field.value);
  button.textContent = "Copied";
}

for (const video of document.querySelectorAll("video[data-film]")) offer(video);
document.addEventListener("click", jump);
for (const button of document.querySelectorAll("[data-copies]")) {
  // Only pages of HTTPS or of this machine may write to the clipboard.
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", () => copy(button));
}

// Pages with a menu have their own script for this.
if (document.body.classList.contains("guest")) {
  const moment = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
  for (const time of document.querySelectorAll("time[datetime]")) {
    time.title = time.textContent; // The server writes times in UTC.
    time.textContent = moment.format(new Date(time.dateTime));
  }
  document.addEventListener("play", (event) => {
    for (const video of document.querySelectorAll("video")) if (video !== event.target) video.pause();
  }, true);
  // The second submit of a double click would discard the response to the first.
  document.addEventListener("submit", (event) => {
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
  });
  document.querySelector("[aria-invalid]")?.focus();
}
