//! From what a person types to a plugin's id.

use std::borrow::Borrow;

use super::{
    client::{Api, QUICK, present, within},
    failure::{Exit, Failure},
    shape::manifest_id,
    ui::sanitize,
};
use crate::{
    api::v1::{GetPluginRequest, ListPluginsRequest, Plugin},
    domain::PluginId,
};

/// How many plugins are asked for at a time: the most.
const PAGE_SIZE: i32 = 1000;

/// The id of the plugin that a person means: an id, or the manifest id or name of one plugin only. Manifest ids come first:
/// anybody may call a plugin as another one's manifest id.
///
/// # Errors
/// None or several are meant, or the server can't be asked.
pub(super) async fn plugin_id(api: &Api, text: &str) -> Result<String, Failure> {
    if text.parse::<PluginId>().is_ok() {
        return Ok(text.to_owned());
    }
    let with_id = with_manifest_id(api, text).await.map_err(by_id)?;
    if !with_id.is_empty() {
        return only(&with_id, text);
    }
    let plugins = all_plugins(api, &ListPluginsRequest::default()).await.map_err(by_id)?;
    named(&plugins, text)
}

/// The plugin that a person means, as it is now.
///
/// # Errors
/// As [`plugin_id`].
pub(super) async fn plugin(api: &Api, text: &str) -> Result<Plugin, Failure> {
    let request = GetPluginRequest { plugin_id: plugin_id(api, text).await? };
    present(within(QUICK, request, async |request| api.plugins().get_plugin(request).await).await?.plugin)
}

/// The plugins with this manifest id.
///
/// # Errors
/// The server can't be asked.
pub(super) async fn with_manifest_id(api: &Api, id: &str) -> Result<Vec<Plugin>, Failure> {
    if id.is_empty() {
        return Ok(Vec::new());
    }
    all_plugins(api, &ListPluginsRequest { manifest_id: id.to_owned(), ..ListPluginsRequest::default() }).await
}

/// [`plugin_id`] of each.
///
/// # Errors
/// As [`plugin_id`].
pub(super) async fn plugin_ids(api: &Api, texts: &[String]) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::with_capacity(texts.len());
    for text in texts {
        ids.push(plugin_id(api, text).await?);
    }
    Ok(ids)
}

/// All plugins that a request asks for, page by page.
///
/// # Errors
/// The server can't be asked.
pub(super) async fn all_plugins(api: &Api, request: &ListPluginsRequest) -> Result<Vec<Plugin>, Failure> {
    let mut plugins = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListPluginsRequest { page_size: PAGE_SIZE, page_token, ..request.clone() };
        let page = within(QUICK, request, async |request| api.plugins().list_plugins(request).await).await?;
        plugins.extend(page.plugins);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(plugins);
        }
    }
}

/// Whoever may not list the plugins, as an application may not, can do without.
fn by_id(failure: Failure) -> Failure {
    if failure.reason.as_deref() == Some("PERMISSION_DENIED") {
        return failure.hint("to find a plugin by its name takes a token that may list them: give the plugin's id");
    }
    failure
}

/// The only one with this name.
fn named(plugins: &[Plugin], text: &str) -> Result<String, Failure> {
    let candidates: Vec<_> = plugins.iter().filter(|plugin| plugin.name == text).collect();
    match candidates.as_slice() {
        [] => Err(unknown(plugins, text)),
        candidates => only(candidates, text),
    }
}

/// The only one.
fn only(candidates: &[impl Borrow<Plugin>], text: &str) -> Result<String, Failure> {
    match candidates {
        [plugin] => Ok(plugin.borrow().id.clone()),
        several => Err(ambiguous(text, several.iter().map(Borrow::borrow))),
    }
}

/// How much of a name must be right for it to be meant.
const LIKENESS: f64 = 0.6;
/// How many names are suggested.
const SUGGESTIONS: usize = 3;

fn unknown(plugins: &[Plugin], text: &str) -> Failure {
    let nearest: Vec<String> = nearest(plugins, text).iter().map(|name| format!("{name:?}")).collect();
    let suggestion =
        if nearest.is_empty() { String::new() } else { format!("did you mean {}? ", nearest.join(" or ")) };
    Failure::new(format!("there is no plugin {text:?}"))
        .hint(format!("{suggestion}`plugd list` shows the plugins; an id, a manifest id or a name will do"))
        .exit(Exit::NotFound)
}

/// What plugins are called that a person may have meant, the likeliest first.
fn nearest<'a>(plugins: &'a [Plugin], text: &str) -> Vec<&'a str> {
    let names = plugins.iter().flat_map(|plugin| manifest_id(plugin).into_iter().chain([plugin.name.as_str()]));
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(&name.to_lowercase(), &text.to_lowercase());
    let mut alike: Vec<(f64, &str)> = names.map(|name| (likeness(name), name)).filter(|it| it.0 > LIKENESS).collect();
    alike.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
    alike.dedup_by_key(|it| it.1);
    alike.into_iter().map(|(_, name)| name).take(SUGGESTIONS).collect()
}

fn ambiguous<'a>(text: &str, candidates: impl Iterator<Item = &'a Plugin>) -> Failure {
    let lines: Vec<String> =
        candidates.map(|plugin| format!("\n    {}  {}", plugin.id, sanitize(&plugin.name))).collect();
    Failure::new(format!("{text:?} may be any of {} plugins", lines.len()))
        .hint(format!("give the id of the one that you mean:{}", lines.concat()))
        .exit(Exit::Usage)
}

#[cfg(test)]
mod tests {
    use prost_types::{Struct, Value, value::Kind};

    use super::*;

    fn mk_plugin(id: &str, name: &str, manifest_id: &str) -> Plugin {
        let id_value = Value { kind: Some(Kind::StringValue(manifest_id.to_owned())) };
        let manifest = Struct { fields: [("id".to_owned(), id_value)].into() };
        Plugin { id: id.to_owned(), name: name.to_owned(), manifest: Some(manifest), ..Plugin::default() }
    }

    #[test]
    fn an_ambiguous_name_is_an_error_that_lists_the_candidates() {
        let plugins = [mk_plugin("id1", "same", "one"), mk_plugin("id2", "same", "two"), mk_plugin("id3", "x", "y")];
        let failure = named(&plugins, "same").unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        let hint = failure.hint.unwrap();
        assert!(hint.contains("id1  same") && hint.contains("id2  same") && !hint.contains("id3"), "{hint}");
    }

    #[test]
    fn an_unknown_name_is_not_found_and_the_nearest_are_suggested() {
        let plugins = [mk_plugin("1", "Greeter", "greeter"), mk_plugin("2", "Weather", "forecast")];
        let failure = named(&plugins, "greter").unwrap_err();
        assert_eq!(failure.exit, Exit::NotFound);
        let hint = failure.hint.unwrap();
        assert!(hint.starts_with("did you mean \"Greeter\" or \"greeter\"? `plugd list`"), "{hint}");
        assert_eq!(nearest(&plugins, "forcast"), ["forecast"]);
        assert!(nearest(&plugins, "x").is_empty());
    }
}
