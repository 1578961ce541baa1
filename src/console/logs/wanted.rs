//! Which lines a log shows, of which plugins: all of it is in the page's address.

use super::{lines::Names, *};

/// Lines of a page unless it is said,
const TAIL: u32 = 500;

/// and at the most: also of each plugin, where lines are searched.
pub(super) const MAX_TAIL: u32 = 10_000;

/// Lines that are looked through for a page, of all its plugins together.
const MAX_READ: u32 = 200_000;

/// Plugins whose lines are shown together: their cursors have to fit into a header.
pub(super) const MAX_PLUGINS: usize = 200;

/// Longest text that is searched for.
const MAX_SEARCHED: usize = 200;

/// What the address asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::console) struct Wanted {
    /// Of which plugins, by their ids; none: of all.
    pub(super) plugins: Vec<String>,
    pub(super) stream: LogStream,
    /// What a line must have, as it was written; empty: anything.
    pub(super) text: String,
    /// How many lines.
    pub(super) tail: u32,
}

impl Wanted {
    /// What can't be read asks for nothing.
    pub(in crate::console) fn read(query: &Query) -> Self {
        let one = |name| query.all(name).next().unwrap_or_default();
        let stream = match one("stream") {
            "stdout" => LogStream::Stdout,
            "stderr" => LogStream::Stderr,
            _ => LogStream::Unspecified,
        };
        let mut plugins: Vec<String> = query.all("plugin").map(str::to_owned).take(MAX_PLUGINS).collect();
        plugins.sort();
        plugins.dedup();
        let text = one("q").trim().chars().take(MAX_SEARCHED).collect();
        Self { plugins, stream, text, tail: one("tail").parse().unwrap_or(TAIL).clamp(1, MAX_TAIL) }
    }

    /// The log of one plugin, and what else the address asks for.
    pub(in crate::console) fn of(plugin: &str, query: &Query) -> Self {
        Self { plugins: vec![plugin.to_owned()], ..Self::read(query) }
    }

    /// What is searched for, in lower case.
    pub(super) fn searched(&self) -> String {
        self.text.to_lowercase()
    }

    /// The fields of the address that say which lines; empty ones say nothing.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        let stream =
            if self.stream == LogStream::Unspecified { String::new() } else { word(self.stream.as_str_name()) };
        let plugins = self.plugins.iter().map(|id| ("plugin", id.clone()));
        plugins.chain([("stream", stream), ("q", self.text.clone()), ("tail", self.tail.to_string())])
    }

    /// Asks for the last lines of each plugin: as many as may be shown, or looked through.
    pub(super) fn history(&self, sources: &Sources) -> StreamLogsRequest {
        let count = if self.text.is_empty() { self.tail } else { MAX_TAIL };
        let share = MAX_READ / u32::try_from(sources.shown().max(1)).unwrap_or(MAX_READ);
        StreamLogsRequest { tail_lines: Some(count.min(share).max(1)), ..self.request(sources) }
    }

    /// Asks for what comes after a place.
    pub(super) fn following(&self, sources: &Sources, place: &Place) -> StreamLogsRequest {
        let request = StreamLogsRequest { follow: true, ..self.request(sources) };
        StreamLogsRequest { cursors: place.cursors(&request.plugin_ids), ..request }
    }

    fn request(&self, sources: &Sources) -> StreamLogsRequest {
        StreamLogsRequest { plugin_ids: sources.asked(), stream: self.stream.into(), ..StreamLogsRequest::default() }
    }
}

/// Supervised plugins, by name.
pub(super) struct Sources {
    /// Id and name of each.
    pub(super) all: Vec<(String, String)>,
    /// Ids of those that are meant; none: all.
    pub(super) chosen: Vec<String>,
}

impl Sources {
    /// # Errors
    /// None of those that are meant has a log.
    pub(super) async fn of(api: &Api, wanted: &Wanted) -> Result<Self, Problem> {
        let plugins = list::all(api).await?;
        let supervised = plugins.iter().filter(|plugin| !is_external(plugin));
        let mut all: Vec<_> = supervised.map(|plugin| (plugin.id.clone(), name(plugin))).collect();
        all.sort_by_cached_key(|(id, name)| (name.to_lowercase(), id.clone()));
        let is_there = |id: &&String| all.iter().any(|(known, _)| known == *id);
        let chosen: Vec<String> = wanted.plugins.iter().filter(is_there).cloned().collect();
        match wanted.plugins.as_slice() {
            [id, ..] if chosen.is_empty() => Err(without_log(plugins.iter().any(|plugin| plugin.id == *id))),
            _ => Ok(Self { all, chosen }),
        }
    }

    /// The plugins to be asked for: none for all, which then may become more.
    pub(super) fn asked(&self) -> Vec<String> {
        if self.chosen.is_empty() && self.are_too_many() {
            return self.all.iter().take(MAX_PLUGINS).map(|(id, _)| id.clone()).collect();
        }
        self.chosen.clone()
    }

    /// Whether a plugin's lines are shown.
    pub(super) fn has(&self, id: &str) -> bool {
        match self.chosen.as_slice() {
            [] => self.all.iter().take(MAX_PLUGINS).any(|(known, _)| known == id),
            chosen => chosen.iter().any(|chosen| chosen == id),
        }
    }

    /// How many plugins' lines are shown.
    pub(super) fn shown(&self) -> usize {
        let meant = if self.chosen.is_empty() { self.all.len() } else { self.chosen.len() };
        meant.min(MAX_PLUGINS)
    }

    /// The names that lines need, unless one plugin is meant.
    pub(super) fn line_names(&self) -> Option<Names> {
        (self.chosen.len() != 1).then(|| Names::new(self.all.iter().map(|(id, _)| id.clone()).collect()))
    }

    /// Whether there are more plugins than are shown together.
    pub(super) fn are_too_many(&self) -> bool {
        self.all.len() > MAX_PLUGINS
    }

    /// What the chosen ones are called.
    pub(super) fn names(&self) -> String {
        let names = self.all.iter().filter(|(id, _)| self.chosen.contains(id));
        let names: Vec<&str> = names.map(|(_, name)| name.as_str()).collect();
        match names.as_slice() {
            [] => "All plugins".to_owned(),
            [one] => (*one).to_owned(),
            [one, other] => format!("{one}, {other}"),
            [one, rest @ ..] => format!("{one} and {} more", rest.len()),
        }
    }
}

fn without_log(is_external: bool) -> Problem {
    if !is_external {
        return Problem::no_plugin();
    }
    Problem::invalid("plugin", "this plugin runs elsewhere, and prints there")
}
