//! What can go wrong with the store, for plugd's own log. Callers of the API only ever see `STORE_UNAVAILABLE`.

use std::{
    io,
    path::{Path, PathBuf},
};

use sea_orm::{
    DbErr, RuntimeErr, SqlErr,
    sqlx::error::{DatabaseError, ErrorKind},
};

use super::Address;
use crate::domain::{Error, Reason};

/// Why the store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address names no database that this binary can use: what is wrong with it, and nothing of the address itself,
    /// which may hold a password.
    #[error(
        "the address of the database can't be used: {0}; write \"sqlite:///path/to/plugd.db\" \
         or \"postgres://USER:PASSWORD@HOST/DATABASE\""
    )]
    Url(String),
    /// The path of the database is not text.
    #[error("{0:?} can't be used as the path of a database: it is not UTF-8; give it, or its folder, another name")]
    Unnamed(PathBuf),
    /// Another process holds the lock on this file.
    #[error(
        "another plugd uses this data folder: it holds the lock on {lock}; stop that one first: `fuser {lock}` shows its \
         process",
        lock = .0.display()
    )]
    Locked(PathBuf),
    /// Another session holds the lock on the server.
    #[error("another plugd uses this database; stop that one first")]
    Taken,
    /// The leader of a cluster has the lease.
    #[error(
        "several plugd use this database as a cluster, and {leader} leads it: start this one with --advertise and their token \
         as they were started, or stop them all first"
    )]
    Led {
        /// Where it is reached.
        leader: String,
    },
    /// What was followed has ended: the revisions are numbered anew, or those that come next are no longer kept.
    #[error("the history that was followed has ended; it is read anew")]
    HistoryEnded,
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
    /// A file of the database is no longer where it was opened, or not whole.
    #[error(
        "{} was deleted, replaced or made shorter while plugd runs; put it back, or restart plugd: when it stops, it takes \
         what it still holds of a deleted log (-wal) into the database; restore a backup if something is missing then",
        .0.display()
    )]
    Gone(PathBuf),
    /// There is no room left on the disk but the reserve.
    #[error(
        "the disk of {} is full: make room; while plugd runs, plugins that fill it can be stopped and deleted",
        .0.display()
    )]
    Full(PathBuf),
    /// A newer plugd has written this database: migrations that this binary does not know.
    #[error(
        "the database was written by a newer plugd (it knows {}); start that version, or restore a backup of this one's",
        .0.join(", ")
    )]
    Newer(Vec<String>),
    /// These records can't be carried over by this version.
    #[error(
        "the records were written by another version of plugd: its schema is {}, this one's {}; do this with that version, \
         then start this one on what comes of it",
        found.join(", "),
        known.join(", ")
    )]
    OtherSchema {
        /// The migrations behind them.
        found: Vec<String>,
        /// The migrations that this binary knows.
        known: Vec<String>,
    },
    /// There is nothing to be read.
    #[error("it has no records of plugd's: is it the right one?")]
    Unused,
    /// It is not overwritten.
    #[error("it has records already: name an empty one")]
    NotBlank,
    /// SQLite can't read it.
    #[error(
        "{} is damaged, or no database: {source}; keep a copy of it and of the files beside it whose names begin alike, then \
         restore a backup, or move them away to begin with an empty database",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: DbErr,
    },
    /// SQLite can't open it or write to it.
    #[error(
        "{} can't be opened for writing: {source}; look whether its folder and the files beside it belong to plugd's user, \
         and whether the disk works",
        path.display()
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: DbErr,
    },
    /// A row can't be understood.
    #[error(
        "the database holds something that can't be read: {0}; restore a backup, or start the version that wrote it"
    )]
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

/// SQLite's codes of results, as far as they say what a person can do.
const PERM: u32 = 3;
const READONLY: u32 = 8;
const IOERR: u32 = 10;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const CANTOPEN: u32 = 14;
const NOTADB: u32 = 26;

impl StoreError {
    /// The only row of `store` is missing.
    pub(super) fn no_row() -> Self {
        Self::Corrupt("the table \"store\" is empty".to_owned())
    }

    /// Whether the database works, and refused a row that contradicts another one. Nothing was written then.
    pub(super) fn is_conflict(&self) -> bool {
        let Self::Database(error) = self else { return false };
        let refused = error.sql_err();
        matches!(refused, Some(SqlErr::UniqueConstraintViolation(_) | SqlErr::ForeignKeyConstraintViolation(_)))
    }

    /// The same where the database at this address could not be opened: with its file, if it is one, and what to do.
    pub(super) fn opening(self, address: &Address) -> Self {
        let Some(path) = address.path().map(Path::to_owned) else { return self };
        let Self::Database(source) = self else { return self };
        match sqlite_code(&source) {
            Some(CORRUPT | NOTADB) => Self::Damaged { path, source },
            Some(FULL) => Self::Full(path),
            Some(PERM | READONLY | IOERR | CANTOPEN) => Self::Unusable { path, source },
            _ => Self::Database(source),
        }
    }
}

/// Whether the database refused to leave a column without a value.
pub(super) fn is_null_refused(error: &StoreError) -> bool {
    let StoreError::Database(error) = error else { return false };
    database_error(error).is_some_and(|error| error.kind() == ErrorKind::NotNullViolation)
}

/// SQLite's code without its details, where the error is SQLite's.
fn sqlite_code(error: &DbErr) -> Option<u32> {
    let code: u32 = database_error(error)?.code()?.parse().ok()?;
    Some(code & 0xff)
}

fn database_error(error: &DbErr) -> Option<&dyn DatabaseError> {
    let (DbErr::Conn(error) | DbErr::Exec(error) | DbErr::Query(error)) = error else { return None };
    let RuntimeErr::SqlxError(error) = error else { return None };
    error.as_database_error()
}

/// What the caller of a change sees that contradicts what is stored.
pub(super) fn contradicted() -> Error {
    Error::new(Reason::Internal, "the database holds something that contradicts this change; plugd's log says what")
}

/// What callers see of all others.
pub(super) fn unavailable() -> Error {
    Error::new(Reason::StoreUnavailable, "the store does not answer")
}
