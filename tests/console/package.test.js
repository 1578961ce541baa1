// The package of a plugin: another one in its place, and the way back.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";

import { assertAccessible, assertNotReloaded, mark, signedIn } from "./harness/browser.js";
import { external, greeter, shell } from "./harness/packages.js";
import { Plugd } from "./harness/plugd.js";
import { scenario } from "./harness/scenario.js";

const NEW = greeter("mine", { name: "Mine", version: "2.0.0" });

scenario("a package is replaced by a newer one, which runs, and gone back from", async (test) => {
  const { plugd, id, page } = await packaged(test);
  await mark(page);
  await replace(page, await plugd.zip(NEW));
  await page.getByRole("status").getByText("The package is replaced: 1.0.0 → 2.0.0.").waitFor();
  await page.locator(".head").getByText("version 2.0.0").waitFor();
  await plugd.is(id, "active");
  assert.equal((await plugin(plugd, id)).version, "2.0.0");
  await assertAccessible(page);
  await page.getByRole("button", { name: "Go back to the one before" }).click();
  await page.getByRole("status").getByText("It went back: 2.0.0 → 1.0.0.").waitFor();
  await page.locator(".head").getByText("version 1.0.0").waitFor();
  await plugd.is(id, "active");
  assert.equal((await plugin(plugd, id)).version, "1.0.0");
  await assertNotReloaded(page);
});

scenario("a package that does not run is taken back by itself, and the page says why", async (test) => {
  const { plugd, id, page } = await packaged(test);
  await replace(page, await plugd.zip(shell("mine", "exit 3", { name: "Mine", version: "2.0.0" })));
  await page.locator("#notice .failure").getByText("exit status 3").waitFor();
  await page.locator(".head").getByText("version 1.0.0").waitFor();
  await page.locator("h1 .pill.active").waitFor();
  assert.equal((await plugin(plugd, id)).version, "1.0.0");
});

scenario("a faulty package, or that of another plugin, changes nothing", async (test) => {
  const { plugd, id, page } = await packaged(test);
  const before = await plugin(plugd, id);
  const text = path.join(plugd.home, "text.zip");
  await writeFile(text, "this is no archive");
  for (const [zip, fault] of [[text, /zip/i], [await plugd.zip(greeter("another")), /another|id/]]) {
    await page.goto(`/plugins/${id}?tab=package`);
    await replace(page, zip);
    await page.locator("#notice .failure").filter({ hasText: fault }).waitFor();
    assert.equal((await plugin(plugd, id)).plugd.package_digest, before.plugd.package_digest);
  }
});

scenario("what another process does to the package is seen", async (test) => {
  const { plugd, id, page } = await packaged(test);
  await mark(page);
  await plugd.cli("update", id, await plugd.folder(NEW));
  await page.locator(".head").getByText("version 2.0.0").waitFor();
  await page.locator("#package").getByText("2.0.0").waitFor();
  await page.getByRole("button", { name: "Go back to the one before" }).waitFor();
  await assertNotReloaded(page);
});

scenario("what is downloaded is the package that is told of", async (test) => {
  const { plugd, id, page } = await packaged(test);
  const downloading = page.waitForEvent("download");
  await page.getByRole("link", { name: "Download" }).click();
  const bytes = await readFile(await (await downloading).path());
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  assert.equal(digest, (await plugin(plugd, id)).plugd.package_digest);
  await page.locator("dd", { hasText: digest }).waitFor();
});

scenario("without scripts a package is replaced, and gone back from", async (test) => {
  const { plugd, id, page } = await packaged(test, { javaScriptEnabled: false });
  await replace(page, await plugd.zip(NEW));
  await page.getByText("The package is replaced: 1.0.0 → 2.0.0.").waitFor();
  await page.getByRole("button", { name: "Go back to the one before" }).click();
  await page.getByText("It went back: 2.0.0 → 1.0.0.").waitFor();
  await plugd.is(id, "active");
});

scenario("the manifest of a plugin that is run here is shown, that of one that runs elsewhere is changed", async (test) => {
  const { plugd, id, page } = await packaged(test);
  await page.getByRole("link", { name: "Manifest" }).click();
  assert.equal(JSON.parse(await page.locator("pre").innerText()).id, "mine");
  await assertAccessible(page);
  const outside = await plugd.register(external("outside"));
  await page.goto(`/plugins/${outside}?tab=manifest`);
  await page.getByLabel("Manifest").fill("id: outside\nauthor: me\nname: ''\n");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("alert").getByText("Line 3.").waitFor();
  await page.getByLabel("Manifest").fill("id: outside\nauthor: me\nname: Renamed\n");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("The manifest is saved.").waitFor();
  await page.getByRole("heading", { name: "Renamed" }).waitFor();
  assert.equal((await plugin(plugd, outside)).name, "Renamed");
  assert.notEqual(id, outside);
});

/** The package of a plugin that runs, as somebody looks at it. */
async function packaged(test, options = {}) {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("mine", { name: "Mine" }), "--activate");
  const page = await signedIn(test, plugd, { at: `/plugins/${id}?tab=package`, ...options });
  return { plugd, id, page };
}

async function replace(page, zip) {
  await page.getByLabel("Another package of the same plugin").setInputFiles(zip);
  await page.getByRole("button", { name: "Replace" }).click();
}

function plugin(plugd, id) {
  return plugd.rest("GET", `/api/plugins/${id}`);
}
