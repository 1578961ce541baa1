//! Waiting for a plugin: for how long, what it goes through meanwhile, and what becomes of it when its package fails.

use std::{pin::pin, time::Duration};

use clap::Args;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    Context,
    client::{Api, MARGIN, SETTLE},
    failure::{Exit, Failure, metadata},
    follow::follow,
    select,
    ui::sanitize,
    words,
};
use crate::{
    api::v1::{Plugin, ReportedState, WatchStateRequest},
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

impl Waiting {
    /// How long the server is told to wait.
    pub(super) fn wait(self) -> Option<prost_types::Duration> {
        let timeout = if self.no_wait { Some(Duration::ZERO) } else { self.timeout };
        timeout.and_then(|timeout| timeout.try_into().ok())
    }

    /// How long the call itself may take.
    pub(super) fn deadline(self) -> Duration {
        self.timeout.unwrap_or(SETTLE) + MARGIN
    }
}

fn patience(text: &str) -> Result<Duration, String> {
    limited(text, SETTLE, "more than nothing and at most 5m is expected; --no-wait waits not at all")
}

/// A time as an argument.
pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    config::duration(text).ok_or("a time like 500ms, 30s, 1m30s or 30d is expected")
}

/// A time as an argument: more than nothing, and at most so long.
pub(super) fn limited(text: &str, limit: Duration, words: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time.is_zero() || time > limit { Err(words.to_owned()) } else { Ok(time) }
}

/// How long a command may be silent.
const SILENCE: Duration = Duration::from_secs(1);

/// Does this, and says what the plugin goes through if it takes long: one that never connects takes minutes to fail.
pub(super) async fn during<T>(context: &Context, plugin_id: &str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if let Ok(done) = timeout(SILENCE, &mut work).await {
        return done;
    }
    tokio::select! {
        done = &mut work => done,
        () = narrate(context, plugin_id) => work.await,
    }
}

/// Says each state of the plugin. Ends when it can't be watched, as by one who may start it only.
async fn narrate(context: &Context, plugin_id: &str) {
    let mut said = String::new();
    let mut say = |plugin: Plugin| {
        if let Some(words) = transition(&plugin).filter(|words| *words != said) {
            context.ui.note(&format!("{} {words}", sanitize(&plugin.name)));
            said = words;
        }
    };
    let _ = follow(&context.api, watch(plugin_id), &mut say, &CancellationToken::new()).await;
}

fn watch(plugin_id: &str) -> WatchStateRequest {
    WatchStateRequest { plugin_ids: vec![plugin_id.to_owned()], ..WatchStateRequest::default() }
}

/// What a plugin is about; none when it is settled, which the command tells by itself.
fn transition(plugin: &Plugin) -> Option<String> {
    let status = plugin.status.as_ref()?;
    let why = if status.message().is_empty() { String::new() } else { format!(": {}", sanitize(status.message())) };
    let again = if status.restart_count == 0 { String::new() } else { format!(", restart {}", status.restart_count) };
    let state = words::state(status.state());
    match status.state() {
        ReportedState::Starting | ReportedState::Connecting => Some(format!("is {state}{again}")),
        ReportedState::Stopping => Some(format!("is {state}{why}")),
        ReportedState::Restarting => Some(format!("is to be started again{again}{why}")),
        _ => None,
    }
}

/// How long it is waited for that the package before runs again.
const SETTLED: Duration = Duration::from_secs(60);

/// Does what starts a plugin; if it fails, waits until it is known what became of the plugin: its package may have been put
/// in while it did not run.
pub(super) async fn start(
    api: &Api,
    id: &str,
    work: impl Future<Output = Result<Plugin, Status>>,
) -> Result<Plugin, Failure> {
    let before = select::plugin(api, id).await?;
    match work.await {
        Ok(plugin) => Ok(plugin),
        Err(status) => Err(Box::pin(explain(api, id, &before.version, status)).await),
    }
}

/// Why a plugin failed with this version of its package, and what became of it if plugd goes back to the one before.
pub(super) async fn explain(api: &Api, id: &str, version: &str, status: Status) -> Failure {
    let Some(digest) = going_back_to(&status) else { return status.into() };
    let back = until(api, id, SETTLED, |now| now.package_digest() == digest && is_settled(now)).await;
    put_back(id, version, back.as_ref(), &Failure::from(status))
}

/// The package that plugd goes back to because of this failure.
pub(super) fn going_back_to(status: &Status) -> Option<String> {
    metadata(status).remove("going_back_to")
}

fn is_settled(plugin: &Plugin) -> bool {
    let is_seen = plugin.status.as_ref().is_some_and(|status| status.observed_generation >= plugin.generation);
    let state = words::state_of(plugin);
    is_seen && matches!(state, ReportedState::Active | ReportedState::Inactive | ReportedState::Error)
}

/// The failure of this version of a package in whose place another one is `back`, if that is settled.
fn put_back(id: &str, version: &str, back: Option<&Plugin>, failure: &Failure) -> Failure {
    let named = |version: &str, unnamed: &str| match version {
        "" => unnamed.to_owned(),
        version => words::version(version),
    };
    let is_other = back.is_none_or(|back| back.version != version);
    let failed = named(if is_other { version } else { "" }, "the new package");
    let why = failure.what.strip_prefix("the plugin failed: ").map(|why| format!(" ({})", sanitize(why)));
    let earlier = named(back.map_or("", |back| &back.version), "the one before it");
    let state = match back.map(|back| (words::state_of(back), sanitize(back.message()))) {
        None => "is being put back".to_owned(),
        Some((ReportedState::Error, message)) => format!("is back and failed too: {message}"),
        Some((state, _)) => format!("is back and {}", words::state(state)),
    };
    let failure = Failure::new(format!("{failed} failed{}; {earlier} {state}", why.unwrap_or_default()))
        .hint(format!("see `plugd logs {id}`, correct it, then `plugd update {id} DIR`"))
        .exit(Exit::PluginFailed);
    Failure { reason: Some("PLUGIN_FAILED".to_owned()), ..failure }
}

/// Waits until a plugin is as wanted; none if it is not in time.
async fn until(api: &Api, id: &str, limit: Duration, wanted: impl Fn(&Plugin) -> bool + Sync) -> Option<Plugin> {
    let (stop, mut found) = (CancellationToken::new(), None);
    let mut look = |plugin: Plugin| {
        if found.is_none() && wanted(&plugin) {
            found = Some(plugin);
            stop.cancel();
        }
    };
    // Whoever may not watch is not told more than that it failed.
    let _ = timeout(limit, follow(api, watch(id), &mut look, &stop)).await;
    found
}

#[cfg(test)]
mod tests;
