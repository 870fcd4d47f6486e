// Walks the portal with a real browser. See run.
import { readFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { Daemon, PASSPHRASE, folder, injections, remove, totp, write } from "./stage.mjs";

const [program, executablePath, sources] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const pictures = process.env.TEARLINE_SCREENSHOTS;
if (pictures) mkdirSync(pictures, { recursive: true });
const faults = [];
const fault = (text) => { if (!faults.includes(text)) { faults.push(text); console.error(`FAIL  ${text}`); } };
const LANGUAGES = ["en", "fr", "ar"], THEMES = ["light", "dark"];

/**
 * The pages of each route that is asked for, by who sees them. A route of the portal that is not here fails the walk. `null`: it is no page.
 * `made` has the ids of what was made for the walk.
 */
const PAGES = {
  "/assets/{name}": null, "/favicon.svg": null, "/events": null, "/record/{record}/file/{file}": null,
  "/login": () => ["stranger", "/login"], "/setup": () => ["stranger", "/setup"], "/enrol": () => ["enrolling", "/enrol"],
  "/": () => ["officer", "/"],
  "/board": () => ["officer", "/board", "/board?show=all"],
  "/records": (made) => ["officer", "/records", "/records?kind=incident", `/records?q=${encodeURIComponent(made.strings[0])}`],
  "/map": () => ["officer", "/map"], "/timeline": () => ["officer", "/timeline"],
  "/record/{record}": (made) => ["officer", `/record/${made.vehicle}`, `/record/${made.hostile}`],
  "/record/{record}/why": (made) => ["officer", `/record/${made.vehicle}/why`],
  "/record/{record}/withhold": (made) => ["officer", `/record/${made.vehicle}/withhold`],
  "/record/{record}/release": (made) => ["officer", `/record/${made.vehicle}/release`],
  "/releases": () => ["officer", "/releases"],
  "/new": () => ["officer", "/new"], "/new/{kind}": () => ["officer", "/new/sighting", "/new/travel-document"],
  "/devices": () => ["officer", "/devices"], "/device/{device}": (made) => ["officer", `/device/${made.device}`],
  "/inbox": () => ["officer", "/inbox"], "/inbox/{entry}": null, // Nothing is quarantined here; tests/e2e/portal/devices.rs has it.
  "/bundles": () => ["officer", "/bundles"], "/mesh": () => ["officer", "/mesh"], "/sharing": () => ["officer", "/sharing"],
  "/audit": () => ["auditor", "/audit"], "/operators": () => ["admin", "/operators"],
  "/settings": () => ["officer", "/settings"], "/help": () => ["officer", "/help"], "/about": () => ["officer", "/about"],
};
const routes = [...readFileSync(join(sources, "node/src/portal/routes.rs"), "utf8").matchAll(/^ {4}get\("([^"]+)"/gm)].map(([, path]) => path);
for (const path of routes) if (!(path in PAGES)) fault(`no page of the walk is of the route ${path}`);
for (const path of Object.keys(PAGES)) if (!routes.includes(path)) fault(`${path} is no route`);

const work = folder();
const guard = new Daemon(program, work, "Border Guard", "NE");
const customs = new Daemon(program, work, "Customs", "TD");
const browser = await chromium.launch({
  executablePath,
  // Whatever a page would ask for elsewhere is not there, and the walk hears that it asked.
  args: ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost"],
});

/** A browser window that reports what it must not do. */
async function window(options) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30000);
  context.on("request", (request) => {
    const { hostname, protocol } = new URL(request.url());
    const here = hostname === "127.0.0.1" || hostname === "localhost" || hostname.endsWith(".localhost");
    if (!here && protocol !== "data:") fault(`${page.url()} asks for ${request.url()}`);
  });
  page.on("dialog", (dialog) => {
    if (dialog.type() !== "beforeunload") fault(`${page.url()} opens a dialog: ${dialog.message()}`);
    dialog.accept().catch(() => {});
  });
  page.on("pageerror", (error) => fault(`${page.url()}: ${error}`));
  page.on("console", (line) => {
    const of = line.location().url;
    // A form that is refused, a stream whose daemon is stopped, and one whose session has ended are meant to be.
    if (line.type() === "error" && !/status of 4\d\d/.test(line.text()) && !of.endsWith("/events") && !line.text().startsWith("EventSource")) fault(`${page.url()}: ${line.text()}`);
  });
  return page;
}

/** Signs somebody in who works at a daemon from now on, up to the page where a second factor is shown. */
async function arrive(daemon, name, role) {
  const { code } = daemon.ask("operator", "add", name, "--role", role);
  const page = await window({});
  await page.goto(`${daemon.address}/setup`);
  await page.fill("[name=name]", name);
  await page.fill("[name=code]", code);
  await page.fill("[name=passphrase]", PASSPHRASE);
  await page.fill("[name=again]", PASSPHRASE);
  await page.click("main button[type=submit]");
  return page;
}

async function operator(daemon, name, role) {
  const page = await arrive(daemon, name, role);
  if (page.url().endsWith("/enrol")) {
    await page.fill("[name=code]", totp(await page.textContent("code[dir=ltr]")));
    await page.click("main button[type=submit]");
  }
  return page;
}

async function nothingRan(page, where) {
  const ran = await page.evaluate(() => globalThis.ran !== undefined || document.title === "ran").catch(() => false);
  if (ran) fault(`${where}: an injected script ran`);
}

const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
/** Tallest picture. */
const TALL = 2400;

async function look(page, address, path, { language, theme, script, narrow = false }) {
  const joint = path.includes("?") ? "&" : "?";
  const answer = await page.goto(`${address}${path}${joint}lang=${language}`, { waitUntil: "load" });
  const where = `${path} ${language} ${theme}${narrow ? " narrow" : ""}${script ? "" : " without script"}`;
  if (answer.status() !== 200) return fault(`${where}: ${answer.status()}`);
  await nothingRan(page, where);
  if (script && !narrow) {
    await page.evaluate(axe);
    // In the dark the same page has other colours, and nothing else.
    const runOnly = theme === "light" ? RULES : { type: "rule", values: ["color-contrast"] };
    const { violations } = await page.evaluate((runOnly) => globalThis.axe.run(document, { resultTypes: ["violations"], runOnly }), runOnly);
    for (const { id, help, nodes } of violations) fault(`${where}: ${id}: ${help}: ${nodes.slice(0, 3).map((node) => node.target.join(" ")).join(" | ")}`);
  }
  const { wide, width, height } = await page.evaluate(() => {
    const { scrollWidth, clientWidth, scrollHeight } = document.documentElement;
    return { wide: scrollWidth - clientWidth, width: clientWidth, height: scrollHeight };
  });
  if (wide > 1) fault(`${where}: wider than its window by ${wide} px`);
  if (pictures && script && language !== "fr") {
    const name = `${path.replace(/[0-9a-f]{32,}/g, "x").slice(0, 40).replace(/\W+/g, "-").replace(/^-|-$/g, "") || "home"}`;
    await page.screenshot({ path: join(pictures, `${name}-${language}-${theme}${narrow ? "-narrow" : ""}${script ? "" : "-plain"}.png`), fullPage: true, clip: { x: 0, y: 0, width, height: Math.min(height, TALL) } });
  }
}

/** Every page of one who works here: in every language and theme, then without JavaScript, then on a telephone. */
async function walk(page, address, paths) {
  // A tab for each language.
  const tabs = await Promise.all(LANGUAGES.slice(1).map(() => page.context().newPage()));
  await Promise.all([page, ...tabs].map(async (tab, n) => {
    for (const theme of THEMES) {
      await tab.emulateMedia({ colorScheme: theme });
      for (const path of paths) await look(tab, address, path, { language: LANGUAGES[n], theme, script: true });
    }
  }));
  for (const tab of tabs) await tab.close();
  const cookies = await page.context().cookies();
  const plain = await window({ javaScriptEnabled: false });
  await plain.context().addCookies(cookies);
  for (const language of LANGUAGES) for (const path of paths) await look(plain, address, path, { language, theme: "light", script: false });
  const phone = await window({ viewport: { width: 390, height: 844 } });
  await phone.context().addCookies(cookies);
  for (const path of paths) await look(phone, address, path, { language: "en", theme: "light", script: true, narrow: true });
  await phone.context().close();
  return plain;
}

let stage = performance.now();
function passed(what) {
  console.log(`${what}: ${((performance.now() - stage) / 1000).toFixed(1)} s`);
  stage = performance.now();
}

try {
  await guard.start(["--api", "127.0.0.1:0"]);
  await customs.start();
  guard.ask("coalition", "create", "--name", "Exercise LAKE");
  customs.ask("join", guard.ask("peer", "invite").invitation);
  guard.ask("compartment", "open", "--name", "both", "--rel", "TD");
  const record = (daemon, ...args) => daemon.ask("record", "new", ...args).record;
  const set = (fields) => Object.entries(fields).flatMap(([name, value]) => ["--set", `${name}=${value}`]);
  const vehicle = record(guard, "--kind", "vehicle", "--compartment", "both", "--label", "TLP:AMBER", ...set({ plate: "CT 1234 A", make: "Toyota", colour: "white" }));
  const seen = [
    ["sighting", "flash", "White pickup at the ford", 12.94, 14.31], ["incident", "immediate", "Shots near Baga Sola", 13.53, 14.32], ["crossing", "priority", "Eleven on foot at Daboua", 13.92, 13.87],
    ["seizure", "priority", "Fuel, 40 jerrycans", 12.36, 14.23], ["incident", "routine", "Market closed early", 12.11, 15.04], ["sighting", "routine", "Two motorcycles, no plates", 12.95, 14.33], ["incident", "routine", "Burnt vehicle on the track", 12.96, 14.30],
  ];
  for (const [kind, urgency, name, latitude, longitude] of seen) {
    const more = kind === "sighting" ? { sighting_of_ref: vehicle, description: name } : { name };
    record(guard, "--kind", kind, "--class", urgency, "--compartment", "both", "--label", "TLP:GREEN", ...set({ ...more, latitude, longitude }));
  }
  // Strings by way of an import, of the API and of another agency; by way of the forms below.
  const strings = injections();
  const objects = strings.map((text, n) => ({
    type: "incident", spec_version: "2.1", id: `incident--00000000-0000-4000-8000-${String(n).padStart(12, "0")}`,
    created: "2026-01-01T00:00:00.000Z", modified: "2026-01-01T00:00:00.000Z", name: text, description: text, labels: [text],
    external_references: [{ source_name: text, external_id: text, url: text }],
  }));
  const bundle = (list) => JSON.stringify({ type: "bundle", id: "bundle--00000000-0000-4000-8000-000000000000", objects: list });
  const half = strings.length / 2;
  guard.ask("import", "--compartment", "both", write(join(work, "hostile.json"), bundle(objects.slice(0, half))));
  customs.ask("import", "--compartment", "both", write(join(work, "hostile-too.json"), bundle(objects.slice(half))));
  await api(strings);
  const listed = guard.ask("record", "list", "--kind", "incident", "--limit", "500").records;
  const made = { vehicle, strings, hostile: listed.at(-1).record, device: guard.ask("device", "list").devices[0].device };
  passed("two agencies, and strings by import, API and sync");

  const people = {
    officer: await operator(guard, "<b>Amina</b> Issa", "watch-officer"), auditor: await operator(guard, "Zara", "auditor"),
    admin: await operator(guard, "Root", "admin"), enrolling: await arrive(guard, "Approver", "approver"), stranger: await window({}),
  };
  const { officer } = people;
  const paths = {};
  for (const of of Object.values(PAGES)) {
    if (of === null) continue;
    const [who, ...more] = of(made);
    (paths[who] ??= []).push(...more);
  }
  const plain = await walk(officer, guard.address, paths.officer);
  for (const who of ["auditor", "admin", "enrolling", "stranger"]) await walk(people[who], guard.address, paths[who]);
  passed(`${Object.values(paths).flat().length} pages of ${routes.length} routes`);

  // A report is written without a script.
  await plain.goto(`${guard.address}/new/incident?lang=en`);
  await plain.fill("[name='set.name']", "Written without a script");
  await send(plain);
  if (!plain.url().includes("/record/")) fault("a report cannot be written without a script");

  // Every text field of every form of a kind takes strings, 500 of them and more if there are more fields.
  const kinds = [...await officer.goto(`${guard.address}/new?lang=en`) && await officer.$$eval("main a[href^='/new/']", (links) => links.map((link) => link.getAttribute("href")))];
  let next = 0;
  while (kinds.length > 0 && next < strings.length) {
    for (const path of kinds) {
      await officer.goto(`${guard.address}${path}?lang=en`);
      const count = await officer.$$eval("form[data-draft] input[type=text], form[data-draft] textarea", (fields, texts) => {
        fields.forEach((field, n) => { field.value = texts[n % texts.length]; });
        return fields.length;
      }, strings.slice(next % strings.length).concat(strings));
      next += count;
      await send(officer);
      await nothingRan(officer, path);
    }
  }
  for (const [path, field] of [["/records", "#q"], ["/map", "#q"], ["/timeline", "#q"], [`/record/${vehicle}`, "#note"], ["/board", "#handover-text"]]) {
    for (let n = 0; n < 5; n += 1) {
      await officer.goto(`${guard.address}${path}`);
      const sent = officer.waitForEvent("load");
      await officer.evaluate(([selector, text]) => {
        const at = document.querySelector(selector);
        at.value = text;
        at.form.requestSubmit();
      }, [field, strings[(n * 97 + path.length) % strings.length]]);
      await sent;
      await nothingRan(officer, path);
    }
  }
  // What the hostile records look like, one by one for some, and in lists for all.
  for (const row of listed.filter((_, n) => n % 25 === 0)) {
    await officer.goto(`${guard.address}/record/${row.record}`);
    await nothingRan(officer, `/record/${row.record}`);
  }
  for (let address = `${guard.address}/records`; address;) {
    await officer.goto(address);
    await nothingRan(officer, "/records");
    address = await officer.$eval("a[rel=next]", (link) => link.href).catch(() => null);
  }
  passed(`${strings.length} strings through import, API, sync, and ${next} through the forms of ${kinds.length} kinds`);

  // Two browsers at two agencies: a flash that one writes is seen by the other, who does nothing.
  const analyst = await operator(customs, "Moussa", "watch-officer");
  await analyst.goto(`${customs.address}/board?lang=en`);
  // The stream says where it begins before anything can come.
  await analyst.waitForFunction(() => document.documentElement.dataset.news === "heard");
  const began = performance.now();
  record(guard, "--kind", "alert", "--class", "flash", "--compartment", "both", "--label", "TLP:GREEN", ...set({ name: "Flash for both", plate: "CT 9999 Z", reason: "test", action_to_take: "report" }));
  await analyst.waitForSelector("text=Flash for both").catch(() => fault("a flash does not appear by itself"));
  console.log(`a flash is on the other agency's board ${Math.round(performance.now() - began)} ms after the command that writes it began (2000 at most)`);
  await analyst.waitForSelector("#live-alarm:not([hidden])").catch(() => fault("a flash is not announced"));

  // A daemon that goes, and comes back: the tab says so.
  const { port } = customs;
  const alarm = (text) => analyst.waitForFunction((text) => document.getElementById("live-alarm").textContent.includes(text), text);
  await customs.stop();
  await alarm("does not answer").catch(() => fault("a tab does not say that its daemon is gone"));
  await customs.start([], port);
  await alarm("session has ended").catch(() => fault("a tab does not say that its session has ended"));
  passed("a flash, and a daemon that goes and comes back");

  const many = Number(process.env.TEARLINE_PORTAL_RECORDS ?? 0);
  if (many > 0) await measure(many);
} catch (error) {
  fault(error.stack ?? String(error));
} finally {
  await browser.close();
  await guard.stop();
  await customs.stop();
  remove(work);
}

/** Sends a report; where it is shown what is perhaps the same, once more. */
async function send(page) {
  await page.click("form[data-draft] button.primary");
  const again = page.locator("form[data-draft] button[value=write]");
  if (await again.count() > 0) await again.click();
}

/** Each string in every field of a record that a program brings in. */
async function api(strings) {
  const { token } = guard.ask("pass", "mint", "--holder", "a program", "--purpose", "Security", "--right", "write", "--compartments", "both", "--label-max", "RED");
  const listed = await fetch(`${guard.api}/taxii2/mesh/collections/`, { headers: { authorization: `Bearer ${token}`, accept: "application/taxii+json;version=2.1" } });
  const { id } = (await listed.json()).collections.find(({ title }) => title === "both");
  const records = strings.map((text, n) => ({ kind: "incident", id: `10000000-0000-4000-8000-${String(n).padStart(12, "0")}`, fields: { name: text, description: text } }));
  for (let n = 0; n < records.length; n += 100) {
    const answer = await fetch(`${guard.api}/api/compartments/${id}/records`, {
      method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${token}` }, body: JSON.stringify({ records: records.slice(n, n + 100) }),
    });
    if (answer.status !== 200) fault(`the API answers ${answer.status}: ${await answer.text()}`);
  }
}

/** How long pages take at so many records, from the request to the last byte. */
async function measure(many) {
  const rows = ["name,latitude,longitude"];
  for (let n = 0; n < many; n += 1) rows.push(`Sighting ${n} by the ${["ford", "well", "road", "market"][n % 4]},${(12 + (n % 997) / 300).toFixed(4)},${(13 + (n % 991) / 300).toFixed(4)}`);
  const map = write(join(work, "map.toml"), 'kind = "incident"\n[fields]\nname = "name"\nlatitude = { column = "latitude", type = "float" }\nlongitude = { column = "longitude", type = "float" }\n');
  const { created } = guard.ask("import", "--compartment", "home", "--map", map, write(join(work, "many.csv"), rows.join("\n")));
  if (created !== many) fault(`of ${many} records ${created} were imported`);
  const page = await operator(guard, "Bench", "watch-officer");
  const cookies = (await page.context().cookies()).map(({ name, value }) => `${name}=${value}`).join("; ");
  for (const path of ["/board", "/records", "/records?q=ford", "/records?kind=incident", "/map", "/timeline"]) {
    const times = [], first = [];
    for (let n = 0; n < 60; n += 1) {
      const began = performance.now();
      const answer = await fetch(`http://127.0.0.1:${guard.port}${path}`, { headers: { cookie: cookies } });
      first.push(performance.now() - began);
      await answer.text();
      times.push(performance.now() - began);
    }
    const p95 = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length * 0.95)].toFixed(1);
    console.log(`${path} at ${many} records: p95 ${p95(times)} ms, first byte ${p95(first)} ms (bounds 100 and 30)`);
  }
}

console.log(faults.length === 0 ? "portal walk: passed" : `portal walk: ${faults.length} faults`);
process.exit(faults.length === 0 ? 0 : 1);
