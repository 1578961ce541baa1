//! What can go wrong with the store, for plugd's own log. Callers of the API only ever see `STORE_UNAVAILABLE`.

use std::{io, path::PathBuf};

use sea_orm::DbErr;

use crate::domain::{Error, Reason};

/// Why the store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address names no database that this binary can use.
    #[error(
        "the address of the database can't be used: {problem}; write \"sqlite:///path/to/plugd.db\" \
         or \"postgres://USER:PASSWORD@HOST/DATABASE\""
    )]
    Url {
        /// What is wrong with it. Nothing of the address itself: it may hold a password.
        problem: String,
    },
    /// Another process holds the lock.
    #[error("another plugd uses this data folder: {} is locked", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Another session holds the lock on the server.
    #[error("another plugd uses this database; stop that one first")]
    Taken,
    /// Another plugd has made itself the owner of the database.
    #[error("another plugd has taken the database over; this one can't write any more and ends")]
    Superseded,
    /// A file beside the database can't be opened.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The database's file is no longer where it was opened.
    #[error("{} was deleted or replaced while plugd runs; put it back, or stop plugd and restore a backup", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// A newer plugd has written this database.
    #[error(
        "the database was written by a newer plugd (it knows {}); start that version, or restore a backup of this one's",
        migrations.join(", ")
    )]
    Newer {
        /// Migrations that this binary does not know.
        migrations: Vec<String>,
    },
    /// A row can't be understood.
    #[error("the database holds something that can't be read: {0}")]
    Corrupt(String),
    /// Somebody else wrote to the database.
    #[error("the database is at revision {found}, not {expected}: somebody else wrote to it; restart plugd")]
    Diverged {
        /// The head that the writer knows.
        expected: u64,
        /// The head in the database.
        found: u64,
    },
    /// The database did not finish in time.
    #[error("the database did not answer in time")]
    TimedOut,
    /// The database's own error.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// What callers see of all of these.
pub(super) fn unavailable() -> Error {
    Error::new(Reason::StoreUnavailable, "the store does not answer")
}
