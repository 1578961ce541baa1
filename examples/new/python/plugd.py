"""Carries messages between a plugin and plugd: JSON-RPC over a WebSocket, with Python 3.8 or later and nothing else.

`run(plugin)` connects to the address in PLUGD_RPC_URL and hands each call of plugd to the function of that name in
`plugin.methods`, several at a time. On SIGINT or SIGTERM it says goodbye and returns. What a plugin prints is its log.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import signal
import ssl
import struct
import sys
import uuid
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 30
CLOSE_TIMEOUT_SECONDS = 2
MAX_MESSAGE = 4 * 1024 * 1024
METHOD_NOT_FOUND, INTERNAL_ERROR = -32601, -32000


def run(plugin):
    """Runs a plugin until it is asked to stop. Ends the process with exit code 1 if the connection is lost."""
    url = os.environ.get("PLUGD_RPC_URL") or os.environ.get("STORYDEN_RPC_URL")
    if not url:
        sys.exit("PLUGD_RPC_URL is not set: start this plugin with plugd")
    sys.stdout.reconfigure(line_buffering=True)
    asyncio.run(_run(plugin, url))


async def _run(plugin, url):
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        host = Host(plugin, await asyncio.wait_for(WebSocket.connect(url), TIMEOUT_SECONDS))
    except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
        sys.exit(f"can't connect to plugd: {error}")
    print("connected")
    serving = asyncio.ensure_future(host.serve())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        sys.exit(f"the connection is lost: {serving.exception() or 'plugd closed it'}")
    print("stopping")
    await host.close(serving)


class Host:
    """plugd, as the plugin sees it."""

    def __init__(self, plugin, socket):
        self.plugin = plugin
        self.socket = socket
        self.calls = {}
        self.tasks = set()

    async def call(self, method, params):
        """Calls a method of plugd, or of the application behind it, and returns its result."""
        call_id = uuid.uuid4().hex
        answer = self.calls[call_id] = asyncio.get_running_loop().create_future()
        try:
            await self._send({"id": call_id, "method": method, "params": params})
            message = await asyncio.wait_for(answer, TIMEOUT_SECONDS)
        finally:
            del self.calls[call_id]
        if message.get("error"):
            raise RuntimeError(f"{method}: {message['error'].get('message')}")
        return message["result"]

    async def serve(self):
        """Reads until the connection ends. Each call is answered in a task of its own, so that it may call plugd, too."""
        self._start(self.plugin.connected(self))
        while True:
            text = await self.socket.receive()
            if text is None:
                return
            message = json.loads(text)
            if "method" in message:
                self._start(self._answer(message))
            elif message.get("id") in self.calls:
                self.calls[message["id"]].set_result(message)

    async def close(self, serving):
        """Says goodbye with code 1000, which makes it a clean stop, and waits for plugd to say it too."""
        with contextlib.suppress(OSError):  # It may be gone already.
            await self.socket.close(1000)
        await asyncio.wait({serving}, timeout=CLOSE_TIMEOUT_SECONDS)
        if serving.done():
            serving.exception()  # Seen; nobody needs to hear of it now.

    async def _answer(self, request):
        method = request["method"]
        handler = self.plugin.methods.get(method)
        if handler is None:
            answer = {"error": {"code": METHOD_NOT_FOUND, "message": f"method not found: {method}"}}
        else:
            try:
                # A result repeats the method that it answers.
                answer = {"result": {"method": method, **await handler(request.get("params") or {})}}
            except Exception as error:  # Whatever it is: the plugin goes on, and plugd hears of it.
                print(f"{method} failed: {error!r}")
                answer = {"error": {"code": INTERNAL_ERROR, "message": str(error)}}
        await self._send({"id": request["id"], **answer})

    async def _send(self, message):
        await self.socket.send(json.dumps({"jsonrpc": "2.0", **message}))

    def _start(self, work):
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task):
        self.tasks.discard(task)
        if not task.cancelled() and task.exception():
            print(f"error: {task.exception()!r}")


class WebSocket:
    """The client's side of a WebSocket (RFC 6455)."""

    CONTINUATION, TEXT, BINARY, CLOSE, PING = 0x0, 0x1, 0x2, 0x8, 0x9
    PONG = 0xA
    KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.is_closing = False

    @classmethod
    async def connect(cls, url):
        """Connects to a ws:// or wss:// address."""
        address = urlsplit(url)
        is_encrypted = address.scheme == "wss"
        port = address.port or (443 if is_encrypted else 80)
        context = ssl.create_default_context() if is_encrypted else None
        reader, writer = await asyncio.open_connection(address.hostname, port, ssl=context)
        key = base64.b64encode(os.urandom(16))
        host = address.netloc.rpartition("@")[2]
        writer.write(
            f"GET {address.path or '/'}?{address.query} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key.decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        status, _, headers = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").partition("\r\n")
        accept = base64.b64encode(hashlib.sha1(key + cls.KEY_SUFFIX).digest()).decode()
        if " 401 " in f"{status} ":
            raise ConnectionRefusedError("the token in PLUGD_RPC_URL is not valid, or no longer")
        if " 101 " not in f"{status} " or accept not in headers:
            raise ConnectionRefusedError(f"no WebSocket there: {status}")
        return cls(reader, writer)

    async def receive(self):
        """The next text; None at the end, whoever closed."""
        message = b""
        while True:
            is_last, kind, data = await self._frame()
            if kind == self.PING:
                await self._send(self.PONG, data)
            elif kind == self.CLOSE:
                if not self.is_closing:
                    await self._send(self.CLOSE, data[:2])
                self.writer.close()
                return None
            elif kind in (self.CONTINUATION, self.TEXT, self.BINARY):
                message += data
                if len(message) > MAX_MESSAGE:
                    raise ConnectionError("a message is too long")
                if is_last:
                    return message.decode()

    async def send(self, text):
        """Sends a text."""
        await self._send(self.TEXT, text.encode())

    async def close(self, code):
        """Says goodbye; `receive` returns None once the other side has said it, too."""
        self.is_closing = True
        await self._send(self.CLOSE, struct.pack("!H", code))

    async def _frame(self):
        first, second = await self.reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        if size > MAX_MESSAGE:
            raise ConnectionError("a message is too long")
        return bool(first & 0x80), first & 0x0F, await self.reader.readexactly(size)

    async def _send(self, kind, data):
        if len(data) < 126:
            size = struct.pack("!B", 0x80 | len(data))
        elif len(data) < 1 << 16:
            size = struct.pack("!BH", 0x80 | 126, len(data))
        else:
            size = struct.pack("!BQ", 0x80 | 127, len(data))
        # What a client sends is masked.
        mask = os.urandom(4)
        key = int.from_bytes((mask * (len(data) // 4 + 1))[: len(data)], "big")
        masked = (int.from_bytes(data, "big") ^ key).to_bytes(len(data), "big")
        self.writer.write(bytes([0x80 | kind]) + size + mask + masked)
        await self.writer.drain()
