// Handing in a rescue file: what is not one is refused in words and on the page, with and without scripts; an officer has no such page.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { axe, openBrowser, openPage, signIn } from "./browser.mjs";
import { startServer } from "./server.mjs";

let server, browser;
before(async () => { server = await startServer(); browser = await openBrowser(); });
after(async () => { await browser?.close(); await server?.stop(); });

const photo = { name: "photo.jpg", mimeType: "image/jpeg", buffer: Buffer.alloc(3_000_000, 7) };

for (const [role, javaScript] of [["chief", true], ["admin", true], ["chief", false]]) {
  test(`a ${role} who chose another file is told so, scripts ${javaScript}`, async () => {
    const { page, wrong, context } = await openPage(browser, server, { javaScript });
    await signIn(page, server.person(role));
    await page.goto("/phones");
    await page.getByRole("link", { name: "Nộp tệp cứu hộ" }).click();
    await page.waitForURL("**/rescue");
    await page.setInputFiles("[name=file]", photo);
    await page.getByRole("button", { name: "Nộp tệp" }).click();
    const alert = page.getByRole("alert");
    await alert.waitFor();
    assert.match(await alert.textContent(), /Đây không phải tệp cứu hộ/);
    if (javaScript) {
      assert.ok(await alert.evaluate((element) => element === document.activeElement));
      // The browser itself writes a line about every answer of 422.
      assert.deepEqual(wrong.filter((line) => !line.includes("422")), []);
      assert.deepEqual(await axe(page, wrong), []);
    }
    await context.close();
  });
}

test("an officer has no such page", async () => {
  const { page, context } = await openPage(browser, server);
  await signIn(page, server.person("officer"));
  assert.equal((await page.goto("/rescue")).status(), 404);
  await context.close();
});
