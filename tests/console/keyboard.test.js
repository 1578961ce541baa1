// Everything can be done with a keyboard alone.

import assert from "node:assert/strict";

import { row, shows, signedIn } from "./harness/browser.js";
import { greeter } from "./harness/packages.js";
import { Plugd } from "./harness/plugd.js";
import { scenario } from "./harness/scenario.js";

scenario("a plugin is started and stopped with Tab and Enter, and the focus stays with it", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("one", { name: "One" }));
  await plugd.install(greeter("two", { name: "Two" }));
  const page = await signedIn(test, plugd);
  await tabTo(page, "Start One");
  await page.keyboard.press("Enter");
  await shows(page, id, "active");
  await row(page, id).locator("button:focus").waitFor();
  await tabTo(page, "Stop One");
  await page.keyboard.press("Enter");
  await shows(page, id, "inactive");
  await row(page, id).locator("button:focus").waitFor();
});

scenario("plugins are selected with the space bar, and deleted with Enter", async (test) => {
  const plugd = await Plugd.start(test);
  for (const name of ["One", "Two"]) await plugd.install(greeter(name.toLowerCase(), { name }));
  const page = await signedIn(test, plugd);
  await tabTo(page, "Select Two");
  await page.keyboard.press("Space");
  await page.keyboard.press("Shift+Tab");
  await tabBackTo(page, "Delete");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Delete “Two”?" }).waitFor();
  assert.equal(await focused(page), "Delete “Two”");
  await page.keyboard.press("Enter");
  await page.getByText("Two is deleted.").waitFor();
  assert.equal((await plugd.plugins()).length, 1);
});

scenario("the first Tab leads to the content, past what every page has", async (test) => {
  const plugd = await Plugd.start(test);
  await plugd.install(greeter("one"));
  const page = await signedIn(test, plugd);
  await page.keyboard.press("Tab");
  const skip = page.getByRole("link", { name: "Skip to the content" });
  assert.ok(await skip.evaluate((link) => link.getBoundingClientRect().left >= 0), "it is seen when it has the focus");
  await page.keyboard.press("Enter");
  await page.locator("main:focus").waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "Search by name, manifest id or id");
});

scenario("what has the focus is seen to have it", async (test) => {
  const plugd = await Plugd.start(test);
  await plugd.install(greeter("one", { name: "One" }));
  const page = await signedIn(test, plugd);
  for (const name of ["Name", "Start One", "Select One"]) {
    await tabTo(page, name);
    const style = await page.locator(":focus").evaluate((element) => getComputedStyle(element).outlineStyle);
    assert.notEqual(style, "none", name);
  }
});

const tabTo = (page, name) => press(page, "Tab", name);
const tabBackTo = (page, name) => press(page, "Shift+Tab", name);

/** Presses a key until what has this name has the focus. */
async function press(page, key, name) {
  const count = await page.locator("a, button, input").count();
  for (let presses = 0; presses <= 2 * count; presses++) {
    if ((await focused(page)) === name) return;
    await page.keyboard.press(key);
  }
  assert.fail(`${key} does not lead to ${name}`);
}

/** The name of what has the focus, as a screen reader says it. */
function focused(page) {
  return page.evaluate(() => {
    const element = document.activeElement;
    const label = element?.getAttribute("aria-label") ?? (element instanceof HTMLInputElement ? element.labels?.[0]?.textContent : undefined);
    return label ?? element?.textContent?.trim();
  });
}
