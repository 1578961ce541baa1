//! `plugd publish` and `plugd call`.

use std::time::Duration;

use clap::Args;
use prost_types::Struct;
use serde_json::{Value, json};

use super::{
    Context,
    client::{MARGIN, QUICK, within},
    external::explain,
    failure::Failure,
    select::One,
    usage,
    wait::limited,
    words,
};
use crate::api::{
    json::to_struct,
    v1::{CallPluginRequest, PublishEventRequest},
};

/// Publish an event to the plugins that consume it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd publish EventThreadPublished '{\"id\": \"cc5lnd2s1s4652adtu50\"}'")]
pub(super) struct Publish {
    /// The event's name
    name: String,
    /// Its payload, a JSON object
    #[arg(value_name = "JSON")]
    payload: Option<String>,
}

impl Publish {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let payload = self.payload.as_deref().map(|text| parse_object(text, "the payload")).transpose()?;
        let request = PublishEventRequest { name: self.name, payload };
        let answer = within(QUICK, request, async |request| context.api.bus().publish_event(request).await).await?;
        if context.ui.is_json() {
            return Ok(context.ui.json(&json!({"matched": answer.matched, "accepted": answer.accepted}))?);
        }
        let consumers = match answer.matched {
            1 => "1 plugin consumes".to_owned(),
            matched => format!("{matched} plugins consume"),
        };
        context.ui.line(&format!("{consumers} it, {} took it", answer.accepted))?;
        if answer.matched == 0 {
            context.ui.note("The events_consumed of a plugin's manifest names the events that it gets.");
        }
        Ok(())
    }
}

/// Call a method of a plugin, and print its result as JSON
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd call my-plugin robot_tool_call '{\"tool_id\": \"echo\"}'")]
pub(super) struct Call {
    #[command(flatten)]
    plugin: One,
    /// The method
    method: String,
    /// Its parameters, a JSON object
    #[arg(value_name = "JSON")]
    params: Option<String>,
    /// How long to wait for the result
    #[arg(long, value_name = "TIME", value_parser = call_limit, default_value = "30s")]
    timeout: Duration,
}

/// The longest that a server lets a call take.
const LONGEST_CALL: Duration = Duration::from_secs(10 * 60);

/// How long a call may take, as an argument.
fn call_limit(text: &str) -> Result<Duration, String> {
    limited(text, LONGEST_CALL, "more than nothing and at most 10m is expected")
}

impl Call {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let params = self.params.as_deref().map(|text| parse_object(text, "the parameters")).transpose()?;
        let plugin_id = self.plugin.id(&context.api).await?;
        let request = CallPluginRequest {
            params,
            plugin_id: plugin_id.clone(),
            method: self.method,
            timeout: self.timeout.try_into().ok(),
        };
        let send = async |request| context.api.bus().call_plugin(request).await;
        match within(self.timeout + MARGIN, request, send).await {
            Ok(answer) => Ok(context.ui.json(&Value::Object(words::object(answer.result.as_ref())))?),
            Err(status) => Err(explain(&context.api, &plugin_id, status.into()).await),
        }
    }
}

/// A JSON object from the command line or a file, for the API; `what` names it in errors.
pub(super) fn parse_object(text: &str, what: &str) -> Result<Struct, Failure> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => to_struct(&object).map_err(|error| usage(format!("{what}: {error}"))),
        Ok(_) => Err(usage(format!("{what}: not a JSON object")).hint("write it like '{\"key\": \"value\"}'")),
        Err(error) => Err(usage(format!("{what}: not JSON: {error}")).hint("write it like '{\"key\": \"value\"}'")),
    }
}

#[cfg(test)]
mod tests;
