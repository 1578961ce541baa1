// One plugin: what it is and does, what is done with it, and how one that runs elsewhere connects.

import assert from "node:assert/strict";

import { assertAccessible, assertNotReloaded, mark, row, signedIn } from "./harness/browser.js";
import { WAITS, external, greeter, shell } from "./harness/packages.js";
import { Plugd } from "./harness/plugd.js";
import { scenario } from "./harness/scenario.js";

scenario("the list leads to a plugin's page, and its tabs to the rest", async (test) => {
  const plugd = await Plugd.start(test);
  await plugd.install(greeter("mine", { name: "Mine" }));
  const page = await signedIn(test, plugd);
  await page.getByRole("link", { name: "Mine" }).click();
  await page.getByRole("heading", { name: "Mine" }).waitFor();
  for (const tab of ["Configuration", "Package", "Manifest", "Logs", "Overview"]) {
    await page.getByLabel("About this plugin").getByRole("link", { name: tab }).click();
    await page.locator(".tabs [aria-current=page]", { hasText: tab }).waitFor();
  }
  assert.equal(await page.title(), "Mine · plugd");
});

scenario("a plugin is started, restarted, stopped and deleted on its page, which follows", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("mine", { name: "Mine" }));
  const page = await signedIn(test, plugd, { at: `/plugins/${id}` });
  await mark(page);
  const press = (name) => page.locator(".head").getByRole("button", { name }).click();
  const told = (text) => page.getByRole("status").getByText(text).waitFor();
  await press("Start");
  await told("Mine is being started.");
  await page.locator("h1 .pill.active").waitFor();
  const run = await page.locator("dt:text-is('Run') + dd").innerText();
  await press("Restart");
  await told("Mine is being restarted.");
  await page.locator("dt:text-is('Run') + dd").filter({ hasNotText: run }).waitFor();
  await page.locator("h1 .pill.active").waitFor();
  await press("Stop");
  await told("Mine is being stopped.");
  await page.locator("h1 .pill.inactive").waitFor();
  await press("Delete");
  await page.getByRole("button", { name: "Delete “Mine”" }).click();
  await page.getByRole("heading", { name: "No plugins yet" }).waitFor();
  assert.deepEqual(await plugd.plugins(), []);
  await assertNotReloaded(page);
});

scenario("an action on a tab comes back to that tab", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("mine", { name: "Mine" }));
  const page = await signedIn(test, plugd, { at: `/plugins/${id}?tab=configuration` });
  await page.getByLabel("Greeting").waitFor();
  await page.locator(".head").getByRole("button", { name: "Start" }).click();
  await page.locator("h1 .pill.active").waitFor();
  await page.getByLabel("Greeting").waitFor();
  assert.equal(page.url(), `${plugd.url}/plugins/${id}?tab=configuration`);
});

scenario("a crash is seen on the plugin's page with its exit code, and is gone once the plugin runs", async (test) => {
  const plugd = await Plugd.start(test, { PLUGD_MAX_RESTART_ATTEMPTS: "0" });
  const id = await plugd.install(shell("mine", "exit 42"));
  const page = await signedIn(test, plugd, { at: `/plugins/${id}` });
  await mark(page);
  await plugd.cli("activate", id, "--no-wait");
  await page.locator("h1 .pill.error").waitFor();
  await page.getByText("Exit code 42.").waitFor();
  await page.getByText("should be active").waitFor();
  await assertAccessible(page);
  await plugd.cli("update", id, await plugd.folder(greeter("mine", { version: "2.0.0" })), "--no-wait");
  await plugd.cli("activate", id);
  await page.locator("h1 .pill.active").waitFor();
  await page.getByText("Exit code 42.").waitFor({ state: "hidden" });
  await assertNotReloaded(page);
});

scenario("beside a failure stand the last lines of the run that failed, and when the next one begins", async (test) => {
  const settings = { PLUGD_BACKOFF: "10m", PLUGD_MAX_BACKOFF: "10m", PLUGD_STABLE_CRASH_BACKOFF: "10m" };
  const plugd = await Plugd.start(test, settings);
  const id = await plugd.install(shell("mine", "echo first words; echo last words >&2; exit 3"));
  const page = await signedIn(test, plugd, { at: `/plugins/${id}` });
  await plugd.cli("activate", id, "--no-wait");
  await page.locator("h1 .pill.restarting").waitFor();
  await page.locator(".failed").getByText("last words").waitFor();
  await page.locator("dt:text-is('Restarts') + dd").getByText(/in \d+ (minutes|seconds)/).waitFor();
  await assertAccessible(page);
});

scenario("what happened to a plugin is told on its page, live", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("mine"));
  const page = await signedIn(test, plugd, { at: `/plugins/${id}` });
  await page.locator("#past").getByText("installed").waitFor();
  await mark(page);
  await plugd.cli("activate", id);
  await page.locator("#past").getByText("shall be active").waitFor();
  await plugd.cli("config", "set", id, "greeting=Hi");
  await page.locator("#past").getByText("configured").waitFor();
  await assertNotReloaded(page);
});

scenario("what a plugin uses of the host is shown in the list and on its page, once it is sampled", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await signedIn(test, plugd);
  await mark(page);
  const id = await plugd.install(greeter("mine"), "--activate");
  const still = await plugd.install(greeter("still"));
  const size = /\d (KiB|MiB)/;
  await row(page, id).locator("td.memory").getByText(size).waitFor();
  await row(page, id).locator("td.cpu").getByText("%").waitFor();
  assert.equal(await row(page, still).locator("td.memory").innerText(), "–");
  await assertNotReloaded(page);
  await page.goto(`/plugins/${id}`);
  await page.locator("dt:text-is('Memory') + dd").getByText(size).waitFor();
});

scenario("when a plugin is deleted by somebody else its page says that there is none", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("mine"));
  const page = await signedIn(test, plugd, { at: `/plugins/${id}`, mayFail: /404/ });
  await plugd.cli("delete", id);
  await page.getByRole("heading", { name: "There is no such page" }).waitFor();
  await page.getByRole("link", { name: "Back to the plugins" }).click();
  await page.getByRole("heading", { name: "No plugins yet" }).waitFor();
});

scenario("a plugin's pages have no barriers in any state", async (test) => {
  const plugd = await Plugd.start(test);
  const ids = [
    await plugd.install(greeter("active"), "--activate"),
    await plugd.install(shell("connecting", WAITS), "--activate", "--no-wait"),
    await plugd.register(external("outside")),
  ];
  const page = await signedIn(test, plugd, { mayFail: /404/ });
  for (const id of ids) {
    await page.goto(`/plugins/${id}`);
    await assertAccessible(page);
  }
  for (const at of [`/plugins/${ids[0]}?tab=configuration`, `/plugins/${ids[2]}?tab=connection`, "/plugins/nobody"]) {
    await page.goto(at);
    await assertAccessible(page);
  }
});

scenario("the token of a plugin that runs elsewhere is hidden until it is asked for, and copied", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.register(external("outside"));
  const page = await signedIn(test, plugd, { at: `/plugins/${id}?tab=connection`, permissions: ["clipboard-read", "clipboard-write"] });
  const secret = await tokenOf(plugd, id);
  const field = page.getByLabel("Token", { exact: true });
  await page.getByText("Show the token").waitFor();
  assert.ok(!(await field.isVisible()));
  await page.getByText("Show the token").click();
  await field.waitFor();
  assert.equal(await field.inputValue(), secret);
  const line = `STORYDEN_RPC_URL=${plugd.url.replace("http", "ws")}/rpc?token=${secret}`;
  assert.equal(await page.getByLabel("A line for its environment").inputValue(), line);
  await page.getByRole("button", { name: "Copy" }).last().click();
  await page.getByText("Copied").waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), line);
  await assertAccessible(page);
});

scenario("a token that is replaced is another one, and no viewer sees any", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.register(external("outside"));
  const old = await tokenOf(plugd, id);
  const page = await signedIn(test, plugd, { at: `/plugins/${id}?tab=connection` });
  await page.getByRole("button", { name: "Replace the token" }).click();
  await page.getByText("The token is replaced.").waitFor();
  const secret = await tokenOf(plugd, id);
  assert.notEqual(secret, old);
  await page.getByText("Show the token").click();
  assert.equal(await page.getByLabel("Token", { exact: true }).inputValue(), secret);
  const guest = await signedIn(test, plugd, { token: await plugd.tokenOf("guest", "viewer") });
  for (const at of ["/", `/plugins/${id}`, `/plugins/${id}?tab=connection`, `/plugins/${id}?tab=manifest`]) {
    await guest.goto(at);
    assert.ok(!(await guest.content()).includes(secret), at);
  }
});

async function tokenOf(plugd, id) {
  return (await plugd.rest("GET", `/api/plugins/${id}`)).connection.token;
}
