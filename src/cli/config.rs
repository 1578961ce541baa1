//! `plugd config`.

use std::io;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    Context,
    client::{Api, MARGIN, QUICK, within},
    editor::{self, Draft},
    external::explain,
    failure::{Exit, Failure},
    select::One,
    ui::{Table, Ui, did_you_mean, escaped},
    usage, words,
};
use crate::api::{
    json::{from_value, to_struct},
    v1::{
        ConfigurationField, ConfigurationRevision, GetConfigurationRequest, GetConfigurationSchemaRequest,
        ListConfigurationRevisionsRequest, UpdateConfigurationRequest, configuration_field::Type,
    },
};

/// How many revisions are asked for at a time: the most.
const PAGE_SIZE: i32 = 100;

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Print the configuration
    ///
    /// Its revision and the generation of what is desired are told on standard error; with -o json they are in `plugd get`.
    #[command(after_help = "Example:\n  plugd config get my-plugin")]
    Get(One),
    /// Set some of its fields, or all of it with --json
    Set(Set),
    /// Remove some of its fields
    Unset(Unset),
    /// Change it in your editor ($VISUAL or $EDITOR)
    #[command(after_help = "Example:\n  EDITOR=nano plugd config edit my-plugin")]
    Edit(One),
    /// Print the fields that the plugin declares
    #[command(after_help = "Example:\n  plugd config schema my-plugin")]
    Schema(One),
    /// Print earlier configurations, newest first
    #[command(after_help = "Example:\n  plugd config history my-plugin")]
    History(One),
}

/// Set some fields of a configuration, or all of it with --json
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd config set my-plugin greeting=Hello count=3\n  \
                        plugd config set my-plugin --json '{\"greeting\": \"Hello\"}'   all of it")]
pub(super) struct Set {
    #[command(flatten)]
    plugin: One,
    /// A field and its value; a number or true or false is taken as one unless the field is a string
    #[arg(value_name = "KEY=VALUE", value_parser = pair, required_unless_present = "json", conflicts_with = "json")]
    fields: Vec<(String, String)>,
    /// The whole configuration, a JSON object
    #[arg(long, value_name = "JSON")]
    json: Option<String>,
    #[command(flatten)]
    condition: Condition,
}

/// Remove some fields of a configuration
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd config unset my-plugin greeting")]
pub(super) struct Unset {
    #[command(flatten)]
    plugin: One,
    /// A field
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    condition: Condition,
}

/// When a change is to be made.
#[derive(Debug, Args)]
struct Condition {
    /// Only if this generation is desired of the plugin still, as `plugd config get` tells it
    #[arg(long, value_name = "GENERATION")]
    if_generation: Option<u64>,
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is expected")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Config {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let api = &context.api;
        match self {
            Self::Get(plugin) => print(context, read(api, plugin.id(api).await?).await?),
            Self::Set(set) => set.run(context).await,
            Self::Unset(unset) => unset.run(context).await,
            Self::Edit(plugin) => edit(context, plugin.id(api).await?).await,
            Self::Schema(plugin) => print_schema(&context.ui, &schema(api, plugin.id(api).await?).await?),
            Self::History(plugin) => print_history(context, plugin.id(api).await?).await,
        }
    }
}

/// A stored configuration and its revision.
#[derive(Debug)]
struct Stored {
    values: Map<String, Value>,
    revision: Option<u64>,
    generation: u64,
}

/// Prints a configuration as it is stored.
fn print(context: &Context, stored: Stored) -> Result<(), Failure> {
    context.ui.json(&stored.values.into())?;
    if !context.ui.is_json() {
        let revision =
            stored.revision.map_or_else(|| "never set".to_owned(), |revision| format!("revision {revision}"));
        context.ui.note(&format!("{revision}, generation {}", stored.generation));
    }
    Ok(())
}

async fn read(api: &Api, plugin_id: String) -> Result<Stored, Failure> {
    let send = async |request| api.configurations().get_configuration(request).await;
    let answer = within(QUICK, GetConfigurationRequest { plugin_id }, send).await?;
    Ok(Stored {
        values: words::object(answer.configuration.as_ref()),
        revision: answer.configuration_revision,
        generation: answer.generation,
    })
}

async fn schema(api: &Api, plugin_id: String) -> Result<Vec<ConfigurationField>, Failure> {
    let send = async |request| api.configurations().get_configuration_schema(request).await;
    Ok(within(QUICK, GetConfigurationSchemaRequest { plugin_id }, send).await?.fields)
}

/// Stores a configuration, if given only on top of `if_generation`, and prints it as stored.
async fn write(
    context: &Context,
    plugin_id: String,
    values: Map<String, Value>,
    if_generation: Option<u64>,
) -> Result<(), Failure> {
    let configuration = to_struct(&values).map_err(|error| usage(error.to_string()))?;
    let request =
        UpdateConfigurationRequest { plugin_id: plugin_id.clone(), configuration: Some(configuration), if_generation };
    let send = async |request| context.api.configurations().update_configuration(request).await;
    // The plugin itself is asked, and has 30 s.
    let answer = match within(QUICK + MARGIN, request, send).await {
        Ok(answer) => answer,
        Err(status) => return Err(explain(&context.api, &plugin_id, on_conflict(&plugin_id, status.into())).await),
    };
    let values = words::object(answer.configuration.as_ref());
    let generation = answer.plugin.map(|plugin| plugin.generation).unwrap_or_default();
    print(context, Stored { values, revision: Some(answer.configuration_revision), generation })
}

/// What a person can do about a configuration that is another one by now.
fn on_conflict(plugin_id: &str, failure: Failure) -> Failure {
    if !failure.has_reason("GENERATION_CONFLICT") {
        return failure;
    }
    failure.hint(format!(
        "somebody changed the plugin meanwhile: see `plugd config get {plugin_id}`, which tells its generation, then run \
         this again"
    ))
}

impl Set {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let id = self.plugin.id(&context.api).await?;
        let schema = schema(&context.api, id.clone()).await?;
        let Some(text) = &self.json else { return self.merge(context, id, &schema).await };
        // As `$(cat FILE)` gives it.
        match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
            Ok(Value::Object(values)) => {
                warn(&context.ui, &schema, values.keys());
                write(context, id, values, self.condition.if_generation).await
            }
            _ => Err(usage("--json: not a JSON object").hint("write it like '{\"key\": \"value\"}'")),
        }
    }

    async fn merge(self, context: &Context, id: String, schema: &[ConfigurationField]) -> Result<(), Failure> {
        warn(&context.ui, schema, self.fields.iter().map(|(key, _)| key));
        let mut stored = read(&context.api, id.clone()).await?;
        for (key, text) in self.fields {
            let value = typed(schema, &key, text);
            stored.values.insert(key, value);
        }
        write(context, id, stored.values, self.condition.if_generation.or(Some(stored.generation))).await
    }
}

impl Unset {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let id = self.plugin.id(&context.api).await?;
        let mut stored = read(&context.api, id.clone()).await?;
        for key in self.keys {
            stored.values.remove(&key).ok_or_else(|| {
                let hint = "`plugd config get` shows what is set; what is not has the default of its schema";
                Failure::new(format!("{key:?} is not set")).hint(hint).exit(Exit::NotFound)
            })?;
        }
        write(context, id, stored.values, self.condition.if_generation.or(Some(stored.generation))).await
    }
}

/// Says which keys the plugin does not know. They are stored all the same: not every plugin declares all of its fields.
fn warn<'a>(ui: &Ui, schema: &[ConfigurationField], keys: impl Iterator<Item = &'a String>) {
    for key in keys.filter(|key| !schema.iter().any(|field| field.id == **key)) {
        let guess = did_you_mean(key, schema.iter().map(|field| field.id.as_str()));
        let guess = guess.map(|guess| format!("; {guess}")).unwrap_or_default();
        ui.warn(&format!("the plugin declares no field {key:?}{guess}"));
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

/// Lets the user change a configuration, and stores it if nobody else did meanwhile. If it can't be stored, their text is
/// left for another try.
async fn edit(context: &Context, id: String) -> Result<(), Failure> {
    let editor = editor::chosen()?;
    let stored = read(&context.api, id.clone()).await?;
    let draft = Draft::edit(editor, &id, &format!("{:#}\n", Value::Object(stored.values.clone()))).await?;
    let values = match serde_json::from_str(&draft.text()?) {
        Ok(Value::Object(values)) => values,
        _ => return Err(draft.kept(usage("this is no longer a JSON object"))),
    };
    if values == stored.values {
        context.ui.note("Nothing was changed.");
        return draft.remove();
    }
    write(context, id, values, Some(stored.generation)).await.map_err(|failure| draft.kept(failure))?;
    draft.remove()
}

fn print_schema(ui: &Ui, fields: &[ConfigurationField]) -> Result<(), Failure> {
    let default = |field: &ConfigurationField| field.default.as_ref().map(from_value);
    if ui.is_json() {
        let field = |field: &ConfigurationField| {
            json!({
                "id": field.id,
                "type": type_name(field.r#type()),
                "label": field.label,
                "description": field.description,
                "default": default(field),
            })
        };
        return Ok(ui.json(&fields.iter().map(field).collect())?);
    }
    let mut table = Table::new(&["ID", "TYPE", "DEFAULT", "LABEL", "DESCRIPTION"]);
    for field in fields {
        table.row([
            field.id.as_str().into(),
            type_name(field.r#type()).into(),
            default(field).map_or_else(|| "-".to_owned(), |value| value.to_string()).into(),
            field.label.as_str().into(),
            field.description.as_str().into(),
        ]);
    }
    Ok(table.print(ui)?)
}

fn type_name(kind: Type) -> &'static str {
    match kind {
        Type::Unspecified => "unknown",
        Type::String => "string",
        Type::Number => "number",
        Type::Boolean => "boolean",
    }
}

/// Prints the revisions page by page, as they come: all of them may be large. In JSON they are one array all the same.
async fn print_history(context: &Context, plugin_id: String) -> Result<(), Failure> {
    let (ui, mut is_first) = (&context.ui, true);
    let mut table = Table::new(&["REVISION", "CREATED", "AUTHOR", "CONFIGURATION"]);
    let mut request = ListConfigurationRevisionsRequest { plugin_id, page_size: PAGE_SIZE, page_token: String::new() };
    loop {
        let send = async |request| context.api.configurations().list_configuration_revisions(request).await;
        let page = within(QUICK, request.clone(), send).await?;
        for revision in &page.revisions {
            if ui.is_json() {
                print_element(ui, revision, std::mem::take(&mut is_first))?;
            } else {
                table.row([
                    revision.configuration_revision.to_string().into(),
                    words::short_time(revision.create_time.as_ref()).into(),
                    revision.author.as_str().into(),
                    Value::Object(words::object(revision.configuration.as_ref())).to_string().into(),
                ]);
            }
        }
        request.page_token = page.next_page_token;
        if !ui.is_json() {
            table.print(ui)?;
        }
        if request.page_token.is_empty() {
            break;
        }
    }
    if ui.is_json() { Ok(ui.line(if is_first { "[]" } else { "\n]" })?) } else { Ok(()) }
}

/// Prints one element of an array, without its end.
fn print_element(ui: &Ui, revision: &ConfigurationRevision, is_first: bool) -> io::Result<()> {
    let object = json!({
        "revision": revision.configuration_revision,
        "created": words::time(revision.create_time.as_ref()),
        "author": revision.author,
        "configuration": words::object(revision.configuration.as_ref()),
    });
    let before = if is_first { "[" } else { "," };
    ui.raw(format!("{before}\n{}", escaped(&format!("{object:#}"))).as_bytes())
}

#[cfg(test)]
mod tests;
