// The configuration of a plugin: a form of its schema, what the plugin refuses, what others save meanwhile, and the way back.

import assert from "node:assert/strict";

import { assertAccessible, assertNotReloaded, mark, signedIn } from "./harness/browser.js";
import { greeter } from "./harness/packages.js";
import { Plugd } from "./harness/plugd.js";
import { scenario } from "./harness/scenario.js";

scenario("what is saved is what the plugin has taken, with values of the right types, and stands in the form after", async (test) => {
  const { plugd, id, page } = await configured(test);
  await mark(page);
  await page.getByLabel("Greeting").fill("Good <morning> & \"hello\"");
  await page.getByLabel("Repeat").fill("2.5");
  await page.getByLabel("Shout").check();
  await save(page);
  await page.getByRole("status").getByText("The plugin has taken it: revision 1.").waitFor();
  assert.deepEqual(await plugd.configuration(id), { greeting: "Good <morning> & \"hello\"", repeat: 2.5, shout: true });
  assert.deepEqual(await written(page), ["Good <morning> & \"hello\"", "2.5", true]);
  await assertNotReloaded(page);
  await page.reload();
  assert.deepEqual(await written(page), ["Good <morning> & \"hello\"", "2.5", true]);
});

scenario("a field that is emptied is not set any longer, and its default is shown in its place", async (test) => {
  const { plugd, id, page } = await configured(test);
  await plugd.cli("config", "set", id, "greeting=Hi", "repeat=3");
  await page.reload();
  await page.getByLabel("Greeting").fill("");
  await save(page);
  await page.getByRole("status").getByText("revision 2").waitFor();
  assert.deepEqual(await plugd.configuration(id), { repeat: 3, shout: false });
  assert.equal(await page.getByLabel("Greeting").getAttribute("placeholder"), "Hello");
});

scenario("a field that is not as it was is marked until it is saved", async (test) => {
  const { page } = await configured(test);
  await page.getByLabel("Greeting").fill("Hi");
  await page.locator(".changed", { hasText: "Greeting" }).waitFor();
  assert.equal(await page.locator(".changed").count(), 1);
  await save(page);
  await page.getByRole("status").getByText("revision 1").waitFor();
  await page.locator(".changed").waitFor({ state: "detached" });
});

scenario("what the plugin refuses is told with its words, and what was written is kept", async (test) => {
  // The plugin wants a number, its schema says something else.
  const fields = [{ type: "string", id: "repeat", label: "Repeat", description: "", default: "" }];
  const { plugd, id, page } = await configured(test, { configuration_schema: { fields } });
  await page.getByLabel("Repeat").fill("often");
  await save(page);
  await page.getByRole("alert").getByText("Not saved").waitFor();
  await page.getByRole("alert").getByText("did not accept").waitFor();
  assert.equal(await page.getByLabel("Repeat").inputValue(), "often");
  assert.deepEqual(await plugd.configuration(id), {});
  await assertAccessible(page);
});

scenario("where somebody else has saved meanwhile nothing is lost: both are shown, and one decides", async (test) => {
  const { plugd, id, page } = await configured(test);
  const other = await signedIn(test, plugd, { at: `/plugins/${id}?tab=configuration` });
  await page.getByLabel("Greeting").fill("Mine");
  await other.getByLabel("Greeting").fill("Theirs");
  await save(other);
  await other.getByRole("status").getByText("revision 1").waitFor();
  await save(page);
  const alert = page.getByRole("alert");
  await alert.getByText("Somebody else has saved meanwhile.").waitFor();
  assert.match(await alert.innerText(), /greeting[\s\S]*"Theirs"[\s\S]*"Mine"/);
  assert.equal(await page.getByLabel("Greeting").inputValue(), "Mine");
  assert.equal((await plugd.configuration(id)).greeting, "Theirs");
  await assertAccessible(page);
  await save(page);
  await page.getByRole("status").getByText("revision 2").waitFor();
  assert.equal((await plugd.configuration(id)).greeting, "Mine");
});

scenario("what was not saved and is loaded anew is the form with what is stored", async (test) => {
  const { plugd, id, page } = await configured(test);
  await plugd.cli("config", "set", id, "greeting=Theirs");
  await page.getByLabel("Greeting").fill("Mine");
  await save(page);
  await page.getByText("Somebody else has saved meanwhile.").waitFor();
  await page.reload();
  assert.equal(await page.getByLabel("Greeting").inputValue(), "Theirs");
});

scenario("half-written text outlasts what others save, and what happens to the plugin", async (test) => {
  const { plugd, id, page } = await configured(test);
  await page.getByLabel("Greeting").fill("half-writ");
  await plugd.cli("config", "set", id, "greeting=Theirs");
  await page.getByText("Revision 1,").waitFor();
  await plugd.cli("restart", id);
  await page.locator("h1 .pill.active").waitFor();
  assert.equal(await page.getByLabel("Greeting").inputValue(), "half-writ");
  assert.ok(await page.getByLabel("Greeting").evaluate((field) => field === document.activeElement));
});

scenario("the history shows what going back would change, and goes back", async (test) => {
  const { plugd, id, page } = await configured(test);
  for (const greeting of ["First", "Second"]) await plugd.cli("config", "set", id, `greeting=${greeting}`);
  await page.reload();
  await page.getByText("Revision 2,").click();
  await page.getByText("This is what the plugin has.").waitFor();
  await page.getByText("Revision 1,").click();
  const entry = page.locator("#revision-1");
  assert.match(await entry.innerText(), /greeting[\s\S]*"Second"[\s\S]*"First"/);
  await assertAccessible(page);
  await entry.getByRole("button", { name: "Go back to revision 1" }).click();
  await page.getByRole("status").getByText("revision 3").waitFor();
  assert.equal((await plugd.configuration(id)).greeting, "First");
  assert.equal(await page.getByLabel("Greeting").inputValue(), "First");
  await page.getByText("Revision 3,").waitFor();
});

scenario("a revision that is looked at stays open while others come", async (test) => {
  const { plugd, id, page } = await configured(test);
  await plugd.cli("config", "set", id, "greeting=First");
  await page.getByText("Revision 1,").click();
  await page.getByText("This is what the plugin has.").waitFor();
  await plugd.cli("config", "set", id, "greeting=Second");
  await page.getByText("Revision 2,").waitFor();
  await page.getByRole("button", { name: "Go back to revision 1" }).waitFor();
});

scenario("of a long history the newest are shown, and the earlier ones are a step away", async (test) => {
  const { plugd, id, page } = await configured(test);
  for (let number = 1; number <= 12; number++) await plugd.cli("config", "set", id, `greeting=${number}`);
  await page.reload();
  assert.equal(await page.locator("details").count(), 10);
  await page.getByRole("link", { name: "Earlier ones" }).click();
  await page.getByText("Revision 2,").waitFor();
  assert.equal(await page.locator("details").count(), 2);
});

scenario("a plugin that does not run can't be configured, and can as soon as it does", async (test) => {
  const { plugd, id, page } = await configured(test);
  await plugd.cli("deactivate", id);
  await page.reload();
  await page.getByText("it can be saved while it is active only").waitFor();
  await page.getByLabel("Greeting").fill("Hi");
  await plugd.cli("activate", id);
  await page.locator("h1 .pill.active").waitFor();
  await page.getByText("it can be saved while it is active only").waitFor({ state: "hidden" });
  await save(page);
  await page.getByRole("status").getByText("revision 1").waitFor();
  assert.equal((await plugd.configuration(id)).greeting, "Hi");
});

scenario("without scripts it is saved, refused where somebody else has saved, and gone back to", async (test) => {
  const { plugd, id, page } = await configured(test, {}, { javaScriptEnabled: false });
  await page.getByLabel("Greeting").fill("First");
  await save(page);
  await page.getByText("The plugin has taken it: revision 1.").waitFor();
  await plugd.cli("config", "set", id, "greeting=Theirs");
  await page.getByLabel("Greeting").fill("Mine");
  await save(page);
  await page.getByText("Somebody else has saved meanwhile.").waitFor();
  assert.equal(await page.getByLabel("Greeting").inputValue(), "Mine");
  await page.getByText("Revision 1,").click();
  await page.getByRole("button", { name: "Go back to revision 1" }).click();
  await page.getByText("The plugin has taken it: revision 3.").waitFor();
  assert.equal((await plugd.configuration(id)).greeting, "First");
});

scenario("a plugin without a schema says that there is nothing to configure", async (test) => {
  const { page } = await configured(test, { configuration_schema: undefined });
  await page.getByText("This plugin has nothing to configure.").waitFor();
});

/** The configuration of a plugin that runs, as somebody looks at it. */
async function configured(test, more = {}, options = {}) {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("mine", { name: "Mine", ...more }), "--activate");
  const page = await signedIn(test, plugd, { at: `/plugins/${id}?tab=configuration`, ...options });
  return { plugd, id, page };
}

function save(page) {
  return page.getByRole("button", { name: "Save" }).click();
}

/** What the fields have in them. */
async function written(page) {
  return [await page.getByLabel("Greeting").inputValue(), await page.getByLabel("Repeat").inputValue(), await page.getByLabel("Shout").isChecked()];
}
