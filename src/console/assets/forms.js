// Forms that are sent without leaving the page: their answer takes its place. Without this they work all the same.

import { follow, morph } from "./fragments.js";

/** Whether what is shown is an answer without an address: a question. The step back from it leads to the page that asked for it. */
let isQuestion = false;

/**
 * Shows a page that came as an answer.
 * @param {string} html
 * @param {string | undefined} address If it has one.
 */
function show(html, address) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const [there, wanted] = [document.querySelector("main"), page.querySelector("main")];
  if (there && wanted?.className === "alone" && !address) return refuse(wanted);
  if (!there || !wanted || wanted.className !== there.className) return location.assign(address ?? location.href);
  isQuestion = !address && page.title !== document.title;
  if (isQuestion || (address ?? location.href) !== location.href) history.pushState(null, "", address);
  shown = here();
  document.title = page.title;
  // What was written into fields was sent; the answer says what is in them now.
  there.querySelectorAll("form").forEach((form) => form.hasAttribute("data-keep") || form.reset());
  morph(there, wanted);
  document.dispatchEvent(new Event("console:changed"));
  const told = document.querySelector("#notice p, [role=alert]");
  (told ?? there).scrollIntoView({ block: "nearest" });
  /** @type {HTMLElement | null} */ (there.querySelector("[autofocus]"))?.focus();
  follow();
}

/**
 * Says what an error page says, and leaves what was written as it is.
 * @param {Element} page
 */
function refuse(page) {
  const told = document.createElement("p");
  told.className = "notice failure";
  told.textContent = [...page.querySelectorAll("h1, h1 ~ p:not(:has(a, small))")].map((one) => one.textContent).join(". ");
  document.getElementById("notice")?.replaceChildren(told);
  told.scrollIntoView({ block: "nearest" });
}

/**
 * An attribute of a form. Its property of the same name may be a field or a button.
 * @param {HTMLFormElement} form
 * @param {string} name
 */
function own(form, name) {
  return form.getAttribute(name) ?? "";
}

/** The forms that are being sent: nothing is asked for twice. Their buttons stay as they are, to keep the focus. */
const sending = new WeakSet();

/**
 * Sends a form, and shows how far its files are.
 * @param {HTMLFormElement} form
 * @param {HTMLElement | null} button
 */
function send(form, button) {
  const data = new FormData(form, button);
  const isUpload = own(form, "enctype") === "multipart/form-data";
  const request = new XMLHttpRequest();
  request.open(own(form, "method"), own(form, "action"));
  const progress = form.querySelector("progress");
  const done = () => {
    sending.delete(form);
    form.removeAttribute("aria-busy");
    if (progress) progress.hidden = true;
  };
  sending.add(form);
  form.setAttribute("aria-busy", "true");
  if (progress && isUpload) {
    progress.hidden = false;
    progress.removeAttribute("value");
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable && event.loaded < event.total) progress.value = event.loaded / event.total;
      else progress.removeAttribute("value");
    });
  }
  request.addEventListener("load", () => {
    done();
    // What is answered without leading elsewhere is no page that can be asked for.
    const isPage = request.responseURL && request.responseURL !== new URL(own(form, "action"), location.href).href;
    show(request.responseText, isPage ? request.responseURL : undefined);
  });
  request.addEventListener("error", () => {
    done();
    const note = document.getElementById("offline");
    if (note) note.hidden = false;
  });
  // @ts-ignore: a form's fields are what a query may have, too
  request.send(isUpload ? data : new URLSearchParams(data));
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !form.hasAttribute("data-background")) return;
  event.preventDefault();
  if (!sending.has(form)) send(form, event.submitter);
});

// A search is sent while it is written.
/** @type {number | undefined} */
let typing;
let asked = new AbortController();
document.addEventListener("input", (event) => {
  const field = event.target;
  const form = field instanceof HTMLInputElement ? field.form : null;
  if (!form?.hasAttribute("data-as-you-type")) return;
  clearTimeout(typing);
  typing = setTimeout(async () => {
    const query = new URLSearchParams(/** @type {any} */ (new FormData(form)));
    const address = new URL(own(form, "action"), location.href);
    address.search = query.toString();
    asked.abort();
    asked = new AbortController();
    const answer = fetch(address, { headers: { accept: "text/html" }, signal: asked.signal });
    const html = await answer.then((answer) => answer.text()).catch(() => undefined);
    if (html === undefined) return;
    const page = new DOMParser().parseFromString(html, "text/html");
    history.replaceState(null, "", address);
    shown = here();
    for (const id of ["totals", "plugins"]) {
      const [there, wanted] = [document.getElementById(id), page.getElementById(id)];
      if (there && wanted) morph(there, wanted);
    }
    follow();
  }, 200);
});

// Files that are dropped on the page go into its field for files.
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    const field = document.querySelector("input[type=file]");
    if (!(field instanceof HTMLInputElement) || !(event instanceof DragEvent)) return;
    event.preventDefault();
    field.classList.toggle("dropping", kind === "dragover");
    if (kind === "drop" && event.dataTransfer?.files.length) {
      field.files = event.dataTransfer.files;
      field.dispatchEvent(new Event("change", { bubbles: true }));
    }
  });
}

// A step in the history to another page; a link to a place of this one is a step, too.
const here = () => location.pathname + location.search;
let shown = here();
window.addEventListener("popstate", () => (isQuestion || shown !== here()) && location.reload());

// A field that is not as it was is marked.
document.addEventListener("input", (event) => {
  const field = event.target;
  if (!(field instanceof HTMLInputElement)) return;
  const is = field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue;
  field.closest("[data-field]")?.classList.toggle("changed", is);
});

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-copy]") : null;
  if (!(button instanceof HTMLButtonElement)) return;
  const field = document.getElementById(button.dataset.copy ?? "");
  if (!(field instanceof HTMLInputElement)) return;
  // Browsers copy for pages only that came over an encrypted connection, or from this machine.
  field.select();
  const copied = navigator.clipboard?.writeText(field.value).then(() => true, () => false);
  button.textContent = (await copied) ? "Copied" : "Press Ctrl+C";
});
