//! The records of a database as lines of JSON, which are the same whatever keeps them: read as they are at one moment
//! ([`Snapshot`]), and written into an empty database ([`Blank`]).
//!
//! What is carried over are the rows of every table but `store`, which is about one database: another gets an id and an
//! epoch of its own. So no cursor of the old one means anything in it, though its revisions go on.

/// Calls a function for the entity of a table.
macro_rules! of_table {
    ($table:expr, $function:ident($($argument:expr),*)) => {
        match $table {
            $crate::store::transfer::Table::Manifest => $function::<manifest::Entity>($($argument),*),
            $crate::store::transfer::Table::UnusedManifest => $function::<unused::Entity>($($argument),*),
            $crate::store::transfer::Table::Plugin => $function::<plugin::Entity>($($argument),*),
            $crate::store::transfer::Table::Configuration => $function::<configuration::Entity>($($argument),*),
            $crate::store::transfer::Table::UnlistedConfiguration => $function::<unlisted::Entity>($($argument),*),
            $crate::store::transfer::Table::Journal => $function::<journal::Entity>($($argument),*),
            $crate::store::transfer::Table::AccessToken => $function::<access_token::Entity>($($argument),*),
            $crate::store::transfer::Table::Hook => $function::<hook::Entity>($($argument),*),
            $crate::store::transfer::Table::AuditEvent => $function::<audit_event::Entity>($($argument),*),
        }
    };
}

mod blank;
mod snapshot;

use sea_orm::EntityTrait;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use blank::Blank;
pub use snapshot::{Hold, Rows, Snapshot};

use super::{
    StoreError,
    entity::{access_token, audit_event, configuration, hook, journal, manifest, plugin, unlisted, unused},
    migration,
};

/// A table whose rows are carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the entities say what they are")]
pub enum Table {
    Manifest,
    UnusedManifest,
    Plugin,
    Configuration,
    UnlistedConfiguration,
    Journal,
    AccessToken,
    Hook,
    AuditEvent,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Manifest,
        Self::UnusedManifest,
        Self::Plugin,
        Self::Configuration,
        Self::UnlistedConfiguration,
        Self::Journal,
        Self::AccessToken,
        Self::Hook,
        Self::AuditEvent,
    ];

    /// Its name in the database.
    pub fn name(self) -> &'static str {
        of_table!(self, name())
    }

    /// Whether this line is a row of it.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it is not.
    pub fn check(self, line: &str) -> Result<(), StoreError> {
        of_table!(self, check(line))
    }
}

/// Where the history of a database stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The newest revision.
    pub revision: u64,
    /// Revisions up to this one are no longer in the journal.
    pub compacted: u64,
    /// The migrations that made its tables.
    pub schema: Vec<String>,
}

impl Standing {
    /// Whether this plugd knows the tables.
    ///
    /// # Errors
    /// [`StoreError::OtherSchema`].
    pub fn check(&self) -> Result<(), StoreError> {
        let known = migration::known();
        if self.schema == known { Ok(()) } else { Err(StoreError::OtherSchema { found: self.schema.clone(), known }) }
    }
}

fn name<E: EntityTrait>() -> &'static str {
    E::default().table_name()
}

fn check<E: EntityTrait<Model: DeserializeOwned>>(line: &str) -> Result<(), StoreError> {
    row::<E>(line).map(drop)
}

fn row<E: EntityTrait<Model: DeserializeOwned>>(line: &str) -> Result<E::Model, StoreError> {
    serde_json::from_str(line).map_err(|error| StoreError::Corrupt(format!("a row of {}: {error}", name::<E>())))
}
