//! The configuration: a form made of the schema, its history, and the way back.

use axum::{
    extract::Path,
    response::{Redirect, Response},
};
use maud::{Markup, html};
use serde_json::{Map, Number, Value};
use tonic::Code;

use super::{
    super::{
        form::Fields,
        notice::Notice,
        page::{Page, told},
        text,
    },
    Query, Tab, Visit, find, frame, may_write,
};
use crate::{
    api::{
        json::{from_struct, from_value},
        v1::{
            ConfigurationField, ConfigurationRevision, GetConfigurationRequest, GetConfigurationSchemaRequest,
            ListConfigurationRevisionsRequest, Plugin, ReportedState, UpdateConfigurationRequest,
            configuration_field::Type,
        },
    },
    domain::text::sanitize,
    rest::{Api, Problem, body},
};

/// What stands before the name of a field of the configuration in the form.
const FIELD: &str = "field.";

/// Earlier configurations that are shown at a time.
const EARLIER: i32 = 10;

/// A configuration as it is stored.
struct Stored {
    values: Map<String, Value>,
    /// Its number; 0 if it was never set.
    revision: u64,
    generation: u64,
}

/// What a form is filled with, and what is wrong with it.
struct Form<'a> {
    schema: &'a [ConfigurationField],
    stored: &'a Stored,
    /// What was written, where that was not saved.
    written: Option<&'a Fields>,
    fault: Option<Markup>,
}

pub(super) async fn add(page: Page, api: &Api, plugin: &Plugin, query: &Query) -> Result<Page, Problem> {
    let (schema, stored) = (schema(api, &plugin.id).await?, stored(api, &plugin.id).await?);
    let form = Form { schema: &schema, stored: &stored, written: None, fault: None };
    let history = history(api, plugin, &stored, query.all("before").next().unwrap_or_default()).await?;
    Ok(filled(page, api, plugin, &form).live("history", history))
}

async fn schema(api: &Api, id: &str) -> Result<Vec<ConfigurationField>, Problem> {
    Ok(api.call(GetConfigurationSchemaRequest { plugin_id: id.to_owned() }).await?.fields)
}

async fn stored(api: &Api, id: &str) -> Result<Stored, Problem> {
    let answer = api.call(GetConfigurationRequest { plugin_id: id.to_owned() }).await?;
    let revision = answer.configuration_revision.unwrap_or_default();
    let values = answer.configuration.as_ref().map(from_struct).unwrap_or_default();
    Ok(Stored { values, revision, generation: answer.generation })
}

/// The page with the form, which stays as it is while it is written into, and what stands above it, which does not.
fn filled(page: Page, api: &Api, plugin: &Plugin, form: &Form) -> Page {
    let is_waiting = text::state_of(plugin) != ReportedState::Active && may_write(api) && !form.schema.is_empty();
    let caution = "The plugin has to accept a change, so it can be saved while it is active only.";
    page.live("caution", html! { @if is_waiting { p.notice.caution { (caution) } } })
        .fixed("configuration", shown(api, plugin, form))
}

fn shown(api: &Api, plugin: &Plugin, form: &Form) -> Markup {
    if form.schema.is_empty() {
        return html! { section.card { p.soft { "This plugin has nothing to configure." } } };
    }
    let fields = html! { @for field in form.schema { (field_of(form, field)) } };
    html! {
        section.card.narrow {
            h2 { "Configuration" }
            @if let Some(fault) = &form.fault { div role="alert" { (fault) } }
            @if may_write(api) {
                form method="post" action={ "/plugins/" (plugin.id) "/configuration" } data-background data-keep {
                        input type="hidden" name="revision" value=(form.stored.revision);
                    (fields)
                    button.primary { "Save" }
                }
            } @else {
                fieldset.plain disabled { (fields) }
            }
        }
    }
}

fn field_of(form: &Form, field: &ConfigurationField) -> Markup {
    let (id, name) = (format!("field-{}", field.id), format!("{FIELD}{}", field.id));
    let value = form.stored.values.get(&field.id);
    let default = field.default.as_ref().map(from_value);
    let label = sanitize(if field.label.is_empty() { &field.id } else { &field.label });
    let written = form.written.map(|fields| fields.written(&name));
    let described = format!("{id}-described");
    let has_words = !field.description.is_empty();
    if field.r#type() == Type::Boolean {
        let is_set = value.or(default.as_ref()).and_then(Value::as_bool).unwrap_or_default();
        let is_checked = written.map_or(is_set, |written| written.is_some());
        return html! {
            div data-field {
                label for=(id) {
                    input id=(id) type="checkbox" name=(name) value="true" checked[is_checked]
                        aria-describedby=[has_words.then_some(&described)];
                    " " (label)
                }
                @if has_words { p.soft id=(described) { (sanitize(&field.description)) } }
            }
        };
    }
    let text = written.map_or_else(|| value.map(plain), |written| written.map(str::to_owned));
    let kind = if field.r#type() == Type::Number { "number" } else { "text" };
    html! {
        div data-field {
            label for=(id) { (label) @if let Some(default) = &default { small { "default: " (plain(default)) } } }
            input id=(id) type=(kind) step=[(kind == "number").then_some("any")] name=(name) value=(text.unwrap_or_default())
                placeholder=[default.as_ref().map(plain)] aria-describedby=[has_words.then_some(&described)];
            @if has_words { p.soft id=(described) { (sanitize(&field.description)) } }
        }
    }
}

/// A value without the quotes of a text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What the form asks to be stored: what is stored, with what it has fields for. A field that is left empty is not set.
///
/// # Errors
/// The label of a field, and what is wrong with it.
fn wanted(
    schema: &[ConfigurationField],
    stored: &Map<String, Value>,
    fields: &Fields,
) -> Result<Map<String, Value>, String> {
    let mut values = stored.clone();
    for field in schema.iter().filter(|field| !field.id.is_empty()) {
        let name = format!("{FIELD}{}", field.id);
        let text = fields.written(&name);
        let value = match field.r#type() {
            Type::Boolean => Some(Value::Bool(text.is_some())),
            Type::Number if text.is_none_or(|text| text.trim().is_empty()) => None,
            _ if text.is_none_or(str::is_empty) => None,
            Type::Number => {
                Some(number(text.unwrap_or_default()).ok_or_else(|| format!("{}: not a number", field.label))?)
            }
            Type::String | Type::Unspecified => text.map(|text| Value::String(text.to_owned())),
        };
        match value {
            Some(value) => drop(values.insert(field.id.clone(), value)),
            None => drop(values.remove(&field.id)),
        }
    }
    Ok(values)
}

/// A number as it is written in JSON, or else as a form's field takes it: `.5`, `007`.
fn number(text: &str) -> Option<Value> {
    let text = text.trim();
    let exact = serde_json::from_str::<Number>(text).ok();
    let whole = || text.parse::<i64>().ok().map(Number::from);
    exact.or_else(whole).or_else(|| Number::from_f64(text.parse().ok()?)).map(Value::Number)
}

/// The page for whoever asks again for the answer to a form.
pub(super) async fn ask(Path(id): Path<String>) -> Redirect {
    Redirect::to(&Tab::Configuration.path(&id))
}

/// Saves the form, or goes back to an earlier configuration.
pub(super) async fn save(visit: Visit, Path(id): Path<String>, fields: Fields) -> Result<Response, Problem> {
    let api = &visit.api;
    let (schema, stored) = (schema(api, &id).await?, stored(api, &id).await?);
    let earlier = match fields.has("earlier") {
        true => Some(fields.text("earlier").parse().map_err(|_| Problem::invalid("earlier", "is no revision"))?),
        false => None,
    };
    let values = match earlier {
        Some(revision) => Ok(revisions(api, &id, revision).await?),
        None => wanted(&schema, &stored.values, &fields),
    };
    let is_newest = fields.text("revision").parse() == Ok(stored.revision);
    let fault = match values {
        Err(fault) => html! { p.notice.failure { (fault) } },
        Ok(values) if is_newest => match update(api, &id, values, stored.generation).await {
            Ok(revision) => {
                let text = format!("The plugin has taken it: revision {revision}.");
                return Ok(Notice::done(text).on(&Tab::Configuration.path(&id)));
            }
            Err(problem) => refused(&told(problem)?),
        },
        Ok(values) => conflict(&stored.values, &values, earlier.is_some()),
    };
    let plugin = find(api, &id).await?;
    let form =
        Form { schema: &schema, stored: &stored, written: earlier.is_none().then_some(&fields), fault: Some(fault) };
    let history = history(api, &plugin, &stored, "").await?;
    let page = filled(frame(api, &plugin, Tab::Configuration), api, &plugin, &form).live("history", history);
    Ok(visit.page(page))
}

/// Stores a configuration, if nobody changes the plugin meanwhile, and returns its number.
async fn update(api: &Api, id: &str, values: Map<String, Value>, generation: u64) -> Result<u64, Problem> {
    let configuration = Some(body::to_struct(values).await?);
    let request =
        UpdateConfigurationRequest { plugin_id: id.to_owned(), configuration, if_generation: Some(generation) };
    Ok(api.call(request).await?.configuration_revision)
}

fn refused(problem: &Problem) -> Markup {
    html! {
        div.notice.failure {
            p { strong { "Not saved: " } (problem.message()) }
            @for (field, description) in problem.violations() { p { code { (field) } " " (description) } }
            p { (problem.suggested()) }
        }
    }
}

/// Somebody else has saved since the form was made.
fn conflict(theirs: &Map<String, Value>, ours: &Map<String, Value>, is_going_back: bool) -> Markup {
    html! {
        div.notice.caution {
            p { strong { "Somebody else has saved meanwhile." }
                @if is_going_back { " Go back once more to replace what they wrote." }
                @else { " Below is what you wrote; to save it now replaces what they wrote." }
            }
            (diff(theirs, ours, "theirs", "yours"))
        }
    }
}

/// The earlier configurations, each with what going back to it would change.
async fn history(api: &Api, plugin: &Plugin, stored: &Stored, before: &str) -> Result<Markup, Problem> {
    let (revisions, next) = page(api, &plugin.id, before, EARLIER).await?;
    let is_active = text::state_of(plugin) == ReportedState::Active;
    if revisions.is_empty() {
        return Ok(html! {});
    }
    Ok(html! {
        section.card.narrow aria-labelledby="history-title" {
            h2 #history-title { "History" }
            @for revision in &revisions { (entry(api, plugin, stored, revision, is_active)) }
            @if !next.is_empty() { p { a href={ (Tab::Configuration.path(&plugin.id)) "&before=" (next) } { "Earlier ones" } } }
        }
    })
}

fn entry(api: &Api, plugin: &Plugin, stored: &Stored, revision: &ConfigurationRevision, is_active: bool) -> Markup {
    let (number, values) = (revision.configuration_revision, revision.configuration.as_ref().map(from_struct));
    let values = values.unwrap_or_default();
    html! {
        details id={ "revision-" (number) } {
            summary { "Revision " (number) ", " (text::time(revision.create_time.as_ref())) " by " (revision.author) }
            @if number == stored.revision {
                p.soft { "This is what the plugin has." }
            } @else {
                (diff(&stored.values, &values, "now", "then"))
                @if may_write(api) {
                    form method="post" action={ "/plugins/" (plugin.id) "/configuration" } data-background {
                        input type="hidden" name="earlier" value=(number);
                        input type="hidden" name="revision" value=(stored.revision);
                        button disabled[!is_active] { "Go back to revision " (number) }
                    }
                }
            }
        }
    }
}

/// What differs between two configurations.
fn diff(old: &Map<String, Value>, new: &Map<String, Value>, old_name: &str, new_name: &str) -> Markup {
    let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
    let changed: Vec<&String> = keys.filter(|key| old.get(*key) != new.get(*key)).collect();
    let shown = |value: Option<&Value>| value.map_or_else(|| "not set".to_owned(), ToString::to_string);
    html! {
        @if changed.is_empty() { p.soft { "The same values." } } @else {
            div.wide {
                table.diff {
                    thead { tr { th { "Field" } th { (old_name) } th { (new_name) } } }
                    tbody { @for key in changed { tr { td { (key) } td.old { (shown(old.get(key))) } td.new { (shown(new.get(key))) } } } }
                }
            }
        }
    }
}

/// The configuration of this number.
///
/// # Errors
/// It is no longer kept.
async fn revisions(api: &Api, id: &str, number: u64) -> Result<Map<String, Value>, Problem> {
    let mut token = String::new();
    loop {
        let (revisions, next) = page(api, id, &token, 100).await?;
        if let Some(found) = revisions.into_iter().find(|revision| revision.configuration_revision == number) {
            return Ok(found.configuration.as_ref().map(from_struct).unwrap_or_default());
        }
        if next.is_empty() {
            return Err(Problem::invalid("earlier", "this configuration is no longer kept"));
        }
        token = next;
    }
}

async fn page(
    api: &Api,
    id: &str,
    page_token: &str,
    page_size: i32,
) -> Result<(Vec<ConfigurationRevision>, String), Problem> {
    let (plugin_id, page_token) = (id.to_owned(), page_token.to_owned());
    match api.call(ListConfigurationRevisionsRequest { plugin_id, page_size, page_token }).await {
        Ok(answer) => Ok((answer.revisions, answer.next_page_token)),
        // An old address names a page that there is no longer.
        Err(status) if status.code() == Code::InvalidArgument => Ok(Default::default()),
        Err(status) => Err(status.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_schema() -> Vec<ConfigurationField> {
        let field =
            |id: &str, kind: Type| ConfigurationField { id: id.to_owned(), r#type: kind.into(), ..Default::default() };
        vec![field("word", Type::String), field("count", Type::Number), field("loud", Type::Boolean)]
    }

    /// What is stored after this form, where `other` was stored before, and has no field.
    fn saved(fields: &[(&str, &str)]) -> Result<Value, String> {
        let stored = serde_json::json!({"other": [1], "word": "was", "count": 1, "loud": true});
        let Value::Object(stored) = stored else { panic!("an object") };
        wanted(&mk_schema(), &stored, &Fields::of(fields)).map(Value::Object)
    }

    #[test]
    fn a_form_changes_what_it_has_fields_for_and_leaves_the_rest() {
        let whole = saved(&[("field.word", "  two words "), ("field.count", "007"), ("field.loud", "true")]);
        assert_eq!(whole, Ok(serde_json::json!({"other": [1], "word": "  two words ", "count": 7, "loud": true})));
        let empty = saved(&[("field.word", ""), ("field.count", " ")]);
        assert_eq!(empty, Ok(serde_json::json!({"other": [1], "loud": false})));
        assert!(saved(&[("field.count", "many")]).is_err());
    }

    #[test]
    fn numbers_are_what_a_forms_field_takes() {
        let read = |text| number(text).map(|number| number.to_string());
        for (text, wanted) in
            [("1", "1"), (".5", "0.5"), ("-.5", "-0.5"), ("007", "7"), ("1e3", "1000.0"), (" 2 ", "2")]
        {
            assert_eq!(read(text).as_deref(), Some(wanted), "{text}");
        }
        for text in ["", "x", "NaN", "inf", "1 2"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
