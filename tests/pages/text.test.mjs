// What people type is text, wherever it shows: titles, notes, models, remarks, both values of a clash, the map's popups.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openBrowser, openPage, signIn } from "./browser.mjs";
import { startServer } from "./server.mjs";

let server, browser;
before(async () => { server = await startServer(); browser = await openBrowser(); });
after(async () => { await browser?.close(); await server?.stop(); });

test("a script in a title, a note and a popup shows as text and does not run", async () => {
  const { page, wrong, context } = await openPage(browser, server);
  await signIn(page, server.person("chief"));
  await page.goto("/patrols");
  await page.getByRole("link", { name: "<script>alert(1)</script>" }).first().click();
  await page.waitForSelector("[data-drawn]");
  assert.match(await page.title(), /<script>alert\(1\)<\/script><img src=x onerror=alert\(2\)>/);
  assert.match(await page.locator("h1").innerText(), /^<script>alert\(1\)<\/script>/);
  const note = "</script><script>alert(3)</script> {{ 1 }} <b>đậm</b>";
  assert.equal(await page.locator("td .pre").innerText(), note);
  await page.locator(".marker").click();
  assert.ok((await page.locator(".maplibregl-popup-content").innerText()).includes(note));
  assert.deepEqual(wrong, []);
  await context.close();
});

test("a model, a remark and both values of a clash show as text", async () => {
  const { page, wrong, context } = await openPage(browser, server);
  await signIn(page, server.person("chief"));
  await page.goto("/patrols");
  await page.getByRole("link", { name: "Ca có đủ mọi trường hợp" }).click();
  await page.waitForSelector("[data-drawn]");
  for (const text of ["<i>Ca khác</i>", "<b>Thiếu</b> ảnh sau."]) assert.ok(await page.getByText(text, { exact: true }).isVisible(), text);
  assert.ok(await page.getByText("Đồng hồ thiết bị nhanh 30 phút").isVisible());
  assert.ok(await page.getByText("Giữ lại vì không đọc được an toàn: 1").isVisible());
  assert.ok(await page.getByText("Cần duyệt lại").first().isVisible());
  await page.goto("/phones");
  assert.ok(await page.getByText("Galaxy <b>A15</b>").first().isVisible());
  assert.deepEqual(wrong, []);
  await context.close();
});
