// What keeps other sites, and scripts that got into a page, from acting for whoever is signed in.

import assert from "node:assert/strict";
import { createServer } from "node:http";

import { person, signedIn } from "./harness/browser.js";
import { external } from "./harness/packages.js";
import { Plugd } from "./harness/plugd.js";
import { scenario } from "./harness/scenario.js";

for (const [host, relation] of [["127.0.0.1", "the same site's other server"], ["localhost", "another site"]]) {
  scenario(`a form on ${relation} changes nothing`, async (test) => {
    const plugd = await Plugd.start(test);
    const id = await plugd.register(external("victim"));
    const page = await signedIn(test, plugd, { mayFail: /403|401|NOT_ALLOWED/ });
    await page.goto(await elsewhere(test, host, form(plugd, id)));
    const answered = page.waitForResponse((response) => response.request().method() === "POST");
    await page.getByRole("button").click();
    const status = (await answered).status();
    // To another site the browser does not even send the cookie, and whoever has none is led to signing in.
    assert.equal(status, host === "localhost" ? 303 : 403);
    assert.equal((await plugd.plugins()).length, 1);
  });
}

scenario("a form without a word about its site is refused by its origin", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.register(external("victim"));
  const send = async (headers) => {
    const body = new URLSearchParams({ action: "delete", sure: "yes", id });
    const cookie = `plugd-session=${plugd.token}`;
    return (await fetch(`${plugd.url}/plugins`, { method: "POST", body, headers: { cookie, ...headers }, redirect: "manual" })).status;
  };
  assert.equal(await send({ origin: "http://example.invalid" }), 403);
  assert.equal(await send({ origin: "null" }), 403);
  assert.equal((await plugd.plugins()).length, 1);
  assert.equal(await send({ origin: plugd.url }), 303);
  assert.equal((await plugd.plugins()).length, 0);
});

scenario("signing in can't be done by another site", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await (await person(test, { mayFail: /403/ })).newPage();
  const body = `<form method="post" action="${plugd.url}/sign-in"><input name="token" value="${plugd.token}"><button>Go</button></form>`;
  await page.goto(await elsewhere(test, "localhost", body));
  await page.getByRole("button").click();
  await page.getByRole("heading", { name: "You may not do that" }).waitFor();
  assert.deepEqual(await page.context().cookies(), []);
});

scenario("every answer has a policy that allows no script but plugd's own files", async (test) => {
  const plugd = await Plugd.start(test);
  for (const at of ["/", "/sign-in", "/assets/console.js", "/assets/nothing", "/plugins/nobody"]) {
    const answer = await fetch(plugd.url + at, { redirect: "manual", headers: { cookie: `plugd-session=${plugd.token}` } });
    const policy = answer.headers.get("content-security-policy") ?? "";
    for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"]) {
      assert.ok(policy.includes(part), `${at}: ${policy}`);
    }
    assert.ok(!policy.includes("unsafe"), policy);
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff", at);
  }
});

scenario("the browser refuses a script that got into a page, and a page within another site's", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await signedIn(test, plugd, { mayFail: /Content Security Policy|violates/ });
  const refused = page.waitForEvent("console", (message) => message.text().includes("Content Security Policy"));
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "globalThis.wasHere = true";
    document.body.append(script);
  });
  await refused;
  assert.equal(await page.evaluate(() => globalThis.wasHere), undefined);
  const framed = page.waitForEvent("console", (message) => message.text().includes("frame-ancestors"));
  await page.goto(await elsewhere(test, "127.0.0.1", `<iframe src="${plugd.url}"></iframe>`));
  await framed;
});

scenario("a page is not kept where others may find it", async (test) => {
  const plugd = await Plugd.start(test);
  const answer = await fetch(plugd.url, { headers: { cookie: `plugd-session=${plugd.token}` } });
  assert.equal(answer.headers.get("cache-control"), "no-store");
});

/** What deletes a plugin as the list does. */
function form(plugd, id) {
  const field = (name, value) => `<input type="hidden" name="${name}" value="${value}">`;
  const fields = [["action", "delete"], ["sure", "yes"], ["id", id]].map(([name, value]) => field(name, value));
  return `<form method="post" action="${plugd.url}/plugins">${fields.join("")}<button>Win a prize</button></form>`;
}

/** The address of a page with this body on another server. */
async function elsewhere(test, host, body) {
  const server = createServer((_, answer) => answer.setHeader("content-type", "text/html").end(`<!doctype html><link rel="icon" href="data:,"><title>Elsewhere</title>${body}`));
  await new Promise((resolve) => server.listen(0, host, () => resolve(undefined)));
  test.after(() => new Promise((resolve) => {
    server.close(() => resolve(undefined));
    server.closeAllConnections();
  }));
  return `http://${host}:${server.address().port}/`;
}
