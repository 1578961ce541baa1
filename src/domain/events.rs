//! Names of events: the rule that every name keeps, and the catalogues that an operator may hold plugins to.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
};

/// Most characters of an event's name.
const MAX_NAME: usize = 128;

/// The events of Storyden (CONTRACT 12).
#[rustfmt::skip]
pub const STORYDEN: [&str; 42] = [
    "EventThreadPublished", "EventThreadUnpublished", "EventThreadUpdated", "EventThreadDeleted",
    "EventThreadReplyCreated",
    "EventThreadReplyDeleted", "EventThreadReplyUpdated", "EventThreadReplyPublished", "EventThreadReplyUnpublished",
    "EventPostLiked", "EventPostUnliked", "EventPostReacted", "EventPostUnreacted",
    "EventCategoryUpdated", "EventCategoryDeleted",
    "EventMemberMentioned",
    "EventNodeCreated", "EventNodeUpdated", "EventNodeDeleted", "EventNodePublished", "EventNodeSubmittedForReview",
    "EventNodeUnpublished",
    "EventNodeVersionDraftCreated", "EventNodeVersionDraftUpdated", "EventNodeVersionDraftDeleted",
    "EventNodeVersionDraftApplied",
    "EventAccountCreated", "EventAccountUpdated", "EventAccountSuspended", "EventAccountUnsuspended",
    "EventModerationNoteCreated", "EventModerationNoteDeleted",
    "EventAccountWarned", "EventAccountWarningDeleted", "EventAccountWarningUpdated",
    "EventReportCreated", "EventReportUpdated",
    "EventActivityCreated", "EventActivityUpdated", "EventActivityDeleted", "EventActivityPublished",
    "EventSettingsUpdated",
];

/// Does it match `^[A-Za-z][A-Za-z0-9_.-]{0,127}$`?
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// The events that a manifest may consume. A clone is the same catalogue: who replaces the names of one replaces those of
/// all, so that an operator may change them while plugd runs.
#[derive(Debug, Clone)]
pub struct EventCatalog {
    names: Arc<RwLock<Names>>,
}

/// The names; any that keeps the rule when there are none to choose from.
type Names = Option<BTreeSet<String>>;

impl EventCatalog {
    /// Any name that keeps the rule of [`is_name`].
    #[must_use]
    pub fn any() -> Self {
        Self::of(None)
    }

    /// Only the events of Storyden.
    #[must_use]
    pub fn storyden() -> Self {
        Self::from_names(STORYDEN)
    }

    /// Only these, which an operator may choose as they like: the rule of [`is_name`] is not applied to them.
    #[must_use]
    pub fn from_names<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self::of(Some(names.into_iter().map(Into::into).collect()))
    }

    fn of(names: Names) -> Self {
        Self { names: Arc::new(RwLock::new(names)) }
    }

    /// Takes over the names of another one, here and in all clones.
    pub fn replace_with(&self, other: &Self) {
        let names = other.names.read().unwrap_or_else(PoisonError::into_inner).clone();
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// May a manifest consume this event?
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match &*self.names.read().unwrap_or_else(PoisonError::into_inner) {
            Some(names) => names.contains(name),
            None => is_name(name),
        }
    }

    /// Is any name that keeps the rule allowed?
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.names.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_begins_with_a_letter_and_has_at_most_128_characters() {
        for name in ["a", "EventPostLiked", "order.paid", "a-b_c.9", &"x".repeat(128)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "9a", ".a", "_a", "a b", "a/b", "é", "aé", "a\n", &"x".repeat(129)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn the_storyden_catalogue_has_42_distinct_names_that_keep_the_rule() {
        let catalog = EventCatalog::storyden();
        assert_eq!(catalog.names.read().unwrap().as_ref().map(BTreeSet::len), Some(42));
        assert!(STORYDEN.iter().all(|name| is_name(name) && catalog.has(name)));
        assert!(!catalog.has("EventInvented"));
    }

    #[test]
    fn a_catalogue_of_its_own_knows_exactly_its_names() {
        let catalog = EventCatalog::from_names(["order.paid", "7 dwarfs"]);
        assert!(catalog.has("order.paid") && catalog.has("7 dwarfs"));
        assert!(!catalog.has("order.sent"));
        assert!(EventCatalog::any().has("order.sent"));
        assert!(!EventCatalog::any().has("7 dwarfs"));
    }

    #[test]
    fn a_catalogue_is_replaced_for_all_who_hold_it() {
        let catalog = EventCatalog::from_names(["order.paid"]);
        let held = catalog.clone();
        catalog.replace_with(&EventCatalog::from_names(["order.sent"]));
        assert!(held.has("order.sent") && !held.has("order.paid"));
        catalog.replace_with(&EventCatalog::any());
        assert!(held.is_any() && held.has("order.paid"));
    }
}
