"""The plugin: what it does when plugd calls it. Edit this file; plugd.py carries the messages."""

import time

import plugd


class Plugin:
    """Greets every thread that is published, in its log."""

    def __init__(self):
        self.greeting = "Hello"
        self.started = time.monotonic()
        # What plugd may call. Any other method is refused by plugd.py.
        self.methods = {"configure": self.configure, "event": self.event, "ping": self.ping}

    async def connected(self, host):
        """The connection is there. plugd keeps the configuration: ask for it. What nobody has set yet is missing in it."""
        result = await host.call("get_config", {})
        await self.configure(result["config"])

    async def configure(self, params):
        """Somebody changes the configuration. With `"ok": False` it is refused, and not stored."""
        greeting = params.get("greeting", "Hello")
        if not greeting.strip():
            print("configuration refused: the greeting is empty")
            return {"ok": False}
        self.greeting = greeting
        print(f"configured: {greeting}")
        return {"ok": True}

    async def event(self, params):
        """One of the manifest's `events_consumed` has happened; `params` is its payload, with its name in `event`."""
        print(f"{self.greeting}, {params['event']} {params.get('id', '')}")
        return {"ok": True}

    async def ping(self, params):
        """plugd asks whether the plugin still lives."""
        return {"pong": True, "status": "healthy", "uptime_seconds": time.monotonic() - self.started}


if __name__ == "__main__":
    plugd.run(Plugin())
