// Who gets in, and how the way out is closed.

import assert from "node:assert/strict";

import { COOKIE, assertAccessible, person, signedIn } from "./harness/browser.js";
import { Plugd } from "./harness/plugd.js";
import { scenario } from "./harness/scenario.js";

scenario("a good token signs in, and leads to the page that was asked for", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await visitor(test, plugd);
  await page.goto("/?state=active");
  await page.waitForURL("**/sign-in?back=*");
  await page.getByLabel("Access token").fill(plugd.token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(`${plugd.url}/?state=active`);
  await page.getByText("administrator", { exact: true }).waitFor();
});

scenario("a wrong token is refused in words, and keeps nothing", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await visitor(test, plugd);
  await page.goto("/sign-in");
  await page.getByLabel("Access token").fill("plugd_wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").getByText("This token is not good").waitFor();
  assert.deepEqual(await page.context().cookies(), []);
  await page.goto("/");
  await page.waitForURL("**/sign-in");
});

scenario("an application's token is refused with the reason", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await visitor(test, plugd);
  await page.goto("/sign-in");
  await page.getByLabel("Access token").fill(await plugd.tokenOf("app", "host"));
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").getByText("an administrator's or a viewer's").waitFor();
  assert.deepEqual(await page.context().cookies(), []);
});

scenario("the printed link signs in one browser, once, and leaves no token in the address or in the history", async (test) => {
  const plugd = await Plugd.start(test);
  const link = await plugd.link();
  const first = await visitor(test, plugd);
  await first.goto(link);
  await first.waitForURL(`${plugd.url}/`);
  await first.getByText("administrator", { exact: true }).waitFor();
  await first.goBack();
  assert.ok(!first.url().includes("token"), first.url());
  const second = await visitor(test, plugd);
  await second.goto(link);
  await second.getByRole("alert").getByText("A link works once").waitFor();
  assert.ok(!second.url().includes("token"), second.url());
  assert.deepEqual(await second.context().cookies(), []);
});

scenario("a link that is only looked at is not used up", async (test) => {
  const plugd = await Plugd.start(test);
  const link = await plugd.link();
  assert.equal((await fetch(link)).status, 200);
  const page = await visitor(test, plugd);
  await page.goto(link);
  await page.waitForURL(`${plugd.url}/`);
});

scenario("signing out ends the session of a link for good", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await visitor(test, plugd);
  await page.goto(await plugd.link());
  await page.waitForURL(`${plugd.url}/`);
  const [session] = await page.context().cookies();
  assert.equal(await statusWith(plugd, session.value), 200);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL("**/sign-in");
  assert.deepEqual(await page.context().cookies(), []);
  assert.equal(await statusWith(plugd, session.value), 303, "the token of the session is good no longer");
});

scenario("signing out forgets a token of one's own, which stays good", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await signedIn(test, plugd);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL("**/sign-in");
  assert.deepEqual(await page.context().cookies(), []);
  assert.equal(await statusWith(plugd, plugd.token), 200);
});

scenario("the cookie is for this site and not for scripts", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await visitor(test, plugd);
  await page.goto("/sign-in");
  await page.getByLabel("Access token").fill(plugd.token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(`${plugd.url}/`);
  const [{ name, value, httpOnly, sameSite, path }, ...others] = await page.context().cookies();
  const wanted = { name: COOKIE, value: plugd.token, httpOnly: true, sameSite: "Lax", path: "/" };
  assert.deepEqual({ name, value, httpOnly, sameSite, path }, wanted);
  assert.deepEqual(others, []);
  assert.equal(await page.evaluate(() => document.cookie), "");
});

scenario("the way back leads to no other site", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await visitor(test, plugd);
  await page.goto("/sign-in?back=//example.invalid/");
  await page.getByLabel("Access token").fill(plugd.token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(`${plugd.url}/`);
});

scenario("a token that is revoked while its page is open leads to signing in", async (test) => {
  const plugd = await Plugd.start(test);
  const token = await plugd.tokenOf("guest", "viewer");
  const page = await signedIn(test, plugd, { token, mayFail: /401/ });
  await page.getByText("viewer").waitFor();
  const tokens = JSON.parse(await plugd.cli("token", "list", "-o", "json"));
  await plugd.cli("token", "revoke", tokens.find(({ name }) => name === "guest").id);
  await page.waitForURL("**/sign-in");
});

scenario("the page for signing in has no barriers", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await visitor(test, plugd);
  await page.goto("/sign-in");
  await assertAccessible(page);
});

/** A page of somebody who is not signed in. */
async function visitor(test, plugd) {
  const context = await person(test, { baseURL: plugd.url, mayFail: /401|403/ });
  return context.newPage();
}

/** What the list is answered with to whoever shows this cookie. */
async function statusWith(plugd, token) {
  const answer = await fetch(plugd.url, { headers: { cookie: `${COOKIE}=${token}` }, redirect: "manual" });
  return answer.status;
}
