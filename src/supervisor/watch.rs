//! The hub, which has the newest commits in a shared ring, and its watchers, each with a cursor, a filter and what comes next.
//!
//! Publishing never waits for a watcher. Watchers pull, and one that falls behind the ring reads the journal instead.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use prometheus_client::metrics::histogram::Histogram;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{Projection, Store, draining};
use crate::domain::{Commit, Error, Plugin, PluginId, Reason, Result, State, text::shorten};

const RING: usize = 4_096;

/// How far behind watches may be, in revisions.
const REVISIONS: [f64; 6] = [1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0];

/// Commits that one read returns at the most.
const BATCH: usize = 256;

pub(super) struct Hub {
    ring: RwLock<VecDeque<Arc<Commit>>>,
    head: watch::Sender<u64>,
    lag: Histogram,
}

impl Hub {
    pub(super) fn new(head: u64) -> Self {
        Self { ring: RwLock::default(), head: watch::Sender::new(head), lag: Histogram::new(REVISIONS) }
    }

    /// Watches that are open.
    pub(super) fn watches(&self) -> usize {
        self.head.receiver_count()
    }

    /// How many revisions watches were behind when they read on.
    pub(super) fn lag(&self) -> &Histogram {
        &self.lag
    }

    pub(super) fn publish(&self, commits: &[Arc<Commit>]) {
        let Some(last) = commits.last() else { return };
        {
            let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
            ring.extend(commits.iter().cloned());
            let excess = ring.len().saturating_sub(RING);
            ring.drain(..excess);
        }
        self.head.send_replace(last.revision);
    }

    /// The newest revision, and a signal when there is a newer one.
    fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// Waits until this revision is published.
    pub(super) async fn reached(&self, revision: u64) {
        // The sender lives as long as this.
        let _ = self.head().wait_for(|head| *head >= revision).await;
    }

    /// The next commits after a revision, at most [`BATCH`], and none at the head. `None` when the ring no longer has the
    /// next one: the journal may.
    fn read_after(&self, revision: u64) -> Option<Vec<Arc<Commit>>> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let head = *self.head.borrow();
        if revision >= head {
            return Some(Vec::new());
        }
        // Revisions have no gaps: the place of one in the ring can be reckoned.
        let oldest = ring.front().filter(|oldest| oldest.revision <= revision + 1)?;
        let skip = usize::try_from(revision + 1 - oldest.revision).unwrap_or(usize::MAX);
        Some(ring.iter().skip(skip).take(BATCH).cloned().collect())
    }
}

/// A filter: OR within a field, AND across fields; an empty field lets everything through.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub ids: HashSet<PluginId>,
    pub states: HashSet<State>,
}

/// A change as seen through a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new, or came into the filter.
    Added,
    /// It was there and is there still.
    Changed,
    /// It is gone, or left the filter.
    Removed,
}

impl Filter {
    /// Whether a plugin passes the filter.
    pub fn admits(&self, plugin: &Plugin) -> bool {
        self.admits_id(plugin.id) && self.admits_state(plugin.reported.state)
    }

    /// How a commit looks through the filter; none: not at all.
    pub fn view(&self, commit: &Commit) -> Option<ChangeKind> {
        if !self.admits_id(commit.plugin.id) {
            return None;
        }
        let was_in = commit.before.is_some_and(|state| self.admits_state(state));
        let is_in = !commit.is_removal && self.admits_state(commit.plugin.reported.state);
        match (was_in, is_in) {
            (false, true) => Some(ChangeKind::Added),
            (true, true) => Some(ChangeKind::Changed),
            (true, false) => Some(ChangeKind::Removed),
            (false, false) => None,
        }
    }

    fn admits_id(&self, id: PluginId) -> bool {
        self.ids.is_empty() || self.ids.contains(&id)
    }

    fn admits_state(&self, state: State) -> bool {
        self.states.is_empty() || self.states.contains(&state)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With a snapshot.
    Snapshot,
    /// With what comes from now on.
    Live,
    /// After this revision of this history.
    After {
        epoch: String,
        /// The last revision that the client applied.
        revision: u64,
    },
}

#[derive(Debug, Clone)]
pub struct WatchQuery {
    pub filter: Filter,
    pub start: Start,
    /// How often it hears that nothing happened.
    pub heartbeat: Duration,
    /// When it has to resume.
    pub max_age: Option<Duration>,
}

#[derive(Debug, Clone)]
pub enum Frame {
    /// First: the newest revision, and the newest one no longer kept.
    Opened {
        head: u64,
        /// The newest revision no longer kept.
        compacted: u64,
    },
    /// Everything that passes the filter, once; also when that is nothing.
    Snapshot(Vec<Arc<Plugin>>),
    /// What changed, in order.
    Events(Vec<Change>),
    /// Nothing that passes the filter.
    Heartbeat,
}

/// One change as seen through the filter.
#[derive(Debug, Clone)]
pub struct Change {
    pub kind: ChangeKind,
    pub commit: Arc<Commit>,
}

/// One watcher. It holds a cursor and no queue: nothing is kept for it but two pages of the journal while it is behind the ring,
/// the one that is sent and the next, and nothing waits for it.
pub struct Watch {
    pub(super) projection: Arc<Projection>,
    pub(super) store: Arc<dyn Store>,
    pub(super) draining: CancellationToken,
    query: WatchQuery,
    head: watch::Receiver<u64>,
    cursor: u64,
    ready: VecDeque<Frame>,
    /// What the journal has after the cursor, if that is being read already.
    ahead: Option<AbortOnDropHandle<Result<Vec<Arc<Commit>>>>>,
    ends_at: Option<Instant>,
}

impl Watch {
    pub(super) fn open(
        projection: Arc<Projection>,
        store: Arc<dyn Store>,
        draining: CancellationToken,
        (epoch, query): (&str, WatchQuery),
    ) -> Result<Self> {
        let head = projection.hub().head();
        let ends_at = query.max_age.map(|age| Instant::now() + age);
        let ready = VecDeque::new();
        let mut watch = Self { projection, store, draining, query, head, cursor: 0, ready, ahead: None, ends_at };
        watch.begin(epoch)?;
        Ok(watch)
    }

    fn begin(&mut self, epoch: &str) -> Result<()> {
        let head = *self.head.borrow_and_update();
        let compacted = self.store.compacted();
        self.ready.push_back(Frame::Opened { head, compacted });
        match &self.query.start {
            Start::Live => self.cursor = head,
            Start::After { epoch: theirs, revision } => self.cursor = check_cursor(theirs, *revision, epoch, head)?,
            Start::Snapshot => {
                let (revision, mut plugins) = self.projection.snapshot();
                plugins.retain(|plugin| self.query.filter.admits(plugin));
                self.cursor = revision;
                self.ready.push_back(Frame::Snapshot(plugins));
            }
        }
        // A compacted cursor is refused now, not after the stream has begun well.
        if self.cursor < compacted { Err(compacted_error(self.cursor, compacted, head)) } else { Ok(()) }
    }

    /// The revision up to which the frames returned so far go.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Whether a snapshot is still to be sent.
    pub fn has_snapshot_to_come(&self) -> bool {
        self.ready.iter().any(|frame| matches!(frame, Frame::Snapshot(_)))
    }

    /// The next frame, and the revision up to which the watcher has seen everything with it.
    ///
    /// # Errors
    /// `REVISION_COMPACTED` when the watcher is too far behind, `DRAINING` and `MAX_AGE_REACHED` at the end,
    /// `STORE_UNAVAILABLE` when it needs the journal and that does not answer.
    pub async fn next(&mut self) -> Result<Frame> {
        if let Some(frame) = self.ready.pop_front() {
            return Ok(frame);
        }
        let heartbeat = Instant::now() + self.query.heartbeat;
        loop {
            self.check_end()?;
            match self.advance().await? {
                Some(events) if !events.is_empty() => return Ok(Frame::Events(events)),
                // Far behind, with a filter that leaves everything out: the client hears that it goes on.
                Some(_) if heartbeat <= Instant::now() => return Ok(Frame::Heartbeat),
                Some(_) => continue,
                None => {}
            }
            tokio::select! {
                changed = self.head.changed() => if changed.is_err() { return Err(draining()) },
                () = sleep_until(heartbeat) => return Ok(Frame::Heartbeat),
                () = sleep_until(self.ends_at.unwrap_or(heartbeat)), if self.ends_at.is_some() => {}
                () = self.draining.cancelled() => {}
            }
        }
    }

    fn check_end(&self) -> Result<()> {
        if self.draining.is_cancelled() {
            return Err(draining());
        }
        match self.ends_at {
            Some(at) if at <= Instant::now() => {
                Err(Error::new(Reason::MaxAgeReached, "the stream has reached its maximum age"))
            }
            _ => Ok(()),
        }
    }

    /// Moves the cursor over the next commits. Answers what of them passes the filter; none at the head.
    async fn advance(&mut self) -> Result<Option<Vec<Change>>> {
        let commits = self.read().await?;
        let Some(last) = commits.last() else { return Ok(None) };
        #[allow(clippy::cast_precision_loss, reason = "it is sorted into few buckets")]
        self.projection.hub().lag.observe(self.head.borrow().saturating_sub(self.cursor) as f64);
        self.cursor = last.revision;
        let filter = &self.query.filter;
        let view = |commit: Arc<Commit>| filter.view(&commit).map(|kind| Change { kind, commit });
        Ok(Some(commits.into_iter().filter_map(view).collect()))
    }

    async fn read(&mut self) -> Result<Vec<Arc<Commit>>> {
        if let Some(commits) = self.projection.hub().read_after(self.cursor) {
            self.ahead = None;
            return Ok(commits);
        }
        let compacted = self.store.compacted();
        if self.cursor < compacted {
            return Err(compacted_error(self.cursor, compacted, *self.head.borrow()));
        }
        let ahead = match self.ahead.take() {
            Some(ahead) => ahead.await.ok().and_then(Result::ok),
            None => None,
        };
        let mut commits = match ahead {
            Some(commits) => commits,
            // Also where that failed in its time: the database may be there again.
            None => self.store.journal_after(self.cursor, BATCH).await?,
        };
        // The journal may be ahead of what every other reader has seen.
        let head = *self.head.borrow();
        commits.retain(|commit| commit.revision <= head);
        if let Some(last) = commits.last().filter(|_| commits.len() == BATCH) {
            // There is more: it is read while this is sent.
            let ahead = self.store.journal_after(last.revision, BATCH);
            self.ahead = Some(AbortOnDropHandle::new(tokio::spawn(ahead)));
        }
        Ok(commits)
    }
}

fn check_cursor(theirs: &str, revision: u64, ours: &str, head: u64) -> Result<u64> {
    if theirs != ours {
        let message = format!("the cursor is of history {:?}, this is {ours:?}", shorten(theirs, 40));
        return Err(Error::new(Reason::EpochUnknown, message).with("epoch", ours));
    }
    if revision > head {
        let message = format!("revision {revision} does not exist yet; the newest is {head}");
        return Err(Error::new(Reason::RevisionUnknown, message).with("head_revision", head));
    }
    Ok(revision)
}

fn compacted_error(revision: u64, compacted: u64, head: u64) -> Error {
    let message = format!("what came after revision {revision} is no longer kept; the oldest cursor is {compacted}");
    Error::new(Reason::RevisionCompacted, message).with("compact_revision", compacted).with("head_revision", head)
}
