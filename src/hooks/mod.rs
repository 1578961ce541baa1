//! Webhooks: plugd tells receivers of plugins that come into the states they ask for, in order and at least once.
//!
//! ```text
//! journal ──Watch──► Follower ──wanted──► Message ──sign──► POST ──► receiver
//!                       │  ▲                                  │
//!                 cursor│  └────── again, after a backoff ◄───┘ anything but 2xx
//!                       ▼
//!                     Store (at most every few seconds)
//! ```
//!
//! Each webhook has a task of its own, which pulls from the hub as a watcher does: nobody waits for it. Where it has come to is stored
//! with the history that this is of. What was delivered after that is delivered again when plugd was killed.

mod delivery;
mod event;
mod follower;
mod metrics;
mod shared;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashSet},
    hash::Hash,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    delivery::{ATTEMPT, Outcome, mint_secret},
    event::Origin,
    follower::Follower,
    metrics::Metrics,
    shared::Shared,
};
use crate::{
    domain::{
        Error, HookId, PluginId, Reason, Result, State,
        hook::{Hook, MAX_HOOKS, MAX_PLUGINS, MAX_URL, Progress},
    },
    outbound::{Client, Rules, Target, Unreachable},
    store::{Loaded, Store},
    supervisor::Handle,
};

/// How long followers may take to store where they have come to when plugd stops.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long it is tried to delete a webhook of which nobody knows whether it was made, and how often.
const UNMAKE: Duration = Duration::from_secs(10 * 60);
const UNMAKE_AGAIN: Duration = Duration::from_secs(2);

/// What followers work with.
struct Parts {
    all: RwLock<BTreeMap<HookId, Arc<Shared>>>,
    store: Store,
    handle: Handle,
    client: Client,
    origin: Origin,
    metrics: Metrics,
}

impl Parts {
    /// Leaves alone a webhook that is no longer stored.
    fn forget(&self, id: HookId) {
        let forgotten = self.all.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(shared) = forgotten {
            shared.end.cancel();
        }
    }
}

/// What is asked for of a new webhook.
pub struct NewHook {
    pub url: String,
    pub states: Vec<State>,
    pub plugins: Vec<PluginId>,
    /// The name of the token that asks.
    pub author: String,
}

/// What there is of webhooks when plugd starts.
pub struct Found {
    origin: Origin,
    head: u64,
    hooks: Vec<Hook>,
}

impl Found {
    /// What was loaded of the store.
    pub fn of(loaded: &Loaded) -> Self {
        let Loaded { database_id, epoch, head, hooks, .. } = loaded;
        let origin = Origin { database_id: database_id.clone(), epoch: epoch.clone() };
        Self { origin, head: *head, hooks: hooks.clone() }
    }
}

/// All webhooks. Cheap to clone.
#[derive(Clone)]
pub struct Hooks {
    parts: Arc<Parts>,
    /// Held while one is made, so that they are counted one after the other. In it is the one, if any, of which a commit that failed
    /// leaves open whether it was made.
    making: Arc<Mutex<Option<HookId>>>,
    tasks: TaskTracker,
    draining: CancellationToken,
}

impl Hooks {
    /// Starts the webhooks that were found. They end when plugd drains.
    ///
    /// # Errors
    /// The TLS library can't be used.
    pub fn start(
        found: Found,
        store: Store,
        handle: Handle,
        allow_private: bool,
        draining: CancellationToken,
    ) -> Result<Self, Unreachable> {
        let client = Client::new(Rules { allow_private, allow_plain: false })?;
        Ok(Self::start_with(client, found, store, handle, draining))
    }

    fn start_with(client: Client, found: Found, store: Store, handle: Handle, draining: CancellationToken) -> Self {
        let Found { origin, head, hooks } = found;
        let parts = Parts { all: RwLock::default(), store, handle, client, origin, metrics: Metrics::default() };
        let this = Self { parts: Arc::new(parts), making: Arc::default(), tasks: TaskTracker::new(), draining };
        for mut hook in hooks {
            resume(&mut hook.progress, &this.parts.origin.epoch, head);
            this.follow(hook);
        }
        this
    }

    /// All webhooks, in the order of their ids.
    pub fn list(&self) -> Vec<Hook> {
        self.parts.all.read().unwrap_or_else(PoisonError::into_inner).values().map(|shared| shared.hook()).collect()
    }

    /// The newest revision.
    pub fn head(&self) -> u64 {
        self.parts.handle.projection().head()
    }

    /// A webhook that may be added. It tells of what happens from now on.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, `PLUGIN_NOT_FOUND`.
    pub fn prepare(&self, new: NewHook) -> Result<Hook> {
        self.check(&new)?;
        Ok(Hook {
            id: HookId::from(xid::new()),
            url: new.url.into(),
            states: distinct(new.states),
            plugins: distinct(new.plugins),
            secret: mint_secret(),
            created: Timestamp::now(),
            author: new.author,
            progress: Progress::after(&self.parts.origin.epoch, self.head()),
        })
    }

    /// Adds a webhook.
    ///
    /// # Errors
    /// `TOO_MANY_HOOKS`, `STORE_UNAVAILABLE`.
    pub async fn add(&self, hook: Hook) -> Result<()> {
        let this = self.clone();
        to_its_end(async move {
            let mut doubtful = this.making.lock().await;
            this.unmake(&mut doubtful).await?;
            this.make_room()?;
            if let Err(error) = this.parts.store.create_hook(hook.clone()).await {
                *doubtful = Some(hook.id);
                this.tasks.spawn(this.clone().unmake_later());
                return Err(error);
            }
            this.follow(hook);
            Ok(())
        })
        .await
    }

    /// Deletes what may have been made though whoever asked for it was told that it was not.
    async fn unmake(&self, doubtful: &mut Option<HookId>) -> Result<()> {
        if let Some(id) = *doubtful {
            self.parts.store.delete_hook(id).await?;
            *doubtful = None;
        }
        Ok(())
    }

    /// The same, as soon as the store answers.
    async fn unmake_later(self) {
        let unmade = timeout(UNMAKE, async {
            loop {
                sleep(UNMAKE_AGAIN).await;
                let mut doubtful = self.making.lock().await;
                if self.unmake(&mut doubtful).await.is_ok() {
                    return;
                }
            }
        });
        if !matches!(self.draining.run_until_cancelled(unmade).await, Some(Ok(()))) {
            tracing::warn!("a webhook that could not be made may be there when plugd starts again");
        }
    }

    /// Deletes a webhook. What it has not delivered by then it never does.
    ///
    /// # Errors
    /// `HOOK_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub async fn delete(&self, id: HookId) -> Result<Hook> {
        let shared = self.shared(id)?;
        let this = self.clone();
        to_its_end(async move {
            this.parts.store.delete_hook(id).await?;
            this.parts.forget(id);
            Ok(shared.hook())
        })
        .await
    }

    /// Has a webhook deliver again, at once: one that its receiver ended, or that waits for its next attempt.
    ///
    /// # Errors
    /// `HOOK_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub async fn enable(&self, id: HookId) -> Result<Hook> {
        let (shared, store) = (self.shared(id)?, self.parts.store.clone());
        let enable = |hook: &mut Hook| {
            let progress = &mut hook.progress;
            (progress.is_enabled, progress.failures) = (true, 0);
            (progress.last_error, progress.next_attempt) = (None, None);
        };
        to_its_end(async move {
            let hook = shared.change_durably(&store, enable).await?;
            shared.news.notify_one();
            Ok(hook)
        })
        .await
    }

    /// Gives a webhook another secret, with which everything is signed from now on.
    ///
    /// # Errors
    /// `HOOK_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub async fn rotate_secret(&self, id: HookId) -> Result<Hook> {
        let (shared, store, secret) = (self.shared(id)?, self.parts.store.clone(), mint_secret());
        to_its_end(async move { shared.change_durably(&store, |hook| hook.secret = secret.clone()).await }).await
    }

    /// Posts an event that says it is a test, once, whether the webhook is enabled or not.
    ///
    /// # Errors
    /// `HOOK_NOT_FOUND`; `DELIVERY_FAILED` says why.
    pub async fn test(&self, id: HookId) -> Result<Hook> {
        let shared = self.shared(id)?;
        let message = self.parts.origin.of_test(id, Timestamp::now());
        let sent = timeout(ATTEMPT, shared.send(&self.parts.client, &message)).await;
        let outcome = sent.unwrap_or_else(|_| Outcome::silent());
        match outcome.error() {
            None => Ok(shared.hook()),
            Some(why) => Err(Error::new(Reason::DeliveryFailed, why).with("hook_id", id)),
        }
    }

    /// Waits until every follower has stored where it has come to, once plugd drains.
    pub async fn ended(&self) {
        self.tasks.close();
        if timeout(LAST_WORDS, self.tasks.wait()).await.is_err() {
            tracing::warn!("webhooks may deliver some events again: where they have come to is not stored");
        }
    }

    /// Registers what is measured of webhooks.
    pub fn register(&self, registry: &mut Registry) {
        self.parts.metrics.register(registry);
        registry.register_collector(Box::new(metrics::Present(self.clone())));
    }

    fn follow(&self, hook: Hook) {
        let id = hook.id;
        let shared = Arc::new(Shared::new(hook, self.draining.child_token()));
        self.tasks.spawn(Follower::new(Arc::clone(&self.parts), Arc::clone(&shared)).run());
        self.parts.all.write().unwrap_or_else(PoisonError::into_inner).insert(id, shared);
    }

    fn shared(&self, id: HookId) -> Result<Arc<Shared>> {
        let all = self.parts.all.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&id).cloned().ok_or_else(|| Error::hook_not_found(&id.to_string()))
    }

    fn make_room(&self) -> Result<()> {
        if self.parts.all.read().unwrap_or_else(PoisonError::into_inner).len() < MAX_HOOKS {
            return Ok(());
        }
        let message = format!("there are {MAX_HOOKS} webhooks, which is as many as there may be");
        Err(Error::new(Reason::TooManyHooks, message).with("limit", MAX_HOOKS))
    }

    fn check(&self, new: &NewHook) -> Result<()> {
        if new.url.len() > MAX_URL {
            return Err(Error::field("url", format!("must have {MAX_URL} bytes or less")));
        }
        let checked = Target::parse(&new.url).and_then(|target| self.parts.client.check(&target));
        checked.map_err(|error| Error::field("url", error.to_string()))?;
        if new.states.is_empty() {
            return Err(Error::field("states", "must name one state or more"));
        }
        if new.plugins.len() > MAX_PLUGINS {
            return Err(Error::field("plugin_ids", format!("must name {MAX_PLUGINS} plugins or fewer; none is all")));
        }
        new.plugins.iter().try_for_each(|id| self.parts.handle.get(*id).map(drop))
    }
}

/// Runs this to its end, also if the client goes away half way: store and memory must not part ways.
async fn to_its_end<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(Error::new(Reason::Internal, error.to_string())))
}

/// Where a webhook goes on in this history. Of another history the newest revisions may be lost, whose numbers are given anew.
fn resume(progress: &mut Progress, epoch: &str, head: u64) {
    if progress.epoch != epoch {
        (progress.epoch, progress.revision) = (epoch.to_owned(), progress.revision.min(head));
    }
}

/// Each once, in the order in which they came.
fn distinct<T: Copy + Eq + Hash>(mut all: Vec<T>) -> Vec<T> {
    let mut seen = HashSet::new();
    all.retain(|one| seen.insert(*one));
    all
}
