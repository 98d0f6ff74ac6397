// Keeps the form of an ad in step with the chosen model, and shows what the server writes into it without losing a file
// that was chosen. Without JavaScript the server renders the form again.
"use strict";

const form = document.getElementById("compose");
const WORDS_PER_SECOND = 2.5;
const NO_ANSWER = "The server did not answer. Nothing that you wrote is lost: please try again.";
let isBusy = false;

const field = (id) => document.getElementById(id);

function offerOf(air) {
  const model = field("model");
  const option = [...model.options].find((each) => each.value === air) ?? model.options[0];
  return option.dataset.offer ? JSON.parse(option.dataset.offer) : null;
}

function showOffer() {
  const offer = offerOf(field("model").value);
  field("model-offer").textContent = offer?.note ?? "The catalogue does not know what this model offers.";
  for (const shape of form.querySelectorAll("[data-aspect]")) {
    shape.hidden = Boolean(offer?.aspects) && !offer.aspects.includes(shape.dataset.aspect);
    const choice = shape.querySelector("input");
    if (shape.hidden && choice.checked) field("aspect-").checked = true;
  }
  for (const choice of field("resolution").options) {
    const offered = offer?.resolutions?.map((each) => each.toLowerCase());
    choice.hidden = choice.disabled = Boolean(choice.value && offered && !offered.includes(choice.value));
    if (choice.hidden && choice.selected) field("resolution").value = "";
  }
  for (const seconds of form.querySelectorAll("[data-seconds]")) offerSeconds(seconds);
}

function offerSeconds(select) {
  const own = field(select.id.replace("duration", "model")).value.trim();
  const offered = offerOf(own || field("model").value)?.seconds;
  if (!offered) return;
  const wanted = Number(select.value) || 5;
  const nearest = offered.reduce((best, each) => (Math.abs(each - wanted) < Math.abs(best - wanted) ? each : best));
  const stored = storedValue(form, select.name);
  const shown = select.value === stored ? nearest : Number(stored);
  select.replaceChildren(...offered.map((each) => new Option(`${each} s`, each, each === shown, each === nearest)));
}

function countWords(scenario) {
  const narration = field(`${scenario}-dialog_narration`);
  const seconds = Number(field(`${scenario}-duration`).value) || 0;
  const words = narration.value.split(/\s+/).filter(Boolean).length;
  const most = Math.floor(seconds * WORDS_PER_SECOND);
  let line = field(`${scenario}-words`);
  if (!line) {
    line = document.createElement("p");
    line.className = "hint";
    line.id = `${scenario}-words`;
    narration.after(line);
  }
  line.classList.toggle("too-long", words > most);
  line.textContent = words > most ? `${words} words: about ${most} fit into ${seconds} s` : words ? `${words} of about ${most} words` : "";
}

function showColours() {
  const colours = field("brand_colors").value.split(",").map((each) => each.trim()).filter(Boolean);
  const known = colours.filter((each) => CSS.supports("color", each));
  field("swatches").replaceChildren(
    ...known.map((each) => {
      const swatch = document.createElement("button");
      swatch.type = "button";
      swatch.className = "swatch";
      swatch.title = `Remove ${each}`;
      swatch.ariaLabel = swatch.title;
      swatch.style.background = each;
      swatch.addEventListener("click", () => {
        field("brand_colors").value = colours.filter((other) => other !== each).join(", ");
        keepDraft(form);
        showColours();
        field("brand_colors").focus();
      });
      return swatch;
    }),
    adder(colours),
  );
}

function adder(colours) {
  const label = document.createElement("label");
  label.className = "swatch swatch-add";
  label.title = "Add a colour";
  const picker = document.createElement("input");
  picker.type = "color";
  picker.ariaLabel = "Add a colour";
  picker.addEventListener("change", () => {
    field("brand_colors").value = [...colours, picker.value].join(", ");
    keepDraft(form);
    showColours();
  });
  label.append(picker);
  return label;
}

// A template or the prompts come from the server. Only what it changed is replaced, so chosen files stay.
async function send(button) {
  const body = new FormData(form);
  body.append("action", button.value);
  body.append("keeps_files", "yes");
  const response = await fetch(form.getAttribute("action"), { method: "POST", body, headers: { Accept: "text/html" } });
  if (response.redirected) {
    sessionStorage.setItem(SENT, form.dataset.draft);
    leaveTo(response.url);
    return;
  }
  const answer = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = answer.getElementById("compose");
  if (fresh) apply(fresh, button.value);
  else say(answer.querySelector("main p")?.textContent ?? NO_ANSWER);
}

function say(words) {
  const notice = document.createElement("div");
  notice.className = "notice notice-bad";
  notice.setAttribute("role", "alert");
  notice.textContent = words;
  field("compose-said").replaceChildren(notice);
  notice.scrollIntoView({ block: "nearest" });
}

function apply(fresh, action) {
  const focused = document.activeElement?.id;
  for (const earlier of form.querySelectorAll(".field")) {
    const id = earlier.querySelector("input, select, textarea")?.id;
    const next = id && fresh.querySelector(`#${CSS.escape(id)}`)?.closest(".field");
    const hasFile = [...earlier.querySelectorAll("input[type=file]")].some((input) => input.files.length);
    if (next && !hasFile) earlier.replaceWith(next);
  }
  for (const hidden of form.querySelectorAll("input[type=hidden]")) {
    const next = fresh.querySelector(`input[type=hidden][name="${hidden.name}"]`);
    if (next) hidden.value = next.value;
  }
  for (const block of form.querySelectorAll("[data-fresh]")) {
    const next = fresh.querySelector(`#${block.id}`);
    if (next && block.id !== "swatches") block.replaceWith(next);
  }
  for (const wrong of form.querySelectorAll(".field-wrong")) wrong.closest("details")?.setAttribute("open", "");
  if (action === "look") for (const look of form.querySelectorAll(".look details")) look.open = true;
  // What the server has written is in the fields alone.
  form.dataset.unsaved = "";
  follow();
  keepDraft(form);
  const said = field("compose-said");
  const wrong = form.querySelector("[aria-invalid]");
  if (wrong) wrong.focus();
  else if (focused) field(focused)?.focus({ preventScroll: true });
  if (said.childElementCount) said.scrollIntoView({ block: "nearest" });
}

function follow() {
  showOffer();
  showColours();
  for (const seconds of form.querySelectorAll("[data-seconds]")) countWords(seconds.id.split("-")[0]);
}

form.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button?.value) return;
  event.preventDefault();
  event.stopPropagation();
  if (isBusy) return;
  isBusy = true;
  form.setAttribute("aria-busy", "true");
  send(button)
    .catch(() => say(NO_ANSWER))
    .finally(() => {
      isBusy = false;
      form.removeAttribute("aria-busy");
    });
});
form.addEventListener("input", (event) => {
  if (event.target.id === "brand_colors") showColours();
  const scenario = event.target.id.split("-")[0];
  if (field(`${scenario}-duration`)) countWords(scenario);
});
form.addEventListener("change", (event) => {
  if (event.target.id === "model") showOffer();
  else if (event.target.id.endsWith("-model")) offerSeconds(field(event.target.id.replace("model", "duration")));
});
field("compose-discard").addEventListener("click", () => {
  sessionStorage.removeItem(DRAFT + form.dataset.draft);
  leaveTo(location.pathname + location.search);
});
follow();
