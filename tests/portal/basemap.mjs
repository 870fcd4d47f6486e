// Makes node/src/portal/basemap.txt from Natural Earth, by way of the npm package world-atlas:
//
//   npm install --no-save world-atlas@2.0.2 && node tests/portal/basemap.mjs node_modules/world-atlas node/src/portal/basemap.txt
//
// A line is a ring: its kind, its steps in a degree, and its points, each as the difference to the one before.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [folder, out] = process.argv.slice(2);
const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
const atlas = (name) => JSON.parse(readFileSync(join(folder, name), "utf8"));
// States round Lake Chad, by ISO 3166-1 numbers, in the finest resolution.
const near = new Map([
  ["562", "NE"], ["148", "TD"], ["566", "NG"], ["120", "CM"], ["140", "CF"], ["204", "BJ"],
  ["854", "BF"], ["466", "ML"], ["012", "DZ"], ["434", "LY"], ["729", "SD"],
]);
const labels = [
  ["NE", 17.4, 9.6], ["TD", 15.2, 18.7], ["NG", 9.6, 8.1], ["CM", 5.6, 12.5], ["CF", 6.6, 20.6], ["BJ", 9.6, 2.3],
  ["BF", 12.4, -1.7], ["ML", 17.4, -3.4], ["DZ", 28.2, 2.6], ["LY", 27.0, 17.9], ["SD", 15.6, 29.9],
];
// Lake Chad is in neither atlas. This is a sketch: the open water of the southern pool, and the old shore.
const lake = [[14.05, 12.9], [14.2, 12.72], [14.45, 12.66], [14.68, 12.78], [14.72, 13.02], [14.6, 13.22], [14.35, 13.3], [14.12, 13.18]];
const shore = [[13.55, 13.9], [13.45, 13.45], [13.65, 13.05], [13.95, 12.62], [14.35, 12.5], [14.85, 12.62], [15.25, 12.95], [15.2, 13.3], [14.8, 13.5], [14.3, 13.95], [13.9, 14.2]];

function rings({ arcs, transform, objects }, wanted) {
  const { scale, translate } = transform;
  const decoded = arcs.map((arc) => {
    let x = 0, y = 0;
    return arc.map(([dx, dy]) => [(x += dx) * scale[0] + translate[0], (y += dy) * scale[1] + translate[1]]);
  });
  const line = (ids) => ids.flatMap((id, n) => {
    const points = id < 0 ? decoded[~id].toReversed() : decoded[id];
    return n === 0 ? points : points.slice(1);
  });
  return objects.countries.geometries.filter(({ id }) => wanted(id)).flatMap(({ type, arcs: parts }) =>
    (type === "MultiPolygon" ? parts.flat() : parts).map(line));
}

function text(kind, steps, ring) {
  let [px, py] = [0, 0];
  const numbers = [];
  for (const [lon, lat] of ring) {
    const [x, y] = [Math.round(lon * steps), Math.round(lat * steps)];
    if (numbers.length > 0 && x === px && y === py) continue;
    numbers.push(x - px, y - py);
    [px, py] = [x, y];
  }
  return numbers.length >= 6 ? [`${kind} ${steps} ${numbers.join(" ")}`] : [];
}

const lines = [
  "# Natural Earth 4.1, 1:110m and, round Lake Chad, 1:10m: public domain (naturalearthdata.com), by way of",
  `# world-atlas ${version} (ISC licence, Michael Bostock). Made by tests/portal/basemap.mjs.`,
  "# l: land, n: land near Lake Chad, w: water, s: old shore, both sketched by hand; t: a state's ISO 3166-1 code.",
  ...rings(atlas("countries-110m.json"), (id) => !near.has(id)).flatMap((ring) => text("l", 100, ring)),
  ...rings(atlas("countries-10m.json"), (id) => near.has(id)).flatMap((ring) => text("n", 500, ring)),
  ...text("s", 100, shore),
  ...text("w", 100, lake),
  ...labels.map(([code, lat, lon]) => `t ${code} ${lat} ${lon}`),
];
writeFileSync(out, lines.join("\n") + "\n");
