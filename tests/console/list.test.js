// The list of plugins: totals, filter, search, order, pages; all of it in the address.

import assert from "node:assert/strict";

import { assertAccessible, assertNotReloaded, mark, names, row, shows, signedIn } from "./harness/browser.js";
import { WAITS, external, greeter, shell } from "./harness/packages.js";
import { Plugd } from "./harness/plugd.js";
import { scenario } from "./harness/scenario.js";
import { eventually } from "./harness/wait.js";

scenario("where there are no plugins the page says how to get one", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await signedIn(test, plugd);
  await page.getByRole("heading", { name: "No plugins yet" }).waitFor();
  assert.equal(await page.getByRole("link", { name: "Install a plugin" }).getAttribute("href"), "/install");
  await assertAccessible(page);
});

scenario("the first plugin that is installed brings the whole list, and the last that is deleted takes it away", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await signedIn(test, plugd);
  await page.getByRole("heading", { name: "No plugins yet" }).waitFor();
  await mark(page);
  const id = await plugd.register(external("first"));
  await row(page, id).waitFor();
  await page.getByRole("heading", { name: "Plugins", exact: true }).waitFor();
  await page.getByRole("searchbox").waitFor();
  await total(page, "all", 1);
  await plugd.cli("delete", id);
  await page.getByRole("heading", { name: "No plugins yet" }).waitFor();
  await page.getByRole("searchbox").waitFor({ state: "hidden" });
  await page.locator(".total").waitFor({ state: "hidden" });
  await assertNotReloaded(page);
});

scenario("the totals count each state, and each leads to its plugins", async (test) => {
  const plugd = await Plugd.start(test);
  await several(plugd);
  const page = await signedIn(test, plugd);
  await total(page, "all", 5);
  await total(page, "inactive", 1);
  await total(page, "error", 1);
  await page.getByRole("link", { name: "2 connecting" }).click();
  await page.waitForURL("**/?state=connecting");
  assert.deepEqual(await names(page), ["Beta", "Epsilon"]);
  assert.equal(await page.locator(".total[aria-current]").innerText(), "2 connecting");
  await page.goBack();
  await page.waitForURL(`${plugd.url}/`);
  assert.equal((await names(page)).length, 5);
});

scenario("a search narrows the list while it is written, and stands in the address", async (test) => {
  const plugd = await Plugd.start(test);
  await several(plugd);
  const page = await signedIn(test, plugd);
  await mark(page);
  const search = page.getByRole("searchbox");
  await search.pressSequentially("ALPH");
  await listed(page, ["Alpha"]);
  await page.waitForURL("**/?q=ALPH");
  assert.ok(await search.evaluate((field) => field === document.activeElement), "the field keeps the focus");
  assert.equal(await search.inputValue(), "ALPH");
  await search.fill("the-id-of-beta");
  await listed(page, ["Beta"]);
  await search.fill("nobody");
  await page.getByText("No plugin is like that").waitFor();
  await assertNotReloaded(page);
  await page.getByRole("link", { name: "Show all" }).click();
  await page.waitForURL(`${plugd.url}/`);
  assert.equal((await names(page)).length, 5);
});

scenario("a search goes on from the filter and the order that are chosen", async (test) => {
  const plugd = await Plugd.start(test);
  await several(plugd);
  const page = await signedIn(test, plugd, { at: "/?state=connecting&sort=name&order=descending" });
  assert.deepEqual(await names(page), ["Epsilon", "Beta"]);
  await page.getByRole("searchbox").pressSequentially("e");
  await page.waitForURL((url) => url.searchParams.get("q") === "e");
  assert.deepEqual(await names(page), ["Epsilon", "Beta"]);
  await page.getByRole("searchbox").fill("eps");
  await listed(page, ["Epsilon"]);
  await page.getByRole("link", { name: "Name" }).click();
  await page.waitForURL((url) => url.searchParams.get("order") !== "descending");
  const { searchParams } = new URL(page.url());
  assert.deepEqual([searchParams.get("q"), searchParams.get("state")], ["eps", "connecting"]);
});

scenario("a change is seen by the search that was written last", async (test) => {
  const plugd = await Plugd.start(test);
  const [first] = await several(plugd);
  const page = await signedIn(test, plugd);
  await page.getByRole("searchbox").pressSequentially("alpha");
  await listed(page, ["Alpha"]);
  await plugd.cli("activate", first, "--no-wait");
  await shows(page, first, "active");
  assert.deepEqual(await names(page), ["Alpha"]);
});

/** What the list is sorted by in each column, and whether the most comes first. */
const COLUMNS = {
  Name: { key: (plugin) => plugin.name, isDescending: false },
  State: { key: (plugin) => STATES.indexOf(plugin.plugd.state), isDescending: false },
  Since: { key: (plugin) => Math.trunc(Date.parse(plugin.plugd.since) / 1000), isDescending: true },
  Restarts: { key: (plugin) => plugin.plugd.restart_count, isDescending: true },
  CPU: { key: undefined, isDescending: true },
  Memory: { key: undefined, isDescending: true },
  "Last failure": { key: (plugin) => plugin.status.message ?? "", isDescending: true },
};

/** In the order of the API. */
const STATES = ["inactive", "starting", "connecting", "active", "stopping", "restarting", "error"];

scenario("a click on a column sorts by it, a second one the other way, and the way back is the browser's", async (test) => {
  const plugd = await Plugd.start(test);
  await several(plugd);
  const page = await signedIn(test, plugd, { at: "/?sort=memory&order=ascending" });
  const plugins = await plugd.plugins();
  for (const [label, { key, isDescending }] of Object.entries(COLUMNS)) {
    const link = page.getByRole("columnheader", { name: label }).getByRole("link");
    const [first, second] = isDescending ? ["descending", "ascending"] : ["ascending", "descending"];
    for (const order of [first, second]) {
      await link.click();
      await isSorted(page, label, order);
      if (key) assert.deepEqual(await names(page), sorted(plugins, key, order === "descending"), `${label} ${order}`);
    }
    await page.goBack();
    await isSorted(page, label, first);
  }
});

/** Waits until the page and its address say what the list is sorted by. */
async function isSorted(page, label, order) {
  await page.locator(`th[aria-sort=${order}]`, { hasText: label }).waitFor();
  assert.equal(await page.locator("th[aria-sort]").count(), 1);
  const { searchParams } = new URL(page.url());
  const isUsual = label === "Name" && order === "ascending";
  assert.equal(searchParams.get("sort"), isUsual ? null : label.toLowerCase().split(" ").at(-1));
}

scenario("a hundred plugins are a page, and the rest is on the next", async (test) => {
  const plugd = await Plugd.start(test);
  const numbers = Array.from({ length: 103 }, (_, number) => String(number).padStart(3, "0"));
  for (const number of numbers) await plugd.register(external(`p${number}`));
  const page = await signedIn(test, plugd);
  assert.equal((await names(page)).length, 100);
  await page.getByRole("link", { name: "Next" }).click();
  await page.waitForURL("**/?page=2");
  assert.deepEqual(await names(page), ["p100", "p101", "p102"]);
  await page.getByRole("link", { name: "Previous" }).click();
  await page.waitForURL(`${plugd.url}/`);
  assert.equal((await names(page))[0], "p000");
});

scenario("a page that is not there any longer shows the last there is", async (test) => {
  const plugd = await Plugd.start(test);
  await plugd.register(external("only"));
  const page = await signedIn(test, plugd, { at: "/?page=99999999999999999999&sort=nothing&order=up&state=x" });
  assert.deepEqual(await names(page), ["only"]);
});

scenario("the list of plugins in each state has no barriers", async (test) => {
  const plugd = await Plugd.start(test);
  await several(plugd);
  const page = await signedIn(test, plugd);
  assert.equal((await names(page)).length, 5);
  await assertAccessible(page);
});

/** Plugins of each kind; gives their ids. Alpha is inactive, Beta connecting, Gamma in error, Delta active, Epsilon external. */
async function several(plugd) {
  const ids = [
    await plugd.install(greeter("the-id-of-alpha", { name: "Alpha" })),
    await plugd.install(shell("the-id-of-beta", WAITS, { name: "Beta" }), "--activate", "--no-wait"),
    await plugd.install(shell("the-id-of-gamma", "exit 7", { name: "Gamma" }), "--activate", "--no-wait"),
    await plugd.install(greeter("the-id-of-delta", { name: "Delta" }), "--activate"),
    await plugd.register(external("the-id-of-epsilon", { name: "Epsilon" })),
  ];
  await plugd.is(ids[1], "connecting");
  await plugd.is(ids[2], "error");
  return ids;
}

/** Waits until the list has these names, in this order. */
function listed(page, wanted) {
  return eventually(`the list has ${wanted}`, async () => JSON.stringify(await names(page)) === JSON.stringify(wanted));
}

/** Waits until a total is so many. */
function total(page, word, count) {
  return page.locator(`.total.${word}`).getByText(String(count), { exact: true }).waitFor();
}

/** The names in order of a key; what has the same is in order of its name. */
function sorted(plugins, key, isDescending) {
  const compare = (one, other) => (one < other ? -1 : one > other ? 1 : 0);
  const sign = isDescending ? -1 : 1;
  const order = (one, other) => sign * compare(key(one), key(other)) || compare(one.name, other.name);
  return plugins.sort(order).map(({ name }) => name);
}
