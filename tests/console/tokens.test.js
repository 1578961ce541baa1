// Access tokens: made, shown once, listed, revoked; and links that sign in.

import assert from "node:assert/strict";

import { COOKIE, assertAccessible, person, signedIn } from "./harness/browser.js";
import { Plugd } from "./harness/plugd.js";
import { scenario } from "./harness/scenario.js";

scenario("a token is made, its secret is shown once, and it is good for what it was made for", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await signedIn(test, plugd, { at: "/tokens", permissions: ["clipboard-read", "clipboard-write"] });
  await create(page, "ci <b>", "viewer", "30");
  const secret = await page.getByLabel("Token", { exact: true }).inputValue();
  assert.ok(secret.startsWith("plugd_"));
  assert.ok(!page.url().includes(secret));
  await page.getByRole("button", { name: "Copy" }).click();
  await page.getByText("Copied").waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
  await assertAccessible(page);
  await page.getByRole("link", { name: "Back to the tokens" }).click();
  const row = page.locator("tr", { hasText: "ci <b>" });
  await row.getByText("viewer").waitFor();
  assert.ok(!(await page.content()).includes(secret));
  const guest = await signedIn(test, plugd, { token: secret });
  await guest.getByText("viewer: reads only").waitFor();
  const { expires } = (await tokens(plugd)).find(({ name }) => name === "ci <b>");
  const days = (Date.parse(expires) - Date.now()) / 86_400_000;
  assert.ok(days > 29 && days < 31, `it expires in ${days} days`);
});

scenario("what shows a secret does not show it when it is loaded anew, or come back to", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await signedIn(test, plugd, { at: "/tokens" });
  await create(page, "ci", "viewer", "1");
  const secret = await page.getByLabel("Token", { exact: true }).inputValue();
  await page.reload();
  await page.getByRole("heading", { name: "Tokens" }).waitFor();
  assert.ok(!(await page.content()).includes(secret));
  await page.getByRole("button", { name: "Print a link" }).click();
  const link = await page.getByLabel("Link", { exact: true }).inputValue();
  await page.reload();
  await page.getByRole("heading", { name: "Tokens" }).waitFor();
  assert.ok(!(await page.content()).includes(link));
});

scenario("a token is revoked after a question that names it, and is good for nothing from then on", async (test) => {
  const plugd = await Plugd.start(test);
  const secret = await plugd.tokenOf("guest", "viewer");
  const page = await signedIn(test, plugd, { at: "/tokens" });
  await page.getByRole("link", { name: "Revoke guest" }).click();
  await page.getByRole("heading", { name: "Revoke “guest”?" }).waitFor();
  await assertAccessible(page);
  await page.getByRole("link", { name: "Keep" }).click();
  assert.equal((await tokens(plugd)).length, 2);
  await page.getByRole("link", { name: "Revoke guest" }).click();
  await page.getByRole("button", { name: "Revoke “guest”" }).click();
  await page.getByRole("status").getByText("“guest” is revoked.").waitFor();
  assert.equal((await tokens(plugd)).length, 1);
  const answer = await fetch(plugd.url, { headers: { cookie: `${COOKIE}=${secret}` }, redirect: "manual" });
  assert.equal(answer.status, 303);
});

scenario("whoever revokes the token that he is signed in with is told before, and signed out", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await signedIn(test, plugd, { at: "/tokens", token: await plugd.tokenOf("mine", "admin") });
  await page.getByRole("link", { name: "Revoke mine" }).click();
  await page.getByText("you will be signed out").waitFor();
  await page.getByRole("button", { name: "Revoke “mine”" }).click();
  await page.waitForURL("**/sign-in");
});

scenario("the last administrator's token can't be revoked, and the page says why", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await signedIn(test, plugd, { at: "/tokens" });
  await page.getByRole("link", { name: "Revoke admin.token" }).click();
  await page.locator("button.danger").click();
  await page.locator("#notice .failure").waitFor();
  assert.equal((await tokens(plugd)).length, 1);
});

scenario("a printed link signs in another browser, once", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await signedIn(test, plugd, { at: "/tokens" });
  await page.getByRole("button", { name: "Print a link" }).click();
  const link = await page.getByLabel("Link", { exact: true }).inputValue();
  assert.ok(link.startsWith(`${plugd.url}/sign-in?token=`), link);
  const other = await (await person(test, { baseURL: plugd.url, mayFail: /401/ })).newPage();
  await other.goto(link);
  await other.getByText("administrator", { exact: true }).waitFor();
  await other.goto(link);
  await other.getByRole("alert").getByText("A link works once").waitFor();
});

scenario("without scripts a token is made and revoked", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await signedIn(test, plugd, { at: "/tokens", javaScriptEnabled: false });
  await create(page, "ci", "host", "never");
  await page.getByRole("link", { name: "Back to the tokens" }).click();
  await page.getByRole("link", { name: "Revoke ci" }).click();
  await page.getByRole("button", { name: "Revoke “ci”" }).click();
  await page.getByText("“ci” is revoked.").waitFor();
});

scenario("a viewer sees no tokens, and makes, prints and revokes none", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await signedIn(test, plugd, { at: "/tokens", token: await plugd.tokenOf("guest", "viewer"), mayFail: /403/ });
  await page.getByRole("heading", { name: "Tokens are for administrators" }).waitFor();
  assert.ok(!(await page.locator("main").innerText()).includes("admin.token"));
  const before = await tokens(plugd);
  const forged = [["/tokens", { name: "x", role: "admin", expiry: "never" }], ["/tokens/link", {}], ["/tokens/revoke", { id: before[0].id }]];
  for (const [at, fields] of forged) {
    const status = page.evaluate(async ([at, fields]) => (await fetch(at, { method: "POST", body: new URLSearchParams(fields) })).status, [at, fields]);
    assert.equal(await status, 403, at);
  }
  assert.deepEqual(await tokens(plugd), before);
});

scenario("the page of tokens has no barriers", async (test) => {
  const plugd = await Plugd.start(test);
  for (const role of ["admin", "viewer", "host"]) await plugd.tokenOf(`a-name-that-is-rather-long-for-a-${role}`, role);
  const page = await signedIn(test, plugd, { at: "/tokens" });
  await assertAccessible(page);
});

async function create(page, name, role, expiry) {
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Role").selectOption(role);
  await page.getByLabel("Expires after").selectOption(expiry);
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { name: `The token “${name}”` }).waitFor();
}

/** All tokens but those of links, as the command line lists them. */
async function tokens(plugd) {
  const all = JSON.parse(await plugd.cli("token", "list", "-o", "json"));
  return all.filter(({ name }) => !name.startsWith("link"));
}
