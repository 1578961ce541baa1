// What somebody sees and can do who may only read.

import assert from "node:assert/strict";

import { assertAccessible, shows, signedIn } from "./harness/browser.js";
import { external, greeter } from "./harness/packages.js";
import { Plugd } from "./harness/plugd.js";
import { scenario } from "./harness/scenario.js";

/** The pages of a plugin. */
const TABS = ["", "?tab=configuration", "?tab=package", "?tab=manifest"];

scenario("a viewer sees the list live, and no form but those for searching and signing out", async (test) => {
  const { plugd, id, page } = await viewed(test);
  await page.getByText("viewer: reads only").waitFor();
  await shows(page, id, "active");
  assert.deepEqual(await actions(page), ["/", "/sign-out"]);
  assert.equal(await page.locator("main button:visible").count(), 0);
  await assertAccessible(page);
  await plugd.cli("deactivate", id);
  await shows(page, id, "inactive");
});

scenario("a viewer sees no form on any page of a plugin, nor where plugins are installed", async (test) => {
  const { id, page } = await viewed(test);
  for (const at of ["/install", ...TABS.map((tab) => `/plugins/${id}${tab}`)]) {
    await page.goto(at);
    assert.deepEqual(await actions(page), ["/sign-out"], at);
    assert.equal(await page.locator("main").getByRole("button").count(), 0, at);
  }
});

scenario("whatever form a viewer forges is refused with 403, and changes nothing", async (test) => {
  const { plugd, id, page } = await viewed(test, /403/);
  const outside = await plugd.register(external("outside"));
  const manifest = JSON.stringify(external("outside", { version: "2.0.0" }));
  const forged = [
    ["/plugins", { stop: id }],
    ["/plugins", { action: "restart", id }],
    ["/plugins", { action: "delete", sure: "yes", id }],
    ["/install/url", { url: `${plugd.url}/nothing.zip` }],
    ["/install/external", { manifest, agreed: "yes" }],
    [`/plugins/${id}/configuration`, { revision: 0, generation: 1, "field.greeting": "Hi" }],
    [`/plugins/${id}/rollback`, {}],
    [`/plugins/${outside}/manifest`, { manifest }],
    [`/plugins/${outside}/token`, { sure: "yes" }],
  ];
  const before = await plugd.plugins();
  for (const [at, fields] of forged) assert.equal(await post(page, at, fields), 403, `${at} ${JSON.stringify(fields)}`);
  for (const at of ["/install/package", `/plugins/${id}/package`]) {
    const answered = page.evaluate(async (at) => {
      const body = new FormData();
      body.append("package", new Blob(["PK"]), "a.zip");
      return (await fetch(at, { method: "POST", body })).status;
    }, at);
    assert.equal(await answered, 403, at);
  }
  assert.deepEqual(await plugd.plugins(), before);
});

/** A plugd with a plugin that runs, and its list as a viewer sees it. */
async function viewed(test, mayFail) {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("one", { name: "One" }), "--activate");
  const page = await signedIn(test, plugd, { token: await plugd.tokenOf("guest", "viewer"), mayFail });
  return { plugd, id, page };
}

/** Where the forms of a page are sent to. */
async function actions(page) {
  const found = await page.locator("form").evaluateAll((forms) => forms.map((form) => form.getAttribute("action")));
  return found.sort();
}

/** What a form is answered with that is sent from a page. */
function post(page, at, fields) {
  return page.evaluate(
    async ([at, fields]) => (await fetch(at, { method: "POST", body: new URLSearchParams(fields) })).status,
    /** @type {const} */ ([at, fields]),
  );
}
