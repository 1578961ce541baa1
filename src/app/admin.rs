//! The administrator's token in the data folder: made by the first start, and again by `plugd token reset`.
//!
//! A file that holds a token is never written over: it may be the only key to another database. So the secret goes to a file
//! beside it first, and takes its name once the token is stored, if that is free.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};

use super::{boot, place};
use crate::{
    config::Config,
    domain::{self, Secret, access::Role},
    files,
    grpc::{Access, tokens},
    store::Store,
};

/// The file in the data folder that holds the administrator's token.
pub const TOKEN_FILE: &str = "admin.token";
/// Most bytes of that file: a token has 50, and there may be white space about it.
pub const MAX_TOKEN_FILE: u64 = 4096;
/// What is added to its name until the token is stored; for good, where the name is taken.
const NEW: &str = "new";
/// The most files of such names. Each start that could not store its token leaves one.
const MAX_NEW: u32 = 100;

/// A token that was made, and where its secret is.
#[derive(Debug)]
pub struct AdminToken {
    pub secret: Secret,
    pub file: PathBuf,
    /// A file with a token that is not valid in this database. It was left as it is.
    pub foreign: Option<PathBuf>,
}

/// Sees to it that there is an administrator: makes a token where none works.
///
/// # Errors
/// The file or the store can't be written.
pub(super) async fn first_token(folder: &Path, access: &Access, store: &Store) -> anyhow::Result<Option<AdminToken>> {
    let place = folder.join(TOKEN_FILE);
    if access.has_admin(Timestamp::now()) {
        finish(access, &place);
        return Ok(None);
    }
    let (secret, new) = make(access, store, &place).await?;
    let is_taken = place.exists();
    let file = if is_taken { new } else { moved(&new, place.clone())? };
    Ok(Some(AdminToken { secret: secret.into(), file, foreign: is_taken.then_some(place) }))
}

/// How long the link works that a start prints.
const LINK: SignedDuration = SignedDuration::from_hours(1);

/// The name of its token.
const LINK_NAME: &str = "link that was printed at the start";

/// Makes the token of a link to the console. Those of earlier starts end: nobody may use what stands in an old log. None if
/// the store can't be written, which plugd's log says.
pub(super) async fn link(access: &Access, store: &Store) -> Option<Secret> {
    let link = make_link(access, store).await;
    link.inspect_err(|error| tracing::warn!(%error, "no link to the console could be made")).ok()
}

async fn make_link(access: &Access, store: &Store) -> domain::Result<Secret> {
    for earlier in access.links(LINK_NAME) {
        store.revoke_token(earlier).await?;
        access.remove(earlier);
    }
    let now = Timestamp::now();
    let (secret, token) = tokens::mint_token(LINK_NAME, Role::Link, now, Some(now + LINK));
    store.create_token(token.clone()).await?;
    access.insert(token);
    Ok(secret.into())
}

/// Makes another administrator's token, for one whose secret was lost. What was in its file is kept under another name.
///
/// # Errors
/// There is no database, a plugd uses it, or something can't be written.
pub async fn reset_token(config: &Config) -> anyhow::Result<AdminToken> {
    let (opened, loaded) = boot::open_store(place::existing(config)?).await?;
    let store = opened.start(Box::new(|_| {}));
    let made = replace(&config.data_dir, &Access::new(loaded.tokens), &store).await;
    let closed = store.close().await;
    let made = made?;
    closed.context("the token could not be stored")?;
    Ok(made)
}

async fn replace(folder: &Path, access: &Access, store: &Store) -> anyhow::Result<AdminToken> {
    super::make_private(folder)?;
    let place = folder.join(TOKEN_FILE);
    let (secret, new) = make(access, store, &place).await?;
    let foreign =
        place.exists().then(|| place.with_added_extension(Timestamp::now().strftime("%Y%m%dT%H%M%S.%f").to_string()));
    if let Some(aside) = &foreign {
        moved(&place, aside.clone())?;
    }
    Ok(AdminToken { secret: secret.into(), file: moved(&new, place)?, foreign })
}

/// The names for a new token's file beside this one: `.new`, `.new.2`, `.new.3`, …
fn new_names(place: &Path) -> impl Iterator<Item = PathBuf> {
    let new = place.with_added_extension(NEW);
    let others = (2..=MAX_NEW).map({
        let new = new.clone();
        move |number| new.with_added_extension(number.to_string())
    });
    std::iter::once(new).chain(others)
}

/// Writes the secret of a new token to a file beside this one, and stores the token.
async fn make(access: &Access, store: &Store, place: &Path) -> anyhow::Result<(String, PathBuf)> {
    let (secret, token) = tokens::mint_token(TOKEN_FILE, Role::Admin, Timestamp::now(), None);
    let file = write(place, &secret)?;
    store.create_token(token.clone()).await.context("the administrator's token can't be stored")?;
    access.insert(token);
    Ok((secret, file))
}

/// Writes a secret to the first of the new names that is free.
fn write(place: &Path, secret: &str) -> anyhow::Result<PathBuf> {
    for file in new_names(place) {
        match tokens::write_secret(&file, secret) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            written => {
                return written.map(|()| file.clone()).with_context(|| format!("can't write {}", file.display()));
            }
        }
    }
    anyhow::bail!("there are {MAX_NEW} files beside {}: remove those that hold no token of use", place.display())
}

/// What a crash after the token was stored has left to do.
fn finish(access: &Access, place: &Path) {
    let is_valid = |secret: String| access.authenticate(secret.trim(), Timestamp::now()).is_some();
    let mut new = new_names(place).take_while(|file| file.exists());
    if !place.exists()
        && let Some(new) = new.find(|file| files::read_text(file, MAX_TOKEN_FILE).is_ok_and(is_valid))
    {
        let _ = moved(&new, place.to_owned());
    }
}

fn moved(from: &Path, to: PathBuf) -> anyhow::Result<PathBuf> {
    let renamed: io::Result<()> = fs::rename(from, &to);
    renamed.with_context(|| format!("can't rename {} to {}", from.display(), to.display()))?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_secret_is_never_written_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join(TOKEN_FILE);
        let written: Vec<_> = ["one", "two", "three"].map(|secret| write(&place, secret).unwrap()).into();
        let names = ["admin.token.new", "admin.token.new.2", "admin.token.new.3"].map(|name| folder.path().join(name));
        assert_eq!(written, names);
        assert_eq!(fs::read_to_string(&names[0]).unwrap(), "one\n");
    }

    #[test]
    fn the_file_whose_token_was_stored_before_a_crash_gets_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join(TOKEN_FILE);
        let (secret, token) = tokens::mint_token(TOKEN_FILE, Role::Admin, Timestamp::now(), None);
        for secret in ["of another database", &secret] {
            write(&place, secret).unwrap();
        }
        finish(&Access::new([token]), &place);
        assert_eq!(fs::read_to_string(&place).unwrap().trim(), secret);
        assert!(folder.path().join("admin.token.new").exists(), "it may be a key");
    }
}
