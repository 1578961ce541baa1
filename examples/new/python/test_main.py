"""Tests of the plugin without plugd: `python3 -m unittest` in this folder."""

import unittest

from main import Plugin


class Host:
    """Stands in for plugd."""

    def __init__(self, config):
        self.config = config

    async def call(self, method, params):
        return {"method": method, "config": self.config}


class PluginTest(unittest.IsolatedAsyncioTestCase):
    async def test_it_lives(self):
        self.assertTrue((await Plugin().ping({}))["pong"])

    async def test_it_takes_the_stored_configuration_when_it_is_connected(self):
        plugin = Plugin()
        await plugin.connected(Host({"greeting": "Good day"}))
        self.assertEqual(plugin.greeting, "Good day")

    async def test_it_refuses_an_empty_greeting(self):
        plugin = Plugin()
        self.assertEqual(await plugin.configure({"greeting": " "}), {"ok": False})
        self.assertEqual(plugin.greeting, "Hello")

    async def test_it_takes_events(self):
        self.assertEqual(await Plugin().event({"event": "EventThreadPublished", "id": "x"}), {"ok": True})


if __name__ == "__main__":
    unittest.main()
