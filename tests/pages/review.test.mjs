// A chief's evening with the keyboard alone: find, read, approve, return, take back; and what happens when the patrol moved on.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openBrowser, openPage, signIn } from "./browser.mjs";
import { startServer } from "./server.mjs";

let server, browser;
before(async () => { server = await startServer(); browser = await openBrowser(); });
after(async () => { await browser?.close(); await server?.stop(); });

// Patrols that nobody decided about and that came from phones, not from this folder's seed.
async function unreviewed(page) {
  await page.goto("/patrols?state=unreviewed");
  const paths = await page.locator("a[data-open]").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
  return paths.filter((path) => !path.includes("0a000000-0000-7000-8000"));
}

async function asChief(look) {
  const { page, wrong, context } = await openPage(browser, server);
  await signIn(page, server.person("chief"));
  await look(page, wrong);
  await context.close();
}

const standing = (page) => page.locator(".head .state").first().innerText();

test("the keyboard alone finds a patrol, opens it and approves it", async () => {
  await asChief(async (page, wrong) => {
    const [path] = await unreviewed(page);
    for (let step = 0; step < 60; step += 1) {
      await page.keyboard.press("j");
      if (await page.evaluate((wanted) => document.activeElement.getAttribute("href") === wanted, path)) break;
    }
    await page.keyboard.press("Enter");
    await page.waitForURL(`**${path}`);
    await page.keyboard.press("a");
    assert.equal(await page.evaluate(() => document.activeElement.value), "approved");
    await page.keyboard.press("Enter");
    await page.waitForURL(`**${path}`);
    await page.getByText("Rút lại quyết định này").waitFor();
    assert.equal(await standing(page), "Đã duyệt");
    await page.getByText("Rút lại quyết định này").press("Enter");
    await page.getByText("đã rút lại").first().waitFor();
    assert.equal(await standing(page), "Chưa duyệt");
    assert.deepEqual(wrong, []);
  });
});

test("a single key never decides", async () => {
  await asChief(async (page) => {
    const [path] = await unreviewed(page);
    await page.goto(path);
    await page.keyboard.press("a");
    await page.keyboard.press("r");
    await page.reload();
    assert.equal(await standing(page), "Chưa duyệt");
  });
});

test("a return needs a remark, and says where it belongs", async () => {
  await asChief(async (page, wrong) => {
    const path = (await unreviewed(page)).at(1);
    await page.goto(path);
    await page.keyboard.press("r");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    assert.ok(await page.evaluate(() => document.querySelector("[name=remark]").validity.valueMissing));
    await page.selectOption("[name=field]", "title");
    await page.keyboard.press("r");
    await page.fill("[name=remark]", "Thiếu ảnh sau khi xử lý.");
    await page.getByRole("button", { name: "Trả lại" }).press("Enter");
    await page.locator(".decision blockquote").first().waitFor();
    assert.equal(await standing(page), "Bị trả lại");
    assert.ok(await page.getByText("Về: Tên ca").isVisible());
    await page.goto("/patrols?state=returned");
    assert.equal(await page.locator(`a[href="${path}"]`).count(), 1);
    assert.deepEqual(wrong, []);
  });
});

test("what came in since the page was opened is shown, nothing is decided, and what was typed stays", async () => {
  await asChief(async (page) => {
    const path = (await unreviewed(page)).at(-1);
    await page.goto(path);
    // As if the page had been opened before the last change came in: its form carries the heads of then.
    const id = path.split("/").pop();
    const [[older]] = server.sql(`select coalesce(nullif(substr(change.earlier, -64), ''), change.deps) from change join document on document.document_id = change.document_id
      where change.document_id = '${id}' and document.checked_heads like '%' || change.hash || '%' and change.deps <> ''`);
    await page.locator("[name=seen_heads]").evaluate((input, heads) => { input.value = heads; }, older);
    await page.fill("[name=remark]", "Ghi rõ giờ bàn giao.");
    const answer = page.waitForResponse((response) => response.request().method() === "POST");
    await page.getByRole("button", { name: "Trả lại" }).press("Enter");
    assert.equal((await answer).status(), 409);
    const alert = page.getByRole("alert");
    assert.match(await alert.innerText(), /Quyết định chưa được ghi[\s\S]*Mới nhận từ lúc đó[\s\S]*1 thay đổi của/);
    assert.equal(await page.inputValue("[name=remark]"), "Ghi rõ giờ bàn giao.");
    assert.equal(await standing(page), "Chưa duyệt");
    await page.getByRole("button", { name: "Trả lại" }).press("Enter");
    await page.waitForURL(`**${path}`);
    assert.equal(await standing(page), "Bị trả lại");
  });
});

test("an officer reads the decision and has no form", async () => {
  const { page, context } = await openPage(browser, server);
  await signIn(page, server.person("officer"));
  await page.goto("/patrols");
  await page.getByRole("link", { name: "Ca có đủ mọi trường hợp" }).click();
  await page.locator(".decision blockquote").waitFor();
  assert.equal(await page.locator("[name=decision]").count(), 0);
  await context.close();
});
