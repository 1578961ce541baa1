//! What becomes of a plugin whose update failed: the server puts the package before it back, and says so to nobody who
//! waited for the update.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    client::Api,
    failure::{Exit, Failure, reason},
    follow::{Sink, follow},
    package::Package,
    shape,
    ui::sanitize,
};
use crate::api::v1::{Plugin, ReportedState, WatchStateRequest, WatchStateResponse, watch_state_response::Frame};

/// How soon the package before is put back, where it is.
const PUT_BACK: Duration = Duration::from_secs(10);
/// The same after a start. A package that was stable once is not put back, and that can't be seen: this is waited in vain then.
const PERHAPS_PUT_BACK: Duration = Duration::from_secs(5);
/// How long it is waited for that it runs.
const SETTLED: Duration = Duration::from_secs(60);

/// Was this package taken back, rather than its plugin left as it failed? `plugin` is as it was with the package.
pub(super) async fn is_taken_back(api: &Api, plugin: &Plugin, failed: &str, status: &Status) -> bool {
    let may_be = is_of_package(status) && !plugin.previous_package_digest.is_empty();
    let is_back = |now: &Plugin| now.package_digest != failed;
    may_be && until(api, &plugin.id, PUT_BACK, is_back).await.is_some()
}

/// Why an update failed, with what became of the plugin since.
pub(super) async fn explain(api: &Api, before: &Plugin, package: &Package, status: Status) -> Failure {
    // The server goes back to the newer of these that was ever stable.
    let ways = [&*before.package_digest, &*before.previous_package_digest];
    let failed = Failed { digest: &package.digest, version: package.version().unwrap_or_default() };
    explain_within(PUT_BACK, api, &before.id, (failed, &ways), status).await
}

/// Why a start failed, with what became of the plugin since: its package may have been put in while it did not run.
pub(super) async fn explain_start(api: &Api, before: &Plugin, status: Status) -> Failure {
    let failed = Failed { digest: &before.package_digest, version: &before.version };
    explain_within(PERHAPS_PUT_BACK, api, &before.id, (failed, &[&before.previous_package_digest]), status).await
}

/// A package that failed.
struct Failed<'a> {
    digest: &'a str,
    version: &'a str,
}

/// Waits so long for one of the packages that may be put back in place of the one that failed.
async fn explain_within(
    limit: Duration,
    api: &Api,
    id: &str,
    (failed, ways): (Failed<'_>, &[&str]),
    status: Status,
) -> Failure {
    let is_way = |digest: &str| !digest.is_empty() && digest != failed.digest && ways.contains(&digest);
    if !is_of_package(&status) || !ways.iter().copied().any(is_way) {
        return status.into();
    }
    let is_back = |now: &Plugin| is_way(&now.package_digest);
    let Some(back) = until(api, id, limit, is_back).await else { return status.into() };
    let settled = until(api, id, SETTLED, |now| !is_back(now) || is_settled(now)).await;
    told(&failed, settled.filter(is_back).as_ref().unwrap_or(&back), &Failure::from(status))
}

/// Did the plugin fail, or was its package replaced before it was settled, as it is when it failed at once?
fn is_of_package(status: &Status) -> bool {
    matches!(reason(status).as_deref(), Some("PLUGIN_FAILED" | "SUPERSEDED"))
}

fn is_settled(plugin: &Plugin) -> bool {
    let is_seen = plugin.status.as_ref().is_some_and(|status| status.observed_generation >= plugin.generation);
    let state = shape::state_of(plugin);
    is_seen && matches!(state, ReportedState::Active | ReportedState::Inactive | ReportedState::Error)
}

fn told(failed: &Failed<'_>, back: &Plugin, failure: &Failure) -> Failure {
    let failed = match failed.version {
        version if version.is_empty() || *version == back.version => "the new package".to_owned(),
        version => shape::version(version),
    };
    let why = failure.what.strip_prefix("the plugin failed: ").map(|why| format!(" ({})", sanitize(why)));
    let earlier = match back.version.as_str() {
        "" => "the one before it".to_owned(),
        version => shape::version(version),
    };
    let message = back.status.as_ref().map(|status| sanitize(&status.message)).unwrap_or_default();
    let state = match shape::state_of(back) {
        ReportedState::Error => format!("is back and failed too: {message}"),
        _ if !is_settled(back) => "is being put back".to_owned(),
        state => format!("is back and {}", shape::state(state)),
    };
    let why = why.unwrap_or_default();
    Failure::new(format!("{failed} failed{why}; {earlier} {state}"))
        .hint(format!("see `plugd logs {0}`, mend it, then `plugd update {0} DIR`", back.id))
        .because("PLUGIN_FAILED")
        .exit(Exit::PluginFailed)
}

/// Waits until a plugin is as wanted; none if it is not in time.
async fn until(api: &Api, id: &str, limit: Duration, wanted: impl Fn(&Plugin) -> bool) -> Option<Plugin> {
    let stop = CancellationToken::new();
    let mut awaited = Awaited { wanted, found: None, stop: stop.clone() };
    let request = WatchStateRequest { plugin_ids: vec![id.to_owned()], ..WatchStateRequest::default() };
    // Whoever may not watch is not told more than that it failed.
    let _ = timeout(limit, follow(api, request, &mut awaited, &stop)).await;
    awaited.found
}

/// A watch that ends when a plugin is as wanted.
struct Awaited<W> {
    wanted: W,
    found: Option<Plugin>,
    stop: CancellationToken,
}

impl<W: Fn(&Plugin) -> bool> Sink for Awaited<W> {
    fn frame(&mut self, frame: WatchStateResponse) -> Result<(), Failure> {
        let plugins = match frame.frame {
            Some(Frame::Snapshot(chunk)) => chunk.plugins,
            Some(Frame::Events(batch)) => batch.events.into_iter().filter_map(|event| event.plugin).collect(),
            _ => Vec::new(),
        };
        if self.found.is_none() {
            self.found = plugins.into_iter().find(|plugin| (self.wanted)(plugin));
        }
        if self.found.is_some() {
            self.stop.cancel();
        }
        Ok(())
    }

    fn lost(&mut self, _: &Status) {}

    fn broken(&mut self, _: &Status) {}
}
