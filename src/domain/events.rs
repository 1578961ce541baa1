//! Names of events: the rule that every name keeps, and the catalogues that an operator may hold plugins to.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
};

/// Most characters of an event's name.
const MAX_NAME: usize = 128;

/// Whether this may name an event: `^[A-Za-z][A-Za-z0-9_.-]{0,127}$`.
pub fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// The events that a manifest may consume. Clones share their names: replacing those of one replaces those of all, so that
/// an operator may change them while plugd runs.
#[derive(Debug, Clone)]
pub struct EventCatalog {
    names: Arc<RwLock<Names>>,
}

/// The names; any that keeps the rule when there are none to choose from.
type Names = Option<BTreeSet<String>>;

impl EventCatalog {
    /// Any name that keeps the rule of [`is_name`].
    pub fn any() -> Self {
        Self::of(None)
    }

    /// Only these, which an operator may choose as they like: the rule of [`is_name`] is not applied to them.
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

    /// Whether a manifest may consume this event.
    pub fn has(&self, name: &str) -> bool {
        match &*self.names.read().unwrap_or_else(PoisonError::into_inner) {
            Some(names) => names.contains(name),
            None => is_name(name),
        }
    }

    /// Whether any name that keeps the rule is allowed.
    pub fn is_any(&self) -> bool {
        self.names.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

#[cfg(test)]
mod tests;
