//! Where a server has its data.

use std::{fs, path::PathBuf};

use crate::{
    config::Config,
    store::{Address, Options, StoreError},
};

/// The file of the database in the data folder, unless another is named.
const DATABASE: &str = "plugd.db";

/// Where the store is: in the data folder, unless it is said where.
///
/// # Errors
/// The address can't be used.
pub(crate) fn store_options(config: &Config) -> Result<Options, StoreError> {
    let address = match &config.database_url {
        Some(url) => Address::parse(url)?,
        None => Address::file(&config.data_dir.join(DATABASE))?,
    };
    Ok(Options { address, journal_keep: config.journal_keep, audit_keep: config.audit_keep })
}

/// The store of a server that has run already.
///
/// # Errors
/// There is no database.
pub(super) fn existing(config: &Config) -> anyhow::Result<Options> {
    let options = store_options(config)?;
    if let Some(path) = options.address.path() {
        anyhow::ensure!(
            path.is_file(),
            "there is no database {}: name the server's data folder with --data-dir, or its database with --database-url",
            path.display()
        );
    }
    Ok(options)
}

/// The folder that has the packages.
pub(super) fn packages(config: &Config) -> PathBuf {
    config.data_dir.join("packages")
}

/// Says so when the data folder holds a database with records that is not the one that is used.
pub(super) fn note_other(config: &Config, used: &Address) {
    let other = config.data_dir.join(DATABASE);
    let is_other = used.path().is_none_or(|used| fs::canonicalize(used).ok() != fs::canonicalize(&other).ok());
    if is_other && fs::metadata(&other).is_ok_and(|found| found.len() > 0) {
        let path = other.display();
        tracing::warn!("{path} holds records that this plugd does not use: its database is another (--database-url)");
    }
}
