// On every page: j and k walk a list's rows, a and r go to the decision, a count-down counts, a select of a filter asks at once.
// Everything works without this file; the keyboard is only faster with it.

const typing = (element) => element?.closest("input, select, textarea, [contenteditable]");

function walk(step) {
  const links = [...document.querySelectorAll("[data-row] a[data-open]")];
  if (links.length === 0) return false;
  const now = links.findIndex((link) => link.closest("[data-row]").contains(document.activeElement));
  const next = now < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(now + step, 0), links.length - 1);
  links[next].focus();
  links[next].scrollIntoView({ block: "nearest" });
  return true;
}

// `a` only puts the focus on the button: a single key never decides.
const keys = {
  j: () => walk(1),
  k: () => walk(-1),
  a: () => focus("[data-key=a]"),
  r: () => focus("[data-key=r]"),
};

function focus(selector) {
  const element = document.querySelector(selector);
  element?.focus();
  return element !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (Object.hasOwn(keys, event.key) && keys[event.key]()) event.preventDefault();
});

// The menu closes on Escape and on a click elsewhere.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// What cannot be undone is asked for once more.
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

// A large file: how far it is, and the answer in the page's place. Without this the browser sends the form by itself.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!("upload" in form.dataset) || event.defaultPrevented) return;
  event.preventDefault();
  const [bar, says] = [form.querySelector("progress"), form.querySelector("[role=status]")];
  const request = new XMLHttpRequest();
  const tell = (text) => { says.textContent = text; };
  const lost = () => { tell(form.dataset.lost); bar.hidden = true; form.querySelector("button").disabled = false; };
  request.upload.onprogress = ({ loaded, total }) => {
    bar.value = loaded / total;
    tell(loaded < total ? `${form.dataset.sending} ${Math.floor((100 * loaded) / total)} %` : form.dataset.reading);
  };
  request.onerror = lost;
  request.onload = () => {
    const main = new DOMParser().parseFromString(request.responseText, "text/html").querySelector("main");
    if (!main) return lost();
    document.querySelector("main").replaceWith(main);
    (main.querySelector("[data-answer]") ?? main).focus();
  };
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "text/html");
  bar.hidden = false;
  form.querySelector("button").disabled = true;
  request.send(new FormData(form));
});

for (const time of document.querySelectorAll("[data-until-ms]")) {
  const until = Number(time.dataset.untilMs) - Number(time.dataset.nowMs) + performance.now();
  const tick = () => {
    const left = Math.max(0, Math.ceil((until - performance.now()) / 1000));
    time.textContent = left > 0 ? `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}` : time.dataset.over;
    if (left > 0) setTimeout(tick, 1000);
  };
  tick();
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", () => navigator.clipboard.writeText(button.dataset.copy));
}

if (document.querySelector("[data-print]")) {
  for (const button of document.querySelectorAll("[data-print]")) button.addEventListener("click", () => window.print());
}
