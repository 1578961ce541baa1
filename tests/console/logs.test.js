// What plugins print, as it is followed in a page.

import assert from "node:assert/strict";
import { rename, writeFile } from "node:fs/promises";
import path from "node:path";

import { assertAccessible, signedIn } from "./harness/browser.js";
import { shell } from "./harness/packages.js";
import { Plugd } from "./harness/plugd.js";
import { scenario } from "./harness/scenario.js";
import { eventually } from "./harness/wait.js";

/** Prints each file say-1, say-2, … as soon as it is there. */
const SAYS = "i=1; while :; do until [ -e say-$i ]; do sleep 0.02; done; cat say-$i; i=$((i+1)); done";

/** Of each of two runs 25,000 lines, in pieces, so that plugd is killed among them. */
const RUNS = `run=$(cat run 2>/dev/null || echo 1); echo $((run+1)) > run
piece=1; while [ $piece -le 50 ]; do
  line=1; while [ $line -le 500 ]; do echo "run $run piece $piece line $line"; line=$((line+1)); done
  sleep 0.01; piece=$((piece+1))
done
exec sleep 1000000`;

scenario("fifty thousand lines are followed across the death of plugd, with nothing lost and nothing twice", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(shell("loud", RUNS));
  const page = await signedIn(test, plugd, { mayFail: /ERR_/ });
  await page.addInitScript(record);
  await page.goto(`/logs?plugin=${id}`);
  await page.getByText("Following.").waitFor();
  await plugd.cli("activate", id, "--no-wait");
  await eventually("some lines are there", async () => (await count(page)) > 3000);
  await plugd.kill9();
  await page.getByText("Connection lost").first().waitFor();
  await plugd.restart();
  await eventually("all lines are stored", async () => (await stored(plugd, id)).at(-1) === "run 2 piece 50 line 500");
  const wanted = await stored(plugd, id);
  await eventually("all lines have come", async () => (await count(page)) >= wanted.length);
  const came = await page.evaluate(() => globalThis.cameLines);
  assert.ok(wanted.length > 28_000, `${wanted.length} lines are there to be followed`);
  assert.deepEqual(came, wanted);
  const shown = await page.locator(".line .text").allTextContents();
  assert.ok(shown.length >= 5000 && shown.length <= 10_200, `${shown.length} lines are in the page`);
  assert.deepEqual(shown, wanted.slice(-shown.length), "the page has the last ones");
});

scenario("lines come as they are printed, colours are colours, and tags and control characters are text or nothing", async (test) => {
  const { plugd, id, page } = await saying(test);
  await say(plugd, id, 1, "plain\n\u001b[31mred\u001b[0m and \u001b[1mbold\u001b[0m\n<script>globalThis.hit=1</script> &amp;\n");
  await line(page, "plain").waitFor();
  assert.equal(await line(page, "red and bold").locator(".f1").innerText(), "red");
  assert.equal(await line(page, "red and bold").locator(".bold").innerText(), "bold");
  await line(page, "<script>globalThis.hit=1</script> &amp;").waitFor();
  await say(plugd, id, 2, "\u001b]0;title\u0007\u001b[2Jcleared \u202Eback\n");
  await line(page, "cleared").waitFor();
  assert.match(await line(page, "cleared").locator(".text").innerText(), /cleared/);
  assert.equal(await page.evaluate(() => globalThis.hit), undefined);
});

scenario("a search hides other lines while it is written and marks what is found, and new lines obey it", async (test) => {
  const { plugd, id, page } = await saying(test);
  await say(plugd, id, 1, "apple one\nbanana\napple two\n");
  await line(page, "apple two").waitFor();
  await page.getByRole("searchbox").fill("APPLE");
  await line(page, "banana").waitFor({ state: "hidden" });
  assert.deepEqual(await page.locator(".line:visible mark").allTextContents(), ["apple", "apple"]);
  await say(plugd, id, 2, "cherry\napple three\n");
  await line(page, "apple three").waitFor();
  assert.equal(await page.locator(".line:visible").count(), 3);
  await page.getByRole("searchbox").fill("");
  await line(page, "cherry").waitFor();
  assert.equal(await page.locator("mark").count(), 0);
  await page.getByRole("searchbox").fill("banana");
  await page.getByRole("searchbox").press("Enter");
  await page.waitForURL((url) => url.searchParams.get("q") === "banana");
  await line(page, "banana").waitFor();
  assert.equal(await page.locator(".line").count(), 1);
});

scenario("whoever scrolls back is left there, is told how many lines came, and goes on with a press", async (test) => {
  const { plugd, id, page } = await saying(test);
  await say(plugd, id, 1, numbered(1, 300));
  await line(page, "line 300 of many").waitFor();
  const log = page.locator("#log");
  await log.press("Home");
  await page.getByText("Stopped while you look back.").waitFor();
  await say(plugd, id, 2, numbered(301, 310));
  await page.getByRole("button", { name: "10 new lines – follow" }).waitFor();
  assert.equal(await log.evaluate((box) => box.scrollTop), 0);
  await page.getByRole("button", { name: "10 new lines – follow" }).click();
  await page.getByText("Following.").waitFor();
  await line(page, "line 310 of many").waitFor();
  await eventually("the end is seen", () => log.evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight < 8));
});

scenario("stdout and stderr are told apart, and one of them can be chosen", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(shell("two", "echo good; echo bad >&2; exec sleep 1000000"), "--activate", "--no-wait");
  const page = await signedIn(test, plugd, { at: `/logs?plugin=${id}` });
  await page.locator(".line.err", { hasText: "bad" }).waitFor();
  await page.locator(".line:not(.err)", { hasText: "good" }).waitFor();
  await page.getByLabel("Printed to").selectOption("stderr");
  await page.getByRole("button", { name: "Show" }).click();
  await page.waitForURL((url) => url.searchParams.get("stream") === "stderr");
  await line(page, "bad").waitFor();
  assert.equal(await page.locator(".line").count(), 1);
});

scenario("of several plugins each line has its plugin's name, and some of them can be chosen", async (test) => {
  const plugd = await Plugd.start(test);
  const ids = [];
  for (const name of ["One", "Two"]) {
    const manifest = shell(name.toLowerCase(), `echo I am ${name}; exec sleep 1000000`, { name });
    ids.push(await plugd.install(manifest, "--activate", "--no-wait"));
  }
  const page = await signedIn(test, plugd, { at: "/logs" });
  for (const name of ["One", "Two"]) await line(page, `I am ${name}`).locator("b", { hasText: name }).waitFor();
  await page.locator("summary").click();
  await page.getByLabel("Two", { exact: true }).check();
  await page.getByRole("button", { name: "Show" }).last().click();
  await page.waitForURL((url) => url.searchParams.get("plugin") === ids[1]);
  await line(page, "I am Two").waitFor();
  assert.equal(await line(page, "I am One").count(), 0);
});

scenario("on a plugin's own page its log goes on when the plugin is restarted there, with each line once", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(shell("mine", "echo I am here; exec sleep 1000000", { name: "Mine" }), "--activate", "--no-wait");
  const page = await signedIn(test, plugd, { at: `/plugins/${id}?tab=logs` });
  await line(page, "I am here").waitFor();
  for (const runs of [2, 3]) {
    await page.locator(".head").getByRole("button", { name: "Restart" }).click();
    await page.getByRole("status").getByText("Mine is being restarted.").waitFor();
    await line(page, "I am here").nth(runs - 1).waitFor();
    assert.equal(await line(page, "I am here").count(), runs);
    assert.equal((await stored(plugd, id)).filter((line) => line === "I am here").length, runs);
  }
  await page.getByText("Following.").waitFor();
  assert.equal(page.url(), `${plugd.url}/plugins/${id}?tab=logs`);
  await assertAccessible(page);
});

scenario("what is downloaded is the whole log", async (test) => {
  const { plugd, id, page } = await saying(test);
  await say(plugd, id, 1, numbered(1, 3000));
  await line(page, "line 3000 of many").waitFor();
  const downloading = page.waitForEvent("download");
  await page.getByRole("link", { name: "Download" }).click();
  const stream = await (await downloading).createReadStream();
  let text = "";
  for await (const piece of stream) text += piece;
  const lines = text.trimEnd().split("\n");
  assert.equal(lines.length, 3000);
  assert.match(lines[0], /line 1 of many$/);
  assert.match(lines[2999], /line 3000 of many$/);
});

scenario("without scripts the last lines are in the page, for viewers too", async (test) => {
  const { plugd, id } = await saying(test);
  await say(plugd, id, 1, numbered(1, 5));
  await eventually("it is stored", async () => (await stored(plugd, id)).length === 5);
  const token = await plugd.tokenOf("guest", "viewer");
  const page = await signedIn(test, plugd, { at: `/logs?plugin=${id}`, token, javaScriptEnabled: false });
  await line(page, "line 5 of many").waitFor();
  await page.getByRole("link", { name: "Load anew" }).waitFor();
});

scenario("a log with lines, and one without, have no barriers", async (test) => {
  const { plugd, id, page } = await saying(test);
  await assertAccessible(page);
  await say(plugd, id, 1, `${numbered(1, 50)}\u001b[33myellow\u001b[0m ${"W".repeat(5000)}\n`);
  await line(page, "yellow").waitFor();
  await assertAccessible(page);
});

/** A plugin that prints what it is told to, and its log. */
async function saying(test) {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(shell("says", SAYS), "--activate", "--no-wait");
  await plugd.is(id, "connecting");
  const page = await signedIn(test, plugd, { at: `/logs?plugin=${id}` });
  await page.getByText("Following.").waitFor();
  return { plugd, id, page };
}

/** Has the plugin print a text, which is the one of this number. */
async function say(plugd, id, number, text) {
  const folder = path.join(plugd.data, "plugins", id);
  await writeFile(path.join(plugd.home, "text"), text);
  await rename(path.join(plugd.home, "text"), path.join(folder, `say-${number}`));
}

function numbered(from, to) {
  return Array.from({ length: to - from + 1 }, (_, place) => `line ${from + place} of many\n`).join("");
}

function line(page, text) {
  return page.locator(".line", { hasText: text });
}

/** What is stored of a log, as the command line has it. */
async function stored(plugd, id) {
  return (await plugd.cli("logs", id, "--tail", "1000000")).trimEnd().split("\n");
}

/** Runs in the page before its own scripts: keeps the text of each line that its streams bring. */
function record() {
  const lines = (globalThis.cameLines = []);
  const Stream = globalThis.EventSource;
  globalThis.EventSource = class extends Stream {
    constructor(address) {
      super(address);
      this.addEventListener("lines", ({ data }) => {
        const page = new DOMParser().parseFromString(data, "text/html");
        for (const text of page.querySelectorAll(".line .text")) lines.push(text.textContent);
      });
    }
  };
}

function count(page) {
  return page.evaluate(() => globalThis.cameLines.length);
}
