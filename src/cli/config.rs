//! `plugd config`.

use std::{
    env,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use tokio::process::Command;

use super::{
    Context,
    bus::object,
    client::{Api, MARGIN, One, QUICK, pages},
    failure::{Exit, Failure},
    show,
    ui::{Ui, did_you_mean},
    usage,
};
use crate::{
    api::{
        json::{from_value, to_struct},
        v1::{
            ConfigurationField, ConfigurationRevision, GetConfigurationRequest, GetConfigurationSchemaRequest,
            ListConfigurationRevisionsRequest, UpdateConfigurationRequest, configuration_field::Type,
        },
    },
    files,
};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
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
    #[arg(long, value_name = "JSON", value_parser = object)]
    json: Option<Map<String, Value>>,
    /// Only if this generation is desired of the plugin still, as `plugd config get` tells it
    #[arg(long, value_name = "GENERATION")]
    if_generation: Option<u64>,
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
    /// Only if this generation is desired of the plugin still, as `plugd config get` tells it
    #[arg(long, value_name = "GENERATION")]
    if_generation: Option<u64>,
}

/// A key and its value, as an argument.
pub(super) fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is expected")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl ConfigCommand {
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
pub(super) struct Stored {
    pub(super) values: Map<String, Value>,
    revision: Option<u64>,
    generation: u64,
}

fn print(context: &Context, stored: Stored) -> Result<(), Failure> {
    context.ui.json(&stored.values.into())?;
    if !context.ui.is_json() {
        let revision =
            stored.revision.map_or_else(|| "never set".to_owned(), |revision| format!("revision {revision}"));
        context.ui.note(&format!("{revision}, generation {}", stored.generation));
    }
    Ok(())
}

pub(super) async fn read(api: &Api, plugin_id: String) -> Result<Stored, Failure> {
    let answer = api.call(QUICK, GetConfigurationRequest { plugin_id }).await?;
    Ok(Stored {
        values: show::object(answer.configuration.as_ref()),
        revision: answer.configuration_revision,
        generation: answer.generation,
    })
}

async fn schema(api: &Api, plugin_id: String) -> Result<Vec<ConfigurationField>, Failure> {
    Ok(api.call(QUICK, GetConfigurationSchemaRequest { plugin_id }).await?.fields)
}

/// Stores a configuration, if given only on top of `if_generation`, and prints it as stored.
async fn write(
    context: &Context,
    plugin_id: String,
    values: Map<String, Value>,
    if_generation: Option<u64>,
) -> Result<(), Failure> {
    let configuration = to_struct(&values).map_err(|error| usage(error.to_string()))?;
    let request = UpdateConfigurationRequest { plugin_id, configuration: Some(configuration), if_generation };
    // The server asks the plugin, which has 30 s to answer.
    let answer = context.api.call(QUICK + MARGIN, request).await?;
    let values = show::object(answer.configuration.as_ref());
    let generation = answer.plugin.map(|plugin| plugin.generation).unwrap_or_default();
    print(context, Stored { values, revision: Some(answer.configuration_revision), generation })
}

/// Stores what a change makes of the configuration, if nobody else changes it meanwhile.
async fn change(
    context: &Context,
    id: String,
    if_generation: Option<u64>,
    change: impl FnOnce(&mut Map<String, Value>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut stored = read(&context.api, id.clone()).await?;
    change(&mut stored.values)?;
    write(context, id, stored.values, if_generation.or(Some(stored.generation))).await
}

impl Set {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let (id, if_generation) = (self.plugin.id(&context.api).await?, self.if_generation);
        let schema = schema(&context.api, id.clone()).await?;
        if let Some(values) = self.json {
            warn(&context.ui, &schema, values.keys());
            return write(context, id, values, if_generation).await;
        }
        warn(&context.ui, &schema, self.fields.iter().map(|(key, _)| key));
        let set = |stored: &mut Map<String, Value>| {
            for (key, text) in self.fields {
                let value = typed(&schema, &key, text);
                stored.insert(key, value);
            }
            Ok(())
        };
        change(context, id, if_generation, set).await
    }
}

impl Unset {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let id = self.plugin.id(&context.api).await?;
        let remove = |stored: &mut Map<String, Value>| {
            self.keys.iter().try_for_each(|key| match stored.remove(key) {
                Some(_) => Ok(()),
                None => Err(Failure::new(format!("{key:?} is not set"))
                    .hint("`plugd config get` shows what is set; what is not has the default of its schema")
                    .exit(Exit::NotFound)),
            })
        };
        change(context, id, self.if_generation, remove).await
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

fn print_schema(ui: &Ui, fields: &[ConfigurationField]) -> Result<(), Failure> {
    let row = |field: &ConfigurationField| {
        json!({
            "id": field.id,
            "type": show::word(field.r#type().as_str_name()),
            "default": field.default.as_ref().map(from_value),
            "label": field.label,
            "description": field.description,
        })
    };
    let rows: Vec<_> = fields.iter().map(row).collect();
    Ok(ui.rows(["id", "type", "default", "label", "description"], &rows)?)
}

async fn print_history(context: &Context, plugin_id: String) -> Result<(), Failure> {
    let ask = |page_size, page_token| {
        let plugin_id = plugin_id.clone();
        ListConfigurationRevisionsRequest { plugin_id, page_size, page_token }
    };
    let row = |revision: &ConfigurationRevision| {
        json!({
            "revision": revision.configuration_revision,
            "created": show::time(revision.create_time.as_ref()),
            "author": revision.author,
            "configuration": show::object(revision.configuration.as_ref()),
        })
    };
    let revisions = pages(&context.api, usize::MAX, ask, |page| (page.revisions, page.next_page_token)).await?;
    let rows: Vec<_> = revisions.iter().map(row).collect();
    Ok(context.ui.rows(["revision", "created", "author", "configuration"], &rows)?)
}

/// Lets the user change a configuration, and stores it if nobody else did meanwhile. If it can't be stored, their text is
/// left for another try.
async fn edit(context: &Context, id: String) -> Result<(), Failure> {
    let stored = read(&context.api, id.clone()).await?;
    let path = env::temp_dir().join(format!("plugd-{id}-{:016x}.json", rand::random::<u64>()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    writeln!(file, "{:#}", Value::Object(stored.values.clone()))?;
    let kept = |failure: Failure| failure.and(format_args!("your text is in {}", path.display()));
    let values = edited(&path).await.map_err(kept)?;
    if values == stored.values {
        context.ui.note("Nothing was changed.");
    } else {
        write(context, id, values, Some(stored.generation)).await.map_err(kept)?;
    }
    Ok(fs::remove_file(&path)?)
}

/// The configuration that the user makes of this file in their editor. A shell runs that, as it may have arguments.
async fn edited(path: &Path) -> Result<Map<String, Value>, Failure> {
    let mut shell = Command::new("sh");
    let status = shell.arg("-c").arg("exec ${VISUAL:-${EDITOR:-vi}} \"$1\"").arg("sh").arg(path).status().await?;
    if !status.success() {
        let hint = "set VISUAL or EDITOR to one that works, or use `plugd config set ID KEY=VALUE`";
        return Err(Failure::new(format!("the editor failed: {status}")).hint(hint));
    }
    object(&files::read_text(path, files::MAX_TEXT)?).map_err(usage)
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
