// What happened to plugins, and at whose call.

import assert from "node:assert/strict";

import { assertAccessible, assertNotReloaded, mark, signedIn } from "./harness/browser.js";
import { external, greeter, shell } from "./harness/packages.js";
import { Plugd } from "./harness/plugd.js";
import { scenario } from "./harness/scenario.js";

scenario("what happens to plugins is told as it happens, newest first, and of one that is gone too", async (test) => {
  const plugd = await Plugd.start(test, { PLUGD_MAX_RESTART_ATTEMPTS: "0" });
  const page = await signedIn(test, plugd, { at: "/activity" });
  await page.getByText("Nothing happened that is still kept.").waitFor();
  await mark(page);
  const id = await plugd.install(shell("mine", "exit 42", { name: "Mine" }), "--activate", "--no-wait");
  const timeline = page.locator(".timeline");
  await timeline.getByText("exit status 42").first().waitFor();
  await timeline.getByRole("link", { name: "Mine" }).first().waitFor();
  const other = await plugd.register(external("other", { name: "Other" }));
  await timeline.locator("li").first().getByText("Other").waitFor();
  await plugd.cli("delete", id);
  await timeline.locator("li").first().getByText("Mine").waitFor();
  assert.equal(await timeline.getByRole("link", { name: "Mine" }).count(), 0, "there is no page of it any longer");
  await assertNotReloaded(page);
  await assertAccessible(page);
  await page.reload();
  await page.getByLabel("Plugin").selectOption(other);
  await page.getByRole("button", { name: "Show" }).click();
  await page.waitForURL((url) => url.searchParams.get("plugin") === other);
  assert.equal(await page.locator(".timeline").getByText("Mine").count(), 0);
});

scenario("of much that happened the newest is shown, and older entries are a step away", async (test) => {
  const plugd = await Plugd.start(test);
  for (let number = 0; number < 105; number++) await plugd.register(external(`p${number}`));
  const page = await signedIn(test, plugd, { at: "/activity" });
  await page.locator(".timeline").getByText("p104", { exact: true }).first().waitFor();
  assert.equal(await page.locator(".timeline").getByText("p0", { exact: true }).count(), 0);
  await page.getByRole("link", { name: "Older" }).click();
  await page.waitForURL((url) => url.searchParams.has("page"));
  for (let links = 1; links && !(await page.locator(".timeline").getByText("p0", { exact: true }).count()); ) {
    links = await page.getByRole("link", { name: "Older" }).count();
    if (links) await page.getByRole("link", { name: "Older" }).click();
  }
  await page.locator(".timeline").getByText("p0", { exact: true }).first().waitFor();
  await page.getByRole("link", { name: "Newest" }).click();
  await page.waitForURL(`${plugd.url}/activity`);
});

scenario("the audit trail tells who called for what and how it ended, and shows one method, plugin or token only", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("mine", { name: "Mine" }), "--activate");
  const guest = await plugd.tokenOf("guest", "viewer");
  await fetch(`${plugd.url}/plugins`, { method: "POST", body: new URLSearchParams({ stop: id }), headers: { cookie: `plugd-session=${guest}` } });
  const page = await signedIn(test, plugd, { at: "/activity" });
  await page.getByRole("link", { name: "Audit" }).click();
  const refused = page.locator("tr", { hasText: "guest" });
  await refused.getByText("SetActiveState").waitFor();
  await refused.getByText("PERMISSION_DENIED").first().waitFor();
  const installed = page.locator("tr", { hasText: "InstallPlugin" });
  await installed.getByText("OK", { exact: true }).waitFor();
  await installed.getByRole("link", { name: "Mine" }).waitFor();
  await assertAccessible(page);
  await refused.getByRole("link", { name: "guest" }).click();
  await page.waitForURL((url) => url.searchParams.has("token"));
  assert.equal(await page.locator("tbody tr").count(), 1);
  await page.getByLabel("Token").selectOption("");
  await page.getByLabel("Method").fill("InstallPlugin");
  await page.getByRole("button", { name: "Show" }).click();
  await page.waitForURL((url) => url.searchParams.get("method") === "InstallPlugin");
  assert.equal(await page.locator("tbody tr").count(), 1);
  await page.getByLabel("Method").fill("Nothing");
  await page.getByRole("button", { name: "Show" }).click();
  await page.getByRole("alert").getByText("must be a method that changes something").waitFor();
  await page.getByLabel("Method").fill("RevokeToken");
  await page.getByRole("button", { name: "Show" }).click();
  await page.getByText("Nobody called anything like that.").waitFor();
});

scenario("a viewer sees what happened, and no audit trail", async (test) => {
  const plugd = await Plugd.start(test);
  await plugd.register(external("mine", { name: "Mine" }));
  const page = await signedIn(test, plugd, { at: "/activity", token: await plugd.tokenOf("guest", "viewer") });
  await page.locator(".timeline").getByText("Mine").first().waitFor();
  await page.goto("/activity?tab=audit");
  await page.getByText("The audit trail is for administrators.").waitFor();
  assert.equal(await page.locator("main tr").count(), 0);
});
