"""A plugin's life by grpcio, which shares no code with plugd: health, install, watch, activate, fail, delete.

    life.py ADDRESS TOKEN PACKAGE

Prints one JSON object a line of what it saw.
"""

import json
import pathlib
import sys
import threading

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "proto"))
api, services = grpc.protos_and_services("plugd/v1/plugin.proto")

ADDRESS, TOKEN, PACKAGE = sys.argv[1:]
METADATA = [("authorization", f"Bearer {TOKEN}")]
DEADLINE = 80
CHUNK = 1000


def say(**fields):
    print(json.dumps(fields, sort_keys=True), flush=True)


def parts(path):
    yield api.InstallPluginRequest(header=api.InstallPluginRequest.Header())
    data = pathlib.Path(path).read_bytes()
    for start in range(0, len(data), CHUNK):
        yield api.InstallPluginRequest(chunk=data[start : start + CHUNK])


def watch(plugins, opened, states):
    """Notes every state until the plugin is removed."""
    for message in plugins.WatchState(api.WatchStateRequest(), metadata=METADATA, timeout=DEADLINE):
        frame = message.WhichOneof("frame")
        if frame == "snapshot_end":
            opened.set()
        for event in message.events.events if frame == "events" else ():
            state = api.ReportedState.Name(event.plugin.status.state)
            if not states or states[-1] != state:
                states.append(state)
            if event.kind == api.PluginEvent.KIND_REMOVED:
                return


def main():
    with grpc.insecure_channel(ADDRESS) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        status = health.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE).status
        say(health=health_pb2.HealthCheckResponse.ServingStatus.Name(status))

        plugins = services.PluginServiceStub(channel)
        opened, states = threading.Event(), []
        watcher = threading.Thread(target=watch, args=(plugins, opened, states))
        watcher.start()
        assert opened.wait(DEADLINE)

        plugin = plugins.InstallPlugin(parts(PACKAGE), metadata=METADATA, timeout=DEADLINE).plugin
        for active_state in (api.ACTIVE_STATE_ACTIVE, api.ACTIVE_STATE_INACTIVE):
            request = api.SetActiveStateRequest(plugin_id=plugin.id, active_state=active_state)
            answer = plugins.SetActiveState(request, metadata=METADATA, timeout=DEADLINE)
            say(state=api.ReportedState.Name(answer.plugin.status.state))
        listed = plugins.ListPlugins(api.ListPluginsRequest(), metadata=METADATA, timeout=DEADLINE).plugins
        say(listed=[found.name for found in listed])
        plugins.DeletePlugin(api.DeletePluginRequest(plugin_id=plugin.id), metadata=METADATA, timeout=DEADLINE)
        watcher.join(DEADLINE)
        say(states=states)
        try:
            plugins.GetPlugin(api.GetPluginRequest(plugin_id=plugin.id), metadata=METADATA, timeout=DEADLINE)
        except grpc.RpcError as error:
            say(code=error.code().name)


if __name__ == "__main__":
    main()
