//! `plugd backup`, `restore` and `migrate`: what a server stores, without the server.

use std::{fs, io, path::Path};

use anyhow::{Context, Result, ensure};

use super::{TOKEN_FILE, make_private, place};
use crate::{
    backup::{self, Backup, Contents, Moved},
    config::Config,
    store::Address,
};

/// Writes a backup of what a server stores that runs with these settings, or does not run. It replaces a file if it may.
///
/// # Errors
/// Something can't be read or written.
pub async fn back_up(config: &Config, file: &Path, may_replace: bool) -> Result<Contents> {
    let address = place::existing(config)?.address;
    backup::write(&address, &place::packages(config), file, may_replace).await
}

/// Restores a backup for a server that will run with these settings.
///
/// # Errors
/// The backup can't be used; there is something already; or something can't be written.
pub async fn restore(config: &Config, file: &Path) -> Result<Contents> {
    let mut backup = Backup::open(file)?;
    ensure_unused(config)?;
    make_private(&config.data_dir)?;
    backup::restore(&mut backup, place::store_options(config)?.address, &place::packages(config)).await?;
    Ok(backup.contents)
}

/// Moves what a server stores, which does not run, to another database. The one that it has stays as it is.
///
/// # Errors
/// A server uses one of the databases; the other has records; or something can't be read or written.
pub async fn migrate(config: &Config, to: &str) -> Result<Moved> {
    let from = place::existing(config)?.address;
    backup::migrate(&from, Address::parse(to)?, &place::packages(config)).await
}

/// What a restored server would take for its own must not be there. The database is looked at when it is open.
fn ensure_unused(config: &Config) -> Result<()> {
    let folders = [place::packages(config), config.plugin_dir.clone()];
    let mut taken = Vec::from([config.data_dir.join(TOKEN_FILE)]);
    taken.retain(|file| file.exists());
    for folder in folders {
        if has_entries(&folder).with_context(|| format!("can't look into {}", folder.display()))? {
            taken.push(folder);
        }
    }
    let taken: Vec<_> = taken.iter().map(|path| path.display().to_string()).collect();
    ensure!(
        taken.is_empty(),
        "a plugd has been here: {} must not be there; restore into another data folder, or move them away",
        taken.join(", ")
    );
    Ok(())
}

fn has_entries(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
