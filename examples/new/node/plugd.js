// Carries messages between a plugin and plugd: JSON-RPC over Node's own WebSocket, and nothing else.
//
// `run(plugin)` connects to the address in PLUGD_RPC_URL and hands each call of plugd to the function of that name in
// `plugin.methods`, several at a time. On SIGINT or SIGTERM it says goodbye and ends. What a plugin prints is its log.

const CALL_TIMEOUT_MS = 30_000;
const CLOSE_TIMEOUT_MS = 2_000;
const METHOD_NOT_FOUND = -32601;
const INTERNAL_ERROR = -32000;

/** Runs a plugin until it is asked to stop. Ends the process with exit code 1 if the connection is lost. */
export async function run(plugin) {
  const url = process.env.PLUGD_RPC_URL ?? process.env.STORYDEN_RPC_URL;
  if (!url) fail("PLUGD_RPC_URL is not set: start this plugin with plugd");
  if (!globalThis.WebSocket) fail(`Node 20.10 or later is needed, with --experimental-websocket before 22; this is ${process.version}`);
  const socket = new WebSocket(url);
  const host = new Host(plugin, socket);
  let isOpen = false;
  let isStopping = false;
  const stop = () => {
    if (isStopping) return;
    isStopping = true;
    console.log("stopping");
    // Code 1000 makes it a clean stop. plugd says goodbye, too; that is when the process ends.
    socket.close(1000, "stopping");
    setTimeout(() => process.exit(0), CLOSE_TIMEOUT_MS).unref();
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  socket.onopen = () => {
    isOpen = true;
    console.log("connected");
    Promise.resolve(plugin.connected?.(host)).catch((error) => console.log(`error: ${error.message}`));
  };
  socket.onmessage = (message) => host.receive(JSON.parse(message.data));
  socket.onerror = async (event) => {
    if (isOpen || isStopping) return;
    const refused = (await isRefused(url)) && "the token in PLUGD_RPC_URL is not valid, or no longer";
    fail(`can't connect to plugd: ${refused || event.message || "no WebSocket there"}`);
  };
  socket.onclose = (closed) => {
    if (isStopping) process.exit(0);
    if (isOpen) fail(`the connection is lost: ${closed.code} ${closed.reason}`);
  };
}

/** Does plugd refuse the token? A WebSocket does not tell why it did not open; an ordinary request is told. */
async function isRefused(url) {
  const answer = await fetch(url.replace(/^ws/, "http"), { signal: AbortSignal.timeout(CLOSE_TIMEOUT_MS) }).catch(() => null);
  return answer?.status === 401;
}

function fail(why) {
  console.log(why);
  process.exit(1);
}

/** plugd, as the plugin sees it. */
class Host {
  #plugin;
  #socket;
  #calls = new Map();
  #lastId = 0;

  constructor(plugin, socket) {
    this.#plugin = plugin;
    this.#socket = socket;
  }

  /** Calls a method of plugd, or of the application behind it; resolves to its result. */
  call(method, params) {
    const id = `call-${(this.#lastId += 1)}`;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(id, { error: { message: "no answer in time" } }), CALL_TIMEOUT_MS);
      this.#calls.set(id, { method, resolve, reject, timer });
      this.#send({ id, method, params });
    });
  }

  /** Takes what plugd sent: a call of its own, or the answer to one of the plugin's. */
  receive(message) {
    if (message.method) this.#answer(message);
    else this.#settle(message.id, message);
  }

  #settle(id, { result, error }) {
    const call = this.#calls.get(id);
    if (!call) return;
    this.#calls.delete(id);
    clearTimeout(call.timer);
    if (error) call.reject(new Error(`${call.method}: ${error.message}`));
    else call.resolve(result);
  }

  async #answer({ id, method, params }) {
    const handler = Object.hasOwn(this.#plugin.methods, method) ? this.#plugin.methods[method] : undefined;
    if (!handler) return this.#send({ id, error: { code: METHOD_NOT_FOUND, message: `method not found: ${method}` } });
    try {
      // A result repeats the method that it answers.
      this.#send({ id, result: { method, ...(await handler(params ?? {})) } });
    } catch (error) {
      // Whatever it is: the plugin goes on, and plugd hears of it.
      console.log(`${method} failed: ${error.stack}`);
      this.#send({ id, error: { code: INTERNAL_ERROR, message: error.message } });
    }
  }

  #send(message) {
    this.#socket.send(JSON.stringify({ jsonrpc: "2.0", ...message }));
  }
}
