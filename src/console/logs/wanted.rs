//! Which lines a log shows: all of it is in the page's address.

use super::*;
use crate::api::v1::StreamLogsRequest;

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

    /// The fields of the address that say which lines.
    pub(super) fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.plugins.iter().map(|id| ("plugin", id)));
        if self.stream != LogStream::Unspecified {
            query.append_pair("stream", &word(self.stream.as_str_name()));
        }
        if !self.text.is_empty() {
            query.append_pair("q", &self.text);
        }
        query.append_pair("tail", &self.tail.to_string());
        query.finish()
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
