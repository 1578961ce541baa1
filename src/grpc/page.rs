//! Pages of lists: how many, after what, and the opaque token for the next one.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::domain::{Error, PluginId, Result, TokenId, plugin};

/// How large the pages of one list are.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// When the request does not say.
    pub default: usize,
    /// At the most.
    pub max: usize,
}

/// Pages of `ListPlugins`.
pub const PLUGINS: Sizes = Sizes { default: 100, max: 1000 };

/// Pages of `ListConfigurationRevisions`.
pub const REVISIONS: Sizes = Sizes { default: 20, max: 100 };

/// Pages of `ListTokens`: a thousand with the longest names have half a megabyte.
pub const TOKENS: Sizes = Sizes { default: 100, max: 1000 };

/// A page ends before it has this many bytes: clients take messages of 4 MiB.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// What a page still has room for.
#[derive(Debug)]
pub struct Room {
    items: usize,
    bytes: usize,
    is_whole: bool,
}

impl Room {
    /// Of a page with so many items.
    #[must_use]
    pub const fn new(items: usize) -> Self {
        Self { items, bytes: PAGE_BYTES, is_whole: true }
    }

    /// Gives room to an item of so many bytes, if there is enough; for the first there is, so that the next page is
    /// another one.
    pub fn take(&mut self, bytes: usize) -> bool {
        let has_room = self.is_whole || (self.items > 0 && bytes <= self.bytes);
        if has_room {
            self.items = self.items.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(bytes);
            self.is_whole = false;
        }
        has_room
    }
}

/// What a page can start after. Each list has a mark of its own, so that one does not take another's tokens.
pub trait Place: Sized {
    /// The first byte of its tokens.
    const MARK: u8;

    /// Its bytes in a token.
    fn to_bytes(&self) -> Vec<u8>;

    /// Reads it back.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

/// A plugin, by its installation.
impl Place for plugin::Place {
    const MARK: u8 = b'p';

    fn to_bytes(&self) -> Vec<u8> {
        [&self.0.to_be_bytes()[..], self.1.as_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (installed, id) = bytes.split_first_chunk()?;
        Some((u64::from_be_bytes(*installed), PluginId::from_bytes(id.try_into().ok()?)))
    }
}

impl Place for TokenId {
    const MARK: u8 = b't';

    fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(TokenId::from_bytes)
    }
}

/// The revision of a configuration.
impl Place for u64 {
    const MARK: u8 = b'r';

    fn to_bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

/// How many items a page may have: 0 means the default, and more than the most is the most (AIP-158).
///
/// # Errors
/// `INVALID_ARGUMENT` about a `page_size` below 0.
pub fn size(asked: i32, sizes: Sizes) -> Result<usize> {
    match usize::try_from(asked) {
        Ok(0) => Ok(sizes.default),
        Ok(size) => Ok(size.min(sizes.max)),
        Err(_) => Err(Error::field("page_size", format!("must not be negative; 0 is {}", sizes.default))),
    }
}

/// What the page starts after; none for the first page.
///
/// # Errors
/// `INVALID_ARGUMENT` about `page_token` if it is not one that this list gave.
pub fn after<P: Place>(token: &str) -> Result<Option<P>> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
    let place = bytes.as_deref().and_then(|bytes| bytes.strip_prefix(&[P::MARK])).and_then(P::from_bytes);
    let refusal = || Error::field("page_token", "must be the next_page_token of the page before, unchanged");
    place.map(Some).ok_or_else(refusal)
}

/// The token of the page after this place.
#[must_use]
pub fn token<P: Place>(last: &P) -> String {
    let mut bytes = vec![P::MARK];
    bytes.extend(last.to_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_at_most_the_most_and_a_negative_size_is_a_fault_of_that_field() {
        assert_eq!([0, 1, 1000, 1001, i32::MAX].map(|asked| size(asked, PLUGINS).unwrap()), [100, 1, 1000, 1000, 1000]);
        for asked in [-1, i32::MIN] {
            assert_eq!(size(asked, PLUGINS).unwrap_err().violations[0].field, "page_size");
        }
    }

    #[test]
    fn a_page_ends_when_the_items_or_the_bytes_are_used_up() {
        let mut few = Room::new(2);
        assert_eq!([1, 1, 1].map(|bytes| few.take(bytes)), [true, true, false]);
        let mut large = Room::new(100);
        assert_eq!([PAGE_BYTES - 1, 2, 1].map(|bytes| large.take(bytes)), [true, false, true]);
    }

    #[test]
    fn a_page_has_one_item_however_large() {
        let mut room = Room::new(100);
        assert_eq!([PAGE_BYTES + 1, 1].map(|bytes| room.take(bytes)), [true, false]);
    }

    #[test]
    fn a_token_leads_back_to_its_place() {
        let place = (5_u64, PluginId::from(xid::new()));
        assert_eq!(after(&token(&place)).unwrap(), Some(place));
        assert_eq!(after(&token(&7_u64)).unwrap(), Some(7_u64));
        assert_eq!(after::<u64>("").unwrap(), None);
    }

    #[test]
    fn a_token_of_another_list_or_of_nobody_is_refused() {
        let foreign = token(&(5_u64, PluginId::from(xid::new())));
        for text in [foreign.as_str(), "x", "é", "cg", "AAAA"] {
            assert_eq!(after::<u64>(text).unwrap_err().violations[0].field, "page_token", "{text}");
        }
    }
}
