//! `plugd config`.

mod edit;
mod history;
mod set;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    Context,
    client::{Api, MARGIN, QUICK, within},
    external::explain,
    failure::Failure,
    resolve::plugin_id,
    shape,
    table::Table,
    usage,
};
use crate::api::{
    json::{from_value, to_struct},
    v1::{
        ConfigurationField, GetConfigurationRequest, GetConfigurationSchemaRequest, UpdateConfigurationRequest,
        configuration_field::Type,
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Configuration {
    /// Print the configuration
    ///
    /// Its revision is told on standard error; with -o json it is in `plugd get`, as configuration_revision.
    #[command(after_help = "Example:\n  plugd config get my-plugin")]
    Get(Plugin),
    /// Set some of its fields, or all of it with --json
    Set(set::Set),
    /// Remove some of its fields
    Unset(set::Unset),
    /// Change it in your editor ($VISUAL or $EDITOR)
    #[command(after_help = "Example:\n  EDITOR=nano plugd config edit my-plugin")]
    Edit(Plugin),
    /// Print the fields that the plugin declares
    #[command(after_help = "Example:\n  plugd config schema my-plugin")]
    Schema(Plugin),
    /// Print earlier configurations, newest first
    #[command(after_help = "Example:\n  plugd config history my-plugin")]
    History(Plugin),
}

#[derive(Debug, Args)]
pub(super) struct Plugin {
    /// The plugin: its id, or its manifest id or name if no other has it
    #[arg(value_name = "ID")]
    plugin: String,
}

/// A stored configuration and its revision.
#[derive(Debug)]
struct Stored {
    values: Map<String, Value>,
    revision: u64,
}

impl Configuration {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let api = &context.api;
        match self {
            Self::Get(plugin) => print(context, read(api, plugin.id(api).await?).await?),
            Self::Set(set) => set.run(context).await,
            Self::Unset(unset) => unset.run(context).await,
            Self::Edit(plugin) => edit::edit(context, plugin.id(api).await?).await,
            Self::Schema(plugin) => print_schema(context, plugin.id(api).await?).await,
            Self::History(plugin) => history::print(context, plugin.id(api).await?).await,
        }
    }
}

impl Plugin {
    async fn id(&self, api: &Api) -> Result<String, Failure> {
        plugin_id(api, &self.plugin).await
    }
}

/// Prints a configuration as it is stored.
fn print(context: &Context, stored: Stored) -> Result<(), Failure> {
    context.ui.json(&stored.values.into())?;
    if !context.ui.is_json() {
        context.ui.note(&format!("revision {}", stored.revision));
    }
    Ok(())
}

async fn read(api: &Api, plugin_id: String) -> Result<Stored, Failure> {
    let send = async |request| api.plugins().get_configuration(request).await;
    let answer = within(QUICK, GetConfigurationRequest { plugin_id }, send).await?;
    Ok(Stored { values: shape::object(answer.configuration.as_ref()), revision: answer.configuration_revision })
}

async fn schema(api: &Api, plugin_id: String) -> Result<Vec<ConfigurationField>, Failure> {
    let send = async |request| api.plugins().get_configuration_schema(request).await;
    Ok(within(QUICK, GetConfigurationSchemaRequest { plugin_id }, send).await?.fields)
}

/// Stores a configuration, if given only on top of `if_revision`, and prints it as stored.
async fn write(
    context: &Context,
    plugin_id: String,
    values: Map<String, Value>,
    if_revision: Option<u64>,
) -> Result<(), Failure> {
    let configuration = to_struct(&values).map_err(|error| usage(error.to_string()))?;
    let request =
        UpdateConfigurationRequest { plugin_id: plugin_id.clone(), configuration: Some(configuration), if_revision };
    let send = async |request| context.api.plugins().update_configuration(request).await;
    // The plugin itself is asked, and has 30 s.
    let answer = match within(QUICK + MARGIN, request, send).await {
        Ok(answer) => answer,
        Err(status) => return Err(explain(&context.api, &plugin_id, on_conflict(&plugin_id, status.into())).await),
    };
    let values = shape::object(answer.configuration.as_ref());
    print(context, Stored { values, revision: answer.configuration_revision })
}

/// What a person can do about a configuration that is another one by now.
fn on_conflict(plugin_id: &str, failure: Failure) -> Failure {
    if failure.reason.as_deref() != Some("REVISION_CONFLICT") {
        return failure;
    }
    failure.hint(format!(
        "somebody else changed it meanwhile: see `plugd config get {plugin_id}`, which tells its revision, then run \
         this again"
    ))
}

async fn print_schema(context: &Context, id: String) -> Result<(), Failure> {
    let fields = schema(&context.api, id).await?;
    if context.ui.is_json() {
        return Ok(context.ui.json(&fields.iter().map(field_json).collect())?);
    }
    let mut table = Table::new(&["ID", "TYPE", "DEFAULT", "LABEL", "DESCRIPTION"]);
    for field in &fields {
        let default = field.default.as_ref().map(|value| from_value(value).to_string());
        table.row([
            field.id.as_str().into(),
            type_name(field.r#type()).into(),
            default.unwrap_or_else(|| "-".to_owned()).into(),
            field.label.as_str().into(),
            field.description.as_str().into(),
        ]);
    }
    Ok(table.print(&context.ui)?)
}

fn field_json(field: &ConfigurationField) -> Value {
    json!({
        "id": field.id,
        "type": type_name(field.r#type()),
        "label": field.label,
        "description": field.description,
        "default": field.default.as_ref().map(from_value),
    })
}

fn type_name(kind: Type) -> &'static str {
    match kind {
        Type::Unspecified => "unknown",
        Type::String => "string",
        Type::Number => "number",
        Type::Boolean => "boolean",
    }
}
