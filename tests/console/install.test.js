// How a plugin gets in: a file, an address, the manifest of one that runs elsewhere.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";

import { assertAccessible, assertNotReloaded, mark, signedIn } from "./harness/browser.js";
import { external, greeter } from "./harness/packages.js";
import { Plugd } from "./harness/plugd.js";
import { scenario } from "./harness/scenario.js";
import { eventually } from "./harness/wait.js";

const ASKING = greeter("new", {
  name: "Newcomer",
  access: { handle: "bot", name: "Bot", permissions: ["READ_PUBLISHED_THREADS"] },
});

scenario("a package is uploaded, shows what it asks for before anything of it runs, and is started when that is agreed to", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await signedIn(test, plugd, { at: "/install" });
  await mark(page);
  await page.getByLabel("Package, or drop it here").setInputFiles(await plugd.zip(ASKING));
  await page.getByRole("button", { name: "Upload" }).click();
  await page.getByRole("heading", { name: "Agree to what “Newcomer” asks for?" }).waitFor();
  await page.getByText("READ_PUBLISHED_THREADS").waitFor();
  await page.getByText("EventThreadPublished").waitFor();
  const [{ id, plugd: status }] = await plugd.plugins();
  assert.deepEqual([status.state, status.desired_state], ["inactive", "inactive"]);
  await page.getByRole("button", { name: "Agree and start it" }).click();
  await page.waitForURL(`**/plugins/${id}`);
  await page.locator("h1 .pill.active").waitFor();
  await assertNotReloaded(page);
});

scenario("what is uploaded and not agreed to is kept stopped, or deleted", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await signedIn(test, plugd, { at: "/install" });
  await page.getByLabel("Package, or drop it here").setInputFiles(await plugd.zip(ASKING));
  await page.getByRole("button", { name: "Upload" }).click();
  await page.getByRole("link", { name: "Keep it stopped" }).click();
  await page.locator("h1 .pill.inactive").waitFor();
  await page.goBack();
  await page.getByRole("button", { name: "Delete it" }).click();
  await page.getByRole("button", { name: "Delete “Newcomer”" }).click();
  await page.getByRole("heading", { name: "No plugins yet" }).waitFor();
  assert.deepEqual(await plugd.plugins(), []);
});

scenario("a long upload shows how far it is", async (test) => {
  const plugd = await Plugd.start(test);
  // What is stored in it can't be compressed, so that it is as long as it looks.
  const noise = Array.from({ length: 1 << 17 }, () => Math.random().toString(36).slice(2, 10)).join("");
  const zip = await plugd.zip(greeter("long"), { "noise.txt": noise });
  const page = await signedIn(test, plugd, { at: "/install" });
  const network = await page.context().newCDPSession(page);
  const throttle = (uploadThroughput) =>
    network.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput });
  await page.getByLabel("Package, or drop it here").setInputFiles(zip);
  await throttle(50_000);
  await page.getByRole("button", { name: "Upload" }).click();
  const progress = page.locator("progress");
  await progress.waitFor();
  await eventually("some of it is sent", () => progress.evaluate((bar) => bar.value > 0 && bar.value < 1));
  await throttle(-1);
  await page.getByRole("heading", { name: "Agree to what “long” asks for?" }).waitFor();
});

scenario("a package that is dropped on the page is the one to be uploaded", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await signedIn(test, plugd, { at: "/install" });
  const bytes = [...await readFile(await plugd.zip(ASKING))];
  await page.evaluate((bytes) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([new Uint8Array(bytes)], "new.zip", { type: "application/zip" }));
    document.querySelector("main")?.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer }));
  }, bytes);
  await page.getByRole("button", { name: "Upload" }).click();
  await page.getByRole("heading", { name: "Agree to what “Newcomer” asks for?" }).waitFor();
});

scenario("a faulty package is refused with its fault, and nothing is installed", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await signedIn(test, plugd, { at: "/install" });
  const file = async (name, contents) => {
    const at = path.join(plugd.home, name);
    await writeFile(at, contents);
    return at;
  };
  const good = await readFile(await plugd.zip(ASKING));
  const faulty = [
    [await file("text.zip", "this is no archive"), /zip/i],
    [await file("half.zip", good.subarray(0, good.length / 2)), /zip|archive/i],
    [await file("empty.zip", ""), /.+/],
  ];
  for (const [at, fault] of faulty) {
    await page.getByLabel("Package, or drop it here").setInputFiles(at);
    const answered = page.waitForResponse("**/install/package");
    await page.getByRole("button", { name: "Upload" }).click();
    await answered;
    await page.locator("#notice .failure").filter({ hasText: fault }).waitFor();
    assert.deepEqual(await plugd.plugins(), []);
    await page.goto("/install");
  }
});

scenario("a package that is installed already is said to be one more before it is agreed to", async (test) => {
  const plugd = await Plugd.start(test);
  const first = await plugd.install(ASKING);
  const page = await signedIn(test, plugd, { at: "/install" });
  await page.getByLabel("Package, or drop it here").setInputFiles(await plugd.zip(ASKING));
  await page.getByRole("button", { name: "Upload" }).click();
  await page.getByText("It is one more with this manifest id").waitFor();
  assert.equal(await page.getByRole("link", { name: "its page" }).getAttribute("href"), `/plugins/${first}?tab=package`);
});

scenario("plugd gets a package from an address, and says what is wrong where it can't", async (test) => {
  const plugd = await Plugd.start(test, { PLUGD_FETCH_PRIVATE: "true" });
  const site = await serving(test, await readFile(await plugd.zip(ASKING)));
  const page = await signedIn(test, plugd, { at: "/install" });
  await page.getByLabel("Address of a package").fill(`${site}/nothing.zip`);
  await page.getByRole("button", { name: "Get it" }).click();
  await page.locator("#notice .failure").getByText("404").waitFor();
  assert.equal(await page.getByLabel("Address of a package").inputValue(), `${site}/nothing.zip`, "what was written is kept");
  await page.getByLabel("Address of a package").fill(`${site}/new.zip`);
  await page.getByRole("button", { name: "Get it" }).click();
  await page.getByRole("heading", { name: "Agree to what “Newcomer” asks for?" }).waitFor();
});

scenario("the manifest of a plugin that runs elsewhere is refused at its line, kept, mended, agreed to and registered", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await signedIn(test, plugd, { at: "/install" });
  await page.getByRole("link", { name: "Write its manifest" }).click();
  const text = page.getByLabel("Manifest");
  assert.match(await text.inputValue(), /^id: my-plugin/);
  await text.fill("id: not an id\nauthor: me\nname: Mine\n");
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByRole("alert").getByText("Line 1.").waitFor();
  assert.equal(await text.getAttribute("aria-invalid"), "true");
  assert.equal(await text.inputValue(), "id: not an id\nauthor: me\nname: Mine\n");
  await assertAccessible(page);
  await text.fill("id: mine\nauthor: [\nname: Mine\n");
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByRole("alert").getByText("It is not YAML").waitFor();
  await text.fill("id: mine\nauthor: me\nname: Mine\nevents_consumed: [EventThreadPublished]\n");
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByRole("heading", { name: "Agree to what it asks for?" }).waitFor();
  assert.deepEqual(await plugd.plugins(), []);
  await page.getByRole("button", { name: "Agree and register it" }).click();
  await page.getByText("It is registered.").waitFor();
  const [{ id, name }] = await plugd.plugins();
  assert.equal(name, "Mine");
  assert.equal(page.url(), `${plugd.url}/plugins/${id}?tab=connection`);
});

scenario("without scripts a package is uploaded, agreed to and started", async (test) => {
  const plugd = await Plugd.start(test);
  const page = await signedIn(test, plugd, { at: "/install", javaScriptEnabled: false });
  await page.getByLabel("Package, or drop it here").setInputFiles(await plugd.zip(ASKING));
  await page.getByRole("button", { name: "Upload" }).click();
  await page.getByRole("button", { name: "Agree and start it" }).click();
  const [{ id }] = await plugd.plugins();
  await plugd.is(id, "active");
});

scenario("the pages for installing have no barriers", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(ASKING);
  const page = await signedIn(test, plugd, { at: "/install" });
  for (const at of ["/install", "/install/external", `/plugins/${id}/review`]) {
    await page.goto(at);
    await assertAccessible(page);
  }
});

/** The address of a server that has this at /new.zip and nothing else. */
async function serving(test, bytes) {
  const server = createServer((request, answer) => {
    answer.statusCode = request.url === "/new.zip" ? 200 : 404;
    answer.end(request.url === "/new.zip" ? bytes : "");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  test.after(() => new Promise((resolve) => {
    server.close(() => resolve(undefined));
    server.closeAllConnections();
  }));
  return `http://127.0.0.1:${server.address().port}`;
}
