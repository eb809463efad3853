// Every page for everyone who has it: nothing in the console, nothing against the CSP, nothing that axe finds, by day and by night;
// nothing wider than the window.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { axe, openBrowser, openPage, signIn } from "./browser.mjs";
import { startServer } from "./server.mjs";

let server, browser;
before(async () => { server = await startServer(); browser = await openBrowser(); });
after(async () => { await browser?.close(); await server?.stop(); });

const first = (list) => async (page) => { await page.goto(list); return page.locator("a[data-open]").first().getAttribute("href"); };
const full = async (page) => { await page.goto("/patrols"); return page.getByRole("link", { name: "Ca có đủ mọi trường hợp" }).getAttribute("href"); };
const pages = [
  [null, "/sign-in"],
  ["chief", "/patrols"], ["chief", "/patrols?state=approved&from=2001-01-01&to=2001-01-02"], ["chief", full],
  ["chief", "/evidence"], ["chief", first("/evidence")], ["chief", "/phones"], ["chief", "/rescue"], ["chief", "/audit"],
  ["officer", "/patrols"], ["officer", full], ["officer", first("/evidence")],
  ["admin", "/phones"], ["admin", "/rescue"], ["auditor", "/audit"], ["appraiser", "/"],
];

async function visit(page, path) {
  await page.goto(typeof path === "function" ? await path(page) : path);
  await page.waitForLoadState("networkidle");
  if (await page.locator("[data-map]").count() > 0) await page.waitForSelector("[data-drawn]");
}

async function walk(options, look) {
  for (const role of [null, "chief", "officer", "admin", "auditor", "appraiser"]) {
    const { page, wrong, context } = await openPage(browser, server, options);
    if (role) await signIn(page, server.person(role));
    for (const [, path] of pages.filter(([who]) => who === role)) {
      await visit(page, path);
      await look(page, wrong, `${role} ${page.url()}`);
    }
    await context.close();
  }
}

for (const theme of ["light", "dark"]) {
  test(`every page is quiet and passes axe, ${theme}`, async () => {
    await walk({ theme }, async (page, wrong, where) => {
      assert.deepEqual(wrong, [], where);
      assert.deepEqual(await axe(page, wrong), [], where);
    });
  });
}

test("every page passes axe on a narrow screen and in English", async () => {
  await walk({ width: 360, height: 740, language: "en" }, async (page, wrong, where) => {
    assert.equal(await page.locator("html").getAttribute("lang"), "en", where);
    assert.deepEqual(await axe(page, wrong), [], where);
    assert.deepEqual(wrong, [], where);
  });
});

for (const width of [360, 768, 1366, 1920]) {
  test(`nothing is wider than a window of ${width}`, async () => {
    await walk({ width }, async (page, _, where) => {
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), where);
    });
  });
}

test("a page without scripts still says everything but the map", async () => {
  const { page, context } = await openPage(browser, server, { javaScript: false });
  await signIn(page, server.person("chief"));
  await page.goto(await full(page));
  for (const text of ["Trật tự đô thị", "Lấn vỉa hè.", "from-a-newer-phone", "Đang chờ ảnh từ thiết bị", "Không rõ độ chính xác của lộ trình"]) {
    assert.ok(await page.getByText(text).first().isVisible(), text);
  }
  await context.close();
});

test("the sample unit is marked, and the catalogue says that it is a placeholder", async () => {
  const { page, context } = await openPage(browser, server);
  await signIn(page, server.person("chief"));
  for (const path of ["/evidence", await first("/evidence")(page)]) {
    await page.goto(path);
    assert.ok(await page.getByText("DỮ LIỆU MẪU").isVisible(), path);
    assert.ok(await page.getByText("Bộ tiêu chí tạm thời").isVisible(), path);
  }
  await context.close();
});
