// Daemons with portals, and what browsers are tried with.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createHmac } from "node:crypto";

export const PASSPHRASE = "a heron stands in the reeds";

/** A daemon in a home of its own. */
export class Daemon {
  constructor(program, folder, name, country) {
    Object.assign(this, { program, home: join(folder, name), child: null });
    execFileSync(program, ["--home", this.home, "init", "--agency", name, "--country", country], { stdio: "ignore" });
  }

  async start(more = [], port = 0) {
    this.child = spawn(this.program, ["--home", this.home, "run", "--portal", `127.0.0.1:${port}`, ...more], { stdio: "ignore" });
    const { portal, api } = this.ask("status");
    this.api = api?.replace(/\/$/, "");
    this.address = portal.replace(/\/$/, "");
    this.port = Number(new URL(this.address).port);
    return this;
  }

  /** Runs a command and returns its data. */
  ask(...args) {
    const out = execFileSync(this.program, ["--home", this.home, "--json", "--no-input", ...args], { encoding: "utf8", maxBuffer: 1 << 26 });
    return JSON.parse(out).data;
  }

  async stop() {
    if (!this.child) return;
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill("SIGTERM");
    await ended;
    this.child = null;
  }
}

export const folder = () => mkdtempSync(join(tmpdir(), "tearline-portal-"));
export const remove = (path) => rmSync(path, { recursive: true, force: true });
export const write = (path, text) => { writeFileSync(path, text); return path; };

/** The code of an authenticator now (RFC 6238). */
export function totp(secret) {
  let bits = "";
  for (const letter of secret) bits += "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000)));
  const hash = createHmac("sha1", key).update(step).digest();
  const at = hash[19] & 15;
  return String((hash.readUInt32BE(at) & 0x7fffffff) % 1000000).padStart(6, "0");
}

/** 500 strings that pages have been broken with: each would set `ran` or open a dialog if it ran. */
export function injections() {
  const runs = ["globalThis.ran=1", "alert(1)", "top['ran']=1", "fetch('http://192.0.2.1/x')", "document.title='ran'"];
  const shapes = [
    (r) => `<script>${r}</script>`, (r) => `"><script>${r}</script>`, (r) => `'><script>${r}</script>`,
    (r) => `</title><script>${r}</script>`, (r) => `</textarea><script>${r}</script>`, (r) => `</style><script>${r}</script>`,
    (r) => `--><script>${r}</script>`, (r) => `]]><script>${r}</script>`, (r) => `<ScRiPt >${r}</sCrIpT>`, (r) => `<script/src=data:,${r}></script>`,
    (r) => `<img src=x onerror=${r}>`, (r) => `"><img src=x onerror="${r}">`, (r) => `' onmouseover='${r}`, (r) => `" onfocus="${r}" autofocus="`,
    (r) => `<svg onload=${r}>`, (r) => `<svg><script>${r}</script></svg>`, (r) => `<svg><animate onbegin=${r} attributeName=x dur=1s>`, (r) => `<math><mi//xlink:href="data:x,<script>${r}</script>">`,
    (r) => `<iframe srcdoc="<script>parent.${r}</script>">`, (r) => `<iframe src="javascript:${r}">`, (r) => `<object data="javascript:${r}">`, (r) => `<embed src="javascript:${r}">`,
    (r) => `javascript:${r}`, (r) => `JaVaScRiPt:${r}`, (r) => `java\tscript:${r}`, (r) => `\u0001javascript:${r}`, (r) => `data:text/html,<script>${r}</script>`, (r) => `vbscript:${r}`,
    (r) => `<a href="javascript:${r}">x</a>`, (r) => `<form action="javascript:${r}"><button>x</button></form>`, (r) => `<button formaction="javascript:${r}">x</button>`, (r) => `<base href="javascript:${r}//">`,
    (r) => `<meta http-equiv=refresh content="0;url=javascript:${r}">`, (r) => `<link rel=stylesheet href="data:text/css,*{x:${r}}">`, (r) => `<style>*{background:url("javascript:${r}")}</style>`, (r) => `<div style="width:expression(${r})">`,
    (r) => `<body onload=${r}>`, (r) => `<input onfocus=${r} autofocus>`, (r) => `<details open ontoggle=${r}>`, (r) => `<video><source onerror=${r}>`, (r) => `<audio src=x onerror=${r}>`, (r) => `<marquee onstart=${r}>`,
    (r) => `{{constructor.constructor('${r}')()}}`, (r) => "${" + r + "}", (r) => `{% raw %}${r}{% endraw %}`, (r) => `<%= ${r} %>`, (r) => `&lt;script&gt;${r}&lt;/script&gt;`, (r) => `&#60;script&#62;${r}&#60;/script&#62;`,
    (r) => `%3Cscript%3E${r}%3C/script%3E`, (r) => `\\x3cscript\\x3e${r}\\x3c/script\\x3e`, (r) => `\\u003cscript\\u003e${r}`, (r) => `<scr<script>ipt>${r}</scr</script>ipt>`, (r) => `<<script>${r}//<</script>`, (r) => `<script\u00a0>${r}</script>`,
    (r) => `\u202e<script>${r}</script>`, (r) => `\u2066"><script>${r}</script>`, (r) => `<noscript><p title="</noscript><img src=x onerror=${r}>">`, (r) => `<template><script>${r}</script></template>`, (r) => `<xmp><img src=x onerror=${r}></xmp>`, (r) => `<plaintext><script>${r}</script>`,
    (r) => `<isindex action=javascript:${r} type=image>`, (r) => `<select><option></select><script>${r}</script>`, (r) => `<table background="javascript:${r}">`, (r) => `<image src=x onerror=${r}>`, (r) => `<!--<img src="--><img src=x onerror=${r}//">`, (r) => `<![CDATA[<script>${r}</script>]]>`,
    (r) => `<?xml-stylesheet href="javascript:${r}"?>`, (r) => `<x onclick=${r}>x</x>`, (r) => `<x contenteditable onblur=${r}>x</x>`, (r) => `"-${r}-"`, (r) => `';${r};'`, (r) => `\`;${r};\``,
    (r) => `</script><script>${r}</script>`, (r) => `*/${r}/*`, (r) => `//\n${r}`, (r) => `=cmd|'/c ${r}'!A0`, (r) => `"><svg/onload=${r}>`, (r) => `'"><svg/onload=${r}>`,
    (r) => `<svg><a xlink:href="javascript:${r}"><text>x</text></a></svg>`, (r) => `<svg><use href="data:image/svg+xml,<svg id='x' onload='${r}'/>#x">`, (r) => `<svg><foreignObject><iframe src="javascript:${r}"/></foreignObject></svg>`, (r) => `<svg><set attributeName=href to="javascript:${r}">`,
    (r) => `<input type=image src=x onerror=${r}>`, (r) => `<keygen autofocus onfocus=${r}>`, (r) => `<textarea autofocus onfocus=${r}>`, (r) => `<select autofocus onfocus=${r}>`, (r) => `<style onload=${r}></style>`, (r) => `<link onload=${r} rel=stylesheet href=/x>`,
    (r) => `<bdi onclick=${r}>x</bdi>`, (r) => `<time onmouseover=${r}>x</time>`, (r) => `<p tabindex=0 onfocus=${r}>x`, (r) => `<div data-fragment id=board><img src=x onerror=${r}></div>`, (r) => `<div id=words data-lost="${r}">`, (r) => `<form id=words><input name=dataset></form>${r}`,
    (r) => `<img name=currentScript src=x onerror=${r}>`, (r) => `__proto__[x]=${r}`, (r) => `\u0000<script>${r}</script>`, (r) => `\ufeff<script>${r}</script>`, (r) => `<dialog open onclose=${r}>`, (r) => `<svg><style>@import'javascript:${r}'</style></svg>`,
  ];
  return runs.flatMap((run) => shapes.map((shape) => shape(run))).slice(0, 500);
}
