// A patrol on paper: what one presses is gone, what was recorded and decided is there, dark on white whatever the screen's theme.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openBrowser, openPage, signIn } from "./browser.mjs";
import { startServer } from "./server.mjs";

let server, browser;
before(async () => { server = await startServer(); browser = await openBrowser(); });
after(async () => { await browser?.close(); await server?.stop(); });

const shade = (page, selector, property) => page.locator(selector).first().evaluate((element, name) => {
  const [red, green, blue] = getComputedStyle(element)[name].match(/\d+/g).map(Number);
  return (red + green + blue) / 3;
}, property);

for (const theme of ["light", "dark"]) {
  test(`a printed patrol holds its facts and none of its buttons, ${theme}`, async () => {
    const { page, wrong, context } = await openPage(browser, server, { theme, width: 794, height: 1123 });
    await signIn(page, server.person("chief"));
    await page.goto("/patrols");
    await page.getByRole("link", { name: "Ca có đủ mọi trường hợp" }).click();
    await page.waitForSelector("[data-drawn]");
    await page.emulateMedia({ media: "print", colorScheme: theme });
    for (const gone of [".bar nav", ".decision form", "[data-print]", ".crumb"]) {
      assert.equal(await page.locator(gone).first().isVisible(), false, gone);
    }
    for (const there of ["Ca có đủ mọi trường hợp", "Trật tự đô thị", "Lấn vỉa hè.", "Bị trả lại", "Ai ghi gì, khi nào"]) {
      assert.ok(await page.getByText(there).first().isVisible(), there);
    }
    assert.ok(await page.locator(".decision blockquote").first().isVisible());
    assert.ok(await shade(page, "body", "color") < 90, "ink is dark");
    assert.ok(await shade(page, ".card", "backgroundColor") > 230, "paper is white");
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), "no line runs off the sheet");
    if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/print-${theme}.png`, fullPage: true });
    assert.deepEqual(wrong, []);
    await context.close();
  });
}
