// The portal's one script. Every page works without it: it fetches the same pages again when something came, keeps
// drafts, looks for duplicates while one types, and hears single keys. It makes no markup of its own but text.

const words = document.getElementById("words")?.dataset ?? {};
const status = document.getElementById("live-status");
const alarm = document.getElementById("live-alarm");
const form = (name) => document.querySelector(`form[data-${name}]`);

/** Says something to who reads the screen, and shows it. An empty text takes it away. */
function say(text, place = status) {
  if (place && place.textContent !== text) {
    place.textContent = text;
    place.hidden = text === "";
  }
}

/** A page as the daemon makes it now; null if it does not answer or the session has ended. */
async function page(address, options = {}) {
  const answer = await fetch(address, { redirect: "manual", cache: "no-store", credentials: "same-origin", ...options });
  if (answer.type === "opaqueredirect" || answer.status === 401) {
    say(words.ended, alarm);
    return null;
  }
  if (!answer.ok && answer.status !== 400) return null;
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

/** Whether somebody works in a part of the page right now: then it is not changed under his hands. */
function busy(part) {
  const inside = part.contains(document.activeElement) && document.activeElement !== document.body;
  return inside || part.matches(":hover") || part.querySelector("details[open] form") !== null;
}

let waiting = null;

/** Puts the parts of a fresh page in place of those here. */
function swap(fresh, force) {
  let left = 0;
  for (const part of document.querySelectorAll("[data-fragment]")) {
    const next = fresh.getElementById(part.id);
    if (!next || next.isEqualNode(part)) continue;
    if (!force && busy(part)) { left += 1; continue; }
    part.replaceWith(document.adoptNode(next));
  }
  waiting = left > 0 ? fresh : null;
  const pill = document.getElementById("live-pill");
  if (pill) pill.hidden = waiting === null;
}

/** Fetches this page again. It is no sign of somebody being here, so the session does not go on by it. */
async function refresh() {
  if (document.querySelector("[data-fragment]") === null) return;
  try {
    const fresh = await page(location.href, { headers: { "Tearline-Live": "1" } });
    if (fresh) swap(fresh, false);
  } catch { /* The stream says that the daemon is gone. */ }
}

/** The stream of what came: it says that something did, never what. */
function listen() {
  let retry = 1000, lost = false, flash = null;
  const open = () => {
    const stream = new EventSource("/events");
    stream.addEventListener("open", () => {
      retry = 1000;
      if (lost) { lost = false; say("", alarm); say(words.back); refresh(); }
    });
    stream.addEventListener("news", (event) => {
      const news = JSON.parse(event.data);
      if (flash !== null && news.flash > flash) say(words.flash, alarm);
      if (flash !== null) refresh();
      flash = news.flash;
      document.documentElement.dataset.news = "heard";
    });
    stream.addEventListener("ended", () => { stream.close(); say(words.ended, alarm); });
    stream.addEventListener("error", () => {
      lost = true;
      if (stream.readyState !== EventSource.CLOSED) { say(words.lost, alarm); return; }
      // It was refused: the session has ended, or the daemon starts just now.
      stream.close();
      setTimeout(async () => {
        try {
          if (await page(location.href, { headers: { "Tearline-Live": "1" } })) open();
          else if (alarm?.textContent !== words.ended) open();
        } catch { say(words.lost, alarm); open(); }
      }, retry);
      retry = Math.min(retry * 2, 30000);
    });
  };
  open();
}

const body = (of, act) => {
  const fields = new URLSearchParams();
  for (const [name, value] of new FormData(of)) if (typeof value === "string") fields.append(name, value);
  fields.set("act", act);
  return { method: "POST", body: fields };
};

/** Keeps what is typed into a report, and looks for what is perhaps the same. */
function attend(report) {
  let keep = null, look = null, typed = false;
  const identifying = new Set((report.dataset.identifying ?? "").split(" "));
  report.addEventListener("input", (event) => {
    typed = true;
    clearTimeout(keep);
    keep = setTimeout(async () => {
      try {
        const kept = await fetch(report.dataset.draft, { ...body(report, "draft"), headers: { "Tearline-Live": "1" }, redirect: "manual" });
        say(kept.ok ? words.kept : words.unkept);
      } catch { say(words.unkept); }
    }, 1500);
    if (!identifying.has(event.target.name)) return;
    clearTimeout(look);
    look = setTimeout(async () => {
      try {
        const fresh = await page(report.action, body(report, "check"));
        const next = fresh?.getElementById("duplicates-box"), here = document.getElementById("duplicates-box");
        if (next && here && !next.isEqualNode(here)) here.replaceWith(document.adoptNode(next));
      } catch { /* It is looked for again when the report is written. */ }
    }, 600);
  });
  report.addEventListener("submit", () => { typed = false; });
  addEventListener("beforeunload", (event) => { if (typed && status?.textContent === words.unkept) event.preventDefault(); });
}

/** Single keys, while nobody types. They can be turned off in the settings. */
function keys() {
  let going = false;
  const go = { b: "/board", r: "/records", p: "/map", t: "/timeline", m: "/mesh", s: "/sharing", h: "/help" };
  const rows = () => [...document.querySelectorAll("[data-row] a[href^='/record/']")];
  const step = (by) => {
    const all = rows(), at = all.indexOf(document.activeElement);
    all[Math.min(Math.max(at + by, 0), all.length - 1)]?.focus();
  };
  addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (going) { going = false; if (go[event.key]) location.assign(go[event.key]); return; }
    switch (event.key) {
      case "g": going = true; return;
      case "j": step(1); break;
      case "k": step(-1); break;
      case "a": document.activeElement?.closest("[data-row]")?.querySelector("button[value=acknowledge]")?.click(); break;
      case "n": location.assign("/new"); break;
      case "?": location.assign("/help"); break;
      case "/": { const search = document.getElementById("q"); if (search) search.focus(); else location.assign("/records"); break; }
      default: return;
    }
    event.preventDefault();
  });
}

document.getElementById("live-pill")?.addEventListener("click", () => { if (waiting) swap(waiting, true); });
const report = form("draft");
if (report) attend(report);
if (words.live === "yes") listen();
if (words.keys === "yes") keys();
const poll = document.querySelector("[data-poll]");
if (poll) setInterval(() => { if (!document.hidden) refresh(); }, Number(poll.dataset.poll) * 1000);
