// Coming in and going out, languages, phones' codes, and what a refusal looks like.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { axe, openBrowser, openPage, signIn } from "./browser.mjs";
import { startServer } from "./server.mjs";

let server, browser;
before(async () => { server = await startServer(); browser = await openBrowser(); });
after(async () => { await browser?.close(); await server?.stop(); });

test("a wrong password is said in words, and signing in leads to where one wanted to go", async () => {
  const { page, context } = await openPage(browser, server);
  await page.goto("/patrols?state=returned");
  await page.waitForURL("**/sign-in?next=**");
  await page.fill("[name=sign_in]", server.person("chief").sign_in);
  await page.fill("[name=password]", "không phải mật khẩu này");
  await page.keyboard.press("Enter");
  assert.equal(await page.getByRole("alert").innerText(), "Tên đăng nhập hoặc mật khẩu không đúng.");
  await page.fill("[name=password]", server.person("chief").password);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/patrols?state=returned");
  await context.close();
});

test("signing out ends it, and the language stays", async () => {
  const { page, wrong, context } = await openPage(browser, server);
  await signIn(page, server.person("chief"));
  await page.locator(".menu summary").press("Enter");
  await page.getByRole("button", { name: "English" }).press("Enter");
  await page.getByRole("heading", { name: "Patrols" }).waitFor();
  await page.locator(".menu summary").press("Enter");
  await page.getByRole("button", { name: "Sign out" }).press("Enter");
  await page.waitForURL("**/sign-in");
  await page.goto("/patrols");
  await page.waitForURL("**/sign-in?next=**");
  assert.equal(await page.locator("html").getAttribute("lang"), "en");
  assert.deepEqual(wrong, []);
  await context.close();
});

test("too many attempts say until when", async () => {
  const { page, context } = await openPage(browser, server);
  await page.goto("/sign-in");
  for (let attempt = 0; attempt < 12; attempt += 1) {
    await page.fill("[name=sign_in]", "nobody-of-this-name");
    await page.fill("[name=password]", "wrong wrong wrong");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").waitFor();
  }
  assert.match(await page.getByRole("alert").innerText(), /Có thể thử lại sau \d\d\/\d\d\/\d{4} \d\d:\d\d\./);
  await context.close();
});

test("a page that is not there says what is safe and what to do", async () => {
  const { page, wrong, context } = await openPage(browser, server);
  await signIn(page, server.person("admin"));
  const answer = await page.goto("/patrols");
  assert.equal(answer.status(), 404);
  assert.ok(await page.getByText("Không có gì bị thay đổi hay mất.").isVisible());
  assert.match(await page.locator("code").innerText(), /^[0-9a-f-]{36}$/);
  assert.deepEqual(await axe(page, wrong), []);
  await context.close();
});

test("a chief issues a code and sees it as a picture, as text and running out", async () => {
  const { page, wrong, context } = await openPage(browser, server);
  await signIn(page, server.person("chief"));
  await page.goto("/phones");
  await page.getByRole("button", { name: "Cấp mã" }).press("Enter");
  await page.locator("svg.qr").waitFor();
  assert.match(await page.locator(".code .big").innerText(), /^[0-9A-Z]{5}-[0-9A-Z]{5}$/);
  assert.match(await page.locator("[data-until-ms]").innerText(), /^(10:00|9:5\d)$/);
  assert.deepEqual(await axe(page, wrong), []);
  assert.deepEqual(wrong, []);
  await context.close();
});

test("revoking asks first, and a revoked phone says so", async () => {
  const { page, context } = await openPage(browser, server);
  await signIn(page, server.person("chief"));
  await page.goto("/phones");
  page.expectsDialog = true;
  const before = await page.getByText("Đã thu hồi").count();
  await page.getByRole("button", { name: "Thu hồi Redmi 13C" }).last().press("Enter");
  await page.waitForFunction((count) => [...document.querySelectorAll(".returned")].filter((one) => one.textContent.includes("Đã thu hồi")).length > count, before);
  await context.close();
});
