//! From what a person types to a plugin's id.

use super::{
    client::{Api, QUICK, present, within},
    failure::{Exit, Failure},
    shape::manifest_id,
};
use crate::{
    api::v1::{GetPluginRequest, ListPluginsRequest, Plugin},
    domain::PluginId,
};

/// How many plugins are asked for at a time: the most.
const PAGE_SIZE: i32 = 1000;

/// The id of the plugin that a person means: an id, or the manifest id or name of one plugin only.
///
/// # Errors
/// None or several are meant, or the server can't be asked.
pub(super) async fn plugin_id(api: &Api, text: &str) -> Result<String, Failure> {
    if text.parse::<PluginId>().is_ok() {
        return Ok(text.to_owned());
    }
    let plugins = all_plugins(api, &ListPluginsRequest::default()).await.map_err(by_id)?;
    Ok(pick(&plugins, text)?.id.clone())
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
    let mut plugins = all_plugins(api, &ListPluginsRequest::default()).await?;
    plugins.retain(|plugin| manifest_id(plugin) == Some(id));
    Ok(plugins)
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

fn pick<'a>(plugins: &'a [Plugin], text: &str) -> Result<&'a Plugin, Failure> {
    let is_meant = |plugin: &&Plugin| plugin.id == text || plugin.name == text || manifest_id(plugin) == Some(text);
    let candidates: Vec<_> = plugins.iter().filter(is_meant).collect();
    match candidates.as_slice() {
        [plugin] => Ok(plugin),
        [] => Err(Failure::new(format!("there is no plugin {text:?}"))
            .hint("`plugd list` shows the plugins; an id, a manifest id or a name will do")
            .exit(Exit::NotFound)),
        several => Err(ambiguous(text, several)),
    }
}

fn ambiguous(text: &str, candidates: &[&Plugin]) -> Failure {
    let lines: String = candidates.iter().map(|plugin| format!("\n    {}  {}", plugin.id, plugin.name)).collect();
    Failure::new(format!("{text:?} may be any of {} plugins", candidates.len()))
        .hint(format!("give the id of the one that you mean:{lines}"))
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
    fn an_id_a_manifest_id_or_a_name_names_a_plugin() {
        let plugins = [mk_plugin("id1", "Greeter", "greeter"), mk_plugin("id2", "Echo", "echo")];
        for text in ["id2", "Echo", "echo"] {
            assert_eq!(pick(&plugins, text).unwrap().id, "id2");
        }
    }

    #[test]
    fn an_ambiguous_name_is_an_error_that_lists_the_candidates() {
        let plugins = [mk_plugin("id1", "One", "same"), mk_plugin("id2", "same", "two"), mk_plugin("id3", "x", "y")];
        let failure = pick(&plugins, "same").unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        let hint = failure.hint.unwrap();
        assert!(hint.contains("id1  One") && hint.contains("id2  same") && !hint.contains("id3"), "{hint}");
    }

    #[test]
    fn an_unknown_name_is_not_found() {
        assert_eq!(pick(&[], "x").unwrap_err().exit, Exit::NotFound);
    }
}
