// What lies in quarantine: the admin sees reasons and routes, the chief opens the content, which is written down; an officer has no such page.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { axe, openBrowser, openPage, signIn } from "./browser.mjs";
import { startServer } from "./server.mjs";

let server, browser;
before(async () => { server = await startServer(); browser = await openBrowser(); });
after(async () => { await browser?.close(); await server?.stop(); });

for (const width of [360, 1366]) {
  for (const theme of ["light", "dark"]) {
    for (const role of ["chief", "admin"]) {
      test(`a ${role} reads the reasons, ${width} wide, ${theme}`, async () => {
        const { page, wrong, context } = await openPage(browser, server, { width, theme });
        await signIn(page, server.person(role));
        await page.goto("/phones");
        await page.getByRole("link", { name: "Bản ghi bị giữ lại" }).click();
        await page.waitForURL("**/quarantine");
        assert.match(await page.textContent("main"), /bản ghi hỏng/);
        // No reader scrolls sideways to learn why.
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "wider than the screen");
        assert.deepEqual(await axe(page, wrong), []);
        assert.deepEqual(wrong, []);
        await context.close();
      });
    }
  }
}

test("the admin says whose chief may open it, once, and opens nothing", async () => {
  const { page, wrong, context } = await openPage(browser, server);
  await signIn(page, server.person("admin"));
  await page.goto("/quarantine");
  assert.equal(await page.getByRole("link", { name: /^Mở / }).count(), 0);
  const routed = page.getByRole("button", { name: "Chuyển" });
  assert.equal(await routed.count(), 1);
  await routed.click();
  await page.waitForLoadState();
  assert.equal(await page.getByRole("button", { name: "Chuyển" }).count(), 0);
  assert.deepEqual(wrong, []);
  const opened = await page.goto("/quarantine/0f100000-0000-7000-8000-000000000001");
  assert.equal(opened.status(), 403);
  await context.close();
});

test("the chief opens what a phone sent broken, and the audit says so", async () => {
  // Push { documents: [{ key: ["patrol-log", unit, id], changes: [h'010203'], seals: [] }], receipts: [] }, as CBOR.
  const chief = server.person("chief");
  const unit = Buffer.from(chief.unit.replaceAll("-", ""), "hex");
  const text = (value) => [0x78, value.length, ...Buffer.from(value)];
  const key = [0x83, ...text("patrol-log"), 0x50, ...unit, ...text("01930000-0000-7000-8000-0000000000aa")];
  const body = Buffer.from([0x83, 0x81, 0x83, ...key, 0x81, 0x43, 1, 2, 3, 0x80, 0x80, 0xf6]);
  const authorization = server.authorization(server.person("officer").sign_in);
  const pushed = await fetch(`${server.url}/v1/sync/push`, { method: "POST", headers: { authorization, "content-type": "application/cbor" }, body });
  assert.equal(pushed.status, 200);
  const { page, wrong, context } = await openPage(browser, server, { width: 360 });
  await signIn(page, chief);
  await page.goto("/quarantine");
  await page.getByRole("link", { name: /^Mở / }).first().click();
  await page.waitForURL("**/quarantine/*");
  assert.match(await page.textContent("main"), /Không đọc được an toàn/);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "wider than the screen");
  assert.deepEqual(await axe(page, wrong), []);
  await page.goto("/audit");
  assert.match(await page.textContent("main"), /Mở bản ghi bị giữ lại/);
  assert.deepEqual(wrong, []);
  await context.close();
});

test("an officer has no such page", async () => {
  const { page, context } = await openPage(browser, server);
  await signIn(page, server.person("officer"));
  assert.equal((await page.goto("/quarantine")).status(), 404);
  await context.close();
});
