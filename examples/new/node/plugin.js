// The plugin: what it does when plugd calls it. Edit this file; plugd.js carries the messages.

/** Greets every thread that is published, in its log. */
export class Plugin {
  greeting = "Hello";

  /** What plugd may call. Any other method is refused by plugd.js. */
  methods = {
    configure: (params) => this.configure(params),
    event: (params) => this.event(params),
    ping: () => this.ping(),
  };

  /** The connection is there. plugd keeps the configuration: ask for it. What nobody has set yet is missing in it. */
  async connected(host) {
    const { config } = await host.call("get_config", {});
    this.configure(config);
  }

  /** Somebody changes the configuration. With `ok: false` it is refused, and not stored. */
  configure({ greeting = "Hello" }) {
    if (!greeting.trim()) {
      console.log("configuration refused: the greeting is empty");
      return { ok: false };
    }
    this.greeting = greeting;
    console.log(`configured: ${greeting}`);
    return { ok: true };
  }

  /** One of the manifest's `events_consumed` has happened; this is its payload, with its name in `event`. */
  event({ event, id = "" }) {
    console.log(`${this.greeting}, ${event} ${id}`);
    return { ok: true };
  }

  /** plugd asks whether the plugin still lives. */
  ping() {
    return { pong: true, status: "healthy", uptime_seconds: process.uptime() };
  }
}
