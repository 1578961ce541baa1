//! Lines as a page shows them.

use std::collections::HashMap;

use maud::{Markup, html};

use super::{
    ansi::{self, has, pieces},
    place::Place,
};
use crate::{
    api::{
        self,
        v1::{LogLine, LogStream, StreamLogsResponse},
    },
    domain::text::sanitize,
};

/// Lines that are laid out together: what is not looked at is not laid out.
const TOGETHER: usize = 100;

/// The most letters that are kept for a page, and for what is added to it at once.
const MAX_BYTES: usize = 8 << 20;

/// Colours of names.
const COLORS: usize = 5;

/// The names of plugins before their lines, where there are several: each in its colour.
pub(super) struct Names(Vec<String>);

impl Names {
    /// Of these plugins, by their ids; one that comes later has the next colour.
    pub(super) fn new(mut ids: Vec<String>) -> Self {
        ids.sort();
        Self(ids)
    }

    fn color(&self, id: &str) -> usize {
        self.0.binary_search_by(|known| known.as_str().cmp(id)).unwrap_or_else(|place| place) % COLORS
    }
}

/// Something that stands in a log.
struct Entry {
    /// When it came; an entry of a plugin never stands before an earlier one of the same.
    time: Option<(i64, i32)>,
    plugin: String,
    name: String,
    what: What,
}

enum What {
    Line(LogLine),
    /// Lines are missing here.
    Lost,
    /// Nothing more of the plugin comes, and why.
    Failed(String),
}

impl Entry {
    fn size(&self) -> usize {
        match &self.what {
            What::Line(line) => line.text.len(),
            What::Lost | What::Failed(_) => 0,
        }
    }
}

/// What came of a stream, to be shown together.
pub(super) struct Lines {
    /// What a line must have, in lower case.
    searched: String,
    /// How many are kept: the latest.
    limit: usize,
    entries: Vec<Entry>,
    bytes: usize,
    last: HashMap<String, Option<(i64, i32)>>,
}

impl Lines {
    pub(super) fn new(searched: String, limit: usize) -> Self {
        Self { searched, limit, entries: Vec::new(), bytes: 0, last: HashMap::new() }
    }

    /// Takes what came next of a plugin, after which the place is that comes with it.
    pub(super) fn take(&mut self, batch: StreamLogsResponse, place: &mut Place) {
        let StreamLogsResponse { lines, lines_lost, plugin_id, plugin_name, failure, cursor, .. } = batch;
        if let Some(cursor) = cursor {
            place.pass(&plugin_id, cursor);
        }
        let name = sanitize(if plugin_name.is_empty() { &plugin_id } else { &plugin_name });
        let entry = |time, what| Entry { time, plugin: plugin_id.clone(), name: name.clone(), what };
        let mut last = self.last.get(&plugin_id).copied().unwrap_or_default();
        if lines_lost {
            let first = lines.iter().find_map(|line| line.time);
            self.entries.push(entry(first.map(|time| (time.seconds, time.nanos)).max(last), What::Lost));
        }
        for line in lines {
            last = last.max(line.time.map(|time| (time.seconds, time.nanos)));
            if self.searched.is_empty() || has(&ansi::plain(&line.text), &self.searched) {
                self.bytes += line.text.len();
                self.entries.push(entry(last, What::Line(line)));
            }
        }
        self.entries.extend(failure.map(|why| entry(last, What::Failed(why))));
        self.last.insert(plugin_id, last);
        if self.entries.len() >= 2 * self.limit + TOGETHER || self.bytes > 2 * MAX_BYTES {
            self.trim();
        }
    }

    /// Puts them in order, and leaves the latest.
    fn trim(&mut self) {
        self.entries.sort_by_key(|entry| entry.time);
        let mut left = MAX_BYTES;
        let fits = |entry: &&Entry| {
            let fits = entry.size() <= left;
            left = left.saturating_sub(entry.size());
            fits
        };
        let kept = self.entries.iter().rev().take(self.limit).take_while(fits).count();
        self.entries.drain(..self.entries.len() - kept);
        self.bytes = self.entries.iter().map(Entry::size).sum();
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Shows them after what was seen up to `place`, which goes on. Several plugins' lines have their names.
    pub(super) fn show(mut self, place: &mut Place, names: Option<&Names>) -> Markup {
        self.trim();
        html! {
            @for together in self.entries.chunks(TOGETHER) {
                div.batch { @for entry in together { (show(entry, place, &self.searched, names)) } }
            }
        }
    }

    /// Each by itself, without what stands between them.
    pub(super) fn each(mut self) -> Vec<Markup> {
        self.trim();
        let lines = self.entries.iter().filter_map(|entry| match &entry.what {
            What::Line(line) => Some(one(entry, line, "", None)),
            What::Lost | What::Failed(_) => None,
        });
        lines.collect()
    }
}

fn show(entry: &Entry, place: &mut Place, searched: &str, names: Option<&Names>) -> Markup {
    let name = if names.is_some() { format!("{}: ", entry.name) } else { String::new() };
    match &entry.what {
        What::Line(line) => html! {
            (between(entry, line, place, &name))
            (one(entry, line, searched, names))
        },
        What::Lost => html! { div.mark.lost { (name) "lines are missing here" } },
        What::Failed(why) => html! { div.mark.lost { (name) "nothing more comes: " (sanitize(why)) } },
    }
}

/// What stands before a line that is the first of a day or of a run.
fn between(entry: &Entry, line: &LogLine, place: &mut Place, name: &str) -> Markup {
    let time = line.time.and_then(api::time);
    let day = time.map(|time| time.strftime("%Y-%m-%d").to_string());
    let is_another_day = day.as_ref().is_some_and(|day| place.turn(day));
    let run = line.run_id.as_deref().filter(|run| place.enter(&entry.plugin, run));
    html! {
        @if let Some(time) = time.filter(|_| is_another_day) { div.mark.day { (time.strftime("%A, %-d %B %Y").to_string()) " (UTC)" } }
        @if let Some(run) = run { div.mark.run { (name) "run " (run) " began" } }
    }
}

fn one(entry: &Entry, line: &LogLine, searched: &str, names: Option<&Names>) -> Markup {
    let is_error = line.stream() == LogStream::Stderr;
    let (color, time) = (names.map(|names| names.color(&entry.plugin)), line.time.and_then(api::time));
    html! {
        div class={ @if is_error { "line err" } @else { "line" } @if let Some(color) = color { " p" (color) } } {
            span.at { @if let Some(time) = time { (time.strftime("%H:%M:%S%.3f").to_string()) } @else { "–" } } " "
            @if color.is_some() { b title=(entry.name) { (entry.name) } " " }
            @if is_error { abbr title="standard error" { "err" } " " }
            span.text { (ansi::shown(&pieces(&line.text), searched)) @if line.continues { span.goes-on title="the line goes on" { "↩" } } }
        }
    }
}

#[cfg(test)]
mod tests;
