//! What requests bring and streams carry, as the OpenAPI document describes it. These types are never made: what a client
//! sends is read by the service, which says best what is wrong with it.

#![allow(dead_code, clippy::large_enum_variant, reason = "only their schemas are used")]

use std::collections::BTreeMap;

use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::views::Plugin;

/// Any JSON, nested at most 30 levels deep. Send integers beyond 2^53 as strings.
#[derive(ToSchema)]
#[schema(value_type = Value)]
pub(super) struct Json(serde_json::Value);

/// A JSON object.
#[derive(ToSchema)]
pub(super) struct JsonObject(BTreeMap<String, Json>);

/// A zip with a manifest.json.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(super) struct Archive(Vec<u8>);

/// A page for people.
#[derive(ToSchema)]
pub(super) struct Text(String);

/// How long an answer may be waited for (RFC 7240).
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct Prefer {
    /// "respond-async" answers 202 after the commit instead of waiting.
    #[param(rename = "Prefer", nullable = false)]
    prefer: Option<String>,
}

/// The answers of a call that waits for a plugin to settle.
#[derive(IntoResponses)]
pub(super) enum Settled {
    #[response(status = 200)]
    Reached(Plugin),
    #[response(status = 202, headers(("Preference-Applied")))]
    NotWaitedFor(Plugin),
    #[response(status = 400)]
    Refused,
    #[response(status = 409)]
    Superseded,
    #[response(status = 502)]
    Failed,
}

/// What to install or to register.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(
    discriminator(property_name = "mode", mapping(
        ("supervised" = "#/components/schemas/PluginFromAddress"),
        ("external" = "#/components/schemas/PluginFromManifest"),
    )),
)]
pub(super) enum PluginInitialProps {
    FromAddress(PluginFromAddress),
    FromManifest(PluginFromManifest),
}

/// A package that plugd fetches.
#[derive(ToSchema)]
pub(super) struct PluginFromAddress {
    mode: String,
    #[schema(format = "uri", pattern = "^https?://", min_length = 8)]
    url: String,
}

/// A plugin that somebody else runs.
#[derive(ToSchema)]
#[schema(examples(json!({"mode": "external", "manifest": {"id": "my-plugin", "author": "me", "name": "My plugin"}})))]
pub(super) struct PluginFromManifest {
    mode: String,
    manifest: PluginManifest,
}

/// What a plugin should be.
#[derive(ToSchema)]
#[schema(examples(json!({"active": "active"})))]
pub(super) struct PluginSetActiveStateProps {
    active: DesiredState,
}

/// What somebody wants a plugin to be.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum DesiredState {
    Active,
    Inactive,
}

/// The states of plugd's own, which are one more than those of a status.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum PluginState {
    Inactive,
    Starting,
    Connecting,
    Active,
    Restarting,
    Stopping,
    Error,
}

/// One property a field of the plugin's schema, with a value of the field's type; others are kept too.
#[derive(ToSchema)]
#[schema(examples(json!({"greeting": "Hello"})))]
pub(super) struct PluginConfiguration {
    #[serde(flatten)]
    fields: BTreeMap<String, Json>,
}

/// Server-sent events, each of them so.
#[derive(ToSchema)]
pub(super) struct LogEvents {
    event: LogEventName,
    /// A line; nothing at the end.
    data: String,
}

/// Names of the events of a log.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum LogEventName {
    Message,
    End,
}

/// Server-sent events, each of them so.
#[derive(ToSchema)]
pub(super) struct WatchEvents {
    event: WatchEventName,
    /// A cursor: what Last-Event-ID and the parameter cursor take.
    #[schema(nullable = false)]
    id: Option<String>,
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// Names of the events of a watch.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum WatchEventName {
    Opened,
    Snapshot,
    SnapshotEnd,
    Added,
    Changed,
    Removed,
    Heartbeat,
    Error,
}

/// A manifest: strict in what a plugin must say. Keys that plugd does not know are ignored, and not in what is read.
#[derive(ToSchema)]
#[schema(examples(
    json!({"id": "my-plugin", "author": "me", "name": "My plugin", "events_consumed": ["EventThreadPublished"]})
))]
pub(super) struct PluginManifest {
    #[schema(pattern = "^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$", max_length = 100)]
    id: String,
    #[schema(pattern = "^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$", max_length = 100)]
    author: String,
    #[schema(pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$", max_length = 100)]
    name: String,
    description: Option<String>,
    #[schema(pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", max_length = 100)]
    version: Option<String>,
    command: Option<String>,
    args: Option<Vec<String>>,
    events_consumed: Option<Vec<EventName>>,
    access: Option<ManifestAccess>,
    configuration_schema: Option<ManifestConfigurationSchema>,
    capabilities: Option<Vec<ManifestCapability>>,
}

/// Text on one line, without control characters.
#[derive(ToSchema)]
#[schema(pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
pub(super) struct Line(String);

/// The name of an event, unless the operator has a catalogue of them.
#[derive(ToSchema)]
#[schema(pattern = "^[A-Za-z][A-Za-z0-9_.-]{0,127}$")]
pub(super) struct EventName(String);

/// What a plugin wants to do in the application's name.
#[derive(ToSchema)]
pub(super) struct ManifestAccess {
    handle: Option<String>,
    name: Option<String>,
    permissions: Option<Vec<String>>,
    bio: Option<String>,
    links: Option<Vec<ManifestAccessLink>>,
    metadata: Option<JsonObject>,
}

/// A link in the profile of a plugin's account.
#[derive(ToSchema)]
pub(super) struct ManifestAccessLink {
    text: Option<String>,
    url: Option<String>,
}

/// The settings that a plugin has.
#[derive(ToSchema)]
pub(super) struct ManifestConfigurationSchema {
    /// Each id once, but for blank ones.
    fields: Option<Vec<ManifestConfigurationField>>,
}

/// One setting.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(discriminator(property_name = "type", mapping(
    ("string" = "#/components/schemas/ManifestStringField"),
    ("number" = "#/components/schemas/ManifestNumberField"),
    ("boolean" = "#/components/schemas/ManifestBooleanField"),
)))]
pub(super) enum ManifestConfigurationField {
    String(ManifestStringField),
    Number(ManifestNumberField),
    Boolean(ManifestBooleanField),
}

/// A text.
#[derive(ToSchema)]
pub(super) struct ManifestStringField {
    r#type: String,
    id: Option<Line>,
    label: Option<Line>,
    description: Option<String>,
    default: Option<String>,
}

/// A number.
#[derive(ToSchema)]
pub(super) struct ManifestNumberField {
    r#type: String,
    id: Option<Line>,
    label: Option<Line>,
    description: Option<String>,
    default: Option<f64>,
}

/// Yes or no.
#[derive(ToSchema)]
pub(super) struct ManifestBooleanField {
    r#type: String,
    id: Option<Line>,
    label: Option<Line>,
    description: Option<String>,
    default: Option<bool>,
}

/// What a plugin offers.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(discriminator(property_name = "type", mapping(
    ("robot.llm_provider" = "#/components/schemas/ManifestModelProvider"),
    ("robot.tool_provider" = "#/components/schemas/ManifestToolProvider"),
)))]
pub(super) enum ManifestCapability {
    Models(ManifestModelProvider),
    Tools(ManifestToolProvider),
}

/// A provider of language models.
#[derive(ToSchema)]
pub(super) struct ManifestModelProvider {
    r#type: String,
    #[schema(pattern = "^[a-zA-Z0-9][a-zA-Z0-9._-]*$")]
    id: String,
    #[schema(pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    version: String,
    name: Option<Line>,
    description: Option<String>,
}

/// A provider of tools.
#[derive(ToSchema)]
pub(super) struct ManifestToolProvider {
    r#type: String,
    #[schema(pattern = "^[a-zA-Z0-9][a-zA-Z0-9_]*$")]
    id: String,
    #[schema(pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    version: String,
    name: Option<Line>,
    description: Option<String>,
    /// Each id once.
    tools: Option<Vec<ManifestTool>>,
    /// Each id once.
    toolsets: Option<Vec<ManifestToolset>>,
}

/// One tool.
#[derive(ToSchema)]
pub(super) struct ManifestTool {
    #[schema(pattern = "^[a-zA-Z0-9][a-zA-Z0-9_]*$")]
    id: String,
    name: Option<Line>,
    description: Option<String>,
    title: Option<Line>,
    input_schema: ManifestToolSchema,
    output_schema: Option<ManifestToolSchema>,
    requires_confirmation: Option<bool>,
    requires_workspace: Option<bool>,
    annotations: Option<ManifestToolAnnotations>,
}

/// The JSON schema of a tool's parameters or result.
#[derive(ToSchema)]
pub(super) struct ManifestToolSchema {
    r#type: ManifestToolSchemaType,
    #[serde(flatten)]
    more: BTreeMap<String, Json>,
}

/// The type of a tool's parameters or result.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum ManifestToolSchemaType {
    Object,
}

/// What a caller may expect of a tool.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct ManifestToolAnnotations {
    read_only_hint: Option<bool>,
    destructive_hint: Option<bool>,
    idempotent_hint: Option<bool>,
    open_world_hint: Option<bool>,
}

/// Tools that are given out together.
#[derive(ToSchema)]
pub(super) struct ManifestToolset {
    #[schema(pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    id: String,
    name: Option<Line>,
    description: Option<String>,
    /// Ids of tools of the same provider, each once.
    tools: Option<Vec<String>>,
    instruction: Option<String>,
    requires_workspace: Option<bool>,
}
