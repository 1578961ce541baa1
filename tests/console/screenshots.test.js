// The pictures that README shows, of the console and of `plugd top`. What they show must be there; `make screenshots` writes them
// into docs/images.

import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import path from "node:path";

import { row, shows, signedIn } from "./harness/browser.js";
import { external, greeter, shell } from "./harness/packages.js";
import { Plugd } from "./harness/plugd.js";
import { REPOSITORY } from "./harness/process.js";
import { scenario } from "./harness/scenario.js";
import { Terminal } from "./harness/terminal.js";
import { eventually } from "./harness/wait.js";

/** Where the pictures are written; nowhere if nobody asks for them. */
const FOLDER = process.env.SCREENSHOTS;

/** Of a picture that is kept in the repository. */
const MOST_BYTES = 150 * 1024;

/** In pixels of the page: what is further down is left out. */
const MOST_HEIGHT = 750;

const LIST = "plugins";
const LIST_DARK = "plugins-dark";
const PLUGIN = "plugin";
const LOGS = "logs";
const TOP = "top";

/** Sharp where it is shown half as wide. */
const SCREEN = { viewport: { width: 1060, height: 470 }, deviceScaleFactor: 1.25, reducedMotion: /** @type {const} */ ("reduce") };

/** A script's lines and colours, and then the example, which connects. @param {string[]} lines */
const speaking = (lines) => ({ command: "sh", args: ["-c", `printf '%b\\n' ${lines.map((line) => `'${line}'`).join(" ")}; exec greeter`] });

const INDEXING = speaking([
  "opening index \\033[36mthreads\\033[0m",
  "\\033[32mready\\033[0m: 1204 threads in 380 ms",
  "\\033[33mwarning\\033[0m: 3 threads have no author, left out",
]);

const FAILING = `echo 'newsletter 1.4.2'; echo 'connecting to smtp.example.org:587'; sleep 0.1
echo 'error: smtp.example.org:587: connection refused' >&2; exit 1`;

/** Three plugins that run, one that fails, one that is stopped, one that runs elsewhere. @param {Plugd} plugd */
async function community(plugd) {
  const of = (name, version, description) => ({ name, version, description });
  const newsletter = await plugd.install(shell("newsletter", FAILING, of("Newsletter", "1.4.2", "Writes on Mondays.")), "--activate", "--no-wait");
  await plugd.is(newsletter, "error");
  const welcome = await plugd.install(greeter("welcome", of("Welcome", "2.1.0", "Greets who is new.")), "--activate");
  const search = await plugd.install({ ...greeter("search", of("Search", "0.9.3", "Finds threads.")), ...INDEXING }, "--activate");
  await plugd.install(greeter("translate", of("Translate", "1.0.1", "Says it in other words.")), "--activate");
  await plugd.install(greeter("polls", of("Polls", "3.0.0", "Asks everybody.")));
  await plugd.register(external("moderation", of("Moderation", "1.2.0", "Runs elsewhere.")));
  await plugd.cli("config", "set", search, "greeting=Indexed");
  return { welcome, search, newsletter };
}

/** Where a picture is written, if somebody asks for it. @param {string} name */
const at = (name) => FOLDER && path.join(FOLDER, `${name}.png`);

/** @param {import("playwright-core").Page} page @param {string} name */
async function picture(page, name) {
  // Without the place that is kept for a scroll bar, and what is below the page's end.
  const edge = (selector, side) => page.locator(selector).first().evaluate((element, side) => element.getBoundingClientRect()[side], side);
  const [width, height] = [await edge("header", "right"), Math.min(await edge("main", "bottom"), MOST_HEIGHT)];
  await page.screenshot({ path: at(name), fullPage: true, clip: { x: 0, y: 0, width, height } });
}

scenario("what README shows can be seen, and README shows no more than that", async (test) => {
  const plugd = await Plugd.start(test, { PLUGD_MAX_RESTART_ATTEMPTS: "1" });
  const { welcome, search, newsletter } = await community(plugd);

  const page = await signedIn(test, plugd, SCREEN);
  await shows(page, newsletter, "error");
  await row(page, newsletter).getByText("exit status 1").waitFor();
  for (const id of [welcome, search]) await row(page, id).locator("td.cpu").getByText("%").waitFor();
  await picture(page, LIST);
  await page.emulateMedia({ colorScheme: "dark" });
  await picture(page, LIST_DARK);

  await page.emulateMedia({ colorScheme: "light" });
  await page.goto(`/plugins/${newsletter}`);
  await page.locator("h1 .pill.error").waitFor();
  await page.locator(".failed").getByText("connection refused").first().waitFor();
  await page.locator("#past").getByText("exit status 1").first().waitFor();
  await picture(page, PLUGIN);

  for (const id of ["d0k3v1s4n0h1", "d0k3v5k4n0hg", "d0k3vdc4n0i0"]) await plugd.cli("publish", "EventThreadPublished", JSON.stringify({ id }));
  await page.goto(`/logs?${[welcome, search, newsletter].map((id) => `plugin=${id}`).join("&")}`);
  await page.getByText("Following.").waitFor();
  await page.locator(".line", { hasText: "d0k3vdc4n0i0" }).first().waitFor();
  await page.locator(".line", { hasText: "ready" }).locator(".f2").first().waitFor();
  await picture(page, LOGS);

  const terminal = await Terminal.start(test, plugd, "top", { columns: 96, rows: 11 });
  const tells = (text) => eventually(`${text}`, async () => text.test(await terminal.text()));
  await tells(/Newsletter .* error .*exit status 1[^]*Welcome .* active .*%/);
  await terminal.press("Down");
  await tells(/Newsletter 1.4.2 .*exit status 1/);
  // The console's own pages allow no styles of others.
  await page.goto("about:blank");
  await page.setContent(await terminal.page());
  await page.locator("pre").screenshot({ path: at(TOP) });

  const readme = await readFile(path.join(REPOSITORY, "README.md"), "utf8");
  const shown = new Set([...readme.matchAll(/docs\/images\/([\w-]+)\.png/g)].map(([, name]) => name));
  assert.deepEqual([...shown].sort(), [LIST, LIST_DARK, PLUGIN, LOGS, TOP].sort());
  for (const name of shown) {
    const { size } = await stat(path.join(REPOSITORY, `docs/images/${name}.png`));
    assert.ok(size <= MOST_BYTES, `${name} has ${size} bytes`);
  }
});
