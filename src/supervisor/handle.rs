//! The handle: what callers may do with plugins. Cheap to clone.

use std::{collections::HashSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Committed, Ledger, Projection, Slot, Watch, WatchQuery,
    message::{Amend, Amendment, ChangeOptions, Decide, Decision, Message},
    registry::Page,
    settle::{Want, Wanted, not_settled},
};
use crate::domain::{
    ActiveState, Desired, Digest, Error, Mode, Plugin, PluginId, Reason, Reported, Result, State, lifecycle::Event,
    manifest::Manifest, plugin::Place,
};

/// How long callers wait for a plugin to settle, at the most and by default (CONTRACT 3.5).
pub const MAX_WAIT: Duration = Duration::from_secs(300);

/// How long a supervisor may take to answer to a change that needs nothing of the plugin.
const OBSERVE: Duration = Duration::from_secs(10);

/// What callers may do with plugins.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

struct Shared {
    projection: Arc<Projection>,
    ledger: Arc<dyn Ledger>,
    epoch: String,
    draining: CancellationToken,
}

/// Whether a caller waits until its change is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The commit is enough.
    No,
    /// Until settled, or so long.
    UpTo(Duration),
}

/// Which plugins to list.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Only in one of these states; empty: all.
    pub states: HashSet<State>,
    /// Only of this mode.
    pub mode: Option<Mode>,
    /// Only with this id in the manifest; empty: all.
    pub manifest_id: String,
    /// Only after this place.
    pub after: Option<Place>,
}

impl Handle {
    /// The handle of a supervisor. `epoch` names the history, `draining` ends every wait.
    #[must_use]
    pub fn new(
        projection: Arc<Projection>,
        ledger: Arc<dyn Ledger>,
        epoch: String,
        draining: CancellationToken,
    ) -> Self {
        Self { shared: Arc::new(Shared { projection, ledger, epoch, draining }) }
    }

    /// The registry and the hub.
    #[must_use]
    pub fn projection(&self) -> &Arc<Projection> {
        &self.shared.projection
    }

    /// Names the history that cursors belong to.
    #[must_use]
    pub fn epoch(&self) -> &str {
        &self.shared.epoch
    }

    /// Is it known of every change whether it was made?
    pub(super) fn is_settled(&self) -> bool {
        self.shared.ledger.is_settled()
    }

    /// Refuses while the store is known to be away.
    pub(super) fn check_ledger(&self) -> Result<()> {
        self.shared.ledger.check()
    }

    /// Waits until every supervisor has done what was asked of it before, booting included.
    pub async fn caught_up(&self) {
        for slot in self.shared.projection.slots() {
            let (reply, done) = oneshot::channel();
            if slot.tell(Message::Barrier { reply }) {
                // One that ends instead of answering has nothing more to do.
                done.await.unwrap_or_default();
            }
        }
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
    pub fn list(&self, query: &ListQuery, mut has_room: impl FnMut(&Plugin) -> bool) -> Vec<Arc<Plugin>> {
        let is_wanted = |plugin: &Plugin| {
            let is_in_state = query.states.is_empty() || query.states.contains(&plugin.reported.state);
            let has_manifest = query.manifest_id.is_empty() || query.manifest_id == plugin.desired.manifest.id;
            is_in_state && has_manifest && query.mode.is_none_or(|mode| mode == plugin.desired.mode)
        };
        self.shared.projection.page(query.after, |plugin| match is_wanted(plugin) {
            false => Page::Skip,
            true if has_room(plugin) => Page::Take,
            true => Page::End,
        })
    }

    /// Stores a supervised plugin, inactive. Its package is in the store of packages already.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn install(&self, manifest: Manifest, package: Digest) -> Result<Arc<Plugin>> {
        let plugin = mk_plugin(manifest, Mode::Supervised);
        let desired = Desired { package: Some(package), ..plugin.desired };
        self.add(Plugin { desired, ..plugin }).await
    }

    pub(super) async fn add(&self, plugin: Plugin) -> Result<Arc<Plugin>> {
        self.shared.ledger.install(plugin).await
    }

    /// Says whether a plugin should run.
    ///
    /// # Errors
    /// `PLUGIN_NOT_FOUND`, `EXTERNAL_PLUGIN`, `PLUGIN_FAILED`, `SUPERSEDED`, `NOT_SETTLED`, `STORE_UNAVAILABLE`,
    /// `GENERATION_CONFLICT`.
    pub async fn set_active(
        &self,
        id: PluginId,
        active: ActiveState,
        options: impl Into<ChangeOptions>,
        wait: Wait,
    ) -> Result<Arc<Plugin>> {
        let decide = move |plugin: &Plugin| {
            check_supervised(plugin)?;
            if plugin.desired.active == active && !needs_another_try(plugin) {
                return Ok(Decision::Join);
            }
            let desired = Desired { active, ..plugin.desired.clone() };
            Ok(commit(desired, |generation, desired| Event::ActivationChanged { generation, active: desired.active }))
        };
        self.amend_and_wait(id, Box::new(decide), options.into(), wait).await
    }

    /// Stops an active plugin and starts it anew.
    ///
    /// # Errors
    /// As [`Handle::set_active`]; `PLUGIN_NOT_CONNECTED` for one that is not desired active.
    pub async fn restart(&self, id: PluginId, options: impl Into<ChangeOptions>, wait: Wait) -> Result<Arc<Plugin>> {
        let decide = |plugin: &Plugin| {
            check_supervised(plugin)?;
            if !plugin.desired.active.is_active() {
                let message = "the plugin is not active, so there is nothing to restart: activate it";
                return Err(Error::new(Reason::PluginNotConnected, message).with("plugin_id", plugin.id));
            }
            Ok(commit(plugin.desired.clone(), |generation, _| Event::RestartRequested { generation }))
        };
        self.amend_and_wait(id, Box::new(decide), options.into(), wait).await
    }

    /// Stops a plugin, waits until nothing of it runs, and removes it.
    ///
    /// # Errors
    /// `PLUGIN_NOT_FOUND`, `BEING_DELETED`, `PLUGIN_FAILED` when something of it can't be killed, `STORE_UNAVAILABLE`,
    /// `GENERATION_CONFLICT`.
    pub async fn delete(&self, id: PluginId, if_generation: Option<u64>) -> Result<Arc<Plugin>> {
        let slot = self.slot(id)?;
        let (reply, answer) = oneshot::channel();
        if !slot.tell(Message::Delete { if_generation, reply }) {
            return Err(gone(&slot, id));
        }
        answer.await.unwrap_or_else(|_| Err(gone(&slot, id)))
    }

    /// A watch over all changes.
    ///
    /// # Errors
    /// `EPOCH_UNKNOWN`, `REVISION_UNKNOWN`, `REVISION_COMPACTED`.
    pub fn watch(&self, query: WatchQuery) -> Result<Watch> {
        let shared = &self.shared;
        let (projection, ledger) = (shared.projection.clone(), shared.ledger.clone());
        Watch::open(projection, ledger, shared.draining.clone(), (&shared.epoch, query))
    }

    /// Commits a change of what is desired, and waits until it is settled.
    ///
    /// # Errors
    /// What `decide` refuses, and as [`Handle::set_active`].
    async fn amend_and_wait(
        &self,
        id: PluginId,
        decide: Decide,
        options: ChangeOptions,
        wait: Wait,
    ) -> Result<Arc<Plugin>> {
        let slot = self.slot(id)?;
        let committed = self.amend(&slot, id, (decide, Wanted::of), options).await?;
        self.settled(committed, wait).await
    }

    pub(super) async fn amend(
        &self,
        slot: &Slot,
        id: PluginId,
        (decide, wanted): (Decide, Want),
        options: ChangeOptions,
    ) -> Result<Committed> {
        let (reply, answer) = oneshot::channel();
        let amend = Amend { decide, wanted, options, reply };
        if !slot.tell(Message::Amend(amend)) {
            return Err(gone(slot, id));
        }
        answer.await.unwrap_or_else(|_| Err(gone(slot, id)))
    }

    /// Waits until what was committed is settled.
    pub(super) async fn settled(&self, committed: Committed, wait: Wait) -> Result<Arc<Plugin>> {
        let Committed { plugin, settled } = committed;
        let Wait::UpTo(time) = wait else { return Ok(plugin) };
        tokio::select! {
            // What is known by now is told also where the time is over.
            biased;
            answer = settled => answer.unwrap_or_else(|_| Err(draining())),
            () = self.shared.draining.cancelled() => Err(draining()),
            () = sleep(time.min(MAX_WAIT)) => Err(not_settled(&self.get(plugin.id).unwrap_or(plugin))),
        }
    }

    /// Waits until the plugin's supervisor has answered to a generation.
    pub(super) async fn wait_observed(&self, slot: &Slot, generation: u64) -> Result<Arc<Plugin>> {
        let is_observed = |plugin: &Arc<Plugin>| plugin.reported.observed_generation >= generation;
        self.wait(slot, OBSERVE, |plugin| is_observed(plugin).then(|| plugin.clone())).await
    }

    /// Waits until a record of the plugin says what is waited for.
    async fn wait<T>(&self, slot: &Slot, time: Duration, outcome: impl Fn(&Arc<Plugin>) -> Option<T>) -> Result<T> {
        let mut records = slot.subscribe();
        let deadline = Instant::now() + time.min(MAX_WAIT);
        loop {
            let Some(plugin) = records.borrow_and_update().clone() else {
                return Err(Error::new(Reason::BeingDeleted, "the plugin was deleted"));
            };
            if let Some(outcome) = outcome(&plugin) {
                return Ok(outcome);
            }
            let changed = async {
                tokio::select! {
                    changed = records.changed() => changed.is_ok(),
                    () = self.shared.draining.cancelled() => false,
                }
            };
            match timeout_at(deadline, changed).await {
                Ok(true) => {}
                Ok(false) => return Err(draining()),
                Err(_) => return Err(not_settled(&plugin)),
            }
        }
    }
}

fn draining() -> Error {
    Error::new(Reason::Draining, "the server shuts down")
}

/// Desired active but nothing is under way: an error, or what a deletion that failed left behind.
fn needs_another_try(plugin: &Plugin) -> bool {
    plugin.desired.active.is_active() && matches!(plugin.reported.state, State::Error | State::Inactive)
}

pub(super) fn check_supervised(plugin: &Plugin) -> Result<()> {
    match plugin.desired.mode {
        Mode::Supervised => Ok(()),
        Mode::External => {
            let message = "this is an external plugin: somebody else starts, stops and updates it";
            Err(Error::new(Reason::ExternalPlugin, message).with("plugin_id", plugin.id))
        }
    }
}

pub(super) fn commit(desired: Desired, event: fn(u64, &Desired) -> Event) -> Decision {
    Decision::Commit(Box::new(Amendment { desired, event }))
}

/// An actor that does not answer has ended: with its plugin, with plugd, or by a defect.
fn gone(slot: &Slot, id: PluginId) -> Error {
    match slot.plugin() {
        None => Error::plugin_not_found(&id.to_string()),
        Some(_) => Error::new(Reason::Draining, "the plugin's supervisor has ended").with("plugin_id", id),
    }
}

pub(super) fn mk_plugin(manifest: Manifest, mode: Mode) -> Plugin {
    let created = Timestamp::now();
    let active = if mode == Mode::External { ActiveState::Active } else { ActiveState::Inactive };
    let desired = Desired {
        mode,
        manifest: Arc::new(manifest),
        package: None,
        previous_package: None,
        is_restored: false,
        configuration: Arc::default(),
        configuration_revision: 0,
        active,
        active_generation: 1,
        restart_generation: 0,
        generation: 1,
        token: None,
        token_epoch: 0,
    };
    Plugin {
        id: xid::new().into(),
        created,
        desired,
        installed: 0,
        reported: Reported::inactive(created, 1),
        revision: 0,
        request_id: None,
    }
}
