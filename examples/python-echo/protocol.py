"""The plugin protocol, read strictly: JSON-RPC messages, one a text frame (CONTRACT 11)."""

import json
import re
import secrets
from dataclasses import dataclass

METHOD_NOT_FOUND = -32601

# An xid is 12 bytes in lower-case base32hex. Its last character carries one bit: it is 0 or g.
CANONICAL_XID = re.compile(r"[0-9a-v]{19}[0g]")
BASE32HEX = "0123456789abcdefghijklmnopqrstuv"

# What the host may send for each method: the members that must be there, those that may be, and what is in members that
# are known to the last key. `configure` takes anything.
MESSAGE = ({"role"}, {"content", "name", "tool_call_id"}, {})
TOOL = ({"name"}, {"description", "parameters"}, {})
PARAMS = {
    "ping": (set(), set(), {}),
    "robot_tool_call": (
        {"provider_id", "tool_id", "call_id", "session_id", "account_id", "arguments"},
        {"robot_id"},
        {},
    ),
    "robot_model_provider_list_models": ({"provider"}, set(), {}),
    "robot_model_provider_generate": (
        {"provider", "model", "messages"},
        {"system", "tools"},
        {"messages": MESSAGE, "tools": TOOL},
    ),
}
EVENTS = {"EventThreadPublished": ({"event", "id"}, set())}


class BrokenContract(Exception):
    """The host sent what it must not send."""


@dataclass
class Request:
    """What the host asks."""

    id: str
    method: str
    params: dict


@dataclass
class Response:
    """What the host answers."""

    id: str
    result: dict | None
    error: dict | None


def parse(text):
    """Reads one message: a top-level `method` makes it a request."""
    message = json.loads(text)
    if not isinstance(message, dict):
        raise BrokenContract(f"not an object: {text[:100]}")
    if message.get("jsonrpc") != "2.0":
        raise BrokenContract("jsonrpc is not 2.0")
    return parse_request(message) if "method" in message else parse_response(message)


def parse_request(message):
    expect("request", message, {"jsonrpc", "id", "method"}, {"params"})
    if not isinstance(message["id"], str) or not CANONICAL_XID.fullmatch(message["id"]):
        raise BrokenContract(f"the id of a request is not a canonical xid: {message['id']}")
    method, params = message["method"], message.get("params") or {}
    if method == "event":
        known = EVENTS.get(params.get("event"))
        if known is None:
            raise BrokenContract(f"an event that the manifest does not consume: {params.get('event')}")
        expect(f"params of {params['event']}", params, *known)
    elif method in PARAMS:
        expect_all(f"params of {method}", params, *PARAMS[method])
    elif method != "configure":
        raise BrokenContract(f"a method that the SDK does not know: {method}")
    return Request(message["id"], method, params)


def parse_response(message):
    expect("response", message, {"jsonrpc", "id"}, {"result", "error"})
    result, error = message.get("result"), message.get("error")
    if error is not None:
        expect("error", error, {"code", "message"}, {"data"})
        if result is not None:
            raise BrokenContract("a response with both a result and an error")
    elif not isinstance(result, dict) or not isinstance(result.get("method"), str):
        raise BrokenContract(f"a result without its method: {result}")
    return Response(message["id"], result, error)


def expect_all(what, fields, needed, allowed, inner):
    """The same at every level that is known."""
    expect(what, fields, needed, allowed)
    for name, members in inner.items():
        for item in fields.get(name) or []:
            expect_all(f"{name} of {what}", item, *members)


def expect(what, fields, needed, allowed):
    """Demands the needed fields, and refuses what is neither needed nor allowed."""
    missing = needed - fields.keys()
    if missing:
        raise BrokenContract(f"missing field in {what}: {', '.join(sorted(missing))}")
    unexpected = fields.keys() - needed - allowed
    if unexpected:
        raise BrokenContract(f"unexpected field in {what}: {', '.join(sorted(unexpected))}")


def new_id():
    """96 random bits, right-aligned in 20 characters as the SDK has them: most are no canonical xids."""
    number = secrets.randbits(96)
    return "".join(BASE32HEX[number >> shift & 31] for shift in range(95, -1, -5))


def request(method, params):
    """A request to the host: its id and its text."""
    request_id = new_id()
    return request_id, encode({"id": request_id, "method": method, "params": params})


def success(asked, result):
    """The answer to a request; it names the method that it answers."""
    return encode({"id": asked.id, "result": {"method": asked.method, **result}})


def failure(asked, code, message):
    """The refusal of a request."""
    return encode({"id": asked.id, "error": {"code": code, "message": message}})


def encode(message):
    return json.dumps({"jsonrpc": "2.0", **message})
