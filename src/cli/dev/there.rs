//! The plugin of the session's folder, as the server has it already.

use super::{Home, Session};
use crate::{
    api::v1::{DeletePluginRequest, Plugin, PluginMode},
    cli::{
        client::{Api, MARGIN, SETTLE, within},
        failure::{Exit, Failure},
        resolve::with_manifest_id,
        shape,
        ui::{quoted, sanitize},
    },
};

/// The plugin that has this manifest id. One of the other mode that an earlier session left in the sessions' own data
/// folder makes room.
///
/// # Errors
/// There is no id, the server can't be asked, or the plugin is of the other mode.
pub(super) async fn installed(
    session: &Session,
    id: Option<&str>,
    mode: PluginMode,
) -> Result<Option<Plugin>, Failure> {
    let id = id.ok_or_else(|| {
        Failure::new("the manifest has no id")
            .hint("give it one of letters, digits and hyphens, like \"my-plugin\"")
            .exit(Exit::Refused)
    })?;
    let there = with_manifest_id(&session.api, id).await?;
    let (mut same, other): (Vec<_>, Vec<_>) = there.into_iter().partition(|plugin| plugin.mode() == mode);
    for plugin in other {
        if session.home != Home::Own {
            return Err(taken(session, &plugin));
        }
        let mode = shape::mode(plugin.mode());
        session.say(&format!("{} is of an earlier session and {mode}: it is removed", plugin.id));
        delete(&session.api, plugin.id).await?;
    }
    Ok((!same.is_empty()).then(|| same.swap_remove(0)))
}

fn taken(session: &Session, plugin: &Plugin) -> Failure {
    let (id, mode) = (shape::manifest_id(plugin).map(sanitize).unwrap_or_default(), shape::mode(plugin.mode()));
    let server = match session.home {
        Home::Elsewhere => String::new(),
        Home::Own | Home::Named => format!(" on `plugd serve --data-dir {}`", quoted(&session.data_dir)),
    };
    Failure::new(format!("{} has the manifest id {id:?} already, and is {mode}", plugin.id))
        .hint(format!("delete it with `plugd delete {}`{server}, or give this one another id", plugin.id))
        .exit(Exit::Conflict)
}

/// Removes a plugin.
///
/// # Errors
/// It is refused, or takes too long.
pub(super) async fn delete(api: &Api, plugin_id: String) -> Result<(), Failure> {
    let send = async |request| api.plugins().delete_plugin(request).await;
    within(SETTLE + MARGIN, DeletePluginRequest { plugin_id }, send).await?;
    Ok(())
}
