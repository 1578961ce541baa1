// What is seen on a page that is left open.

import assert from "node:assert/strict";

import { assertNotReloaded, mark, names, row, shows, signedIn } from "./harness/browser.js";
import { external, greeter } from "./harness/packages.js";
import { Plugd } from "./harness/plugd.js";
import { scenario } from "./harness/scenario.js";

scenario("a crash is seen with its reason, and what is done about it, without loading the page anew", async (test) => {
  const plugd = await Plugd.start(test, { PLUGD_BACKOFF: "10m", PLUGD_MAX_BACKOFF: "10m", PLUGD_STABLE_CRASH_BACKOFF: "10m" });
  const id = await plugd.install(greeter("victim", { name: "Victim" }), "--activate");
  const page = await signedIn(test, plugd);
  await shows(page, id, "active");
  await mark(page);
  process.kill(await pidOf(plugd, id), "SIGKILL");
  await shows(page, id, "restarting");
  await row(page, id).locator("td.failure").getByText("signal: killed").waitFor();
  await page.locator(".total.restarting").waitFor();
  await row(page, id).getByRole("button", { name: "Restart" }).click();
  await shows(page, id, "active");
  await assertNotReloaded(page);
});

scenario("a plugin that comes back by itself is seen to be back, with its count of restarts", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("victim"), "--activate");
  const page = await signedIn(test, plugd);
  await shows(page, id, "active");
  await mark(page);
  for (const count of [1, 2, 3]) {
    process.kill(await pidOf(plugd, id), "SIGKILL");
    await row(page, id).locator("td.restarts").getByText(String(count), { exact: true }).waitFor();
    await shows(page, id, "active");
    await plugd.is(id, "active");
  }
  await assertNotReloaded(page);
});

scenario("what the command line does in another process is seen", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("mine", { name: "Mine" }));
  const page = await signedIn(test, plugd);
  await mark(page);
  await plugd.cli("activate", id);
  await shows(page, id, "active");
  await plugd.cli("deactivate", id);
  await shows(page, id, "inactive");
  const other = await plugd.register(external("other"));
  await row(page, other).waitFor();
  await plugd.cli("delete", id);
  await row(page, id).waitFor({ state: "detached" });
  assert.deepEqual(await names(page), ["other"]);
  await assertNotReloaded(page);
});

scenario("when plugd is killed the page says so, and has the newest state by itself once it is back", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("mine"), "--activate");
  const page = await signedIn(test, plugd, { mayFail: /ERR_/ });
  await shows(page, id, "active");
  await mark(page);
  await plugd.kill9();
  await page.getByText("Connection lost").waitFor();
  await plugd.restart();
  await plugd.cli("deactivate", id);
  const late = await plugd.register(external("late"));
  await page.getByText("Connection lost").waitFor({ state: "hidden" });
  await shows(page, id, "inactive");
  await row(page, late).waitFor();
  await assertNotReloaded(page);
});

scenario("a button that is pressed while plugd is away says that the connection is lost, and works later", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("mine", { name: "Mine" }));
  const page = await signedIn(test, plugd, { mayFail: /ERR_/ });
  await row(page, id).waitFor();
  await plugd.kill9();
  const start = row(page, id).getByRole("button", { name: "Start Mine" });
  await start.click();
  await page.getByText("Connection lost").waitFor();
  await plugd.restart();
  await page.getByText("Connection lost").waitFor({ state: "hidden" });
  await start.click();
  await shows(page, id, "active");
});

scenario("two people see at once what the other one does", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("shared", { name: "Shared" }));
  const one = await signedIn(test, plugd);
  const other = await signedIn(test, plugd, { token: await plugd.tokenOf("other", "admin") });
  await row(one, id).getByRole("button", { name: "Start Shared" }).click();
  await shows(other, id, "active");
  await row(other, id).getByRole("button", { name: "Stop Shared" }).click();
  await shows(one, id, "inactive");
  assert.equal(await other.getByText("is being started").count(), 0, "what is told is told to who did it");
});

scenario("what somebody is doing on a page outlasts its changes: focus, boxes, half-written text", async (test) => {
  const plugd = await Plugd.start(test);
  const ids = [];
  for (const name of ["One", "Two"]) ids.push(await plugd.install(greeter(name.toLowerCase(), { name })));
  const page = await signedIn(test, plugd);
  await page.getByLabel("Select Two").check();
  // A search is sent while it is written, but nothing takes the words away that are there.
  await page.getByRole("searchbox").fill("o");
  await page.waitForURL("**/?q=o");
  await page.getByRole("searchbox").evaluate((field) => field.setSelectionRange(0, 1));
  await plugd.cli("activate", ids[0]);
  await shows(page, ids[0], "active");
  await plugd.cli("delete", ids[0]);
  await row(page, ids[0]).waitFor({ state: "detached" });
  assert.ok(await page.getByLabel("Select Two").isChecked());
  const field = await page.getByRole("searchbox").evaluate((field) => ({
    isFocused: field === document.activeElement,
    value: field.value,
    selected: [field.selectionStart, field.selectionEnd],
  }));
  assert.deepEqual(field, { isFocused: true, value: "o", selected: [0, 1] });
});

scenario("a box stays checked for its own plugin when another one comes before it", async (test) => {
  const plugd = await Plugd.start(test);
  await plugd.register(external("middle"));
  const page = await signedIn(test, plugd);
  await page.getByLabel("Select middle").check();
  const first = await plugd.register(external("first"));
  await row(page, first).waitFor();
  assert.ok(await page.getByLabel("Select middle").isChecked());
  assert.ok(!(await page.getByLabel("Select first").isChecked()));
});

scenario("a box stays checked for its own plugin when that moves to another place", async (test) => {
  const plugd = await Plugd.start(test);
  const one = await plugd.install(greeter("one", { name: "One" }), "--activate");
  await plugd.install(greeter("two", { name: "Two" }), "--activate");
  const page = await signedIn(test, plugd, { at: "/?sort=state&order=descending" });
  assert.deepEqual(await names(page), ["One", "Two"]);
  for (const name of ["One", "Two"]) await page.getByLabel(`Select ${name}`).check();
  await page.getByLabel("Select One").focus();
  await plugd.cli("deactivate", one);
  await shows(page, one, "inactive");
  assert.deepEqual(await names(page), ["Two", "One"]);
  for (const name of ["One", "Two"]) assert.ok(await page.getByLabel(`Select ${name}`).isChecked(), name);
});

scenario("times are told in words, and go on", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.register(external("mine"));
  const page = await signedIn(test, plugd);
  const time = row(page, id).locator("time");
  await time.getByText(/ago|now/).waitFor();
  const before = await time.innerText();
  await time.filter({ hasNotText: before }).waitFor();
  assert.match(await time.getAttribute("title") ?? "", /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/);
});

async function pidOf(plugd, id) {
  return (await plugd.rest("GET", `/api/plugins/${id}`)).plugd.pid;
}
