//! The handle: what callers may do with plugins. Cheap to clone.

use std::{collections::HashSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc::error::TrySendError, oneshot},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Committed, Projection, Slot, Start, Store, Watch, WatchQuery,
    actor::{Amend, Call, ChangeOptions, Goal, Message, Reply},
    draining,
    settle::not_settled,
};
use crate::{
    domain::{
        ActiveState, Desired, Digest, Error, Mode, Plugin, PluginId, Reason, Reported, Result, State,
        change::DesiredChange,
        manifest::Manifest,
        plugin::{Place, Request},
        policy::Policy,
    },
    link::token,
};

/// How long callers wait for a plugin to settle, at the most and by default (CONTRACT 3.5).
pub const MAX_WAIT: Duration = Duration::from_secs(300);

/// How long a caller who does not wait for a change to settle waits until it is committed.
pub(super) const ANSWER: Duration = Duration::from_secs(30);

/// How long an actor may take to answer to a change that needs nothing of the plugin, before the answer is given without that.
const OBSERVE: Duration = Duration::from_secs(10);

/// How long a watch waits for a revision that is there, and that this plugd has yet to hear of: longer than it takes to look.
const ARRIVE: Duration = Duration::from_secs(2);

/// What callers may do with plugins.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

struct Shared {
    projection: Arc<Projection>,
    store: Arc<dyn Store>,
    epoch: String,
    draining: CancellationToken,
}

/// Whether a caller waits until its change is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// That it is durable is enough.
    No,
    /// Until settled, or so long.
    UpTo(Duration),
}

impl Wait {
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::No => None,
            Self::UpTo(time) => Some(Instant::now() + time.min(MAX_WAIT)),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Only in one of these states; empty: all.
    pub states: HashSet<State>,
    pub mode: Option<Mode>,
    /// Only with this id in the manifest.
    pub manifest_id: Option<String>,
    pub after: Option<Place>,
}

impl Handle {
    /// The handle of a supervisor. `epoch` names the history, `draining` ends every wait.
    pub fn new(projection: Arc<Projection>, store: Arc<dyn Store>, epoch: String, draining: CancellationToken) -> Self {
        Self { shared: Arc::new(Shared { projection, store, epoch, draining }) }
    }

    pub fn projection(&self) -> &Arc<Projection> {
        &self.shared.projection
    }

    pub fn epoch(&self) -> &str {
        &self.shared.epoch
    }

    /// Whether it is known of every change that it was made or not, and of every plugin what it needs.
    pub(super) fn is_certain(&self) -> bool {
        self.shared.store.is_certain()
    }

    /// Refuses while the store is known to be away.
    pub(super) fn check_store(&self) -> Result<()> {
        self.shared.store.check()
    }

    /// Waits until every actor has done what was asked of it before, booting included.
    pub async fn caught_up(&self) {
        for slot in self.shared.projection.slots() {
            let (reply, done) = oneshot::channel();
            if slot.tell(Message::Barrier { reply }).await {
                // One that ends instead of answering has nothing more to do.
                done.await.unwrap_or_default();
            }
        }
    }

    /// When a plugin is started again that failed and waits for that; none if it does not.
    pub fn restart_time(&self, id: PluginId) -> Option<Timestamp> {
        self.projection().slot(id).ok()?.restart_time()
    }

    /// One plugin.
    ///
    /// # Errors
    /// `PLUGIN_NOT_FOUND`.
    pub fn get(&self, id: PluginId) -> Result<Arc<Plugin>> {
        self.slot(id)?.plugin().ok_or_else(|| Error::plugin_not_found(&id.to_string()))
    }

    /// The slot of one plugin.
    ///
    /// # Errors
    /// `PLUGIN_NOT_FOUND`.
    pub fn slot(&self, id: PluginId) -> Result<Arc<Slot>> {
        self.shared.projection.slot(id)
    }

    /// Plugins in the order of their installation, as long as `has_room` says so.
    pub fn list(&self, query: &ListQuery, has_room: impl FnMut(&Plugin) -> bool) -> Vec<Arc<Plugin>> {
        let is_wanted = |plugin: &Plugin| {
            let is_in_state = query.states.is_empty() || query.states.contains(&plugin.reported.state);
            let has_manifest = query.manifest_id.as_ref().is_none_or(|id| *id == plugin.desired.manifest.id);
            is_in_state && has_manifest && query.mode.is_none_or(|mode| mode == plugin.desired.mode)
        };
        self.shared.projection.page(query.after, is_wanted, has_room)
    }

    /// Stores a supervised plugin, inactive. Its package is in the store of packages already.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`, `STORE_UNAVAILABLE`.
    pub async fn install(&self, manifest: Manifest, package: Digest, request: Option<String>) -> Result<Arc<Plugin>> {
        let plugin = new_plugin(manifest, Mode::Supervised);
        let desired = Desired { package: Some(package), ..plugin.desired };
        let request = request.map(|id| Request { id, asked: package });
        self.add(Plugin { desired, request, ..plugin }).await
    }

    /// Adds a plugin. A retry is answered with the plugin that the first request added.
    pub(super) async fn add(&self, plugin: Plugin) -> Result<Arc<Plugin>> {
        let request = plugin.request.clone();
        let added = self.shared.store.install(plugin).await?;
        if added.request == request {
            return Ok(added);
        }
        let message = format!("the request of this request_id asked for something else; it installed {}", added.id);
        Err(Error::new(Reason::RequestIdReused, message).with("plugin_id", added.id))
    }

    /// Says whether a plugin should run.
    ///
    /// # Errors
    /// `PLUGIN_NOT_FOUND`, `EXTERNAL_PLUGIN`, `PLUGIN_FAILED`, `SUPERSEDED`, `NOT_SETTLED`, `STORE_UNAVAILABLE`,
    /// `GENERATION_CONFLICT`, `TOO_BUSY`.
    pub async fn set_active(
        &self,
        id: PluginId,
        active: ActiveState,
        options: impl Into<ChangeOptions>,
        wait: Wait,
    ) -> Result<Arc<Plugin>> {
        self.change(id, DesiredChange::SetActive(active), options.into(), wait).await
    }

    /// Stops an active plugin and starts it anew.
    ///
    /// # Errors
    /// As [`Handle::set_active`]; `PLUGIN_NOT_CONNECTED` for one that is not desired active.
    pub async fn restart(&self, id: PluginId, options: impl Into<ChangeOptions>, wait: Wait) -> Result<Arc<Plugin>> {
        self.change(id, DesiredChange::Restart, options.into(), wait).await
    }

    /// Replaces what the operator decided about one plugin. A plugin whose process that concerns is started anew.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, and as [`Handle::set_active`].
    pub async fn set_policy(
        &self,
        id: PluginId,
        policy: Policy,
        options: impl Into<ChangeOptions>,
        wait: Wait,
    ) -> Result<Arc<Plugin>> {
        policy.check()?;
        self.change(id, DesiredChange::SetPolicy(Arc::new(policy)), options.into(), wait).await
    }

    /// Stops a plugin, waits until nothing of it runs, and removes it.
    ///
    /// # Errors
    /// `PLUGIN_NOT_FOUND`, `BEING_DELETED`, `PLUGIN_FAILED` when something of it can't be killed, `STORE_UNAVAILABLE`,
    /// `GENERATION_CONFLICT`, `TOO_BUSY`.
    pub async fn delete(&self, id: PluginId, options: impl Into<ChangeOptions>) -> Result<Arc<Plugin>> {
        let (slot, options) = (self.slot(id)?, options.into());
        self.call(&slot, id, MAX_WAIT, |reply| Call::Delete { options, reply }).await
    }

    /// Registers an external plugin; from then on it is waited for.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`, `STORE_UNAVAILABLE`.
    pub async fn register_external(&self, manifest: Manifest, request: Option<String>) -> Result<Arc<Plugin>> {
        let plugin = new_plugin(manifest, Mode::External);
        let request = request.map(|id| Request::for_manifest(id, &plugin.desired.manifest));
        let desired = Desired { token: Some(token::mint_external().into()), token_epoch: 1, ..plugin.desired };
        let reported = Reported { state: State::Connecting, ..plugin.reported };
        self.add(Plugin { desired, reported, request, ..plugin }).await
    }

    /// Replaces the manifest of an external plugin, which has to connect again.
    ///
    /// # Errors
    /// `PLUGIN_NOT_FOUND`, `SUPERVISED_PLUGIN`, `STORE_UNAVAILABLE`, `GENERATION_CONFLICT`, `TOO_BUSY`.
    pub async fn update_manifest(
        &self,
        id: PluginId,
        manifest: Manifest,
        options: impl Into<ChangeOptions>,
    ) -> Result<Arc<Plugin>> {
        self.reconnect(id, DesiredChange::ReplaceManifest(Arc::new(manifest)), options.into()).await
    }

    /// Gives an external plugin a new token; the old one is good for nothing from then on.
    pub async fn rotate_token(&self, id: PluginId, options: impl Into<ChangeOptions>) -> Result<Arc<Plugin>> {
        self.reconnect(id, DesiredChange::RotateToken(token::mint_external().into()), options.into()).await
    }

    /// Changes what an external plugin connects with, and waits a while until its old connection is closed. The answer may
    /// hold the only copy of a new token: once that is good, the caller gets it.
    async fn reconnect(&self, id: PluginId, change: DesiredChange, options: ChangeOptions) -> Result<Arc<Plugin>> {
        let amend = |reply| Call::Amend(Amend { change, goal: Goal::Observed, options, configured: None, reply });
        let committed = self.call(&*self.slot(id)?, id, ANSWER, amend).await?;
        self.shared.store.durable(committed.revision).await?;
        let plugin = Arc::clone(&committed.plugin);
        match self.settled(committed, Some(Instant::now() + OBSERVE)).await {
            Err(error) if matches!(error.reason, Reason::NotSettled | Reason::Draining) => Ok(plugin),
            observed => observed,
        }
    }

    /// Waits a while for what a watch begins with: the watcher may have it from another node. One that follows may lag behind the
    /// leader; and the database tells followers of a commit before the leader knows that it is made.
    pub async fn arrived(&self, start: &Start) {
        let Shared { projection, epoch, .. } = &*self.shared;
        if let Start::After { epoch: theirs, revision } = start
            && theirs == epoch
        {
            let _ = timeout(ARRIVE, projection.reached(*revision)).await;
        }
    }

    /// A watch over all changes.
    ///
    /// # Errors
    /// `EPOCH_UNKNOWN`, `REVISION_UNKNOWN`, `REVISION_COMPACTED`.
    pub fn watch(&self, query: WatchQuery) -> Result<Watch> {
        let shared = &self.shared;
        let (projection, store) = (shared.projection.clone(), shared.store.clone());
        Watch::open(projection, store, shared.draining.clone(), (&shared.epoch, query))
    }

    /// Commits a change of what is desired, and waits until it is settled.
    async fn change(
        &self,
        id: PluginId,
        change: DesiredChange,
        options: ChangeOptions,
        wait: Wait,
    ) -> Result<Arc<Plugin>> {
        let (slot, deadline) = (self.slot(id)?, wait.deadline());
        let amend = |reply| Call::Amend(Amend { change, goal: Goal::Settled, options, configured: None, reply });
        let patience = deadline.map_or(ANSWER, |deadline| deadline.saturating_duration_since(Instant::now()));
        let committed = self.call(&slot, id, patience, amend).await?;
        self.settled(committed, deadline).await
    }

    /// Commits a change of the package of a plugin. [`Handle::settled`] waits for what comes of it.
    ///
    /// # Errors
    /// What [`DesiredChange::apply`] refuses, and as [`Handle::set_active`].
    pub(super) async fn change_package(
        &self,
        id: PluginId,
        change: DesiredChange,
        options: ChangeOptions,
    ) -> Result<Committed> {
        let goal = Goal::SettledWithPackage;
        let amend = |reply| Call::Amend(Amend { change, goal, options, configured: None, reply });
        self.call(&*self.slot(id)?, id, ANSWER, amend).await
    }

    /// Asks the actor of a plugin, in turn, and waits for its answer. It goes on with what it has begun when the time is over.
    pub(super) async fn call<T>(
        &self,
        slot: &Slot,
        id: PluginId,
        patience: Duration,
        call: impl FnOnce(Reply<Result<T>>) -> Call,
    ) -> Result<T> {
        let deadline = Instant::now() + patience.min(MAX_WAIT);
        let (reply, answer) = oneshot::channel();
        slot.calls.try_send(call(reply).into()).map_err(|refused| match refused {
            TrySendError::Full(_) => busy(id),
            TrySendError::Closed(_) => gone(slot, id),
        })?;
        match timeout_at(deadline, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(gone(slot, id))),
            Err(_) => Err(self.get(id).map_or_else(|error| error, |plugin| not_settled(&plugin))),
        }
    }

    /// Waits until what was committed is durable and settled, or the deadline has passed; without one only until it is durable.
    pub(super) async fn settled(&self, committed: Committed, deadline: Option<Instant>) -> Result<Arc<Plugin>> {
        let Committed { plugin, revision, settled } = committed;
        let durable = self.shared.store.durable(revision);
        let Some(deadline) = deadline else { return durable.await.map(|()| plugin) };
        let settled = async {
            durable.await?;
            settled.await.unwrap_or_else(|_| Err(draining()))
        };
        tokio::select! {
            // What is known by now is told also where the time is over.
            biased;
            answer = settled => answer,
            () = self.shared.draining.cancelled() => Err(draining()),
            () = sleep_until(deadline) => Err(not_settled(&self.get(plugin.id).unwrap_or(plugin))),
        }
    }
}

/// The actor has no room for another call.
fn busy(id: PluginId) -> Error {
    Error::new(Reason::TooBusy, "too many calls wait for this plugin already, and nothing was changed")
        .with("plugin_id", id)
}

/// An actor that does not answer has ended: with its plugin, with plugd, or by a defect.
fn gone(slot: &Slot, id: PluginId) -> Error {
    match slot.plugin() {
        None => Error::plugin_not_found(&id.to_string()),
        Some(_) => Error::new(Reason::Draining, "the plugin's actor has ended: plugd stops, or its log says why")
            .with("plugin_id", id),
    }
}

pub(super) fn new_plugin(manifest: Manifest, mode: Mode) -> Plugin {
    let created = Timestamp::now();
    let active = if mode == Mode::External { ActiveState::Active } else { ActiveState::Inactive };
    let desired = Desired::new(mode, Arc::new(manifest), active);
    Plugin {
        id: xid::new().into(),
        created,
        desired,
        installed: 0,
        reported: Reported::inactive(created, 1),
        revision: 0,
        request: None,
    }
}
