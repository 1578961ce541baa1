//! The tokens that work now, in memory: each request looks its secret up here, never in the database.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    mem,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        Error, Reason, TokenId,
        access::{AccessToken, Role},
    },
    supervisor::ChangeOptions,
    telemetry::trace::Parent,
};

/// What every secret begins with, so that scanners and people know it when they see it.
const PREFIX: &str = "plugd_";

/// A new secret and what is stored of it. The secret is `plugd_` and 256 random bits in 43 characters.
pub fn mint() -> (String, [u8; 32]) {
    let random: [u8; 32] = rand::random();
    let secret = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(random));
    let hash = hash(&secret);
    (secret, hash)
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// The owner of a good token. In the extensions of every request that was let through.
#[derive(Debug, Clone)]
pub struct Caller(Arc<Known>);

/// A token that works until it is revoked or expires.
#[derive(Debug)]
struct Known {
    token: AccessToken,
    revoked: CancellationToken,
}

impl Caller {
    fn of(token: AccessToken) -> Self {
        Self(Arc::new(Known { token, revoked: CancellationToken::new() }))
    }

    /// The token that the call carried.
    pub fn token(&self) -> &AccessToken {
        &self.0.token
    }

    /// Whether this is an administrator.
    pub fn is_admin(&self) -> bool {
        self.token().role == Role::Admin
    }

    /// Waits until the token is revoked or expires; for ever if neither happens. A stream ends with this error.
    pub async fn ended(&self) -> Error {
        tokio::select! {
            () = self.0.revoked.cancelled() => Error::new(Reason::Unauthenticated, "the token was revoked"),
            () = self.expired() => Error::new(Reason::Unauthenticated, "the token has expired"),
        }
    }

    /// A change of what is desired by this caller, on condition of the generation that it has seen. What comes of it is a part
    /// of `parent`.
    pub fn change(&self, if_generation: Option<u64>, parent: Option<Parent>) -> ChangeOptions {
        ChangeOptions { author: self.token().name.clone(), if_generation, parent }
    }

    /// Does work only for as long as the token is good.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` once it is not; the work's own.
    pub async fn while_good<T, E: From<Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        tokio::select! {
            biased;
            error = self.ended() => Err(error.into()),
            done = work => done,
        }
    }

    async fn expired(&self) {
        let Some(expires) = self.token().expires else { return std::future::pending().await };
        // The clock of the timer may run a little ahead of the one that decides.
        while self.token().is_valid_at(Timestamp::now()) {
            let left = Duration::try_from(expires.duration_since(Timestamp::now())).unwrap_or_default();
            tokio::time::sleep(left).await;
        }
    }
}

/// All tokens, by the first half of their hash. A guess can't be steered towards a hash in the table, so finding
/// the entry may take what time it likes; the whole hash is then compared in constant time.
#[derive(Default)]
pub struct Access {
    callers: RwLock<HashMap<[u8; 16], Caller>>,
    look_again: OnceLock<LookAgain>,
}

/// Has a node that follows read the tokens that there are by now, in bounded time.
type LookAgain = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

impl Access {
    /// A table of these tokens.
    pub fn new(tokens: impl IntoIterator<Item = AccessToken>) -> Self {
        let access = Self::default();
        tokens.into_iter().for_each(|token| access.insert(token));
        access
    }

    /// Before a token is refused that is not known, this is done: another node may just have made it.
    pub fn look_again(&self, look: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static) {
        let _ = self.look_again.set(Box::new(look));
    }

    /// From now on this token works.
    pub fn insert(&self, token: AccessToken) {
        let key = key(&token.hash);
        self.callers_mut().insert(key, Caller::of(token));
    }

    /// From now on these tokens work and no others. Streams opened with the others end.
    pub fn replace_with(&self, tokens: Vec<AccessToken>) {
        let mut callers = self.callers_mut();
        let mut before = mem::take(&mut *callers);
        for token in tokens {
            let key = key(&token.hash);
            let kept = before.remove(&key).filter(|caller| *caller.token() == token);
            callers.insert(key, kept.unwrap_or_else(|| Caller::of(token)));
        }
        before.values().for_each(|gone| gone.0.revoked.cancel());
    }

    /// From now on this token does not work, and streams opened with it end.
    pub fn remove(&self, id: TokenId) {
        self.callers_mut().retain(|_, caller| {
            let is_kept = caller.token().id != id;
            if !is_kept {
                caller.0.revoked.cancel();
            }
            is_kept
        });
    }

    /// The caller with this secret, if it still works at that time.
    pub fn authenticate(&self, secret: &str, now: Timestamp) -> Option<Caller> {
        let hash = hash(secret);
        let callers = self.callers.read().unwrap_or_else(PoisonError::into_inner);
        let caller = callers.get(&key(&hash))?;
        let is_same = bool::from(caller.token().hash.ct_eq(&hash));
        (is_same && caller.token().is_valid_at(now)).then(|| caller.clone())
    }

    /// The same for a secret that was not known, once it was looked whether it is by now. None at once where nobody else makes
    /// tokens.
    pub(super) async fn authenticate_late(&self, secret: Option<String>) -> Option<Caller> {
        let secret = secret?;
        self.look_again.get()?().await;
        self.authenticate(&secret, Timestamp::now())
    }

    /// Waits until it knows the tokens that there are now, if somebody else makes them.
    pub async fn catch_up(&self) {
        if let Some(look) = self.look_again.get() {
            look().await;
        }
    }

    /// Tokens that work at that time.
    pub fn count(&self, now: Timestamp) -> usize {
        let callers = self.callers.read().unwrap_or_else(PoisonError::into_inner);
        callers.values().filter(|caller| caller.token().is_valid_at(now)).count()
    }

    /// Forgets the tokens that have expired by then, which nobody can use any more.
    pub fn forget_expired(&self, now: Timestamp) {
        self.callers_mut().retain(|_, caller| caller.token().is_valid_at(now));
    }

    /// The tokens of links that have this name.
    pub fn links(&self, name: &str) -> Vec<TokenId> {
        let callers = self.callers.read().unwrap_or_else(PoisonError::into_inner);
        let tokens = callers.values().map(Caller::token);
        tokens.filter(|token| token.role == Role::Link && token.name == name).map(|token| token.id).collect()
    }

    /// Whether an administrator's token works at that time.
    pub fn has_admin(&self, now: Timestamp) -> bool {
        let callers = self.callers.read().unwrap_or_else(PoisonError::into_inner);
        callers.values().any(|caller| caller.token().role == Role::Admin && caller.token().is_valid_at(now))
    }

    fn callers_mut(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<[u8; 16], Caller>> {
        self.callers.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(hash: &[u8; 32]) -> [u8; 16] {
    let (half, _) = hash.split_at(16);
    half.try_into().unwrap_or_default()
}

/// A new token that works from `created` on, and its secret.
pub fn mint_token(name: &str, role: Role, created: Timestamp, expires: Option<Timestamp>) -> (String, AccessToken) {
    let (secret, hash) = mint();
    let (id, name) = (TokenId::from(xid::new()), name.to_owned());
    (secret, AccessToken { id, name, role, hash, created, expires })
}

/// Writes a secret to a new file, which is never for a moment readable by others. Blocking.
///
/// # Errors
/// `AlreadyExists`; it can't be written.
pub fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests;
