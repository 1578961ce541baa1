//! Which plugins a list shows, in what order: all of it is in the page's address.

use std::cmp::Reverse;

use super::*;
use crate::api::words::state_named;

/// What a list is sorted by: its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    State,
    Since,
    Restarts,
    Cpu,
    Memory,
    Failure,
}

impl Sort {
    pub(super) const ALL: [Self; 7] =
        [Self::Name, Self::State, Self::Since, Self::Restarts, Self::Cpu, Self::Memory, Self::Failure];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::State => "state",
            Self::Since => "since",
            Self::Restarts => "restarts",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Failure => "failure",
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Name => "Name",
            Self::State => "State",
            Self::Since => "Since",
            Self::Restarts => "Restarts",
            Self::Cpu => "CPU",
            Self::Memory => "Memory",
            Self::Failure => "Last failure",
        }
    }

    /// Whether the most comes first when somebody sorts by this.
    pub(super) fn is_descending_first(self) -> bool {
        matches!(self, Self::Since | Self::Restarts | Self::Cpu | Self::Memory | Self::Failure)
    }
}

/// What the address asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Part of a name, a manifest id or an id; empty: any.
    pub(super) text: String,
    pub(super) state: Option<ReportedState>,
    pub(super) sort: Sort,
    pub(super) is_descending: bool,
    /// Counted from 0.
    pub(super) page: usize,
}

impl Wanted {
    /// What can't be read asks for nothing.
    pub(super) fn read(query: &Query) -> Self {
        let one = |name| query.all(name).next().unwrap_or_default();
        let sort = one("sort");
        Self {
            text: one("q").trim().to_lowercase(),
            state: state_named(one("state")),
            sort: Sort::ALL.into_iter().find(|one| one.word() == sort).unwrap_or(Sort::Name),
            is_descending: one("order") == "descending",
            page: one("page").parse().map_or(0, |page: usize| page.saturating_sub(1)),
        }
    }

    /// The fields that are not as usual, as an address has them.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        let is_usual = self.sort == Sort::Name && !self.is_descending;
        let order = if self.is_descending { "descending" } else { "ascending" };
        let fields = [
            ("q", Some(self.text.clone()).filter(|text| !text.is_empty())),
            ("state", self.state.map(|state| word(state.as_str_name()))),
            ("sort", (!is_usual).then(|| self.sort.word().to_owned())),
            ("order", (!is_usual).then(|| order.to_owned())),
            ("page", (self.page > 0).then(|| (self.page + 1).to_string())),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    /// The address of the list that asks for something else. Unless it asks for a page, it begins with the first.
    pub(super) fn href(&self, change: impl FnOnce(&mut Self)) -> String {
        let mut other = Self { page: 0, ..self.clone() };
        change(&mut other);
        address("/", other.fields())
    }

    pub(super) fn finds(&self, plugin: &Plugin) -> bool {
        let has = |text: &str| text.to_lowercase().contains(&self.text);
        let is_there = has(&plugin.name) || has(&plugin.id) || has(&manifest_id(plugin));
        is_there && self.state.is_none_or(|state| state == state_of(plugin))
    }

    /// Sorts by the column, and what is the same there by name.
    pub(super) fn sort(&self, plugins: &mut [&Plugin]) {
        plugins.sort_by_cached_key(|plugin| (plugin.name.to_lowercase(), plugin.id.clone()));
        match self.sort {
            Sort::Name if self.is_descending => plugins.reverse(),
            Sort::Name => {}
            // What is the same stays in its order.
            _ if self.is_descending => plugins.sort_by_cached_key(|plugin| Reverse(self.key(plugin))),
            _ => plugins.sort_by_cached_key(|plugin| self.key(plugin)),
        }
    }

    fn key(&self, plugin: &Plugin) -> (u64, String) {
        let Some(status) = &plugin.status else { return Default::default() };
        let number = match self.sort {
            Sort::State => u64::try_from(status.state).ok(),
            Sort::Since => status.state_time.and_then(|time| u64::try_from(time.seconds).ok()),
            Sort::Restarts => Some(status.restart_count.into()),
            Sort::Cpu => usage::cpu(status),
            Sort::Memory => usage::memory(status),
            Sort::Failure => return (0, status.message().to_owned()),
            Sort::Name => None,
        };
        (number.unwrap_or_default(), String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_read_is_written_the_same() {
        for address in
            ["/", "/?q=a+%26+b", "/?state=error&sort=memory&order=descending", "/?sort=name&order=descending&page=3"]
        {
            let wanted = Wanted::read(&Query::of(address.trim_start_matches("/").trim_start_matches('?')));
            let page = wanted.page;
            assert_eq!(wanted.href(|other| other.page = page), address);
        }
        let third = Wanted::read(&Query::of("q=a&page=3"));
        assert_eq!(third.href(|_| ()), "/?q=a", "another choice begins with the first page");
        let nonsense = Wanted::read(&Query::of("sort=x&state=x&order=x&page=-1&page=7"));
        assert_eq!(nonsense.href(|_| ()), "/");
    }

    #[test]
    fn a_plugin_is_found_by_any_of_its_names() {
        let plugin =
            Plugin { id: "9m4e2mr0ui3e8a215n4g".to_owned(), name: "Word Filter".to_owned(), ..Plugin::default() };
        for (text, is_found) in
            [("q=filter", true), ("q=WORD", true), ("q=9m4e2", true), ("q=x", false), ("state=active", false)]
        {
            assert_eq!(Wanted::read(&Query::of(text)).finds(&plugin), is_found, "{text}");
        }
    }
}
