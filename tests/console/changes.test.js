// What is done with plugins from the list: one, or several at once.

import assert from "node:assert/strict";

import { assertAccessible, assertNotReloaded, mark, names, row, shows, signedIn } from "./harness/browser.js";
import { WAITS, external, greeter, shell } from "./harness/packages.js";
import { Plugd } from "./harness/plugd.js";
import { scenario } from "./harness/scenario.js";
import { eventually } from "./harness/wait.js";

scenario("one plugin is started, restarted and stopped by its own buttons, without the page being left", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("one", { name: "One" }));
  const page = await signedIn(test, plugd);
  await mark(page);
  await row(page, id).getByRole("button", { name: "Start One" }).click();
  await page.getByRole("status").getByText("One is being started.").waitFor();
  await shows(page, id, "active");
  const before = await runOf(plugd, id);
  await row(page, id).getByRole("button", { name: "Restart One" }).click();
  await page.getByRole("status").getByText("One is being restarted.").waitFor();
  await plugd.is(id, "active");
  assert.notEqual(await runOf(plugd, id), before);
  await shows(page, id, "active");
  await row(page, id).getByRole("button", { name: "Stop One" }).click();
  await shows(page, id, "inactive");
  await plugd.is(id, "inactive");
  await assertNotReloaded(page);
  assert.equal(page.url(), `${plugd.url}/`);
});

scenario("what is selected is started, restarted and stopped at once, and nothing else", async (test) => {
  const plugd = await Plugd.start(test);
  const [one, two, other] = await three(plugd);
  const page = await signedIn(test, plugd);
  for (const [action, state, told] of [["Start", "active", "started"], ["Restart", "active", "restarted"], ["Stop", "inactive", "stopped"]]) {
    const before = [await runOf(plugd, one), await runOf(plugd, two)];
    for (const name of ["One", "Two"]) await page.getByLabel(`Select ${name}`).check();
    await page.locator(".several").getByRole("button", { name: action, exact: true }).click();
    await page.getByRole("status").getByText(`2 plugins: each is being ${told}.`).waitFor();
    assert.equal(await page.locator("tbody input:checked").count(), 0, "what was selected is done");
    for (const id of [one, two]) {
      await plugd.is(id, state);
      await shows(page, id, state);
    }
    const after = [await runOf(plugd, one), await runOf(plugd, two)];
    if (state === "active") assert.ok(before.every((run, place) => run !== after[place]), `${action}: new runs`);
    await shows(page, other, "inactive");
  }
});

scenario("several are deleted after a question that names them, and the answer may be no", async (test) => {
  const plugd = await Plugd.start(test);
  const [, , other] = await three(plugd);
  const page = await signedIn(test, plugd, { at: "/?sort=name&order=descending" });
  const ask = async () => {
    for (const name of ["One", "Two"]) await page.getByLabel(`Select ${name}`).check();
    await page.locator(".several").getByRole("button", { name: "Delete" }).click();
    await page.getByRole("heading", { name: "Delete 2 plugins?" }).waitFor();
    assert.deepEqual((await page.locator("main li").allTextContents()).sort(), ["One", "Two"]);
  };
  await ask();
  await assertAccessible(page);
  await page.getByRole("link", { name: "Keep" }).click();
  await page.waitForURL("**/?sort=name&order=descending");
  assert.equal((await plugd.plugins()).length, 3);
  await ask();
  await page.getByRole("button", { name: "Delete 2 plugins" }).click();
  await page.getByRole("status").getByText("2 plugins: each is deleted.").waitFor();
  assert.deepEqual((await plugd.plugins()).map(({ id }) => id), [other]);
  await row(page, other).waitFor();
  assert.deepEqual(await names(page), ["Three"]);
  assert.equal(page.url(), `${plugd.url}/?sort=name&order=descending`);
});

scenario("a question that is loaded anew, or come back to, is the list", async (test) => {
  const plugd = await Plugd.start(test);
  await three(plugd);
  const page = await signedIn(test, plugd);
  const isList = () => page.getByRole("heading", { name: "Plugins", exact: true }).waitFor();
  const ask = async () => {
    await page.getByLabel("Select One").check();
    await page.locator(".several").getByRole("button", { name: "Delete" }).click();
    await page.getByRole("heading", { name: "Delete “One”?" }).waitFor();
  };
  await ask();
  await page.reload();
  await isList();
  await ask();
  await stepBack(page);
  await isList();
  await page.goForward();
  await isList();
  assert.equal((await plugd.plugins()).length, 3);
});

scenario("the browser's way back from the question leads to the list", async (test) => {
  const plugd = await Plugd.start(test);
  await three(plugd);
  const page = await signedIn(test, plugd);
  await page.getByLabel("Select One").check();
  await page.locator(".several").getByRole("button", { name: "Delete" }).click();
  await page.getByRole("heading", { name: "Delete “One”?" }).waitFor();
  await stepBack(page);
  await page.getByRole("heading", { name: "Plugins", exact: true }).waitFor();
  assert.equal((await names(page)).length, 3);
  assert.equal((await plugd.plugins()).length, 3);
});

scenario("a press of a button with nothing selected says so", async (test) => {
  const plugd = await Plugd.start(test);
  await three(plugd);
  const page = await signedIn(test, plugd);
  await page.locator(".several").getByRole("button", { name: "Stop" }).click();
  await page.getByRole("status").getByText("No plugin was selected.").waitFor();
});

scenario("the box in the head of the table selects all of the page, or none", async (test) => {
  const plugd = await Plugd.start(test);
  const ids = await three(plugd);
  const page = await signedIn(test, plugd);
  await page.getByLabel("Select all").check();
  assert.equal(await page.locator("tbody input:checked").count(), 3);
  await page.getByLabel("Select all").uncheck();
  assert.equal(await page.locator("tbody input:checked").count(), 0);
  await page.getByLabel("Select all").check();
  await page.locator(".several").getByRole("button", { name: "Start", exact: true }).click();
  for (const id of ids) await shows(page, id, "active");
});

scenario("a button that is pressed twice asks once", async (test) => {
  const plugd = await Plugd.start(test);
  const [one] = await three(plugd);
  const page = await signedIn(test, plugd);
  let asked = 0;
  /** @type {() => void} */
  let goOn = () => {};
  const isPressed = new Promise((resolve) => (goOn = () => resolve(undefined)));
  await page.route("**/plugins", async (route) => {
    asked += 1;
    await isPressed;
    await route.continue();
  });
  const start = row(page, one).getByRole("button", { name: "Start One" });
  await start.click();
  await page.locator("form[aria-busy=true]").waitFor();
  await start.click();
  goOn();
  await page.getByRole("status").getByText("One is being started.").waitFor();
  assert.equal(asked, 1);
});

scenario("what can't be done is told with the plugin's name, and the others are done", async (test) => {
  const plugd = await Plugd.start(test);
  const [one] = await three(plugd);
  await plugd.register(external("outside", { name: "Outside" }));
  const page = await signedIn(test, plugd);
  for (const name of ["One", "Outside"]) await page.getByLabel(`Select ${name}`).check();
  await page.locator(".several").getByRole("button", { name: "Start", exact: true }).click();
  const notice = page.locator("#notice .failure");
  await notice.getByText("Outside: ").waitFor();
  await notice.getByText("One is being started.").waitFor();
  await shows(page, one, "active");
});

scenario("a plugin that somebody else has deleted meanwhile is told as a failure", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(shell("gone", WAITS, { name: "Gone" }));
  const page = await signedIn(test, plugd, { mayFail: /ERR_INTERNET_DISCONNECTED|ERR_FAILED/ });
  await page.route("**/*", (route) => (route.request().headers().accept === "text/event-stream" ? route.abort() : route.continue()));
  await page.reload();
  await plugd.cli("delete", id);
  await row(page, id).getByRole("button", { name: "Start Gone" }).click();
  await page.locator("#notice .failure").getByText(id).waitFor();
  await page.getByRole("heading", { name: "No plugins yet" }).waitFor();
});

/** Steps back, once the browser has heard of the step that a script of the page has made: until then it would go one too far. */
async function stepBack(page) {
  const browser = await page.context().newCDPSession(page);
  await eventually("the browser knows where it is", async () => {
    const { currentIndex, entries } = await browser.send("Page.getNavigationHistory");
    return currentIndex > 0 && entries[currentIndex - 1].url === page.url();
  });
  await page.goBack();
}

/** One, Two and Three, none of which runs; gives their ids. */
async function three(plugd) {
  const ids = [];
  for (const name of ["One", "Two", "Three"]) ids.push(await plugd.install(greeter(name.toLowerCase(), { name })));
  return ids;
}

async function runOf(plugd, id) {
  return (await plugd.rest("GET", `/api/plugins/${id}`)).plugd.run_id;
}
