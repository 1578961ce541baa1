//! Tokens with which a plugin dials in (CONTRACT 10.2).
//!
//! A supervised plugin gets one for each run, good for one connection; it names the run, so that nothing has to be
//! searched. An external plugin has a static one that names nothing and is looked up.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{
    RngCore,
    distr::{Alphanumeric, SampleString},
};
use subtle::ConstantTimeEq;

use crate::domain::RunId;

/// What every external token starts with. The SDKs pick their mode by it.
const EXTERNAL_PREFIX: &str = "sdprt_";
/// Characters of an external token after its prefix.
const EXTERNAL_SECRET: usize = 32;
/// Bytes of a run's id, which a supervised token starts with.
const RUN_BYTES: usize = 12;
/// Bytes of a supervised token; 80 characters in base64.
const SUPERVISED_BYTES: usize = 60;

/// A new token for this run: its id and 48 random bytes, 80 characters of base64url.
///
/// It can't start with `sdprt_`, which would make the SDKs take the plugin for an external one: only a run that was
/// started in one certain second of the year 2064 has an id that could be spelled so.
pub fn mint(run: RunId) -> String {
    let mut bytes = [0; SUPERVISED_BYTES];
    let (id, secret) = bytes.split_at_mut(RUN_BYTES);
    id.copy_from_slice(run.as_bytes());
    rand::rng().fill_bytes(secret);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The run that a supervised token claims to be of; `None` if it has not the form of one.
pub fn run_of(token: &str) -> Option<RunId> {
    let bytes: [u8; SUPERVISED_BYTES] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
    let (id, _) = bytes.split_first_chunk::<RUN_BYTES>()?;
    Some(RunId::from_bytes(*id))
}

/// A new token for an external plugin: `sdprt_` and 32 letters and digits.
pub fn mint_external() -> String {
    let mut token = EXTERNAL_PREFIX.to_owned();
    Alphanumeric.append_string(&mut rand::rng(), &mut token, EXTERNAL_SECRET);
    token
}

/// Whether this has the form of an external token. What only starts like one is handled as a supervised token.
pub fn is_external(token: &str) -> bool {
    token
        .strip_prefix(EXTERNAL_PREFIX)
        .is_some_and(|secret| secret.len() == EXTERNAL_SECRET && secret.bytes().all(|c| c.is_ascii_alphanumeric()))
}

/// Whether two tokens are the same, in a time that does not tell where they differ.
pub fn is_same(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

#[cfg(test)]
#[path = "tests/token.rs"]
mod tests;
