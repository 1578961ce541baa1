"""An application that plugd's plugins extend.

    host.py serve                            answers what plugins ask of the application, until Ctrl-C
    host.py publish EventThreadPublished '{"id": "9m4e2mr0ui3e8a215n4g"}'
    host.py call PLUGIN_ID '{"text": "hi"}'  calls the plugin's tool named echo

It needs the packages grpcio and grpcio-tools, and reads the API from ../../proto: nothing has to be generated first.
"""

import argparse
import json
import os
import pathlib
import queue
import sys

import grpc
from google.protobuf import json_format, struct_pb2

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
sys.path.insert(0, str(PROTO))
bus_pb2, bus_grpc = grpc.protos_and_services("plugd/v1/bus.proto")

# On whose behalf the tool is called: ids of the application's own.
CALLER = {"call_id": "call-1", "session_id": "9m4e2mr0ui3e8a215n4g", "account_id": "9m4e2mr0ui3e8a215n50"}

# JSON-RPC codes.
METHOD_NOT_FOUND = -32601
INTERNAL_ERROR = -32603


def log(line):
    print(line, flush=True)


def struct(fields):
    """A JSON object as the API carries it."""
    return json_format.ParseDict(fields, struct_pb2.Struct())


class Application:
    """What the application does for its plugins: a method of the same name for each that it serves."""

    def __init__(self, api_url):
        self.api_url = api_url

    def access_get(self, call):
        # A real application grants this to an account here, with a key that ends with the run.
        permissions = ", ".join(call.access.permissions) or "nothing"
        log(f"{call.access.handle} may {permissions} during run {call.run_id}")
        return {"access_key": "sdbak_example", "api_base_url": self.api_url}

    def robot_run(self, call):
        params = json_format.MessageToDict(call.params)
        session, message = params.get("session_id", CALLER["session_id"]), params.get("message", "")
        if not message.strip():
            return {"session_id": session, "error": "the message is blank"}
        return {"session_id": session, "output": {"status": "completed", "summary": f"You said: {message}"}}


def serve(bus, metadata, options):
    """Serves plugins' calls until the stream ends."""
    application = Application(options.api_url)
    handlers = {"access_get": application.access_get, "robot_run": application.robot_run}
    outgoing = queue.SimpleQueue()
    outgoing.put(bus_pb2.ServeHostRequest(register={"methods": list(handlers)}))
    for message in bus.ServeHost(iter(outgoing.get, None), metadata=metadata):
        match message.WhichOneof("message"):
            case "registered":
                log(f"serving {', '.join(handlers)}")
            case "call":
                log(f"call {message.call.method} by {message.call.manifest_id}")
                outgoing.put(bus_pb2.ServeHostRequest(reply=reply(handlers, message.call)))
            case "cancelled":
                log(f"cancelled {message.cancelled.call_id}")


def reply(handlers, call):
    handler = handlers.get(call.method)
    if handler is None:
        return failed(call, METHOD_NOT_FOUND, f"method not found: {call.method}")
    try:
        return {"call_id": call.call_id, "result": struct(handler(call))}
    except Exception as error:  # One call that fails must not end the stream.
        return failed(call, INTERNAL_ERROR, str(error))


def failed(call, code, message):
    return {"call_id": call.call_id, "error": {"code": code, "message": message}}


def publish(bus, metadata, options):
    """Publishes one event."""
    request = bus_pb2.PublishEventRequest(name=options.name, payload=struct(options.payload))
    answer = bus.PublishEvent(request, metadata=metadata, timeout=10)
    log(f"matched {answer.matched}, accepted {answer.accepted}")


def call(bus, metadata, options):
    """Calls a tool of a plugin."""
    params = {"provider_id": options.provider, "tool_id": options.tool, "arguments": options.arguments, **CALLER}
    request = bus_pb2.CallPluginRequest(plugin_id=options.plugin, method="robot_tool_call", params=struct(params))
    answer = bus.CallPlugin(request, metadata=metadata, timeout=40)
    log(json.dumps(json_format.MessageToDict(answer.result), sort_keys=True))


def parse_arguments():
    parser = argparse.ArgumentParser(description="An application that plugd's plugins extend.")
    parser.add_argument("--address", default="127.0.0.1:8000", help="where plugd listens (default: %(default)s)")
    parser.add_argument("--token", default=os.environ.get("PLUGD_TOKEN", ""), help="a token of role host or admin")
    commands = parser.add_subparsers(required=True)

    serving = commands.add_parser("serve", help="answer what plugins ask")
    serving.add_argument("--api-url", default="http://127.0.0.1:3000", help="this application's own API")
    serving.set_defaults(run=serve)

    publishing = commands.add_parser("publish", help="publish an event")
    publishing.add_argument("name")
    publishing.add_argument("payload", type=json.loads, nargs="?", default={})
    publishing.set_defaults(run=publish)

    calling = commands.add_parser("call", help="call a plugin's tool")
    calling.add_argument("plugin", help="the installation's id")
    calling.add_argument("arguments", type=json.loads, nargs="?", default={})
    calling.add_argument("--provider", default="echo")
    calling.add_argument("--tool", default="echo")
    calling.set_defaults(run=call)
    return parser.parse_args()


def main():
    options = parse_arguments()
    metadata = [("authorization", f"Bearer {options.token}")] if options.token else []
    with grpc.insecure_channel(options.address) as channel:
        try:
            options.run(bus_grpc.BusServiceStub(channel), metadata, options)
        except grpc.RpcError as error:
            sys.exit(f"{error.code().name}: {error.details()}")
        except KeyboardInterrupt:
            log("stopped")


if __name__ == "__main__":
    main()
