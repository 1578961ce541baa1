//! `plugd config`.

mod edit;
mod history;

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
    #[command(after_help = "Example:\n  plugd config get my-plugin")]
    Get(Plugin),
    /// Set some of its fields, or all of it with --json
    Set(Set),
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

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd config set my-plugin greeting=Hello count=3\n  \
                        plugd config set my-plugin --json '{\"greeting\": \"Hello\"}'   all of it")]
pub(super) struct Set {
    #[command(flatten)]
    plugin: Plugin,
    /// A field and its value; a number or true or false is taken as one unless the field is a string
    #[arg(value_name = "KEY=VALUE", value_parser = pair, required_unless_present = "json", conflicts_with = "json")]
    fields: Vec<(String, String)>,
    /// The whole configuration, a JSON object
    #[arg(long, value_name = "JSON")]
    json: Option<String>,
}

/// A stored configuration and its revision.
#[derive(Debug)]
struct Stored {
    values: Map<String, Value>,
    revision: u64,
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is expected")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Configuration {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let api = &context.api;
        match self {
            Self::Get(plugin) => Ok(context.ui.json(&read(api, plugin.id(api).await?).await?.values.into())?),
            Self::Set(set) => set.run(context).await,
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

impl Set {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let id = self.plugin.id(&context.api).await?;
        let Some(text) = &self.json else { return self.merge(context, id).await };
        match serde_json::from_str(text) {
            Ok(Value::Object(values)) => write(context, id, values, None).await,
            _ => Err(usage("--json: not a JSON object").hint("write it like '{\"key\": \"value\"}'")),
        }
    }

    async fn merge(self, context: &Context, id: String) -> Result<(), Failure> {
        let schema = schema(&context.api, id.clone()).await?;
        let mut stored = read(&context.api, id.clone()).await?;
        for (key, text) in self.fields {
            let value = typed(&schema, &key, text);
            stored.values.insert(key, value);
        }
        write(context, id, stored.values, Some(stored.revision)).await
    }
}

/// A field's value from the command line: by the type that the schema says, else by how it looks.
fn typed(schema: &[ConfigurationField], key: &str, text: String) -> Value {
    let field = schema.iter().find(|field| field.id == key);
    match field.map(ConfigurationField::r#type) {
        Some(Type::String) => Value::String(text),
        _ => serde_json::from_str(&text).unwrap_or(Value::String(text)),
    }
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
        Err(status) => return Err(explain(&context.api, &plugin_id, status.into()).await),
    };
    Ok(context.ui.json(&shape::object(answer.configuration.as_ref()).into())?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_taken_by_its_type_in_the_schema_else_by_its_looks() {
        let field =
            ConfigurationField { id: "code".to_owned(), r#type: Type::String.into(), ..ConfigurationField::default() };
        let schema = [field];
        assert_eq!(typed(&schema, "code", "0123".to_owned()), "0123");
        assert_eq!(typed(&schema, "count", "3".to_owned()), 3);
        assert_eq!(typed(&schema, "on", "true".to_owned()), true);
        assert_eq!(typed(&schema, "name", "hello".to_owned()), "hello");
    }
}
