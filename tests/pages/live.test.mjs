// Live: what a phone sends is on an open page without a reload (P12); what is being read or typed is never taken away.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { axe, openBrowser, openPage, signIn } from "./browser.mjs";
import { startPhone } from "./phone.mjs";
import { startServer } from "./server.mjs";

const PUSHES = Number(process.env.PUSHES ?? 9);

let server, browser, an;
before(async () => {
  // Without the seed: its documents have no key, and a phone reads the whole feed.
  server = await startServer({ rows: false });
  browser = await openBrowser();
  an = await startPhone(server, "an");
});
after(async () => { await an?.stop(); await browser?.close(); await server?.stop(); });

async function asChief(look) {
  const { page, wrong, context } = await openPage(browser, server);
  await signIn(page, server.person("chief"));
  await look(page, wrong);
  assert.deepEqual(wrong, []);
  await context.close();
}

// When this title stands in the list, by the clock of the machine.
const appears = (page, title) => page.evaluate((wanted) => new Promise((resolve) => {
  const look = () => {
    if (![...document.querySelectorAll("#results a[data-open]")].some((link) => link.textContent === wanted)) return;
    watch.disconnect();
    resolve(Date.now());
  };
  const watch = new MutationObserver(look);
  watch.observe(document.querySelector("main"), { childList: true, subtree: true });
  look();
}), title);

test("a patrol that a phone sends appears on the open list, again and again", async () => {
  await asChief(async (page) => {
    await page.goto("/patrols");
    const waits = [];
    for (let push = 0; push < PUSHES; push += 1) {
      const title = `Ca trực tiếp ${push}`;
      await an.ask({ do: "start", title });
      const appeared = appears(page, title);
      await an.ask({ do: "sync", tries: 1 });
      const answered = Date.now();
      waits.push(await appeared - answered);
    }
    const [min, median, max] = [0, PUSHES >> 1, PUSHES - 1].map((at) => waits.sort((a, b) => a - b)[at]);
    console.log(`P12 pushes=${PUSHES} from the durable answer to the open page: min=${min} median=${median} max=${max} ms`);
  });
});

test("an open patrol says that it changed, and keeps what is being typed", async () => {
  await asChief(async (page, wrong) => {
    const { patrol } = await an.ask({ do: "start", title: "Ca đang đọc" });
    await an.ask({ do: "sync", tries: 1 });
    await page.goto("/patrols");
    await page.getByText("Ca đang đọc").waitFor();
    await page.goto(`/patrols/${patrol}`);
    await page.locator("[name=remark]").fill("Cần ghi rõ");
    // Another patrol of the unit changes: that is not this page's matter, and what comes next is.
    await an.ask({ do: "start", title: "Ca khác" });
    await an.ask({ do: "sync", tries: 1 });
    const notice = page.locator("[data-live]");
    await an.ask({ do: "observe", patrol, category: "urban-order", count: 3, unit: "case", note: "Mới" });
    await an.ask({ do: "sync", tries: 1 });
    await notice.waitFor();
    assert.match(await notice.innerText(), /Có thay đổi mới/);
    assert.equal(await page.locator("[name=remark]").inputValue(), "Cần ghi rõ");
    assert.deepEqual(await axe(page, wrong), []);
    await notice.getByRole("link").click();
    await page.getByText("Mới", { exact: true }).waitFor();
    assert.equal(await notice.isVisible(), false);
  });
});

test("another patrol's change says nothing on this one's page", async () => {
  await asChief(async (page) => {
    const { patrol } = await an.ask({ do: "start", title: "Ca yên" });
    await an.ask({ do: "sync", tries: 1 });
    await page.goto("/patrols");
    await page.getByText("Ca yên").waitFor();
    await page.goto(`/patrols/${patrol}`);
    const asked = page.waitForResponse((answer) => answer.url().endsWith(`/live/${patrol}`));
    await an.ask({ do: "start", title: "Ca ở nơi khác" });
    await an.ask({ do: "sync", tries: 1 });
    assert.equal((await asked).status(), 200);
    assert.equal(await page.locator("[data-live]").isVisible(), false);
  });
});

test("nobody hears who is not signed in", async () => {
  const { page, context } = await openPage(browser, server);
  assert.equal((await page.request.get("/live", { headers: { Accept: "application/json" } })).status(), 401);
  await context.close();
});
