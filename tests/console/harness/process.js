// Programs, all of which end with this one.

import { spawn } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { within } from "./wait.js";

export const REPOSITORY = fileURLToPath(new URL("../../..", import.meta.url));

/** Where cargo put plugd and the example plugin. */
export const PROGRAMS = process.env.PLUGD_PROGRAMS ?? path.join(REPOSITORY, "target/debug");

const PLUGD = path.join(PROGRAMS, "plugd");

/** A program with what it has said, and its end. */
export class Program {
  /** @param {string[]} args @param {Record<string, string>} environment */
  constructor(args, environment) {
    // Whatever ends these tests, even SIGKILL, ends it too.
    const command = ["--pdeathsig", "KILL", PLUGD, ...args];
    const PATH = `${PROGRAMS}:${process.env.PATH}`;
    this.child = spawn("setpriv", command, { env: { PATH, ...environment }, stdio: ["ignore", "pipe", "pipe"] });
    this.stdout = "";
    this.stderr = "";
    this.listeners = new Set();
    this.child.stdout.setEncoding("utf8").on("data", (text) => (this.stdout += text));
    this.child.stderr.setEncoding("utf8").on("data", (text) => {
      this.stderr += text;
      this.listeners.forEach((look) => look());
    });
    this.hasEnded = false;
    this.end = new Promise((resolve, reject) => {
      this.child.on("error", reject);
      this.child.on("close", (code, signal) => {
        this.hasEnded = true;
        resolve(code ?? signal);
        this.listeners.forEach((look) => look());
      });
    });
  }

  /** The rest of the first line of standard error that has this in it. @param {string} words @returns {Promise<string>} */
  said(words) {
    const line = new Promise((resolve, reject) => {
      const look = () => {
        const [, after] = this.stderr.split(words, 2);
        if (after?.includes("\n")) resolve(after.split("\n", 1)[0]);
        else if (this.hasEnded) reject(new Error(`it ended: ${this.stderr}`));
        else return;
        this.listeners.delete(look);
      };
      this.listeners.add(look);
      look();
    });
    return within(words, line);
  }

  /** Ends it, and waits until it has ended. @param {NodeJS.Signals} signal */
  async kill(signal) {
    this.child.kill(signal);
    await within(`the end of ${this.child.pid}`, this.end);
  }
}

/** What a program that must succeed prints. @param {string[]} args @param {Record<string, string>} environment */
export async function output(args, environment) {
  const program = new Program(args, environment);
  const code = await within(args.join(" "), program.end);
  if (code !== 0) throw new Error(`plugd ${args.join(" ")}: ${code}: ${program.stderr}`);
  return program.stdout;
}
