//! A store that follows: it reads what the leader of a cluster writes to the same database, and writes nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sea_orm::{DatabaseConnection, EntityTrait, TransactionTrait, sqlx::postgres::PgListener};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Loaded, Options, Store, StoreError,
    address::{Address, Kind},
    audit::Trail,
    durable::Durable,
    entity::{self, store},
    lease::{self, CHANNEL, RunOut, Standing, Watch},
    location::Location,
    metrics::Metrics,
    migration, open,
    reader::{self, Reader},
    rows::unsigned,
    tokens,
    writer::within,
};
use crate::domain::{Commit, access::AccessToken};

/// Revisions that one look reads.
const PAGE: u64 = 256;
/// How long it may take to read all there is.
const LOAD: Duration = Duration::from_secs(60);
/// Until a connection that hears of news is made anew.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// How long such a connection may be silent: one that was cut off would be silent for ever.
const SILENCE: Duration = Duration::from_secs(60);

/// Reads on, for a [`Store`] that follows.
pub struct Feed {
    db: DatabaseConnection,
    epoch: String,
    /// The newest revision that was read.
    head: u64,
    token_changes: i64,
    watch: Watch,
    compacted: Arc<AtomicU64>,
    healthy: watch::Sender<bool>,
    news: Arc<Notify>,
    _listening: AbortOnDropHandle<()>,
}

/// What a look at the database found.
#[derive(Debug)]
pub struct Look {
    /// Who leads, if anybody does.
    pub leader: Option<Leader>,
    /// What has been committed since the last look, or the beginning of that.
    pub commits: Vec<Arc<Commit>>,
    /// Revisions that are there and were not read yet.
    pub behind: u64,
    /// All access tokens, if they are not what they were.
    pub tokens: Option<Vec<AccessToken>>,
}

/// Whoever has the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// Where it is reached.
    pub address: String,
    /// Counts the leaders of this database.
    pub term: u64,
    /// How long nobody else can lead.
    pub left: Duration,
}

/// A store that follows, what it remembers, and what reads on. It refuses to change anything: `STORE_UNAVAILABLE`.
///
/// # Errors
/// [`StoreError`]: it can't be read, or it has not the tables that this plugd knows.
pub async fn follow(options: &Options) -> Result<(Store, Loaded, Feed), StoreError> {
    let db = lease::readers(&options.address).await?;
    let (loaded, token_changes) = timeout(LOAD, load(&db)).await.unwrap_or(Err(StoreError::TimedOut))?;
    let compacted = Arc::new(AtomicU64::new(loaded.compacted));
    let (healthy, health) = watch::channel(true);
    let (news, listening) = listen(&options.address);
    let feed = Feed {
        db: db.clone(),
        epoch: loaded.epoch.clone(),
        head: loaded.head,
        token_changes,
        watch: Watch::default(),
        compacted: Arc::clone(&compacted),
        healthy,
        news,
        _listening: listening,
    };
    // Nobody takes what is sent there: so every change is refused.
    let (ops, _) = mpsc::unbounded_channel();
    let (_, audit) = Trail::keeping(options.audit_keep, (0, 0));
    let (is_whole, location) = (loaded.unreadable.is_empty(), Arc::new(Location::server()));
    let (reader, metrics) = (Reader::new(db), Metrics::default());
    let durable = Durable::at_once(Arc::clone(&location));
    Ok((Store { ops, health, durable, location, is_whole, compacted, reader, audit, metrics }, loaded, feed))
}

/// All there is, of one moment.
async fn load(db: &DatabaseConnection) -> Result<(Loaded, i64), StoreError> {
    let found = migration::applied(db).await?;
    if found != migration::known() {
        return Err(StoreError::OtherSchema { found, known: migration::known() });
    }
    let moment = db.begin().await?;
    let row = store::Entity::find_by_id(entity::ROW).one(&moment).await?.ok_or_else(StoreError::no_row)?;
    let (records, unreadable) = open::records(&moment).await?;
    let loaded = Loaded {
        database_id: row.database_id,
        epoch: row.epoch,
        head: unsigned(row.head)?,
        compacted: unsigned(row.compacted)?,
        plugins: records.in_order(),
        unreadable,
        tokens: tokens::all(&moment).await?,
        // Whoever leads tells their receivers.
        hooks: Vec::new(),
        leadership: None,
    };
    moment.commit().await?;
    Ok((loaded, row.token_changes))
}

impl Feed {
    /// Waits until the leader has said that there is something to read, or so long: what is said may be lost.
    pub async fn wait(&self, at_most: Duration) {
        let _ = timeout(at_most, self.news.notified()).await;
    }

    /// Ends the next wait, or the one under way.
    pub fn hurry(&self) -> impl Fn() + Send + Sync + 'static {
        let news = Arc::clone(&self.news);
        move || news.notify_one()
    }

    /// The lease that has run out, if nobody leads for that reason.
    pub fn run_out(&self) -> Option<RunOut> {
        self.watch.run_out()
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// [`StoreError::HistoryEnded`] when it can't be followed any longer; the database's own.
    pub async fn look(&mut self) -> Result<Look, StoreError> {
        let looked = within(self.read()).await;
        self.healthy.send_replace(looked.is_ok());
        looked
    }

    async fn read(&mut self) -> Result<Look, StoreError> {
        let moment = self.db.begin().await?;
        let row = Standing::read(&moment).await?.ok_or_else(StoreError::no_row)?;
        let (newest, compacted) = (unsigned(row.head)?, unsigned(row.compacted)?);
        if row.epoch != self.epoch || self.head < compacted || self.head > newest {
            return Err(StoreError::HistoryEnded);
        }
        let commits = match newest == self.head {
            true => Vec::new(),
            false => reader::page_after(&moment, self.head, PAGE).await?,
        };
        let is_new = row.token_changes != self.token_changes;
        let tokens = if is_new { Some(tokens::all(&moment).await?) } else { None };
        moment.commit().await?;

        self.head = commits.last().map_or(self.head, |last| last.revision);
        self.token_changes = row.token_changes;
        self.compacted.store(compacted, Ordering::Relaxed);
        let (left, term) = (self.watch.left(&row), unsigned(row.term)?);
        let leader = left.zip(row.address).map(|(left, address)| Leader { address, term, left });
        Ok(Look { leader, commits, behind: newest.saturating_sub(self.head), tokens })
    }
}

/// Hears of news, until it is dropped.
fn listen(address: &Address) -> (Arc<Notify>, AbortOnDropHandle<()>) {
    let news = Arc::new(Notify::new());
    let told = Arc::clone(&news);
    let url = match address.kind() {
        Kind::Server(url) => Some(url.clone()),
        Kind::File(_) => None,
    };
    let listening = tokio::spawn(async move {
        let Some(url) = url else { return };
        loop {
            if let Err(error) = hear(&url, &told).await {
                tracing::debug!(%error, "news are not heard; they are read once a second");
                sleep(LISTEN_AGAIN).await;
            }
        }
    });
    (news, AbortOnDropHandle::new(listening))
}

async fn hear(url: &str, told: &Notify) -> Result<(), sea_orm::sqlx::Error> {
    let mut listener = PgListener::connect(url).await?;
    listener.listen(CHANNEL).await?;
    // What was said before that was not heard, nor is what is said while the connection is lost, which is told alike.
    told.notify_one();
    while let Ok(heard) = timeout(SILENCE, listener.try_recv()).await {
        heard?;
        told.notify_one();
    }
    Ok(())
}
