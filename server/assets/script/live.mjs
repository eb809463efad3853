// An open page hears that its unit's feed grew. A list reads itself anew; one document is asked whether it is what changed, and
// then says so: what is being read or typed is never taken away. Only a page that is looked at listens: a browser has few
// connections to one server. Without this file a page is as it was when it was opened.
const notice = document.querySelector("[data-live]");
let stream = null;
let seen = notice?.dataset.number ?? null;

const say = () => { notice.hidden = false; };

// The list by the address that it shows, unless somebody is in it.
function list() {
  const results = document.querySelector("#results");
  if (!window.htmx || results.contains(document.activeElement)) return say();
  window.htmx.ajax("GET", location.pathname + location.search, { target: "#results", select: "#results", swap: "outerHTML" });
}

async function heads() {
  const answer = await fetch(notice.dataset.live, { headers: { Accept: "text/plain" } }).catch(() => null);
  // No answer says nothing; one that refuses says that the page is no longer what its reader may see.
  if (answer && (!answer.ok || (await answer.text()) !== notice.dataset.heads)) say();
}

function hear({ data }) {
  const { number } = JSON.parse(data);
  if (String(number) === seen) return;
  seen = String(number);
  if (notice.dataset.live === "list") list();
  else heads();
}

function listen() {
  if (document.hidden) {
    stream?.close();
    stream = null;
  } else if (!stream) {
    stream = new EventSource("/live");
    stream.addEventListener("feed", hear);
  }
}

if (notice) {
  document.addEventListener("visibilitychange", listen);
  listen();
}
