//! The registry: the newest committed record of every plugin, a projection of the journal.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::timeout,
};

use super::{
    actor::{Call, Goal, Message},
    settle::{Committed, Waiters},
    watch::Hub,
};
use crate::{
    domain::{Commit, Error, Plugin, PluginId, Result, plugin::Place},
    link::Session,
};

/// Calls that may wait for one actor, and messages that may. Who finds no room waits for it, within its own deadline.
pub(super) const INBOX: usize = 64;

/// How long anybody but a caller waits for room.
const PATIENCE: Duration = Duration::from_secs(5);

/// One plugin: its newest record, its actor's inbox, its connection.
///
/// What goes through its channels is boxed: each has room for 32 from its beginning, and is mostly empty.
pub struct Slot {
    id: PluginId,
    plugin: watch::Sender<Option<Arc<Plugin>>>,
    pub(super) calls: mpsc::Sender<Box<Call>>,
    pub(super) inbox: mpsc::Sender<Box<Message>>,
    /// Wakes the actor to look at what is desired, at lost events, and whether plugd shuts down.
    pub(super) news: Notify,
    is_shutting_down: AtomicBool,
    session: watch::Sender<Option<Session>>,
    lost_events: AtomicU64,
    /// When the plugin is started again, in milliseconds since 1970; 0 while nothing waits for that.
    restart_at: AtomicI64,
    /// Held by whoever changes the configuration: one at a time asks the plugin.
    pub(super) configuring: Arc<tokio::sync::Mutex<()>>,
    waiters: Waiters,
}

/// The receiving end of a slot's inbox, for its actor.
pub(super) struct Arrival {
    pub slot: Arc<Slot>,
    pub plugin: Arc<Plugin>,
    pub calls: mpsc::Receiver<Box<Call>>,
    pub inbox: mpsc::Receiver<Box<Message>>,
}

impl Slot {
    fn open(plugin: Arc<Plugin>) -> Arrival {
        let (calls, called) = mpsc::channel(INBOX);
        let (inbox, received) = mpsc::channel(INBOX);
        let slot = Self {
            id: plugin.id,
            plugin: watch::Sender::new(Some(plugin.clone())),
            calls,
            inbox,
            news: Notify::new(),
            is_shutting_down: AtomicBool::new(false),
            session: watch::Sender::new(None),
            lost_events: AtomicU64::new(0),
            restart_at: AtomicI64::new(0),
            configuring: Arc::default(),
            waiters: Waiters::default(),
        };
        Arrival { slot: Arc::new(slot), plugin, calls: called, inbox: received }
    }

    /// Which plugin it is.
    pub(super) fn id(&self) -> PluginId {
        self.id
    }

    /// The newest record, none when the plugin is deleted, and its changes.
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Plugin>>> {
        self.plugin.subscribe()
    }

    /// The newest record; none when the plugin is deleted.
    pub fn plugin(&self) -> Option<Arc<Plugin>> {
        self.plugin.borrow().clone()
    }

    /// A change that was committed, with what is to come of it. Or one that was none, as it is what is desired already: that may
    /// have been committed by another call, and not be durable yet.
    pub(super) fn committed(&self, plugin: Arc<Plugin>, goal: Goal) -> Committed {
        let revision = self.plugin().map_or(plugin.revision, |newest| newest.revision);
        let settled = self.waiters.add((goal, plugin.clone()), || self.plugin());
        Committed { plugin, revision, settled }
    }

    /// Takes in the next record; none when the plugin is deleted.
    fn publish(&self, record: Option<Arc<Plugin>>) -> Option<Arc<Plugin>> {
        let before = self.plugin.send_replace(record.clone());
        self.waiters.show(record.as_ref());
        before
    }

    /// The live connection of an active plugin.
    pub fn session(&self) -> Option<Session> {
        self.session.borrow().clone()
    }

    /// When the plugin is started again, if it waits for that.
    pub(super) fn restart_time(&self) -> Option<Timestamp> {
        let millis = Some(self.restart_at.load(Ordering::Relaxed)).filter(|millis| *millis > 0)?;
        Timestamp::from_millisecond(millis).ok()
    }

    pub(super) fn set_restart_time(&self, time: Option<Timestamp>) {
        self.restart_at.store(time.map_or(0, Timestamp::as_millisecond), Ordering::Relaxed);
    }

    /// Counts events that the plugin was too slow for.
    pub fn note_lost_events(&self, count: u64) {
        self.lost_events.fetch_add(count, Ordering::Relaxed);
    }

    /// Has what was counted since the last time appear in the plugin's status.
    pub fn report_lost_events(&self) {
        self.news.notify_one();
    }

    pub(super) fn take_lost_events(&self) -> u64 {
        self.lost_events.swap(0, Ordering::Relaxed)
    }

    pub(super) fn shut_down(&self) {
        self.is_shutting_down.store(true, Ordering::SeqCst);
        self.news.notify_one();
    }

    pub(super) fn is_shutting_down(&self) -> bool {
        self.is_shutting_down.load(Ordering::SeqCst)
    }

    pub(super) fn set_session(&self, session: Option<Session>) {
        self.session.send_replace(session);
    }

    /// Tells the actor; false when it is gone, or has no room for long.
    pub(super) async fn tell(&self, message: Message) -> bool {
        timeout(PATIENCE, self.inbox.send(message.into())).await.is_ok_and(|sent| sent.is_ok())
    }
}

#[derive(Default)]
struct Slots {
    head: u64,
    by_id: HashMap<PluginId, Arc<Slot>>,
    /// The same, in the order of installation.
    in_order: BTreeMap<Place, Arc<Slot>>,
}

/// Everything that follows the journal: the registry and the hub. Only [`Projection::apply`] changes it.
pub struct Projection {
    slots: RwLock<Slots>,
    hub: Hub,
    /// None where nothing is supervised: the projection follows another plugd's journal.
    arrivals: Option<mpsc::UnboundedSender<Arrival>>,
}

impl Projection {
    /// The projection of a journal at `head`, and where the actors of its plugins are to be started.
    pub(super) fn new(plugins: Vec<Plugin>, head: u64) -> (Arc<Self>, mpsc::UnboundedReceiver<Arrival>) {
        let (arrivals, receiver) = mpsc::unbounded_channel();
        (Self::of(plugins, head, Some(arrivals)), receiver)
    }

    /// The projection of a journal at `head` that another plugd writes.
    pub fn following(plugins: Vec<Plugin>, head: u64) -> Arc<Self> {
        Self::of(plugins, head, None)
    }

    fn of(plugins: Vec<Plugin>, head: u64, arrivals: Option<mpsc::UnboundedSender<Arrival>>) -> Arc<Self> {
        let projection = Self { slots: RwLock::default(), hub: Hub::new(head), arrivals };
        projection.write(|slots| {
            slots.head = head;
            for plugin in plugins {
                projection.arrive(slots, Arc::new(plugin));
            }
        });
        Arc::new(projection)
    }

    /// Takes in what has been committed, in order. Called by the store's writer, after the commit.
    pub fn apply(&self, commits: &[Arc<Commit>]) {
        self.write(|slots| {
            for commit in commits {
                self.apply_one(slots, commit);
            }
        });
        self.hub.publish(commits);
    }

    fn apply_one(&self, slots: &mut Slots, commit: &Commit) {
        slots.head = commit.revision;
        let id = commit.plugin.id;
        if commit.is_removal {
            slots.in_order.remove(&commit.plugin.place());
            if let Some(slot) = slots.by_id.remove(&id) {
                slot.publish(None);
            }
        } else if let Some(slot) = slots.by_id.get(&id) {
            let generation = commit.plugin.desired.generation;
            let before = slot.publish(Some(commit.plugin.clone()));
            if before.is_none_or(|before| before.desired.generation < generation) {
                slot.news.notify_one();
            }
        } else {
            self.arrive(slots, commit.plugin.clone());
        }
    }

    fn arrive(&self, slots: &mut Slots, plugin: Arc<Plugin>) {
        let (id, place) = (plugin.id, plugin.place());
        let arrival = Slot::open(plugin);
        slots.by_id.insert(id, arrival.slot.clone());
        slots.in_order.insert(place, arrival.slot.clone());
        let Some(arrivals) = &self.arrivals else { return };
        if arrivals.send(arrival).is_err() {
            tracing::debug!(plugin = %id, "plugin came while shutting down; it is started next time");
        }
    }

    /// The slot of a plugin.
    ///
    /// # Errors
    /// `PLUGIN_NOT_FOUND`.
    pub fn slot(&self, id: PluginId) -> Result<Arc<Slot>> {
        self.read(|slots| slots.by_id.get(&id).cloned()).ok_or_else(|| Error::plugin_not_found(&id.to_string()))
    }

    /// All records, in the order of their installation, and the revision that they are of.
    pub fn snapshot(&self) -> (u64, Vec<Arc<Plugin>>) {
        self.read(|slots| (slots.head, slots.in_order.values().filter_map(|slot| slot.plugin()).collect()))
    }

    /// The records after a place that are wanted, in order, as long as there is room for them.
    pub fn page(
        &self,
        after: Option<Place>,
        is_wanted: impl Fn(&Plugin) -> bool,
        mut has_room: impl FnMut(&Plugin) -> bool,
    ) -> Vec<Arc<Plugin>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.read(|slots| {
            let later = slots.in_order.range((from, Bound::Unbounded)).filter_map(|(_, slot)| slot.plugin());
            later.filter(|plugin| is_wanted(plugin)).take_while(|plugin| has_room(plugin)).collect()
        })
    }

    /// All slots, in the order of installation.
    pub fn slots(&self) -> Vec<Arc<Slot>> {
        self.read(|slots| slots.in_order.values().cloned().collect())
    }

    /// Watches that are open.
    pub fn watches(&self) -> usize {
        self.hub.watches()
    }

    /// Registers what is measured of watches.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Revisions that a watch was behind when it read on";
        registry.register("watch_lag_revisions", help, self.hub.lag().clone());
    }

    /// The newest revision.
    pub fn head(&self) -> u64 {
        self.read(|slots| slots.head)
    }

    /// Waits until it has this revision.
    pub async fn reached(&self, revision: u64) {
        self.hub.reached(revision).await;
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    // A poisoned lock would mean a panic between two assignments that can't panic; what it guards is whole.
    fn read<T>(&self, f: impl FnOnce(&Slots) -> T) -> T {
        f(&self.slots.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, f: impl FnOnce(&mut Slots) -> T) -> T {
        f(&mut self.slots.write().unwrap_or_else(PoisonError::into_inner))
    }
}
