// Plays two takes under one playhead, with the sound of one of them. Without it, each clip has its own controls.

const LARGEST_GAP = 0.25;
const LETTERS = ["A", "B"];
const sides = [...document.querySelectorAll("[data-side]")];
const videos = sides.map((side) => side.querySelector("video"));
const button = document.getElementById("play");
const playhead = document.getElementById("playhead");
const clock = document.getElementById("clock");
let heard = 0;
let isPlaying = false;

function isAtEnd(video) {
  return video.currentTime >= video.duration - 0.05;
}

function position() {
  return Math.max(...videos.map((video) => video.currentTime));
}

function start(video) {
  if (!isAtEnd(video)) video.play().catch(() => {});
}

function play() {
  if (videos.every(isAtEnd)) seek(0);
  isPlaying = true;
  button.textContent = "Pause";
  for (const video of videos) {
    video.preload = "auto";
    start(video);
  }
  requestAnimationFrame(follow);
}

function pause() {
  isPlaying = false;
  button.textContent = "Play both";
  for (const video of videos) {
    video.pause();
    video.playbackRate = 1;
  }
  align();
  show();
}

function toggle() {
  if (isPlaying) pause();
  else play();
}

function seek(seconds) {
  const target = Math.min(Math.max(seconds, 0), Number(playhead.max));
  for (const video of videos) video.currentTime = Math.min(target, video.duration || target);
  if (isPlaying) videos.forEach(start);
  show();
}

// The clip whose sound is heard leads. The other one catches up a little faster or slower, so that nothing jumps.
function align() {
  const leader = videos[heard];
  const other = videos[1 - heard];
  if (isAtEnd(leader) || isAtEnd(other) || leader.seeking || other.seeking) return;
  const gap = leader.currentTime - other.currentTime;
  const isFar = Math.abs(gap) > LARGEST_GAP || !isPlaying;
  if (isFar && gap) other.currentTime = leader.currentTime;
  other.playbackRate = isFar ? 1 : 1 + Math.max(-0.1, Math.min(0.1, gap));
  leader.playbackRate = 1;
}

function follow() {
  if (!isPlaying) return;
  align();
  show();
  if (videos.every(isAtEnd)) pause();
  else requestAnimationFrame(follow);
}

function show() {
  const seconds = position();
  playhead.value = seconds;
  clock.textContent = `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
  playhead.setAttribute("aria-valuetext", `${seconds.toFixed(1)} seconds`);
}

function hear(number) {
  heard = number;
  for (const [each, side] of sides.entries()) {
    side.classList.toggle("side-heard", each === heard);
    videos[each].muted = each !== heard;
    document.getElementById(`hear-${LETTERS[each]}`).checked = each === heard;
  }
}

function onKey(event) {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || target.closest("select, textarea")) return;
  const letter = LETTERS.indexOf(event.key.toUpperCase());
  if (letter >= 0) hear(letter);
  if (target.closest("a, button, input")) return;
  const moves = { ArrowLeft: -1, ArrowRight: 1 };
  if (event.key === " ") toggle();
  else if (event.key in moves) seek(position() + moves[event.key]);
  else return;
  event.preventDefault();
}

for (const [number, video] of videos.entries()) {
  const other = videos[1 - number];
  video.controls = false;
  video.addEventListener("click", toggle);
  // While one clip waits for data, the other one waits for it.
  video.addEventListener("waiting", () => {
    if (isPlaying) other.pause();
  });
  video.addEventListener("canplay", () => {
    if (isPlaying && videos.every((each) => isAtEnd(each) || each.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA)) {
      videos.forEach(start);
    }
  });
  video.addEventListener("loadedmetadata", () => {
    playhead.max = Math.max(...videos.map((each) => each.duration || 0));
  });
  document.getElementById(`hear-${LETTERS[number]}`).addEventListener("change", () => hear(number));
}
button.addEventListener("click", toggle);
playhead.addEventListener("input", () => seek(Number(playhead.value)));
document.addEventListener("keydown", onKey);
document.getElementById("transport").hidden = false;
hear(0);
