// What HTML alone cannot do: refresh what is shown, follow a log, filter when a status is selected.
"use strict";

const hidden = () => document.visibilityState === "hidden";

// Elements that have not changed stay, with their focus and selection.
function swap(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  const alike = old.cloneNode(false).isEqualNode(fresh.cloneNode(false));
  const [before, after] = [[...old.childNodes], [...fresh.childNodes]];
  if (alike && before.length === after.length) before.forEach((child, at) => swap(child, after[at]));
  else old.replaceWith(fresh);
}

async function refreshLive() {
  const live = document.querySelector("#live[data-every]");
  if (!live) return;
  if (!hidden()) {
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      const fresh = answer.ok && new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("#live");
      if (fresh) {
        if ("running" in live.dataset && !("running" in fresh.dataset)) return location.reload();
        const marked = [...live.querySelectorAll("input:checked")].map((box) => box.value);
        const focused = live.contains(document.activeElement) && document.activeElement.getAttribute("href");
        swap(live, fresh);
        for (const value of marked) {
          const box = document.querySelector(`#live input[value="${CSS.escape(value)}"]`);
          if (box) box.checked = true;
        }
        if (focused) document.querySelector(`#live [href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
      }
      document.body.classList.toggle("cut-off", !answer.ok);
    } catch {
      document.body.classList.add("cut-off");
    }
  }
  setTimeout(refreshLive, Number(live.dataset.every));
}

async function followLog() {
  const log = document.querySelector("#log");
  let ended = !log.dataset.every;
  if (!hidden()) {
    try {
      const answer = await fetch(log.dataset.from + log.dataset.next, { cache: "no-store" });
      const part = await answer.json();
      const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
      if (part.next < Number(log.dataset.next)) log.textContent = "";
      document.body.classList.remove("cut-off");
      log.append(part.text);
      log.dataset.next = part.next;
      if (atEnd) log.scrollTop = log.scrollHeight;
      ended = part.ended && part.text === "";
    } catch {
      document.body.classList.add("cut-off");
    }
  }
  if (ended) document.querySelector("#follows").textContent = "the run has ended";
  else setTimeout(followLog, Number(log.dataset.every));
}

for (const field of document.querySelectorAll("[data-submits]")) {
  field.addEventListener("change", () => field.form.requestSubmit());
}
const log = document.querySelector("#log");
if (log) {
  log.scrollTop = log.scrollHeight;
  if (log.dataset.every) setTimeout(followLog, Number(log.dataset.every));
}
const live = document.querySelector("#live[data-every]");
if (live) setTimeout(refreshLive, Number(live.dataset.every));
