//! The administrator's token in the data folder: made by the first start, and again by `plugd token reset`.
//!
//! A file that holds a token is never written over: it may be the only key to another database. So the secret goes to a file
//! beside it first, and takes its name once the token is stored, if that is free.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use jiff::Timestamp;

use crate::{
    config::Config,
    grpc::{Access, access},
    store::{self, Store},
};

/// The file in the data folder that holds the administrator's token.
pub const TOKEN_FILE: &str = "admin.token";
/// What is added to its name until the token is stored; for good, where the name is taken.
const NEW: &str = "new";

/// A token that was made, and where its secret is.
#[derive(Debug)]
pub struct AdminToken {
    /// The secret.
    pub secret: String,
    /// The file that holds it.
    pub file: PathBuf,
    /// A file with a token that is not valid in this database. It was left as it is.
    pub foreign: Option<PathBuf>,
}

/// Sees to it that there is an administrator: makes a token where none works.
///
/// # Errors
/// The file or the store can't be written.
pub(super) async fn first_token(folder: &Path, access: &Access, store: &Store) -> anyhow::Result<Option<AdminToken>> {
    let (place, new) = paths(folder);
    if access.has_admin(Timestamp::now()) {
        finish(access, &place, &new);
        return Ok(None);
    }
    let secret = make(access, store, &new).await?;
    let is_taken = place.exists();
    let file = if is_taken { new } else { moved(&new, place.clone())? };
    Ok(Some(AdminToken { secret, file, foreign: is_taken.then_some(place) }))
}

/// Makes another administrator's token, for one whose secret was lost. What was in its file is kept under another name.
///
/// # Errors
/// There is no database, a plugd uses it, or something can't be written.
pub async fn reset_token(config: &Config) -> anyhow::Result<AdminToken> {
    let options = super::database::options(config)?;
    if let Some(path) = options.address.path() {
        anyhow::ensure!(path.is_file(), "there is no database {}", path.display());
    }
    let (opened, loaded) = Box::pin(store::open(options)).await.context("the store can't be opened")?;
    let store = opened.start(Box::new(|_| {}));
    let made = replace(&config.data_dir, &Access::new(loaded.tokens), &store).await;
    let closed = store.close().await;
    let made = made?;
    closed.context("the token could not be stored")?;
    Ok(made)
}

async fn replace(folder: &Path, access: &Access, store: &Store) -> anyhow::Result<AdminToken> {
    super::make_private(folder)?;
    let (place, new) = paths(folder);
    let secret = make(access, store, &new).await?;
    let foreign =
        place.exists().then(|| place.with_added_extension(Timestamp::now().strftime("%Y%m%dT%H%M%S.%f").to_string()));
    if let Some(aside) = &foreign {
        moved(&place, aside.clone())?;
    }
    Ok(AdminToken { secret, file: moved(&new, place)?, foreign })
}

fn paths(folder: &Path) -> (PathBuf, PathBuf) {
    let place = folder.join(TOKEN_FILE);
    let new = place.with_added_extension(NEW);
    (place, new)
}

/// Writes the secret of a new token to this file, and stores the token.
async fn make(access: &Access, store: &Store, file: &Path) -> anyhow::Result<String> {
    let (secret, token) = access::mint_admin(Timestamp::now());
    access::write_secret(file, &secret).with_context(|| format!("can't write {}", file.display()))?;
    store.create_token(token.clone()).await.context("the administrator's token can't be stored")?;
    access.insert(token);
    Ok(secret)
}

/// What a crash after the token was stored has left to do.
fn finish(access: &Access, place: &Path, new: &Path) {
    let is_valid = |secret: String| access.authenticate(secret.trim(), Timestamp::now()).is_some();
    if !place.exists() && fs::read_to_string(new).is_ok_and(is_valid) {
        let _ = moved(new, place.to_owned());
    }
}

fn moved(from: &Path, to: PathBuf) -> anyhow::Result<PathBuf> {
    let renamed: io::Result<()> = fs::rename(from, &to);
    renamed.with_context(|| format!("can't rename {} to {}", from.display(), to.display()))?;
    Ok(to)
}
