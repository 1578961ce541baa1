//! Checkpoints: taking what SQLite's log holds into the database's own file, beside the writer.
//!
//! By itself SQLite does that within the commit that finds the log long: everybody waits then for what may be a thousand pages and
//! two syncs. Here another connection does it while commits go on. Only where they leave it no time to finish, so that the
//! log grows to [`LONGEST`], a commit does it after all: it has the log begin anew.

use sea_orm::DatabaseConnection;
use tokio::sync::mpsc;

use super::{batch::Batch, sqlite, writer::within};

/// Pages after which the log is taken into the database: SQLite's own choice.
const PAGES: u64 = 1000;
/// Pages of the log with which SQLite does it within a commit.
pub(super) const LONGEST: u64 = 4 * PAGES;
/// Bytes of a page.
const PAGE: usize = 4096;
/// Pages that a commit writes besides those of its rows.
const OF_A_COMMIT: u64 = 3;

/// What the writer tells of its commits.
pub(super) struct Checkpoints {
    pages: u64,
    due: Option<mpsc::Sender<()>>,
}

impl Checkpoints {
    /// Made on one of these connections until this is dropped; none on a server.
    pub(super) fn start(db: Option<DatabaseConnection>) -> Self {
        let due = db.map(|db| {
            let (due, wanted) = mpsc::channel(1);
            tokio::spawn(make(db, wanted));
            due
        });
        Self { pages: 0, due }
    }

    /// This was committed, with so many events of the audit trail. Each row takes about a page, and bodies what they are long. What
    /// else is written is little.
    pub(super) fn note(&mut self, batch: &Batch, events: usize) {
        let rows = batch.journal.len() + batch.plugins.len() + events;
        let configurations = batch.configurations.values().map(|row| row.body.len());
        let bodies: usize = batch.manifests.values().map(String::len).chain(configurations).sum();
        self.pages += OF_A_COMMIT + (rows + bodies / PAGE) as u64;
        if let Some(due) = self.due.as_ref().filter(|_| self.pages >= PAGES) {
            self.pages = 0;
            // One that is wanted already is enough.
            due.try_send(()).unwrap_or_default();
        }
    }
}

async fn make(db: DatabaseConnection, mut wanted: mpsc::Receiver<()>) {
    while wanted.recv().await.is_some() {
        if let Err(error) = within(async { Ok(sqlite::checkpoint(&db).await?) }).await {
            tracing::debug!(%error, "the log of the database was not taken into it; a commit will do that");
        }
    }
}
