// Waiting, bounded. Nothing here passes or fails by a time unless something hangs.

/** The longest that anything may take, in milliseconds. */
export const HANG = Number(process.env.HANG_SECONDS ?? 120) * 1000;

/** How often something is looked at that sends no events. */
const LOOK = 20;

/**
 * Looks until there is something, and gives it.
 * @template T
 * @param {string} what
 * @param {() => T | Promise<T>} look
 * @returns {Promise<NonNullable<T>>}
 */
export async function eventually(what, look) {
  const end = Date.now() + HANG;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK));
  }
}

/**
 * What a promise comes to, unless it hangs.
 * @template T
 * @param {string} what
 * @param {Promise<T>} promise
 * @returns {Promise<T>}
 */
export async function within(what, promise) {
  let timer;
  const hangs = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`hangs: ${what}`)), HANG);
  });
  try {
    return await Promise.race([promise, hangs]);
  } finally {
    clearTimeout(timer);
  }
}
