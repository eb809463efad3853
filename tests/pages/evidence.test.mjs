// A chief and evidence files: approving one, returning one with a remark at an item of it, and the list that says how each stands.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openBrowser, openPage, signIn } from "./browser.mjs";
import { startServer } from "./server.mjs";

let server, browser;
before(async () => { server = await startServer(); browser = await openBrowser(); });
after(async () => { await browser?.close(); await server?.stop(); });

async function asChief(look) {
  const { page, wrong, context } = await openPage(browser, server);
  await signIn(page, server.person("chief"));
  await look(page);
  assert.deepEqual(wrong, []);
  await context.close();
}

// Files of the chief's own unit about which nobody decided.
async function undecided(page) {
  await page.goto("/evidence");
  const rows = page.locator("tr[data-row]", { hasText: "Chưa duyệt" });
  return rows.locator("a[data-open]").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
}

const standing = (page) => page.locator(".head .state").first().innerText();
const listed = (page, path) => page.locator("tr[data-row]", { has: page.locator(`a[href="${path}"]`) }).innerText();

test("an evidence file is approved, and the list says so", async () => {
  await asChief(async (page) => {
    const [path] = await undecided(page);
    await page.goto(path);
    await page.getByRole("button", { name: "Duyệt" }).click();
    await page.getByText("Rút lại quyết định này").waitFor();
    assert.equal(await standing(page), "Đã duyệt");
    await page.goto("/evidence");
    assert.match(await listed(page, path), /Đã duyệt/);
  });
});

test("an evidence file is returned with a remark at one item, which the officer reads there", async () => {
  await asChief(async (page) => {
    const path = (await undecided(page)).at(-1);
    await page.goto(path);
    const place = page.locator("[name=field] option").nth(1);
    const [value, words] = [await place.getAttribute("value"), await place.innerText()];
    assert.match(value, /^items\//);
    await page.selectOption("[name=field]", value);
    await page.fill("[name=remark]", "Bản quét thiếu trang cuối.");
    await page.getByRole("button", { name: "Trả lại" }).click();
    await page.locator(".decision blockquote").first().waitFor();
    assert.equal(await standing(page), "Bị trả lại");
    assert.ok(await page.getByText(`Về: ${words}`).isVisible());
    await page.goto("/evidence");
    assert.match(await listed(page, path), /Bị trả lại/);
    const officer = await openPage(browser, server);
    await signIn(officer.page, server.person("officer"));
    await officer.page.goto(path);
    assert.match(await officer.page.locator(".decision").innerText(), /Bản quét thiếu trang cuối\./);
    assert.equal(await officer.page.locator("[name=decision]").count(), 0);
    await officer.context.close();
  });
});
