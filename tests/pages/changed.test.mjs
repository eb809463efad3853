// A patrol that changes while a chief reads it: her decision is not written, and she is told field by field what is no longer as she saw.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { axe, openBrowser, openPage, signIn } from "./browser.mjs";
import { startPhone } from "./phone.mjs";
import { startServer } from "./server.mjs";

let server, browser, an;
before(async () => {
  // Without the seed: its documents have no key, and a phone reads the whole feed.
  server = await startServer({ rows: false });
  browser = await openBrowser();
  an = await startPhone(server, "an");
});
after(async () => { await an?.stop(); await browser?.close(); await server?.stop(); });

// Until everything of the document that came in is checked, and so on its page.
async function checked(id) {
  for (let look = 0; look < 200; look += 1) {
    const [[left]] = server.sql(`select count(*) from change where document_id = '${id}' and state = 'accepted'`);
    if (left === 0) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.fail("nobody checked it");
}

async function sent(id) {
  await an.ask({ do: "sync", tries: 3 });
  await checked(id);
}

const cases = (count, note) => ({ category: "urban-order", count, unit: "case", note });

for (const language of ["vi", "en"]) {
  test(`what is no longer as it was seen is told field by field, ${language}`, async () => {
    const { patrol } = await an.ask({ do: "start", title: "Ca còn sửa" });
    const { observation } = await an.ask({ do: "observe", patrol, ...cases(3, "Lấn vỉa hè") });
    await sent(patrol);
    const { page, wrong, context } = await openPage(browser, server, { language });
    await signIn(page, server.person("chief"));
    await page.goto(`/patrols/${patrol}`);
    // While she reads: a count is mended, a note is left alone, something new is written.
    await an.ask({ do: "edit", patrol, observation, ...cases(5, "Lấn vỉa hè") });
    await an.ask({ do: "observe", patrol, ...cases(1, "Đậu xe trước cổng trường") });
    await sent(patrol);
    await page.fill("[name=remark]", "Ghi rõ giờ bàn giao.");
    const answer = page.waitForResponse((response) => response.request().method() === "POST");
    await page.locator("[name=decision][value=returned]").press("Enter");
    assert.equal((await answer).status(), 409);
    const told = await page.getByRole("alert").innerText();
    const [count, fresh, untouched] = language === "vi"
      ? [/Số lượng: 3 →\s5/, /Vụ việc mới: .*Đậu xe trước cổng trường/, /Lấn vỉa hè/]
      : [/Count: 3 →\s5/, /Observation, new: .*Đậu xe trước cổng trường/, /Lấn vỉa hè/];
    assert.match(told, count);
    assert.match(told, fresh);
    assert.doesNotMatch(told, untouched);
    assert.deepEqual(wrong.filter((line) => !line.includes("409")), []);
    assert.deepEqual(await axe(page, wrong), []);
    if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/changed-${language}.png`, fullPage: true });
    assert.equal(await page.inputValue("[name=remark]"), "Ghi rõ giờ bàn giao.");
    // The page is the newest one now: the same press decides.
    await page.locator("[name=decision][value=returned]").press("Enter");
    await page.locator(".decision blockquote").first().waitFor();
    await context.close();
  });
}
