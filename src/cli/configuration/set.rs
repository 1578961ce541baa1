//! `plugd config set` and `unset`.

use clap::Args;
use serde_json::{Map, Value};

use super::{Context, Plugin, read, schema, write};
use crate::{
    api::v1::{ConfigurationField, configuration_field::Type},
    cli::{
        failure::{Exit, Failure},
        package::nearest,
        ui::Ui,
        usage,
    },
};

/// Set some fields of a configuration, or all of it with --json
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd config set my-plugin greeting=Hello count=3\n  \
                        plugd config set my-plugin --json '{\"greeting\": \"Hello\"}'   all of it")]
pub(in crate::cli) struct Set {
    #[command(flatten)]
    plugin: Plugin,
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
pub(in crate::cli) struct Unset {
    #[command(flatten)]
    plugin: Plugin,
    /// A field
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    condition: Condition,
}

/// When a change is to be made.
#[derive(Debug, Args)]
struct Condition {
    /// Only if this is the revision that is stored, as `plugd config get` tells it
    #[arg(long, value_name = "REVISION")]
    if_revision: Option<u64>,
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is expected")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Set {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let id = self.plugin.id(&context.api).await?;
        let schema = schema(&context.api, id.clone()).await?;
        let Some(text) = &self.json else { return self.merge(context, id, &schema).await };
        // As `$(cat FILE)` gives it.
        match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
            Ok(Value::Object(values)) => {
                warn(&context.ui, &schema, values.keys());
                write(context, id, values, self.condition.if_revision).await
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
        write(context, id, stored.values, self.condition.if_revision.or(Some(stored.revision))).await
    }
}

impl Unset {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let id = self.plugin.id(&context.api).await?;
        let mut stored = read(&context.api, id.clone()).await?;
        self.keys.iter().try_for_each(|key| remove(&mut stored.values, key))?;
        write(context, id, stored.values, self.condition.if_revision.or(Some(stored.revision))).await
    }
}

fn remove(values: &mut Map<String, Value>, key: &str) -> Result<(), Failure> {
    let missing = || {
        let hint = "`plugd config get` shows what is set; what is not has the default of its schema";
        Failure::new(format!("{key:?} is not set")).hint(hint).exit(Exit::NotFound)
    };
    values.remove(key).map(drop).ok_or_else(missing)
}

/// Says which keys the plugin does not know. They are stored all the same: not every plugin declares all of its fields.
fn warn<'a>(ui: &Ui, schema: &[ConfigurationField], keys: impl Iterator<Item = &'a String>) {
    for key in keys.filter(|key| !schema.iter().any(|field| field.id == **key)) {
        let guess = nearest(key, schema.iter().map(|field| field.id.as_str()));
        let guess = guess.map(|id| format!("; did you mean {id:?}?")).unwrap_or_default();
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
