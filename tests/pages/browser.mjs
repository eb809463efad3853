// One browser for a test file. Every page it opens is watched: console errors, uncaught errors, CSP violations, dialogs.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export async function openBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

// A page in a context of its own, and the list of everything on it that went wrong.
export async function openPage(browser, server, { theme = "light", width = 1366, height = 768, language = "vi", javaScript = true } = {}) {
  const context = await browser.newContext({ baseURL: server.url, colorScheme: theme, viewport: { width, height }, reducedMotion: "reduce", javaScriptEnabled: javaScript });
  if (language !== "vi") await context.addCookies([{ name: "language", value: language, url: server.url }]);
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => { if (message.type() === "error") wrong.push(`console: ${message.text()}`); });
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  page.on("dialog", async (dialog) => { if (!page.expectsDialog) wrong.push(`dialog: ${dialog.message()}`); await dialog.accept(); });
  if (javaScript) {
    await page.exposeFunction("reportViolation", (text) => wrong.push(`CSP: ${text}`));
    await page.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => window.reportViolation(`${event.violatedDirective} ${event.blockedURI}`));
    });
  }
  return { page, wrong, context };
}

export async function signIn(page, person) {
  await page.goto("/sign-in");
  await page.fill("[name=sign_in]", person.sign_in);
  await page.fill("[name=password]", person.password);
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.pathname !== "/sign-in");
}

// What axe finds, one line each. Evaluated, not added as a script, so that the page's CSP stays as it is; what that CSP forbids
// axe itself (a style of its own) is not the page's fault, and is taken off the list again.
export async function axe(page, wrong) {
  const before = wrong.length;
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  await page.evaluate(() => new Promise((done) => setTimeout(done, 0)));
  wrong.length = before;
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target.join(" ")} ${node.failureSummary ?? ""}`));
}
