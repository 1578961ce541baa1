//! Follows the leader: has a projection keep up with the journal, and the tokens with those that the leader keeps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::Leader;
use crate::{
    domain::access::AccessToken,
    store::{Feed, LEASE, Look, RunOut, StoreError},
    supervisor::Projection,
};

/// How often to look whether there is something to read of which nothing was heard.
const LOOKS: Duration = Duration::from_secs(1);

/// How long anybody waits until this node has caught up.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Takes all access tokens, when they are not what they were.
pub type OnTokens = Box<dyn Fn(Vec<AccessToken>) + Send + Sync>;

/// Reads on for a node that does not lead.
pub struct Follower {
    feed: Feed,
    projection: Arc<Projection>,
    on_tokens: OnTokens,
    /// Where this node is reached: what it was itself, it does not ask.
    own_address: String,
    leader: watch::Sender<Option<Leader>>,
    /// Looks that were begun.
    begun: Arc<AtomicU64>,
    progress: watch::Sender<Progress>,
    is_failing: bool,
}

/// How far this node follows.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The last look that found all there was.
    look: u64,
    /// The newest revision that was read.
    pub revision: u64,
    /// Revisions that are known to be there and were not read yet.
    pub behind: u64,
    /// When it had read all there was.
    pub caught_up: Instant,
}

impl Progress {
    /// Whether what was read may be trusted no longer: tokens may have been revoked since, and another may lead.
    pub(super) fn is_stale(&self) -> bool {
        self.caught_up.elapsed() > LEASE
    }
}

/// Why a node does not follow any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nobody leads.
    Leaderless,
    /// What was followed has ended: everything is to be read anew.
    HistoryEnded,
}

impl Follower {
    /// Reads on from what this projection has, for the node at this address.
    pub fn new(feed: Feed, projection: Arc<Projection>, on_tokens: OnTokens, own_address: String) -> Self {
        let progress = Progress { look: 0, revision: projection.head(), behind: 0, caught_up: Instant::now() };
        let (leader, progress) = (watch::Sender::default(), watch::Sender::new(progress));
        Self { feed, projection, on_tokens, own_address, leader, begun: Arc::default(), progress, is_failing: false }
    }

    /// Who leads, as far as is known.
    pub fn leader(&self) -> watch::Receiver<Option<Leader>> {
        self.leader.subscribe()
    }

    /// How far it is.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The lease that has run out, if nobody leads for that reason.
    pub fn run_out(&self) -> Option<RunOut> {
        self.feed.run_out()
    }

    /// Has it look at once.
    pub fn hurry(&self) -> impl Fn() + Send + Sync + 'static {
        self.feed.hurry()
    }

    /// Waits until this node has read what was there when that was asked for, and a second at the most. However many wait, one
    /// look at a time is made for all.
    pub fn catch_up(&self) -> impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static {
        let (begun, progress, hurry) = (Arc::clone(&self.begun), self.progress(), self.feed.hurry());
        move || {
            let (asked, mut progress) = (begun.load(Ordering::SeqCst), progress.clone());
            hurry();
            async move {
                let _ = timeout(CATCH_UP, progress.wait_for(|progress| progress.look > asked)).await;
            }
            .boxed()
        }
    }

    /// Follows as long as somebody leads. It may be dropped at any time, and asked again after it has ended without a leader.
    pub async fn follow(&mut self) -> Ended {
        loop {
            let look = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let pause = match self.feed.look().await {
                Ok(found) => match self.take(look, found) {
                    Some(pause) => pause,
                    None => return Ended::Leaderless,
                },
                Err(StoreError::HistoryEnded) => return Ended::HistoryEnded,
                Err(error) => self.failed(&error),
            };
            self.feed.wait(pause).await;
        }
    }

    /// Takes in what was found. Answers when to look again; none when nobody leads.
    fn take(&mut self, look: u64, found: Look) -> Option<Duration> {
        self.is_failing = false;
        self.projection.apply(&found.commits);
        if let Some(tokens) = found.tokens {
            (self.on_tokens)(tokens);
        }
        let revision = self.projection.head();
        self.progress.send_modify(|progress| {
            (progress.revision, progress.behind) = (revision, found.behind);
            if found.behind == 0 {
                (progress.look, progress.caught_up) = (look, Instant::now());
            }
        });
        let left = found.leader.as_ref().map(|leader| leader.left);
        // The lease of this node from before it was started lasts for a while; it leads no more.
        let leader = found.leader.filter(|leader| leader.address != self.own_address);
        self.lead_by(leader.map(|leader| Leader { address: leader.address, term: leader.term }));
        let pause = left?.min(LOOKS);
        Some(if found.behind == 0 { pause } else { Duration::ZERO })
    }

    fn failed(&mut self, error: &StoreError) -> Duration {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(%error, "the database can't be followed; it is tried once a second");
        }
        if self.progress.borrow().is_stale() {
            self.lead_by(None);
        }
        LOOKS
    }

    fn lead_by(&self, leader: Option<Leader>) {
        self.leader.send_if_modified(|known| {
            let is_new = *known != leader;
            if is_new {
                tracing::info!(leader = ?leader, "who leads");
                *known = leader;
            }
            is_new
        });
    }
}
