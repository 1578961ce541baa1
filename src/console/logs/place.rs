//! Where a log is: what a browser has seen of it, so that it goes on after that with nothing lost and nothing twice.

use std::{collections::BTreeMap, fmt};

/// After which lines: of each plugin the cursor, which the service gave, and the run of its last line; and the day of the last of
/// all, so that what stands between runs and days stands there once.
///
/// As text it is the id of an event, which a browser sends when it connects again: `2026-11-30 PLUGIN=CURSOR/RUN PLUGIN=CURSOR/`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) day: String,
    plugins: BTreeMap<String, Seen>,
}

/// What was seen of a plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    cursor: String,
    run: String,
}

impl Place {
    /// The place that this text is of, if it is of one.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (day, rest) = text.split_once(' ').unwrap_or((text, ""));
        let is_day = day == "-" || (day.len() == 10 && day.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'));
        let one = |text: &str| {
            let (id, seen) = text.split_once('=')?;
            let (cursor, run) = seen.rsplit_once('/')?;
            Some((id.to_owned(), Seen { cursor: cursor.to_owned(), run: run.to_owned() }))
        };
        let plugins = rest.split_whitespace().map(one).collect::<Option<_>>()?;
        let day = if day == "-" { String::new() } else { day.to_owned() };
        is_day.then_some(Self { day, plugins })
    }

    /// Goes on to this cursor of a plugin.
    pub(super) fn pass(&mut self, plugin: &str, cursor: String) {
        self.plugins.entry(plugin.to_owned()).or_default().cursor = cursor;
    }

    /// Goes on to this run of a plugin; true if lines of another one came before.
    pub(super) fn enter(&mut self, plugin: &str, run: &str) -> bool {
        let seen = self.plugins.entry(plugin.to_owned()).or_default();
        let before = std::mem::replace(&mut seen.run, run.to_owned());
        !before.is_empty() && before != run
    }

    /// Goes on to this day; true if it is another one.
    pub(super) fn turn(&mut self, day: &str) -> bool {
        let is_new = self.day != day;
        day.clone_into(&mut self.day);
        is_new
    }

    /// The cursors of these plugins, or of all if none are named.
    pub(super) fn cursors(&self, plugins: &[String]) -> Vec<String> {
        let is_meant = |id: &String| plugins.is_empty() || plugins.contains(id);
        let known = self.plugins.iter().filter(|(id, seen)| is_meant(id) && !seen.cursor.is_empty());
        known.map(|(_, seen)| seen.cursor.clone()).collect()
    }

    /// Forgets the plugins that are not looked at.
    pub(super) fn keep(&mut self, is_shown: impl Fn(&str) -> bool) {
        self.plugins.retain(|id, _| is_shown(id));
    }

    /// How many plugins it has.
    pub(super) fn count(&self) -> usize {
        self.plugins.len()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.day.is_empty() { "-" } else { &self.day })?;
        self.plugins.iter().try_for_each(|(id, Seen { cursor, run })| write!(f, " {id}={cursor}/{run}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_as_it_was() {
        let mut place = Place::default();
        assert_eq!(place.to_string(), "-");
        assert_eq!(Place::read("-"), Some(Place::default()));
        place.pass("b", "b-epoch-12".to_owned());
        place.pass("a", "a-epoch-7".to_owned());
        assert!(!place.enter("a", "one") && !place.enter("a", "one") && place.enter("a", "two"));
        assert!(place.turn("2026-11-30") && !place.turn("2026-11-30"));
        let text = place.to_string();
        assert_eq!(text, "2026-11-30 a=a-epoch-7/two b=b-epoch-12/");
        assert_eq!(Place::read(&text), Some(place));
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in ["", "x", "2026-11-3x", "- a", "- a=b", "2026-11-30 a=b/c d"] {
            assert_eq!(Place::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_cursors_are_sent_of_the_plugins_that_are_asked_for() {
        let place = Place::read("- a=1/ b=2/x c=/y").unwrap();
        assert_eq!(place.cursors(&[]), ["1", "2"]);
        assert_eq!(place.cursors(&["b".to_owned(), "d".to_owned()]), ["2"]);
    }
}
