// The log that a page shows: new lines come to its end, as long as that is looked at. Lines that the search box excludes are hidden.

/** Lines that are in the page, and that wait while older ones are looked at: the most, and of both the most letters. */
const LINES = 10_000, LETTERS = 1 << 24;
/** Lines that are laid out together, as in pages. */
const TOGETHER = 100;
/** Lines that are put into the page at once. */
const AT_ONCE = 2000;

/** Makes a log live. @param {HTMLElement} box */
function start(box) {
  const frame = /** @type {HTMLElement} */ (box.parentElement);
  const [state, button, end] = ["#log-state", "button.follow", "#log-end"].map((name) => frame.querySelector(name));
  const search = /** @type {HTMLInputElement | null} */ (document.getElementById("log-search"));
  const sent = (box.dataset.text ?? "").toLowerCase();
  /** What came and is not in the page. @type {{ html: string, lines: number }[]} */
  const waiting = [];
  let [last, searched, isFollowing, isLost, came, frames] = [box.dataset.after ?? "", "", true, false, 0, 0];
  /** Where the box was scrolled to, how high it and what is in it were, and when the person last did something to it. */
  let [top, height, touched] = [0, "", -Infinity];
  /** Whether what waits does not follow what is in the page. */
  let isCut = false;
  /** @type {EventSource} */
  let source;

  const total = (/** @type {"lines" | "html"} */ of) =>
    waiting.reduce((sum, one) => sum + (of === "lines" ? one.lines : one.html.length), 0);

  function connect() {
    const address = new URL(box.dataset.stream ?? "", location.href);
    address.searchParams.set("after", last);
    source = new EventSource(address);
    source.addEventListener("open", () => tell((isLost = false)));
    source.addEventListener("error", () => {
      tell((isLost = true));
      // The browser tries again by itself, unless it was refused.
      if (source.readyState === EventSource.CLOSED) setTimeout(reconnect, 2000);
    });
    source.addEventListener("lines", (event) => {
      last = event.lastEventId;
      const lines = event.data.split('<div class="line').length - 1;
      // What only says how far it is has nothing to show.
      if (event.data) waiting.push({ html: event.data, lines });
      came += lines;
      // The older ones would leave the page at once, and all before them with them.
      while (waiting.length > 1 && (total("lines") - waiting[0].lines >= LINES || total("html") > LETTERS)) {
        waiting.shift();
        isCut = true;
      }
      draw();
    });
  }

  async function reconnect() {
    const answer = await fetch(location.href, { method: "HEAD" }).catch(() => undefined);
    if (!box.isConnected) return;
    if (!answer || answer.status >= 500) setTimeout(reconnect, 2000);
    else if (answer.ok && !answer.redirected) connect();
    else location.reload();
  }

  /** Says whether lines come. */
  function tell(_ = isLost) {
    const more = searched.includes(sent) ? "" : " Press Enter to search all lines.";
    const words = isLost ? "Connection lost. Trying again…" : isFollowing ? "Following." : "Stopped while you look back.";
    if (state && state.textContent !== words + more) state.textContent = words + more;
    if (!(button instanceof HTMLButtonElement)) return;
    button.hidden = isFollowing;
    button.textContent = came === 0 ? "Follow" : came === 1 ? "1 new line – follow" : `${came} new lines – follow`;
  }

  /** Before the next picture, puts what waits into the page. */
  function draw() {
    frames ||= requestAnimationFrame(() => {
      frames = 0;
      if (isFollowing) {
        if (isCut) box.querySelectorAll(".batch").forEach((batch) => batch.remove());
        isCut = false;
        for (let lines = 0; waiting.length && lines < AT_ONCE; ) {
          const next = /** @type {{ html: string, lines: number }} */ (waiting.shift());
          lines += next.lines + 1;
          append(next.html);
        }
        came = total("lines");
        leave();
        toEnd();
        if (waiting.length) draw();
      }
      tell();
    });
  }

  /** @param {string} html */
  function append(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    for (const element of template.content.querySelectorAll(".batch > *")) {
      let batch = end?.previousElementSibling;
      if (!batch?.matches(".batch") || batch.childElementCount >= TOGETHER) {
        batch = document.createElement("div");
        batch.className = "batch";
        box.insertBefore(batch, end);
        sized.observe(batch);
      }
      batch.append(element);
      if (searched !== sent) filter(element);
    }
  }

  /** Has the oldest lines leave when there are too many. */
  function leave() {
    const batches = [...box.querySelectorAll(".batch")];
    let lines = batches.reduce((sum, batch) => sum + batch.childElementCount, 0);
    let letters = lines > 500 ? 0 : -Infinity;
    for (const batch of letters ? [] : batches) letters += size(batch);
    while (batches.length > 1 && (lines > LINES || letters > LETTERS)) {
      const oldest = /** @type {Element} */ (batches.shift());
      lines -= oldest.childElementCount;
      letters -= size(oldest);
      oldest.remove();
    }
  }

  const sizeOf = () => `${box.scrollHeight} ${box.clientHeight}`;

  // What is not to be seen is laid out with a height that is guessed, and moves the end when it is.
  const sized = new ResizeObserver(() => isFollowing && toEnd());

  function toEnd() {
    box.scrollTop = box.scrollHeight;
    [top, height] = [box.scrollTop, sizeOf()];
  }

  /** @param {boolean} is */
  function setFollowing(is) {
    if (is !== isFollowing) {
      isFollowing = is;
      draw();
    }
    if (is) toEnd();
    tell();
  }

  /** Hides a line without what is searched for, and marks where it is. @param {Element} line */
  function filter(line) {
    const text = line.querySelector(":scope > .text");
    if (!(line instanceof HTMLElement) || !text) return;
    for (const mark of text.querySelectorAll("mark")) mark.replaceWith(...mark.childNodes);
    text.normalize();
    line.hidden = !mark(text, searched);
  }

  function filterAll() {
    searched = search?.value.trim().toLowerCase() ?? "";
    box.classList.toggle("searched", searched !== "");
    for (const line of box.querySelectorAll(".line")) filter(line);
    if (isFollowing) toEnd();
    tell();
  }

  box.addEventListener("scroll", () => {
    const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 8;
    // What is laid out anew moves the end away, too.
    const isMeant = performance.now() - touched < 2000 || (box.scrollTop < top && sizeOf() === height);
    if (isAtEnd !== isFollowing && (isAtEnd || isMeant)) setFollowing(isAtEnd);
    else if (isFollowing && !isAtEnd) toEnd();
    [top, height] = [box.scrollTop, sizeOf()];
  });
  for (const kind of ["wheel", "touchmove", "pointerdown", "keydown"]) {
    box.addEventListener(kind, () => (touched = performance.now()), { passive: true });
  }
  button?.addEventListener("click", () => {
    setFollowing(true);
    box.focus();
  });
  document.addEventListener("keydown", (event) => {
    const isWriting = event.target instanceof Element && event.target.matches("input, select, textarea");
    if (!box.isConnected || isWriting || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "End") setFollowing(true);
    else if (event.key === "/" && search) search.focus();
    else return;
    event.preventDefault();
  });
  let typing = 0;
  search?.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(filterAll, 120);
  });
  document.addEventListener("console:changed", () => box.isConnected || source.close());
  // A log that nobody sees keeps no connection: browsers have few. It goes on where it was.
  document.addEventListener("visibilitychange", () => {
    if (!box.isConnected) return;
    if (document.hidden) source.close();
    else if (source.readyState === EventSource.CLOSED) connect();
  });

  searched = sent;
  toEnd();
  [box, ...box.querySelectorAll(".batch")].forEach((one) => sized.observe(one));
  connect();
}

/** How many letters a batch has. @param {Element} batch */
function size(batch) {
  const known = sizes.get(batch);
  if (known?.lines === batch.childElementCount) return known.letters;
  const letters = batch.textContent.length;
  sizes.set(batch, { lines: batch.childElementCount, letters });
  return letters;
}

/** @type {WeakMap<Element, { lines: number, letters: number }>} */
const sizes = new WeakMap();

/**
 * Marks what is searched for, also across colours. False if it is not there.
 * @param {Element} element
 * @param {string} searched
 */
function mark(element, searched) {
  const text = element.textContent ?? "";
  const lower = text.toLowerCase();
  let at = searched ? lower.indexOf(searched) : -1;
  if (at < 0 || lower.length !== text.length) return !searched || at >= 0;
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(), start = 0; node && at >= 0; ) {
    const length = node.nodeValue?.length ?? 0;
    const [from, to] = [Math.max(at - start, 0), Math.min(at + searched.length - start, length)];
    if (from >= length) {
      start += length;
      node = walker.nextNode();
      continue;
    }
    const part = /** @type {Text} */ (node).splitText(from);
    const rest = part.splitText(to - from);
    const marked = document.createElement("mark");
    part.replaceWith(marked);
    marked.append(part);
    const isWhole = start + to === at + searched.length;
    start += to;
    if (isWhole) at = lower.indexOf(searched, at + searched.length);
    walker.currentNode = node = rest;
  }
  return true;
}

/** @type {WeakSet<HTMLElement>} */
const started = new WeakSet();

/** Makes the log of the page live that is shown, if it has one. */
export function startLogs() {
  const box = document.getElementById("log");
  if (!box?.dataset.stream || started.has(box)) return;
  started.add(box);
  start(box);
}

document.addEventListener("console:changed", startLogs);
startLogs();
