// Gathers what the pages need into `dist`, which the server embeds: our styles and modules, and from npm (by lock file)
// htmx, MapLibre, the font and the icons. Nothing is fetched when a page is read. No bundler: browsers load modules.
import { cp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, "..", "node_modules");
const dist = join(here, "dist");

// The icons of lucide that templates name; one that is missing there fails here.
const icons = [
  "car", "check", "check-check", "chevron-left", "chevron-right", "circle", "circle-alert", "circle-check",
  "circle-dashed", "circle-plus", "clock", "download", "file-text", "flag", "footprints", "git-merge", "history", "image", "inbox",
  "info", "languages", "list-checks", "log-out", "map-pin", "minus", "navigation", "paperclip", "pause", "printer", "qr-code",
  "rotate-ccw", "route", "scroll-text", "server", "shield-alert", "smartphone", "stamp", "triangle-alert", "undo-2", "user",
  "users",
];
// Be Vietnam Pro has no tabular figures (its 1 is 5 px wide and its 0 is 9, at 14 px): columns of numbers take Inter's.
const fonts = [
  ...["latin", "vietnamese"].flatMap((subset) => ["400", "600"].map((weight) => ["be-vietnam-pro", subset, weight])),
  ["inter", "latin", "400"],
];

async function sprite() {
  const symbols = await Promise.all(icons.map(async (name) => {
    const svg = await readFile(join(modules, "lucide-static", "icons", `${name}.svg`), "utf8");
    const drawing = svg.slice(svg.indexOf(">", svg.indexOf("<svg")) + 1, svg.indexOf("</svg>")).replace(/\s+/g, " ").trim();
    return `<symbol id="${name}" viewBox="0 0 24 24">${drawing}</symbol>`;
  }));
  return `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("\n")}</svg>\n`;
}

async function licences() {
  const lock = JSON.parse(await readFile(join(modules, ".package-lock.json"), "utf8"));
  const texts = await Promise.all(Object.entries(lock.packages).map(async ([path, { version, license }]) => {
    const folder = join(modules, "..", path);
    const file = (await readdir(folder)).find((name) => /^licen[cs]e/i.test(name));
    const text = file ? await readFile(join(folder, file), "utf8") : "";
    return `${path.replace(/^.*node_modules\//, "")} ${version} (${license ?? "see text"})\n\n${text.trim()}\n`;
  }));
  return texts.join(`\n${"─".repeat(80)}\n\n`);
}

await rm(dist, { recursive: true, force: true });
await mkdir(join(dist, "fonts"), { recursive: true });
for (const folder of ["style", "script"]) await cp(join(here, folder), dist, { recursive: true });
await cp(join(here, "favicon.svg"), join(dist, "favicon.svg"));
for (const [family, subset, weight] of fonts) {
  const file = `${family}-${subset}-${weight}-normal.woff2`;
  await cp(join(modules, "@fontsource", family, "files", file), join(dist, "fonts", file));
}
for (const file of ["maplibre-gl.mjs", "maplibre-gl-worker.mjs", "maplibre-gl.css"]) {
  await cp(join(modules, "maplibre-gl", "dist", file), join(dist, file));
}
await cp(join(modules, "htmx.org", "dist", "htmx.min.js"), join(dist, "htmx.js"));
await writeFile(join(dist, "icons.svg"), await sprite());
await writeFile(join(dist, "licences.txt"), await licences());
