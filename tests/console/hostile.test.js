// Names, manifests and messages of somebody who means harm are text, and break nothing.

import assert from "node:assert/strict";

import { COOKIE, WIDTHS, assertAccessible, assertFits, names, row, signedIn } from "./harness/browser.js";
import { external, greeter, shell } from "./harness/packages.js";
import { Plugd } from "./harness/plugd.js";
import { scenario } from "./harness/scenario.js";

const SCRIPT = `</td><script>hit=1</script><img src=x onerror="hit=1">'"&amp;`;
const LONG = "W".repeat(10_000);
const ATTACK = `"><script>globalThis.hit = 1</script><b onmouseover='hit=1'>`;

/** Each is a place where text of an author's stands. */
const HOSTILE = {
  name: SCRIPT,
  version: `1.0${ATTACK}`.slice(0, 100),
  description: `${ATTACK} ${LONG}`,
  events_consumed: ["EventThreadPublished"],
  access: { handle: "bot", name: `${ATTACK}${LONG}`, permissions: ["READ_PUBLISHED_THREADS"] },
  configuration_schema: {
    fields: [
      { type: "string", id: `a${ATTACK}`, label: `${ATTACK}${LONG}`, description: ATTACK + LONG, default: ATTACK },
      // The names of what scripts ask a form for.
      ...["action", "id", "method", "attributes", "children", "nodeName", "getAttribute", "hasAttribute", "querySelector", "remove"].map((id) => ({
        type: "string", id, label: id, description: "", default: "",
      })),
    ],
  },
};

/** What hides or turns letters round, and what a name is without it. */
const DISGUISES = [
  ["\u202Egpj.exe", "gpj.exe"],
  ["a\u2066b\u2069c", "abc"],
  ["zero\u200Bwidth\uFEFF", "zerowidth"],
];

scenario("a name that is HTML is text in the list, in its question before a deletion, and in what is told", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("evil", { name: SCRIPT }));
  const page = await signedIn(test, plugd);
  assert.deepEqual(await names(page), [SCRIPT]);
  await row(page, id).getByRole("button", { name: `Start ${SCRIPT}` }).click();
  await page.getByRole("status").getByText(`${SCRIPT} is being started.`).waitFor();
  await row(page, id).getByLabel(`Select ${SCRIPT}`).check();
  await page.locator(".several").getByRole("button", { name: "Delete" }).click();
  await page.getByRole("heading", { name: `Delete “${SCRIPT}”?` }).waitFor();
  await page.getByRole("button", { name: `Delete “${SCRIPT}”` }).click();
  await page.getByRole("status").getByText(`${SCRIPT} is deleted.`).waitFor();
  assert.equal(await page.evaluate(() => globalThis.hit), undefined);
});

scenario("on every page of a hostile plugin its words are text, nothing is wider than the screen, and forms work", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("evil", HOSTILE), "--activate");
  const page = await signedIn(test, plugd);
  for (const at of ["/", `/plugins/${id}`, `/plugins/${id}/review`, ...["configuration", "package", "manifest"].map((tab) => `/plugins/${id}?tab=${tab}`)]) {
    await page.goto(at);
    await assertFitsAll(page);
    assert.equal(await page.locator("main script, main img, main b").count(), 0, at);
  }
  await assertAccessible(page);
  await page.goto(`/plugins/${id}?tab=configuration`);
  await page.getByLabel("children").fill("changed");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("status").getByText("revision 1").waitFor();
  assert.equal((await plugd.configuration(id)).children, "changed");
  assert.equal(await page.evaluate(() => globalThis.hit), undefined);
});

scenario("letters that turn others round or can't be seen are left out of a name", async (test) => {
  const plugd = await Plugd.start(test);
  for (const [place, [name]] of DISGUISES.entries()) await plugd.register(external(`p${place}`, { name }));
  const page = await signedIn(test, plugd);
  assert.deepEqual((await names(page)).sort(), DISGUISES.map(([, shown]) => shown).sort());
});

scenario("a plugin without a name that can be seen is called by its id", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.register(external("nameless", { name: "\u200B\u2060" }));
  const page = await signedIn(test, plugd);
  assert.deepEqual(await names(page), [id]);
});

scenario("a failure of ten thousand letters fits into the list, and onto the plugin's page", async (test) => {
  const plugd = await Plugd.start(test, { PLUGD_MAX_RESTART_ATTEMPTS: "0" });
  const id = await plugd.install(shell("loud", "true", { command: `./${"x".repeat(2000)}` }), "--activate", "--no-wait");
  await plugd.is(id, "error");
  const page = await signedIn(test, plugd);
  for (const at of ["/", `/plugins/${id}`]) {
    await page.goto(at);
    await assertFitsAll(page);
  }
});

scenario("an address that is not meant so is answered with a page", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.register(external("one"));
  const cookie = `${COOKIE}=${plugd.token}`;
  const evil = encodeURIComponent(ATTACK);
  for (const at of [`/?q=${evil}`, `/?q=${LONG}`, `/?state=${evil}&sort=${evil}&order=${evil}&page=-1`, `/?q=%ff%00`, `/sign-in?back=${evil}`, `/plugins/${evil}`, `/plugins/${id}?tab=${evil}`, `/plugins/nobody`]) {
    const answer = await fetch(plugd.url + at, { headers: { cookie } });
    const text = await answer.text();
    assert.ok(answer.status < 500, `${at.slice(0, 80)}: ${answer.status}`);
    assert.match(answer.headers.get("content-type") ?? "", /^text\/html/, at.slice(0, 80));
    assert.ok(!text.includes("<script>globalThis"), at.slice(0, 80));
  }
});

scenario("a cookie that is not a token, or no notice, is as none", async (test) => {
  const plugd = await Plugd.start(test);
  for (const value of ["plugd_%00", "a b", `"${LONG.slice(0, 3000)}"`]) {
    const answer = await fetch(plugd.url, { headers: { cookie: `${COOKIE}=${value}` }, redirect: "manual" });
    assert.equal(answer.status, 303, value.slice(0, 20));
  }
  const answer = await fetch(plugd.url, { headers: { cookie: `${COOKIE}=${plugd.token}; plugd-notice=PHNjcmlwdD4` } });
  assert.equal(answer.status, 200);
});

/** Fails if a page is wider than a wide or a narrow screen. */
async function assertFitsAll(page) {
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 800 });
    await assertFits(page);
  }
}
