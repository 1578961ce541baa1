// Parts of the page that follow what they show: each comes as HTML with an id, and takes the place of the one that has it.

/**
 * Makes an element like another one, and keeps what the person has done to it: the focus, what is selected, what is written into
 * fields, what is opened.
 * @param {Element} from
 * @param {Element} to
 */
export function morph(from, to) {
  // What has data-own is its script's.
  if (from.isEqualNode(to) || (from.hasAttribute("data-own") && from.id === to.id)) return;
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && name !== "open") from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  const keyed = new Map([...from.children].map((child) => [idOf(child), child]));
  let next = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const id = wanted instanceof Element && idOf(wanted);
    const known = id ? keyed.get(id) : undefined;
    const there = known ?? next;
    if (there && isAlike(there, wanted)) {
      if (there === next) next = next.nextSibling;
      else from.insertBefore(there, next);
      if (there instanceof Element && wanted instanceof Element) morph(there, wanted);
      else if (there.nodeValue !== wanted.nodeValue) there.nodeValue = wanted.nodeValue;
    } else {
      from.insertBefore(wanted, next);
    }
  }
  while (next) {
    const after = next.nextSibling;
    const hadFocus = next.contains(document.activeElement);
    next.remove();
    if (hadFocus) focusIn(after ?? from.lastChild);
    next = after;
  }
}

/**
 * Has the focus go on where what had it is gone, rather than at the top of the page.
 * @param {Node | null} node
 */
function focusIn(node) {
  if (!(node instanceof HTMLElement)) return;
  const first = node.matches(FOCUSABLE) ? node : node.querySelector(FOCUSABLE);
  if (first instanceof HTMLElement) first.focus({ preventScroll: true });
}

const FOCUSABLE = "button, a[href], input:not([type=hidden]), select, textarea, summary";

/**
 * Whether one node can be made like the other rather than be replaced.
 * @param {Node} there
 * @param {Node} wanted
 */
function isAlike(there, wanted) {
  if (there.nodeName !== wanted.nodeName) return false;
  return !(there instanceof Element && wanted instanceof Element) || idOf(there) === idOf(wanted);
}

/**
 * The id of an element. A form that has a field named so shows that as its property.
 * @param {Element} element
 */
function idOf(element) {
  return element.getAttribute("id");
}

/** @param {string} html */
function place(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  for (const fragment of [...page.body.children]) {
    const there = document.getElementById(fragment.id);
    if (there) morph(there, fragment);
  }
  document.dispatchEvent(new Event("console:changed"));
}

/** The stream of the page that is shown. @type {EventSource | undefined} */
let stream;
/** @type {number | undefined} */
let again;

/** Follows the page that is shown, in place of the one before. */
export function follow() {
  stream?.close();
  clearTimeout(again);
  const main = document.querySelector("main[data-live]");
  if (!main || document.hidden) return;
  const source = new EventSource(location.href);
  stream = source;
  source.addEventListener("open", () => tell(false));
  source.addEventListener("fragment", (event) => place(event.data));
  source.addEventListener("error", () => {
    tell(true);
    // The browser tries again by itself, unless it was refused: then the page has to be asked for, which says why.
    if (source.readyState === EventSource.CLOSED) again = setTimeout(reload, 2000);
  });
}

// A page that nobody sees follows nothing: browsers have six connections to a server without encryption, for all tabs.
document.addEventListener("visibilitychange", follow);

async function reload() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => undefined);
  if (!answer || answer.status >= 500) again = setTimeout(reload, 2000);
  else if (answer.ok && !answer.redirected) follow();
  else location.reload();
}

/** @param {boolean} isLost */
function tell(isLost) {
  const note = document.getElementById("offline");
  if (note) note.hidden = !isLost;
}
