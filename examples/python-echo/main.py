"""A plugin in Python that echoes, and is as strict about the protocol as Storyden's Python SDK.

It needs nothing but the `websockets` package. plugd (or Storyden) tells it where to connect. Whatever the SDK would
refuse ends this plugin with a line in its log and exit code 3, so that a host that breaks the contract is noticed.
"""

import asyncio
import os
import signal
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import protocol

# The largest message that the SDK accepts.
MAX_MESSAGE = 1024 * 1024
CALL_TIMEOUT_SECONDS = 30
BROKEN_CONTRACT = 3


def log(line):
    """Prints one line at once: stdout is the log."""
    print(line, flush=True)


class Echo:
    """One connection to the host."""

    def __init__(self, socket):
        self.socket = socket
        self.calls = {}
        self.started = asyncio.get_running_loop().time()

    async def serve(self):
        """Handles one message at a time, as the SDK does: while a handler runs, nothing else is read."""
        async for text in self.socket:
            message = protocol.parse(text)
            if isinstance(message, protocol.Request):
                await self.socket.send(self.answer(message))
            else:
                self.resolve(message)

    def answer(self, request):
        log(f"request {request.method} {request.params}")
        handler = {"configure": self.ok, "event": self.ok, "ping": self.ping, "robot_tool_call": self.echo}.get(
            request.method
        )
        if handler is None:
            return protocol.failure(request, protocol.METHOD_NOT_FOUND, f"method not found: {request.method}")
        return protocol.success(request, handler(request.params))

    def ok(self, _params):
        return {"ok": True}

    def ping(self, _params):
        uptime = asyncio.get_running_loop().time() - self.started
        return {"pong": True, "status": "healthy", "uptime_seconds": uptime}

    def echo(self, params):
        if params["tool_id"] != "echo":
            return {"error": f"no such tool: {params['tool_id']}"}
        return {"output": params["arguments"]}

    def resolve(self, response):
        waiting = self.calls.pop(response.id, None)
        if waiting is None:
            log(f"an answer to nothing: {response.id}")
        elif not waiting.done():
            waiting.set_result(response)

    async def call(self, method, params):
        """Calls the host. Must not be awaited by a handler: the answer would never be read."""
        request_id, text = protocol.request(method, params)
        waiting = self.calls[request_id] = asyncio.get_running_loop().create_future()
        await self.socket.send(text)
        response = await asyncio.wait_for(waiting, CALL_TIMEOUT_SECONDS)
        if response.error is not None:
            raise RuntimeError(f"{method}: {response.error}")
        if response.result["method"] != method:
            raise protocol.BrokenContract(f"{method} was answered as {response.result['method']}")
        return response.result

    async def greet(self):
        """What this plugin asks of the host once it is connected."""
        try:
            result = await self.call("get_config", {})
            log(f"config {result['config']}")
        except (RuntimeError, TimeoutError, ConnectionClosed) as error:
            log(f"no configuration: {error}")


async def run(url):
    async with connect(url, max_size=MAX_MESSAGE) as socket:
        log("connected")
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        echo = Echo(socket)
        serving = asyncio.create_task(echo.serve())
        greeting = asyncio.create_task(echo.greet())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        greeting.cancel()
        stopping.cancel()
        if stop.is_set():
            log("stopping")
            # The reader must go on, or the host's goodbye would never be seen.
            await socket.close()
        await serving
        log("disconnected")


def main():
    url = os.environ.get("PLUGD_RPC_URL") or os.environ.get("STORYDEN_RPC_URL")
    if not url:
        sys.exit("PLUGD_RPC_URL is not set: start this plugin with plugd")
    try:
        asyncio.run(run(url))
    except protocol.BrokenContract as broken:
        log(f"the host broke the contract: {broken}")
        sys.exit(BROKEN_CONTRACT)
    except KeyboardInterrupt:
        log("stopping before a connection was there")
    except ConnectionClosed as closed:
        log(f"disconnected: {closed}")


if __name__ == "__main__":
    main()
