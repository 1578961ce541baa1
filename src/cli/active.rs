//! `plugd activate`, `deactivate` and `restart`.

use std::time::Duration;

use clap::Args;
use tonic::Status;

use super::{
    Context, aftermath,
    client::{Api, MARGIN, SETTLE, within},
    failure::Failure,
    get::sentence,
    progress, resolve,
    several::{Deed, Selection},
    ui::{Ui, sanitize},
};
use crate::{
    api::v1::{ActiveState, Plugin, PluginMode, RestartPluginRequest, SetActiveStateRequest},
    config,
};

/// How to wait for what was asked for.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct Waiting {
    /// Don't wait until it is settled
    #[arg(long, conflicts_with = "timeout")]
    pub(super) no_wait: bool,
    /// How long to wait until it is settled, like 30s; at most and by default 5m
    #[arg(long, value_name = "TIME", value_parser = patience)]
    pub(super) timeout: Option<Duration>,
}

/// A time as an argument.
///
/// # Errors
/// It is not one.
pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    config::duration(text).ok_or("a time like 500ms, 30s, 1m30s or 30d is expected")
}

/// How long to wait, as an argument.
///
/// # Errors
/// It is no time, or none that the server takes.
fn patience(text: &str) -> Result<Duration, String> {
    let words = "more than nothing and at most 5m is expected; --no-wait waits not at all";
    limited(text, SETTLE, words)
}

/// A time as an argument: more than nothing, and at most so long.
///
/// # Errors
/// It is not one.
pub(super) fn limited(text: &str, limit: Duration, words: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time.is_zero() || time > limit { Err(words.to_owned()) } else { Ok(time) }
}

impl Waiting {
    /// What the server is told.
    pub(super) fn limit(self) -> Option<prost_types::Duration> {
        self.timeout.and_then(|timeout| timeout.try_into().ok())
    }

    /// How long the call itself may take.
    pub(super) fn deadline(self) -> Duration {
        self.timeout.unwrap_or(SETTLE) + MARGIN
    }
}

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident, $examples:literal, $done:literal, $begun:literal, $is_meant:expr, $act:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Args)]
        #[command(after_help = concat!("Examples:\n  ", $examples))]
        pub(super) struct $name {
            #[command(flatten)]
            selection: Selection,
            #[command(flatten)]
            waiting: Waiting,
        }

        impl $name {
            pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
                let selected = self.selection.plugins(context, $is_meant).await?;
                let act = async |id: String| {
                    progress::during(context, &id, $act(&context.api, &id, self.waiting)).await
                };
                selected.each(context, Deed { act, tell: &told(self.waiting, $begun), done: $done }).await
            }
        }
    )+};
}

commands! {
    /// Start plugins, and keep them running
    Activate, "plugd activate my-plugin --timeout 30s\n  plugd activate --all", "activated", "", is_run_here, activate;
    /// Stop plugins
    Deactivate, "plugd deactivate my-plugin other-plugin\n  plugd deactivate --all", "deactivated", "", is_run_here, deactivate;
    /// Stop plugins and start them anew
    Restart, "plugd restart my-plugin\n  plugd restart --all", "restarted", "is to be started anew", can_restart, restart;
}

async fn activate(api: &Api, id: &str, waiting: Waiting) -> Result<Plugin, Failure> {
    start(api, id, set(api, id, ActiveState::Active, waiting)).await
}

/// Does what starts a plugin; if it fails, waits until it is known what became of the plugin.
///
/// # Errors
/// It is refused, fails or is not settled in time.
pub(super) async fn start(
    api: &Api,
    id: &str,
    work: impl Future<Output = Result<Plugin, Status>>,
) -> Result<Plugin, Failure> {
    let before = resolve::plugin(api, id).await?;
    match work.await {
        Ok(plugin) => Ok(plugin),
        Err(status) => Err(Box::pin(aftermath::explain_start(api, &before, status)).await),
    }
}

async fn deactivate(api: &Api, id: &str, waiting: Waiting) -> Result<Plugin, Failure> {
    Ok(set(api, id, ActiveState::Inactive, waiting).await?)
}

/// External plugins are started and stopped by somebody else.
fn is_run_here(plugin: &Plugin) -> bool {
    plugin.mode() == PluginMode::Supervised
}

/// Only what is to run can be started anew.
fn can_restart(plugin: &Plugin) -> bool {
    is_run_here(plugin) && plugin.desired_state() == ActiveState::Active
}

/// Says what is desired of a plugin and waits as told.
///
/// # Errors
/// It is refused, fails or is not settled in time.
pub(super) async fn set(api: &Api, id: &str, desired: ActiveState, waiting: Waiting) -> Result<Plugin, Status> {
    let request = SetActiveStateRequest {
        plugin_id: id.to_owned(),
        active_state: desired.into(),
        return_immediately: waiting.no_wait,
        wait_timeout: waiting.limit(),
    };
    let send = within(waiting.deadline(), request, async |request| api.plugins().set_active_state(request).await);
    send.await?.plugin.ok_or_else(|| Status::internal("the server's answer is incomplete"))
}

/// What a plugin is then: with `--no-wait` its state is still the one before.
fn told(waiting: Waiting, begun: &'static str) -> impl Fn(&Ui, &Plugin) -> String {
    move |ui, plugin| match waiting.no_wait && !begun.is_empty() {
        true => format!("{} {} {begun}", plugin.id, sanitize(&plugin.name)),
        false => sentence(ui, plugin),
    }
}

/// Stops a plugin and starts it anew, and waits as told.
///
/// # Errors
/// It is refused, fails or is not settled in time.
pub(super) async fn restart(api: &Api, id: &str, waiting: Waiting) -> Result<Plugin, Failure> {
    let request = RestartPluginRequest {
        plugin_id: id.to_owned(),
        return_immediately: waiting.no_wait,
        wait_timeout: waiting.limit(),
    };
    let send = within(waiting.deadline(), request, async |request| api.plugins().restart_plugin(request).await);
    start(api, id, async { send.await?.plugin.ok_or_else(|| Status::internal("the server's answer is incomplete")) })
        .await
}
