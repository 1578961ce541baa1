// Packages. A plugin's program is found on the search path, so that a package is a manifest and little else.

import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";

/** Writes a folder with a manifest and files. @param {string} at @param {object} manifest @param {Record<string, string>} files */
export async function folder(at, manifest, files) {
  await mkdir(at, { recursive: true });
  const all = Object.entries({ "manifest.json": JSON.stringify(manifest), ...files });
  for (const [name, text] of all) await writeFile(path.join(at, name), text);
  return at;
}

/** The manifest of a plugin that somebody else runs. @param {string} id @param {object} more */
export function external(id, more = {}) {
  return { id, author: "plugd", name: id, description: "", version: "1.0.0", ...more };
}

/** The manifest of the example, which becomes active. @param {string} id @param {object} more */
export function greeter(id, more = {}) {
  return { ...external(id), command: "greeter", events_consumed: ["EventThreadPublished"], configuration_schema: SCHEMA, ...more };
}

/** The manifest of a script of the shell. It can't connect: as long as it runs it is connecting. @param {string} id @param {string} script */
export function shell(id, script, more = {}) {
  return { ...external(id), command: "sh", args: ["-c", script], ...more };
}

/** A script that only waits to be ended. */
export const WAITS = "exec sleep 1000000";

const SCHEMA = {
  fields: [
    { type: "string", id: "greeting", label: "Greeting", description: "The word that comes first.", default: "Hello" },
    { type: "number", id: "repeat", label: "Repeat", description: "How often, 1 to 10.", default: 1 },
    { type: "boolean", id: "shout", label: "Shout", description: "Whether to use capital letters.", default: false },
  ],
};
