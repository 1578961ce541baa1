// What every page of the console does where scripts run.

import { follow } from "./fragments.js";
import "./forms.js";
import "./logs.js";

document.documentElement.classList.add("scripted");

const UNITS = /** @type {const} */ ([["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]]);
const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** Times in words: "3 minutes ago". Those that something waits for count down. */
function tellTimes() {
  for (const time of document.querySelectorAll("time")) {
    const seconds = Math.round((Date.parse(time.dateTime) - Date.now()) / 1000);
    const [unit, length] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? UNITS[3];
    const isDue = time.hasAttribute("data-due");
    const text = isDue && seconds <= 0 ? "now" : words.format(Math.trunc(seconds / length), unit);
    if (time.textContent !== text) time.textContent = text;
  }
}

/** Where this server is, as a plugin dials it. */
function tellAddress() {
  for (const field of document.querySelectorAll("input[data-host]")) {
    if (!(field instanceof HTMLInputElement) || !field.value.includes("ws://HOST")) continue;
    field.defaultValue = field.value.replace("ws://HOST", `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`);
  }
}

for (const tell of [tellTimes, tellAddress]) {
  document.addEventListener("console:changed", tell);
  tell();
}
setInterval(tellTimes, 1000);

// The box in a table's head checks those below it.
document.addEventListener("change", (event) => {
  const box = event.target;
  if (!(box instanceof HTMLInputElement) || !box.hasAttribute("data-all")) return;
  const boxes = box.closest("table")?.querySelectorAll("tbody input[type=checkbox]") ?? [];
  for (const one of boxes) if (one instanceof HTMLInputElement) one.checked = box.checked;
});

// A link that signs in does so by itself.
document.querySelectorAll("form[data-submit]").forEach((form) => form instanceof HTMLFormElement && form.submit());

follow();
