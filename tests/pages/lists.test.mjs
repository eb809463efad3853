// Filters of the list of patrols, judged by what is listed: the rows of the database say what must be.
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

// What a filter lists, page after page.
async function listed(page, query) {
  const found = [];
  for (let address = `/patrols?${query}`; address;) {
    await page.goto(address);
    const links = await page.locator("a[data-open]").evaluateAll((all) => all.map((link) => link.getAttribute("href").split("/").pop()));
    found.push(...links);
    const next = page.locator("a[rel=next]");
    address = await next.count() > 0 ? await next.getAttribute("href") : null;
  }
  return found.sort();
}

// The reach of the chief's unit: itself and those that it came from.
const scope = (chief) => `with recursive scope (unit_id) as (select unit_id from person where sign_in = '${chief}'
  union select link.from_unit_id from unit_link link join scope on link.to_unit_id = scope.unit_id)`;
const wanted = (where) => server.sql(`${scope(server.person("chief").sign_in)} select document_id from patrol
  where unit_id in (select unit_id from scope) and ${where}`).map(([id]) => id).sort();

test("one unit's patrols are listed and no other's", async () => {
  await asChief(async (page) => {
    await page.goto("/patrols");
    const units = await page.locator("select[name=unit] option").evaluateAll((all) => all.map((one) => one.value).filter(Boolean));
    assert.ok(units.length > 1);
    const counts = [];
    for (const unit of units) {
      const found = await listed(page, `unit=${unit}`);
      assert.deepEqual(found, wanted(`unit_id = '${unit}'`));
      counts.push(found.length);
    }
    // Together they are all there is, and none is the whole.
    const all = await listed(page, "");
    assert.equal(counts.reduce((sum, count) => sum + count, 0), all.length);
    assert.ok(counts.filter((count) => count > 0).length > 0 && all.length > 0);
  });
});

test("from one day to another, both included, as days are in Vietnam", async () => {
  await asChief(async (page) => {
    const days = server.sql(`select distinct date(started_at_ms / 1000 + 25200, 'unixepoch') from patrol order by 1`).map(([day]) => day);
    const [from, to] = [days.at(-8), days.at(-4)];
    const day = "date(started_at_ms / 1000 + 25200, 'unixepoch')";
    const found = await listed(page, `from=${from}&to=${to}`);
    assert.deepEqual(found, wanted(`${day} between '${from}' and '${to}'`));
    assert.ok(found.length > 0 && found.length < (await listed(page, "")).length);
    // The first and the last day are in it: without them it is less.
    assert.ok(wanted(`${day} in ('${from}', '${to}')`).every((id) => found.includes(id)));
    await page.goto(`/patrols?from=${from}&to=${to}`);
    assert.equal(await page.inputValue("[name=from]"), from);
    assert.equal(await page.inputValue("[name=to]"), to);
    // One day alone.
    assert.deepEqual(await listed(page, `from=${to}&to=${to}`), wanted(`${day} = '${to}'`));
  });
});
