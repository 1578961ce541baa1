// A browser, and what is asked of every page in it.

import assert from "node:assert/strict";
import { access, mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after } from "node:test";

import axe from "axe-core";
import { chromium } from "playwright-core";

import { HANG } from "./wait.js";

/** The cookie that keeps whoever is signed in. */
export const COOKIE = "plugd-session";

/** One for all tests of a file. */
let opened;

after(async () => {
  if (!opened) return;
  const { browser, home } = await opened;
  await browser.close();
  await rm(home, { recursive: true, force: true });
});

async function open() {
  const home = await mkdtemp(path.join(os.tmpdir(), "plugd-browser-"));
  const executablePath = await found("chromium");
  // Its sandbox needs what containers and hosts refuse to root and others; it sees no pages but ours.
  const env = { PATH: process.env.PATH, HOME: home, TMPDIR: home };
  const browser = await chromium.launch({ executablePath, chromiumSandbox: false, env, timeout: HANG });
  return { browser, home };
}

/** A program on the search path. @param {string} name */
async function found(name) {
  for (const folder of (process.env.PATH ?? "").split(":")) {
    const at = path.join(folder, name);
    if (await access(at).then(() => true, () => false)) return at;
  }
  throw new Error(`${name} is missing: make tools installs it`);
}

/**
 * A browser of one person, with nothing in it. When the test ends its pages must have reported no fault: no exception, no error
 * on the console, nothing that the policy of the page refused. `mayFail` says which faults are part of the test.
 * @param {import("./scenario.js").Scenario} test
 * @param {import("playwright-core").BrowserContextOptions & { mayFail?: RegExp }} options
 */
export async function person(test, { mayFail, ...options } = {}) {
  opened ??= open();
  const { browser } = await opened;
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(HANG);
  const faults = [];
  context.on("weberror", (error) => faults.push(String(error.error())));
  context.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  test.after(async (hasFailed) => {
    if (hasFailed) await tell(context);
    await context.close();
    assert.deepEqual(faults.filter((fault) => !mayFail?.test(fault)), [], "what the browser reported");
  });
  return context;
}

/** What the pages show, for whoever looks for the reason of a failure. @param {import("playwright-core").BrowserContext} context */
async function tell(context) {
  for (const page of context.pages()) console.log(`${page.url()} shows:\n${await page.innerText("body")}`);
}

/**
 * A page of a plugd, looked at by somebody who is signed in: the administrator unless there is a token.
 * @param {import("./scenario.js").Scenario} test
 * @param {import("./plugd.js").Plugd} plugd
 * @param {import("playwright-core").BrowserContextOptions & { at?: string, token?: string, url?: string, mayFail?: RegExp }} options
 */
export async function signedIn(test, plugd, { at = "/", token = plugd.token, url = plugd.url, ...options } = {}) {
  const context = await person(test, { baseURL: url, ...options });
  await context.addCookies([{ name: COOKIE, value: token, url, httpOnly: true, sameSite: "Lax" }]);
  const page = await context.newPage();
  await page.goto(at);
  return page;
}

/** Marks a page, so that it can be told whether it was loaded anew since. @param {import("playwright-core").Page} page */
export async function mark(page) {
  await page.evaluate(() => (globalThis.marked = true));
}

/** @param {import("playwright-core").Page} page */
export async function assertNotReloaded(page) {
  assert.equal(await page.evaluate(() => globalThis.marked), true, "the page was not loaded anew");
}

/** The row of a plugin in the list. @param {import("playwright-core").Page} page @param {string} id */
export function row(page, id) {
  return page.locator(`#p-${id}`);
}

/** Waits until the list shows a plugin in a state. @param {import("playwright-core").Page} page @param {string} id @param {string} state */
export async function shows(page, id, state) {
  await row(page, id).locator(`.pill.${state}`).waitFor();
}

/** The names in the list, from top to bottom. @param {import("playwright-core").Page} page @returns {Promise<string[]>} */
export function names(page) {
  return page.locator("td.name > a").allTextContents();
}

export const WIDTHS = [1280, 360];

/** In the dark a page differs in its colours only. */
const SCHEMES = /** @type {const} */ ([["light", undefined], ["dark", ["color-contrast", "link-in-text-block"]]]);

/**
 * Fails if a page has a barrier, or is wider than the screen, in light or dark, on a wide or narrow screen.
 * @param {import("playwright-core").Page} page
 */
export async function assertAccessible(page) {
  await page.evaluate(axe.source);
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 800 });
    await assertFits(page);
    for (const [colorScheme, rules] of SCHEMES) {
      // What pulses is looked at when it is to be seen in full.
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      const { violations } = await page.evaluate((runOnly) => globalThis.axe.run({ runOnly }), rules);
      const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join("\n")}`);
      assert.deepEqual(told, [], `${page.url()} ${width} px, ${colorScheme}`);
    }
  }
}

/** Fails if a page has to be moved sideways. @param {import("playwright-core").Page} page */
export async function assertFits(page) {
  const [needed, there] = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return [scrollWidth, clientWidth];
  });
  assert.ok(needed <= there, `${page.url()} needs ${needed} px of ${there}`);
}
