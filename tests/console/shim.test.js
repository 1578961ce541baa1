// `plugd rest` in front of another plugd serves the same console.

import assert from "node:assert/strict";

import { mark, assertNotReloaded, person, row, shows, signedIn } from "./harness/browser.js";
import { greeter } from "./harness/packages.js";
import { Plugd } from "./harness/plugd.js";
import { Program } from "./harness/process.js";
import { scenario } from "./harness/scenario.js";

scenario("in front of another plugd the same console signs in, follows and changes", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("one", { name: "One" }));
  const url = await shim(test, plugd);
  const page = await (await person(test, { baseURL: url })).newPage();
  await page.goto("/");
  await page.getByLabel("Access token").fill(plugd.token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(`${url}/`);
  await mark(page);
  await row(page, id).getByRole("button", { name: "Start One" }).click();
  await shows(page, id, "active");
  await plugd.cli("deactivate", id);
  await shows(page, id, "inactive");
  await assertNotReloaded(page);
});

scenario("while the plugd behind it is away the page says so, and goes on when it is back", async (test) => {
  const plugd = await Plugd.start(test);
  const id = await plugd.install(greeter("one"), "--activate");
  const url = await shim(test, plugd);
  const page = await signedIn(test, plugd, { url, mayFail: /ERR_|50[0-9]/ });
  await shows(page, id, "active");
  await mark(page);
  await plugd.kill9();
  await page.getByText("Connection lost").waitFor();
  await plugd.restart();
  await plugd.cli("deactivate", id);
  await page.getByText("Connection lost").waitFor({ state: "hidden" });
  await shows(page, id, "inactive");
});

scenario("a page that is asked for while the plugd behind it is away says so in words", async (test) => {
  const plugd = await Plugd.start(test);
  const url = await shim(test, plugd);
  await plugd.kill9();
  const page = await signedIn(test, plugd, { url, mayFail: /50[0-9]/ });
  await page.getByRole("heading", { name: "plugd does not answer just now" }).waitFor();
});

/** Starts one in front of a plugd; gives its address. */
async function shim(test, plugd) {
  const program = new Program(["rest", "--listen", "127.0.0.1:0", "--upstream", plugd.url], { HOME: plugd.home });
  test.after(() => program.kill("SIGTERM"));
  const url = await program.said("plugd serves REST on ");
  assert.notEqual(url, plugd.url);
  return url;
}
