// A chief takes a dossier from a patrol's page, and a stranger believes it with what stands on that page and nothing else.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { axe, openBrowser, openPage, signIn } from "./browser.mjs";
import { binary, startServer } from "./server.mjs";

let server, browser;
before(async () => { server = await startServer({ rows: false }); browser = await openBrowser(); });
after(async () => { await browser?.close(); await server?.stop(); });

for (const width of [1366, 360]) {
  test(`a patrol's dossier is downloaded and verified, ${width} px`, async () => {
    const { page, wrong, context } = await openPage(browser, server, { width });
    await signIn(page, server.person("chief"));
    await page.goto("/patrols");
    await page.locator("a[data-open]").first().click();
    const section = page.locator("section", { has: page.getByRole("heading", { name: "Hồ sơ", exact: true }) });
    const [, key] = (await section.locator("code").innerText()).match(/--server-key ([0-9a-f]{64})$/);
    const coming = page.waitForEvent("download");
    await section.getByRole("link", { name: "Tải hồ sơ" }).click();
    const download = await coming;
    assert.match(download.suggestedFilename(), /^ho-so-ca-\d{4}-\d\d-\d\d-[0-9a-f]{6}\.kieumau$/);
    const file = join(server.data, download.suggestedFilename());
    await download.saveAs(file);
    const report = execFileSync(binary, ["verify", file, "--server-key", key], { encoding: "utf8" });
    assert.match(report, /HỒ SƠ NGUYÊN VẸN/);
    assert.match(report, /đúng khóa đã cho/);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), "nothing runs off the page");
    if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/dossier-${width}.png`, fullPage: true });
    assert.deepEqual(await axe(page, wrong), []);
    assert.deepEqual(wrong, []);
    await context.close();
  });
}
