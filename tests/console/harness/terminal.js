// A command of plugd in a terminal, and what stands there.

import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";

import { PROGRAMS } from "./process.js";

const run = promisify(execFile);

/** What codes of a terminal look like on a page. @type {Record<string, string>} */
const STYLES = {
  1: "font-weight: bold",
  2: "opacity: .6",
  7: "background: #d8dee4",
  31: "color: #cf222e",
  32: "color: #1a7f37",
  33: "color: #9a6700",
};

export class Terminal {
  /**
   * Starts one, which ends with the test.
   * @param {import("./scenario.js").Scenario} test
   * @param {import("./plugd.js").Plugd} plugd
   * @param {string} command
   * @param {{ columns: number, rows: number }} size
   */
  static async start(test, plugd, command, { columns, rows }) {
    const environment = { ...plugd.environment, PLUGD_SERVER: plugd.url, PATH: `${PROGRAMS}:${process.env.PATH}` };
    const terminal = new Terminal(path.join(plugd.home, "terminal"), environment);
    test.after(() => terminal.tmux("kill-server"));
    await terminal.tmux("new-session", "-d", "-x", `${columns}`, "-y", `${rows}`, `plugd ${command}`);
    return terminal;
  }

  /** @param {string} socket @param {Record<string, string>} environment */
  constructor(socket, environment) {
    this.socket = socket;
    this.environment = environment;
  }

  /** @param {...string} args */
  async tmux(...args) {
    return (await run("tmux", ["-f", "/dev/null", "-S", this.socket, ...args], { env: this.environment })).stdout;
  }

  /** @param {string} key */
  press(key) {
    return this.tmux("send-keys", key);
  }

  /** What stands there. */
  text() {
    return this.tmux("capture-pane", "-p");
  }

  /** The same as a page. */
  async page() {
    const styled = (await this.tmux("capture-pane", "-p", "-e")).trimEnd();
    return `<pre style="margin: 0; padding: 12px 16px; font: 13px/1.4 monospace; width: max-content">${html(styled)}</pre>`;
  }
}

/** Text with codes of a terminal as HTML. @param {string} text */
function html(text) {
  const [first, ...rest] = text.split("\x1b[");
  /** @type {Set<string>} */
  const on = new Set();
  const pieces = rest.map((piece) => {
    const [, codes, words] = /^([\d;]*)m([^]*)$/.exec(piece) ?? [];
    // The first of 256 colours are those that have codes of their own.
    for (const code of (codes || "0").replace(/38;5;(?=[0-7]$)/, "3").split(";")) {
      if (code === "0") on.clear();
      else if (code === "39") ["31", "32", "33"].forEach((color) => on.delete(color));
      else on.add(code);
    }
    return `<span style="${[...on].map((code) => STYLES[code]).join("; ")}">${escaped(words ?? "")}</span>`;
  });
  return escaped(first) + pieces.join("");
}

/** @param {string} text */
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
