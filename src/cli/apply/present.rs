//! The plugins of a server, with what files may say of them.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value};

use super::{
    desired::{Desired, fetched, in_words},
    file::refused,
};
use crate::{
    api::v1::{ListPluginsRequest, Plugin, PluginMode},
    cli::{
        client::{Api, all_plugins},
        config,
        failure::Failure,
        lifecycle::AT_ONCE,
        policy, show,
    },
};

/// A plugin as it is on a server.
#[derive(Default)]
pub(super) struct Present {
    pub(super) id: String,
    pub(super) plugin: Plugin,
    /// Its configuration, where somebody asks for it.
    pub(super) configuration: Map<String, Value>,
    /// What is decided about it in words, where somebody asks for it.
    pub(super) policy: Map<String, Value>,
}

/// What is to be known of a plugin beside what every list has.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) configuration: bool,
    pub(super) policy: bool,
}

impl Present {
    pub(super) fn of(plugin: Plugin) -> Self {
        let id = show::manifest_id(&plugin).unwrap_or_default();
        Self { id, plugin, ..Self::default() }
    }

    pub(super) fn is_external(&self) -> bool {
        self.plugin.mode() == PluginMode::External
    }
}

/// Reads the plugins of a server, in the order in which they were installed.
pub(super) async fn read(api: &Api, asked: impl Fn(&Present) -> Asked) -> Result<Vec<Present>, Failure> {
    let plugins = all_plugins(api, &ListPluginsRequest::default()).await?;
    let present = plugins.into_iter().map(|plugin| filled(api, Present::of(plugin), &asked));
    stream::iter(present).buffered(AT_ONCE).try_collect().await
}

/// Reads what files say something of.
pub(super) async fn read_for(api: &Api, desired: &[Desired]) -> Result<Vec<Present>, Failure> {
    let asked = |present: &Present| {
        let desired = desired.iter().find(|desired| desired.id == present.id);
        Asked {
            configuration: desired.is_some_and(|desired| desired.configuration.is_some()),
            policy: desired.is_some_and(|desired| desired.policy.is_some()),
        }
    };
    read(api, asked).await
}

async fn filled(api: &Api, present: Present, asked: &impl Fn(&Present) -> Asked) -> Result<Present, Failure> {
    let (asked, plugin_id) = (asked(&present), || present.plugin.id.clone());
    let configuration = match asked.configuration {
        true => config::read(api, plugin_id()).await?.values,
        false => Map::new(),
    };
    let policy = match asked.policy && !present.is_external() {
        true => in_words(&policy::read(api, plugin_id()).await?.0),
        false => Map::new(),
    };
    Ok(Present { configuration, policy, ..present })
}

/// Fetches the packages at URLs that are not what the plugins have already.
pub(super) async fn fetch_packages(desired: &mut [Desired], present: &[Present]) -> Result<(), Failure> {
    let fetched = desired.iter().map(async |desired| {
        let has = present.iter().find(|present| present.id == desired.id);
        let digest = has.and_then(|present| present.plugin.package_digest.as_deref());
        let fetched = fetched(&desired.source, &desired.id, digest).await;
        fetched.map_err(|failure| failure.about(format_args!("{}: {}", desired.place, desired.id)))
    });
    let fetched: Vec<_> = stream::iter(fetched).buffered(AT_ONCE).try_collect().await?;
    for (desired, source) in desired.iter_mut().zip(fetched) {
        desired.source = source.unwrap_or_else(|| desired.source.clone());
    }
    Ok(())
}

/// The only plugin with this manifest id, if there is one.
///
/// # Errors
/// There are several, and a file can mean one only.
pub(super) fn only<'a>(present: &'a [Present], id: &str, place: &str) -> Result<Option<&'a Present>, Failure> {
    let found: Vec<_> = present.iter().filter(|present| present.id == id).collect();
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        several => {
            let ids: Vec<_> = several.iter().map(|present| present.plugin.id.as_str()).collect();
            let what = format!("the manifest id {id:?} is that of {} plugins: {}", ids.len(), ids.join(" and "));
            let hint = "a file can't tell them apart: `plugd delete ID` removes one";
            Err(Failure { exit: crate::cli::failure::Exit::Conflict, ..refused(place, what) }.hint(hint))
        }
    }
}
