//! Pages of lists: how many, after what; and the opaque texts with which the next one, or a watch, goes on.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::domain::{Error, Result};

/// How large the pages of one list are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// When the request does not say.
    pub(super) default: usize,
    /// At the most.
    pub(super) max: usize,
}

/// Pages of `ListPlugins`.
pub(super) const PLUGINS: Sizes = Sizes { default: 100, max: 1000 };

/// Pages of `ListConfigurationRevisions`.
pub(super) const REVISIONS: Sizes = Sizes { default: 20, max: 100 };

/// Pages of `ListTokens`: a thousand with the longest names have half a megabyte.
pub(super) const TOKENS: Sizes = Sizes { default: 100, max: 1000 };

/// Pages of `ListHooks`: there are no more.
pub(super) const HOOKS: Sizes = Sizes { default: 100, max: 100 };

/// Pages of `ListAuditEvents`: a thousand with the longest names have three quarters of a megabyte.
pub(super) const AUDIT_EVENTS: Sizes = Sizes { default: 100, max: 1000 };

/// Pages of `ListPluginEvents`.
pub(super) const PLUGIN_EVENTS: Sizes = Sizes { default: 100, max: 1000 };

/// A page ends before it has this many bytes: clients take messages of 4 MiB.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// What a page still has room for.
#[derive(Debug)]
pub(super) struct Room {
    items: usize,
    bytes: usize,
    is_whole: bool,
}

impl Room {
    /// The room of a page with so many items.
    pub(super) const fn new(items: usize) -> Self {
        Self { items, bytes: PAGE_BYTES, is_whole: true }
    }

    /// Gives room to an item of so many bytes, if there is enough; for the first there is, so that the next page is
    /// another one.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let has_room = self.is_whole || (self.items > 0 && bytes <= self.bytes);
        if has_room {
            self.items = self.items.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(bytes);
            self.is_whole = false;
        }
        has_room
    }
}

/// How many items a page may have: 0 means the default, and more than the most is the most (AIP-158).
///
/// # Errors
/// `INVALID_ARGUMENT` about a `page_size` below 0.
pub(super) fn size(asked: i32, sizes: Sizes) -> Result<usize> {
    match usize::try_from(asked) {
        Ok(0) => Ok(sizes.default),
        Ok(size) => Ok(size.min(sizes.max)),
        Err(_) => Err(Error::field("page_size", format!("must not be negative; 0 is {}", sizes.default))),
    }
}

/// One method with its filters. A page token or a cursor begins with this, so that it is good for nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scope([u8; 8]);

impl Scope {
    /// This method with these filters: its request without the page.
    pub(super) fn new(method: &str, filters: &impl Message) -> Self {
        let hash = Sha256::new().chain_update(method).chain_update(filters.encode_to_vec()).finalize();
        Self(std::array::from_fn(|index| hash[index]))
    }

    /// What the page starts after; none for the first page.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` about `page_token` if it is not one that this list gave for these filters.
    pub(super) fn after<P: DeserializeOwned>(self, token: &str) -> Result<Option<P>> {
        if token.is_empty() {
            return Ok(None);
        }
        let refusal = "must be the next_page_token of the page before, unchanged, with the same filters";
        self.place(token).map(Some).ok_or_else(|| Error::field("page_token", refusal))
    }

    /// The place that a token is of, if it was made for this.
    pub(super) fn place<P: DeserializeOwned>(self, token: &str) -> Option<P> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        serde_json::from_slice(bytes.strip_prefix(&self.0)?).ok()
    }

    /// Leaves as many items as a page has, and returns the token of the next one. That there is one is known by an item more.
    pub(super) fn cut<T, P: Serialize>(self, items: &mut Vec<T>, size: usize, place: impl Fn(&T) -> P) -> String {
        if items.len() <= size {
            return String::new();
        }
        items.truncate(size);
        items.last().map(|last| self.token(&place(last))).unwrap_or_default()
    }

    /// The token of a place: what comes after it is next.
    pub(super) fn token(self, place: &impl Serialize) -> String {
        // Ids and numbers have a JSON form.
        let place = serde_json::to_vec(place).unwrap_or_default();
        BASE64_URL_SAFE_NO_PAD.encode([&self.0[..], &place].concat())
    }
}

#[cfg(test)]
mod tests;
