// What pages can do a little better with a script: copy, focus the search, wait for a verdict. All work without it.
"use strict";

for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) break;
  const label = button.querySelector("span");
  const before = label.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
    label.textContent = button.dataset.done;
    button.classList.add("done");
    setTimeout(() => {
      label.textContent = before;
      button.classList.remove("done");
    }, 1600);
  });
}

// A verdict takes a second or two after an upload: look again a few times, further and further apart.
async function awaitVerdict(attempt) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (answer.ok && !(await answer.text()).includes("data-pending")) location.reload();
  else if (attempt < 8) setTimeout(awaitVerdict, 1000 * 1.6 ** attempt, attempt + 1);
}

if (document.querySelector("[data-pending]")) setTimeout(awaitVerdict, 1000, 1);

document.addEventListener("keydown", (event) => {
  const search = document.getElementById("search");
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  const slash = event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey;
  const palette = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey);
  if (search && (slash || palette)) {
    event.preventDefault();
    search.focus();
    search.select();
  }
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.refs[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.refs[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
