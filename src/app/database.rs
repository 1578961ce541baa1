//! Where the store's database is.

use std::fs;

use crate::{
    config::Config,
    store::{self, Address, StoreError},
};

/// The file of the database in the data folder, unless another is named.
const DATABASE: &str = "plugd.db";

/// Says that the data folder holds a database with records that is not the one that is used; does it?
pub(super) fn note_other(config: &Config, used: &Address) -> bool {
    let other = config.data_dir.join(DATABASE);
    let is_other = used.path().is_none_or(|used| fs::canonicalize(used).ok() != fs::canonicalize(&other).ok());
    let has_other = is_other && fs::metadata(&other).is_ok_and(|found| found.len() > 0);
    if has_other {
        let path = other.display();
        tracing::warn!("{path} holds records that this plugd does not use: its database is another (--database-url)");
    }
    has_other
}

/// Where the store is: in the data folder, unless it is said where.
///
/// # Errors
/// The address can't be used.
pub(super) fn options(config: &Config) -> Result<store::Options, StoreError> {
    let address = match &config.database_url {
        Some(url) => Address::parse(url)?,
        None => Address::file(&config.data_dir.join(DATABASE))?,
    };
    Ok(store::Options { address, journal_keep: config.journal_keep })
}

/// What is said when it can't be opened: which one.
pub(super) fn unopened(options: &store::Options) -> impl FnOnce() -> String + use<> {
    let message = format!("the database {} can't be opened", options.address);
    || message
}
