// A test whose name is a sentence. What it opens is closed in the order that is right, whatever happens.

import { test } from "node:test";

import { HANG } from "./wait.js";

/** Ends what a test began; it is told whether the test has failed, and may say why. @typedef {(hasFailed: boolean) => Promise<void>} End */

export class Scenario {
  /** @type {End[]} */
  ends = [];

  /** Does this when the test is over, before what was to be done already. @param {End} end */
  after(end) {
    this.ends.unshift(end);
  }

  /** @param {(test: Scenario) => Promise<void>} act */
  async play(act) {
    const failures = [];
    const note = (failure) => failures.push(failure);
    await act(this).catch(note);
    for (const end of this.ends) await end(failures.length > 0).catch(note);
    if (failures.length > 0) throw failures[0];
  }
}

/** @param {string} name @param {(test: Scenario) => Promise<void>} act */
export function scenario(name, act) {
  // Every wait has a deadline of its own, which says what was waited for. This is for what waits for nothing.
  test(name, { timeout: 4 * HANG }, () => new Scenario().play(act));
}
