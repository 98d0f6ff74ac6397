// The menu of an ad's files: it closes like a menu, and its last entry copies the address of the page.
// Without JavaScript it opens and closes by its button, and the entry is a link.

const COPIED_MILLISECONDS = 3000;

function menu() {
  return document.querySelector("#downloads[open]");
}

async function copy(link) {
  await navigator.clipboard.writeText(link.href);
  const words = link.textContent;
  link.setAttribute("role", "status");
  link.textContent = "Copied";
  setTimeout(() => {
    link.removeAttribute("role");
    link.textContent = words;
  }, COPIED_MILLISECONDS);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("#page-link");
  // Only pages of HTTPS or of this machine may write to the clipboard.
  if (link && navigator.clipboard) {
    event.preventDefault();
    copy(link);
  } else if (!event.target.closest("#downloads") || event.target.closest("#downloads a")) {
    menu()?.removeAttribute("open");
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !menu()) return;
  if (menu().contains(document.activeElement)) menu().firstElementChild.focus();
  menu().removeAttribute("open");
});
