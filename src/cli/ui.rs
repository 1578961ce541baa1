//! The screen: words in colour, tables, JSON. Its output is shared, so that several tasks can print whole lines.

use std::{
    ffi::OsStr,
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use super::{
    failure::Failure,
    global::{GlobalOptions, Output, When},
};
pub(super) use crate::domain::text::{sanitize, sanitize_line};
use crate::{domain::text::is_unsafe, telemetry::BackgroundWriter};

type Sink = Arc<Mutex<dyn Write + Send>>;

#[derive(Clone)]
pub(super) struct Ui {
    out: Sink,
    err: Sink,
    output: Output,
    is_colored: bool,
}

/// How a text looks in colour: the numbers are what a terminal takes (ECMA-48, 8.3.117).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Style {
    #[default]
    Plain = 0,
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
}

impl Ui {
    pub(super) fn standard(options: &GlobalOptions) -> Self {
        Self::new(io::stdout(), io::stderr(), options.output, is_colored(options))
    }

    pub(super) fn new(
        out: impl Write + Send + 'static,
        err: impl Write + Send + 'static,
        output: Output,
        is_colored: bool,
    ) -> Self {
        Self { out: Arc::new(Mutex::new(out)), err: Arc::new(Mutex::new(err)), output, is_colored }
    }

    /// The same screen for people.
    pub(super) fn in_words(self) -> Self {
        Self { output: Output::Table, ..self }
    }

    pub(super) fn is_colored(&self) -> bool {
        self.is_colored
    }

    pub(super) fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    pub(super) fn paint(&self, style: Style, text: &str) -> String {
        match style {
            Style::Plain => text.to_owned(),
            _ if !self.is_colored => text.to_owned(),
            _ => format!("\x1b[{}m{text}\x1b[0m", style as u8),
        }
    }

    pub(super) fn line(&self, text: &str) -> io::Result<()> {
        write_line(&self.out, text)
    }

    pub(super) fn raw(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(bytes)?;
        out.flush()
    }

    /// Prints a remark, to standard error so that scripts don't read it.
    pub(super) fn note(&self, text: &str) {
        self.aside(&json!({"note": text}), sanitize(text));
    }

    /// Prints a remark that nobody should miss.
    pub(super) fn warn(&self, text: &str) {
        self.note(&format!("warning: {text}"));
    }

    pub(super) fn fail(&self, failure: &Failure) {
        self.aside(&json!({"error": failure.json()}), failure.to_string());
    }

    /// Prints to standard error. Nobody may be there to read it; that is fine.
    fn aside(&self, json: &Value, words: String) {
        let _ = write_line(&self.err, &if self.is_json() { escaped(&json.to_string()) } else { words });
    }

    pub(super) fn json(&self, value: &Value) -> io::Result<()> {
        self.line(&escaped(&format!("{value:#}")))
    }

    /// Prints this for programs, or that for people.
    pub(super) fn json_or(&self, json: impl FnOnce() -> Value, words: impl FnOnce() -> String) -> io::Result<()> {
        if self.is_json() { self.json(&json()) } else { self.line(&words()) }
    }

    /// Prints objects: for programs as an array, for people as a table with these of their keys.
    pub(super) fn rows<const N: usize>(&self, keys: [&str; N], rows: &[Value]) -> io::Result<()> {
        let cells = |row: &Value| keys.map(|key| shown(&row[key]).into());
        self.list(&keys.map(str::to_uppercase), rows, Value::clone, cells)
    }

    /// Prints items: for programs as an array, for people as a table with this heading.
    pub(super) fn list<T, const N: usize>(
        &self,
        heading: &[impl AsRef<str>; N],
        items: &[T],
        json: impl Fn(&T) -> Value,
        cells: impl Fn(&T) -> [Cell; N],
    ) -> io::Result<()> {
        if self.is_json() {
            return self.json(&items.iter().map(json).collect());
        }
        let mut table = Table::new(heading);
        items.iter().for_each(|item| table.row(cells(item)));
        table.print(self)
    }

    pub(super) fn json_line(&self, value: &Value) -> io::Result<()> {
        self.line(&escaped(&value.to_string()))
    }
}

/// A value in a table; a time is shown to the second.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.parse().map_or_else(|_| text.clone(), |time: Timestamp| format!("{time:.0}")),
        value => value.to_string(),
    }
}

fn is_colored(options: &GlobalOptions) -> bool {
    match options.color {
        When::Always => true,
        When::Never => false,
        When::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()),
    }
}

/// Writes a line in one piece, as a [`BackgroundWriter`] takes or drops it.
fn write_line(sink: &Sink, text: &str) -> io::Result<()> {
    let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
    sink.write_all(format!("{text}\n").as_bytes())?;
    sink.flush()
}

/// The screen of a command that serves, which never waits for whoever reads it.
pub(super) struct Screen {
    pub(super) ui: Ui,
    /// Standard error, for the log.
    pub(super) errors: BackgroundWriter,
    output: BackgroundWriter,
}

impl Screen {
    pub(super) fn start(options: &GlobalOptions) -> io::Result<Self> {
        let output = BackgroundWriter::start(io::stdout(), tell_dropped)?;
        let errors = BackgroundWriter::start(io::stderr(), tell_dropped)?;
        let ui = Ui::new(output.clone(), errors.clone(), options.output, is_colored(options));
        Ok(Self { ui, errors, output })
    }

    /// Waits until what was printed is written, if anybody reads it.
    pub(super) fn finish(&self) {
        self.output.finish();
        self.errors.finish();
    }
}

fn tell_dropped(lines: u64) {
    tracing::warn!(lines, "so many lines of output were dropped since the start: nobody read them in time");
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(super) fn styled(text: impl AsRef<str>, style: Style) -> Self {
        Self { text: sanitize(text.as_ref()), style }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::Plain)
    }
}

/// Rows below a heading.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Vec<Cell>>);

impl Table {
    pub(super) fn new(heading: &[impl AsRef<str>]) -> Self {
        Self(vec![heading.iter().map(|text| Cell::styled(text, Style::Bold)).collect()])
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.0.push(cells.into_iter().collect());
    }

    pub(super) fn print(&self, ui: &Ui) -> io::Result<()> {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.0 {
            widths.resize(widths.len().max(row.len()), 0);
            row.iter().zip(&mut widths).for_each(|(cell, width)| *width = cell.text.width().max(*width));
        }
        self.0.iter().try_for_each(|row| {
            let padding = |(cell, width): (&Cell, &usize)| " ".repeat(width - cell.text.width());
            let pad = |at: (&Cell, &usize)| ui.paint(at.0.style, &at.0.text) + &padding(at);
            ui.line(row.iter().zip(&widths).map(pad).collect::<Vec<_>>().join("  ").trim_end())
        })
    }
}

/// JSON in which letters that a terminal may obey are written as escapes, which says the same. They only occur in strings.
pub(super) fn escaped(json: &str) -> String {
    let escape = |letter: char| match letter {
        _ if letter != '\n' && is_unsafe(letter) => {
            letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
        }
        _ => letter.to_string(),
    };
    json.chars().map(escape).collect()
}

/// A word of a command that is printed to be pasted into a shell. What no terminal shows is left out of it.
pub(super) fn quoted(word: impl AsRef<OsStr>) -> String {
    let word = sanitize(&word.as_ref().to_string_lossy());
    shlex::try_quote(&word).map_or_else(|_| word.clone(), Into::into)
}

/// The number of names that one remark tells; the others are counted.
const MAX_TOLD: usize = 10;

pub(super) fn first_few<T: AsRef<str>>(names: &[T]) -> String {
    let told: Vec<&str> = names.iter().take(MAX_TOLD).map(AsRef::as_ref).collect();
    let told = told.join(", ");
    if names.len() > MAX_TOLD { format!("{told} and {} more", names.len() - MAX_TOLD) } else { told }
}

/// How alike two words must be for one to be taken for the other (Jaro and Winkler): a slip or two, or the same beginning.
const ALIKE: f64 = 0.85;
/// The number of words that are suggested.
const SUGGESTIONS: usize = 3;

/// "did you mean …?" with those of the known words that are most like the written one, if any are.
pub(super) fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let nearest: Vec<String> = nearest(written, known).iter().map(|word| format!("{word:?}")).collect();
    (!nearest.is_empty()).then(|| format!("did you mean {}?", nearest.join(" or ")))
}

/// The words that somebody may have meant, the likeliest first.
fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let written = written.to_lowercase();
    let rated = known.into_iter().map(|word| (strsim::jaro_winkler(&word.to_lowercase(), &written), word));
    let mut alike: Vec<(f64, &str)> = rated.filter(|(likeness, _)| *likeness >= ALIKE).collect();
    alike.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
    alike.dedup_by_key(|(_, word)| *word);
    alike.into_iter().map(|(_, word)| word).take(SUGGESTIONS).collect()
}

#[cfg(test)]
pub(crate) mod tests;
