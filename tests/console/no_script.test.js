// Everything works without JavaScript.

import assert from "node:assert/strict";

import { names, person, row, signedIn } from "./harness/browser.js";
import { greeter } from "./harness/packages.js";
import { Plugd } from "./harness/plugd.js";
import { scenario } from "./harness/scenario.js";

const WITHOUT = { javaScriptEnabled: false };

scenario("without scripts one signs in with a token, and out", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await (await person(test, { baseURL: plugd.url, ...WITHOUT })).newPage();
  await page.goto("/");
  await page.getByLabel("Access token").fill(plugd.token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(`${plugd.url}/`);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL("**/sign-in");
  assert.deepEqual(await page.context().cookies(), []);
});

scenario("without scripts the printed link signs in by its button", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await (await person(test, { baseURL: plugd.url, ...WITHOUT })).newPage();
  await page.goto(await plugd.link());
  await page.getByText("This link signs in one browser").waitFor();
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(`${plugd.url}/`);
  await page.getByText("administrator", { exact: true }).waitFor();
});

scenario("without scripts plugins are searched, filtered, sorted, started, stopped and deleted", async (test) => {
  const plugd = await Plugd.start(test);
  const one = await plugd.install(greeter("one", { name: "One" }));
  const two = await plugd.install(greeter("two", { name: "Two" }));
  const page = await signedIn(test, plugd, WITHOUT);
  await page.getByRole("searchbox").fill("tw");
  await page.getByRole("button", { name: "Search" }).click();
  await page.waitForURL("**/?q=tw");
  assert.deepEqual(await names(page), ["Two"]);
  await page.getByRole("columnheader", { name: "Name" }).getByRole("link").click();
  await page.waitForURL("**/?q=tw&sort=name&order=descending");
  await page.goto("/");

  await row(page, one).getByRole("button", { name: "Start One" }).click();
  await page.getByText("One is being started.").waitFor();
  await plugd.is(one, "active");
  await page.reload();
  assert.equal(await page.getByText("is being started").count(), 0, "it is told once");
  await row(page, one).locator(".pill.active").waitFor();

  for (const name of ["One", "Two"]) await page.getByLabel(`Select ${name}`).check();
  await page.locator(".several").getByRole("button", { name: "Stop" }).click();
  await page.getByText("2 plugins: each is being stopped.").waitFor();
  await plugd.is(one, "inactive");

  await page.getByLabel("Select Two").check();
  await page.locator(".several").getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Delete “Two”" }).click();
  await page.getByText("Two is deleted.").waitFor();
  await row(page, two).waitFor({ state: "detached" });
  assert.deepEqual((await plugd.plugins()).map(({ id }) => id), [one]);
});
