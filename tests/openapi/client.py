"""A plugin's whole life by a client that was generated from plugd's OpenAPI document."""

import io
import sys
from datetime import datetime
from pathlib import Path

from plugd_client import AuthenticatedClient
from plugd_client.api.configuration import (
    plugin_get_configuration,
    plugin_get_configuration_schema,
    plugin_update_configuration,
)
from plugd_client.api.external_plugins import plugin_cycle_token, plugin_update_manifest
from plugd_client.api.lifecycle import plugin_set_active_state
from plugd_client.api.packages import plugin_get_package, plugin_update_package
from plugd_client.api.plugins import plugin_add, plugin_delete, plugin_get, plugin_list
from plugd_client.api.server import info_get
from plugd_client.models import (
    DesiredState,
    Error,
    ExternalConnection,
    Info,
    ManifestNumberField,
    Plugin,
    PluginActive,
    PluginConfiguration,
    PluginConfigurationFieldType,
    PluginConfigurationSchema,
    PluginConnecting,
    PluginError,
    PluginFromManifest,
    PluginInactive,
    PluginList,
    PluginManifest,
    PluginSetActiveStateProps,
    PluginState,
    PluginToken,
    SupervisedConnection,
)
from plugd_client.models.manifest_configuration_schema import ManifestConfigurationSchema
from plugd_client.types import File

NOBODY = "9m4e2mr0ui3e8a215n4g"


def typed(kind, value):
    """The value, which must be of this type."""
    assert isinstance(value, kind), f"{kind} expected: {value}"
    return value


def file(contents):
    return File(payload=io.BytesIO(contents))


def switch(client, plugin, active):
    body = PluginSetActiveStateProps(active=active)
    return plugin_set_active_state.sync(plugin.id, client=client, body=body)


def supervised(client, archive):
    plugin = typed(Plugin, plugin_add.sync(client=client, body=file(archive)))
    typed(SupervisedConnection, plugin.connection)
    typed(datetime, typed(PluginInactive, plugin.status).deactivated_at)
    assert plugin.manifest.id == "chaos" and plugin.plugd.state is PluginState.INACTIVE

    active = typed(Plugin, switch(client, plugin, DesiredState.ACTIVE))
    typed(datetime, typed(PluginActive, active.status).activated_at)
    assert typed(Plugin, plugin_get.sync(plugin.id, client=client)) == active

    schema = typed(PluginConfigurationSchema, plugin_get_configuration_schema.sync(plugin.id, client=client))
    assert [(field.id, field.type_, field.default) for field in schema.fields] == [
        ("greeting", PluginConfigurationFieldType.STRING, "hi")
    ]
    wanted = PluginConfiguration.from_dict({"greeting": "hello", "more": [1, None]})
    assert plugin_update_configuration.sync(plugin.id, client=client, body=wanted) == wanted
    assert plugin_get_configuration.sync(plugin.id, client=client) == wanted

    assert typed(File, plugin_get_package.sync(plugin.id, client=client)).payload.read() == archive
    updated = typed(Plugin, plugin_update_package.sync(plugin.id, client=client, body=file(archive)))
    typed(PluginActive, updated.status)
    typed(PluginInactive, typed(Plugin, switch(client, plugin, DesiredState.INACTIVE)).status)
    return plugin


def fails(client, archive):
    """A package of a plugin that exits with 42."""
    plugin = typed(Plugin, plugin_add.sync(client=client, body=file(archive)))
    error = typed(Error, switch(client, plugin, DesiredState.ACTIVE))
    assert (error.status, error.error) == (502, "plugin_failed") and error.detail.endswith("exit status 42"), error
    status = typed(PluginError, plugin_get.sync(plugin.id, client=client).status)
    assert status.details.exit_code == 42, status
    return plugin


def external(client):
    fields = ManifestConfigurationSchema(fields=[ManifestNumberField(type_="number", id="count", default=1.5)])
    manifest = PluginManifest(id="outside", author="me", name="Outside", configuration_schema=fields)
    body = PluginFromManifest(mode="external", manifest=manifest)
    plugin = typed(Plugin, plugin_add.sync(client=client, body=body))
    typed(PluginConnecting, plugin.status)
    token = typed(PluginToken, plugin_cycle_token.sync(plugin.id, client=client)).token
    assert token != typed(ExternalConnection, plugin.connection).token
    manifest.name = "Renamed"
    changed = typed(Plugin, plugin_update_manifest.sync(plugin.id, client=client, body=manifest))
    assert (changed.name, changed.connection.token) == ("Renamed", token)
    return plugin


def refused(client):
    answer = plugin_get.sync_detailed(NOBODY, client=client)
    error = typed(Error, answer.parsed)
    assert (answer.status_code, error.status, error.error) == (404, 404, "plugin_not_found")
    assert error.suggested and error.trace_id and error.metadata.plugin_instance_id == NOBODY
    typed(Error, plugin_add.sync(client=client, body=file(b"no archive")))
    stranger = AuthenticatedClient(base_url=client._base_url, token="nobody")
    assert typed(Error, plugin_list.sync(client=stranger)).status == 401


def main(url, token, good, bad):
    client = AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True, timeout=60)
    assert "plugins" in typed(Info, info_get.sync(client=client)).capabilities
    assert typed(PluginList, plugin_list.sync(client=client)).plugins == []
    plugins = [supervised(client, Path(good).read_bytes()), fails(client, Path(bad).read_bytes()), external(client)]
    plugins = [plugin.id for plugin in plugins]
    assert [one.id for one in typed(PluginList, plugin_list.sync(client=client)).plugins] == plugins
    refused(client)
    for one in plugins:
        assert plugin_delete.sync_detailed(one, client=client).status_code == 204
    assert plugin_list.sync(client=client).plugins == []
    print("it works")


main(*sys.argv[1:])
