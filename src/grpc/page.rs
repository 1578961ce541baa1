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

/// A page of a list that is being filled.
pub(super) struct Page<M, P> {
    list: Scope,
    /// How many items it may have.
    size: usize,
    /// How many bytes they may still have.
    bytes: usize,
    /// The place of its last item; before there is one, that of the last item of the page before.
    last: Option<P>,
    items: Vec<M>,
    next: String,
}

impl<M: Message, P: Serialize + DeserializeOwned + Clone> Page<M, P> {
    /// The page after the one that gave this token, of a list of this scope, with as many items as are asked for.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` about `page_size` or `page_token`.
    pub(super) fn begin(list: Scope, (asked, sizes): (i32, Sizes), token: &str) -> Result<Self> {
        let (size, last) = (size(asked, sizes)?, list.after(token)?);
        Ok(Self { list, size, bytes: PAGE_BYTES, last, items: Vec::new(), next: String::new() })
    }

    /// The place after which the items come that are to be read next.
    pub(super) fn after(&self) -> Option<P> {
        self.last.clone()
    }

    /// How many items have to be read to fill it: one more than it may have tells that there is a next page.
    pub(super) fn wanted(&self) -> usize {
        self.size + 1
    }

    /// Adds items, each with its place, until one has no room: the next page begins with that. The first one always has, so
    /// that the next page is another one. Returns whether all had.
    pub(super) fn fill(&mut self, items: impl IntoIterator<Item = (M, P)>) -> bool {
        items.into_iter().all(|(item, place)| {
            let bytes = item.encoded_len();
            let has_room = self.items.is_empty() || (self.items.len() < self.size && bytes <= self.bytes);
            if has_room {
                self.bytes = self.bytes.saturating_sub(bytes);
                self.last = Some(place);
                self.items.push(item);
            } else {
                self.next = self.last.as_ref().map(|last| self.list.token(last)).unwrap_or_default();
            }
            has_room
        })
    }

    /// Its items, and the token of the next page; empty if there is none.
    pub(super) fn end(self) -> (Vec<M>, String) {
        (self.items, self.next)
    }
}

/// How many items a page may have: 0 means the default, and more than the most is the most (AIP-158).
///
/// # Errors
/// `INVALID_ARGUMENT` about a `page_size` below 0.
fn size(asked: i32, sizes: Sizes) -> Result<usize> {
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
    fn after<P: DeserializeOwned>(self, token: &str) -> Result<Option<P>> {
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

    /// The token of a place: what comes after it is next.
    pub(super) fn token(self, place: &impl Serialize) -> String {
        // Ids and numbers have a JSON form.
        let place = serde_json::to_vec(place).unwrap_or_default();
        BASE64_URL_SAFE_NO_PAD.encode([&self.0[..], &place].concat())
    }
}

#[cfg(test)]
mod tests;
