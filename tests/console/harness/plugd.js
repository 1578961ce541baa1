// plugd as a process, with a data folder of its own that goes with it.

import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";

import { folder } from "./packages.js";
import { PROGRAMS, Program, REPOSITORY, output } from "./process.js";
import { eventually } from "./wait.js";

/** For tests about something else than durations. On a busy machine nothing is late. */
const SETTINGS = {
  PLUGD_BACKOFF: "20ms",
  PLUGD_MAX_BACKOFF: "100ms",
  PLUGD_STABLE_CRASH_BACKOFF: "20ms",
  PLUGD_CONNECT_TIMEOUT: "10m",
  PLUGD_PING_INTERVAL: "10m",
  PLUGD_GRACE: "2s",
  // The checkout may be anywhere, in a temporary folder too, and has the program that the plugins of tests run.
  PLUGD_SANDBOX_READ: `${REPOSITORY}:${PROGRAMS}`,
};

export class Plugd {
  /**
   * Starts one, which ends with the test. An option is an environment variable.
   * @param {import("./scenario.js").Scenario} test
   * @param {Record<string, string>} settings
   */
  static async start(test, settings = {}) {
    const home = await mkdtemp(path.join(os.tmpdir(), "plugd-console-"));
    const plugd = new Plugd(home, settings);
    test.after((hasFailed) => plugd.end(hasFailed));
    await mkdir(path.join(home, "tmp"));
    await plugd.run("127.0.0.1:0");
    return plugd;
  }

  /** @param {string} home @param {Record<string, string>} settings */
  constructor(home, settings) {
    this.home = home;
    this.data = path.join(home, "data");
    this.environment = { HOME: home, TMPDIR: path.join(home, "tmp"), PLUGD_DATA_DIR: this.data, ...SETTINGS, ...settings };
    this.url = "";
    this.token = "";
    this.packages = 0;
  }

  /** Starts it on the data that it left, where it was. */
  restart() {
    return this.run(new URL(this.url).host);
  }

  /** @param {string} listen */
  async run(listen) {
    this.program = new Program(["serve", "--listen", listen], this.environment);
    this.url = await this.program.said("plugd serves on ");
    this.token = (await readFile(path.join(this.data, "admin.token"), "utf8")).trim();
  }

  /** The link that it printed, which signs in one browser. */
  link() {
    return this.program.said("The console, for one browser and within an hour: ");
  }

  /** As a power cut would. */
  kill9() {
    return this.program.kill("SIGKILL");
  }

  /** @param {boolean} hasFailed */
  async end(hasFailed) {
    if (hasFailed) console.log(`plugd said:\n${this.program?.stderr}`);
    if (!this.program?.hasEnded) await this.program?.kill("SIGTERM");
    await rm(this.home, { recursive: true, force: true });
  }

  /** What a command line in another process prints. @param {...string} args */
  cli(...args) {
    return output(args, { ...this.environment, PLUGD_SERVER: this.url });
  }

  /** A token of a role. @param {string} name @param {string} role */
  async tokenOf(name, role) {
    return JSON.parse(await this.cli("token", "create", name, "--role", role, "-o", "json")).secret;
  }

  /**
   * Installs a package that is nothing but this manifest; gives the plugin's id.
   * @param {object} manifest
   * @param {...string} options
   */
  async install(manifest, ...options) {
    const at = await this.folder(manifest);
    return JSON.parse(await this.cli("install", at, "-o", "json", ...options)).id;
  }

  /** A folder with this manifest and these files. @param {object} manifest @param {Record<string, string>} files */
  folder(manifest, files = {}) {
    return folder(path.join(this.home, `package-${++this.packages}`), manifest, files);
  }

  /** A package of that as a file. @param {object} manifest @param {Record<string, string>} files */
  async zip(manifest, files = {}) {
    const at = await this.folder(manifest, files);
    await this.cli("package", at, "--file", `${at}.zip`);
    return `${at}.zip`;
  }

  /** Calls REST as the administrator. @param {string} method @param {string} at @param {object} [body] */
  async rest(method, at, body) {
    const headers = { authorization: `Bearer ${this.token}`, "content-type": "application/json" };
    const answer = await fetch(this.url + at, { method, headers, body: body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${method} ${at}: ${answer.status} ${await answer.text()}`);
    return answer.status === 204 ? undefined : answer.json();
  }

  /** Registers a plugin that nobody runs, which is quick; gives its id. @param {object} manifest */
  async register(manifest) {
    return (await this.rest("POST", "/api/plugins", { mode: "external", manifest })).id;
  }

  /** All plugins as REST has them. @returns {Promise<any[]>} */
  async plugins() {
    return (await this.rest("GET", "/api/plugins")).plugins;
  }

  /** The configuration of a plugin. @param {string} id @returns {Promise<any>} */
  async configuration(id) {
    return JSON.parse(await this.cli("config", "get", id, "-o", "json"));
  }

  /** Waits until a plugin is in a state. @param {string} id @param {string} state */
  is(id, state) {
    const look = async () => (await this.rest("GET", `/api/plugins/${id}`)).plugd.state === state;
    return eventually(`${id} is ${state}`, look);
  }
}
