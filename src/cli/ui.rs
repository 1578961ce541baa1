//! What goes to the screen: colour, tables, JSON. Its output is shared, so that several tasks can print whole lines.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};

use super::{
    failure::Failure,
    options::{Options, Output, When},
    outlet::Outlet,
};

/// A shared place to print to.
type Sink = Arc<Mutex<dyn Write + Send>>;

/// The screen.
#[derive(Clone)]
pub(super) struct Ui {
    out: Sink,
    err: Sink,
    output: Output,
    is_colored: bool,
}

impl fmt::Debug for Ui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ui").field("output", &self.output).finish_non_exhaustive()
    }
}

/// How a text looks in colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Style {
    /// As is.
    #[default]
    Plain,
    /// A heading.
    Bold,
    /// Of less importance.
    Dim,
    /// Good.
    Green,
    /// On its way.
    Yellow,
    /// Bad.
    Red,
    /// To tell things apart.
    Cyan,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Red => "31",
            Self::Cyan => "36",
        }
    }
}

impl Ui {
    /// The process's own standard output and error.
    #[must_use]
    pub(super) fn standard(options: &Options) -> Self {
        Self::new(io::stdout(), io::stderr(), options.output, is_colored(options))
    }

    /// A screen that prints to these.
    pub(super) fn new(
        out: impl Write + Send + 'static,
        err: impl Write + Send + 'static,
        output: Output,
        is_colored: bool,
    ) -> Self {
        Self { out: Arc::new(Mutex::new(out)), err: Arc::new(Mutex::new(err)), output, is_colored }
    }

    /// The same screen for people.
    #[must_use]
    pub(super) fn in_words(self) -> Self {
        Self { output: Output::Table, ..self }
    }

    /// Is this for programs?
    #[must_use]
    pub(super) fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// A text in colour, if there is to be any.
    #[must_use]
    pub(super) fn paint(&self, style: Style, text: &str) -> String {
        match style {
            Style::Plain => text.to_owned(),
            _ if !self.is_colored => text.to_owned(),
            _ => format!("\x1b[{}m{text}\x1b[0m", style.code()),
        }
    }

    /// Prints a line.
    ///
    /// # Errors
    /// The other end is gone.
    pub(super) fn line(&self, text: &str) -> io::Result<()> {
        write_line(&self.out, text)
    }

    /// Prints bytes as they are.
    ///
    /// # Errors
    /// The other end is gone.
    pub(super) fn raw(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(bytes)?;
        out.flush()
    }

    /// Prints a remark, to standard error so that scripts don't read it. Nobody may be there to read it; that is fine.
    pub(super) fn note(&self, text: &str) {
        let _ = match self.output {
            Output::Table => write_line(&self.err, text),
            Output::Json => write_line(&self.err, &json!({"note": text}).to_string()),
        };
    }

    /// Prints a remark that nobody should miss.
    pub(super) fn warn(&self, text: &str) {
        self.note(&format!("warning: {text}"));
    }

    /// Prints why a command failed.
    pub(super) fn fail(&self, failure: &Failure) {
        let _ = match self.output {
            Output::Table => write_line(&self.err, &failure.to_string()),
            Output::Json => write_line(&self.err, &failure.json().to_string()),
        };
    }

    /// Prints a document with indents.
    ///
    /// # Errors
    /// The other end is gone.
    pub(super) fn json(&self, value: &Value) -> io::Result<()> {
        self.line(&format!("{value:#}"))
    }

    /// Prints an object on one line.
    ///
    /// # Errors
    /// The other end is gone.
    pub(super) fn json_line(&self, value: &Value) -> io::Result<()> {
        self.line(&value.to_string())
    }
}

fn is_colored(options: &Options) -> bool {
    match options.color {
        When::Always => true,
        When::Never => false,
        When::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()),
    }
}

/// In one piece, as an [`Outlet`] takes or drops it.
fn write_line(sink: &Sink, text: &str) -> io::Result<()> {
    let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
    sink.write_all(format!("{text}\n").as_bytes())?;
    sink.flush()
}

/// The screen of a command that serves, which never waits for whoever reads it.
pub(super) struct Screen {
    pub(super) ui: Ui,
    /// Standard error, for the log.
    pub(super) errors: Outlet,
    output: Outlet,
}

impl Screen {
    /// # Errors
    /// No thread could be started.
    pub(super) fn start(options: &Options) -> io::Result<Self> {
        let output = Outlet::start(io::stdout(), tell_dropped)?;
        let errors = Outlet::start(io::stderr(), tell_dropped)?;
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

/// A text of somebody else's on one line, with nothing in it that a terminal would obey.
#[must_use]
pub(super) fn tame(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// A line of a log as a terminal may have it: tabs stay, other controls are spaces, and marks that would turn the order of
/// the letters about are gone.
#[must_use]
pub(super) fn legible(text: &str) -> String {
    text.split('\t').map(tame).collect::<Vec<_>>().join("\t").replace(is_turning, "")
}

/// Does this mark change the direction of what follows?
fn is_turning(letter: char) -> bool {
    matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What was printed.
    #[derive(Clone, Default)]
    pub(crate) struct Printed(Arc<Mutex<Vec<u8>>>);

    impl Printed {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Printed {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A screen without colour, and what is printed on it.
    pub(crate) fn mk_ui(output: Output) -> (Ui, Printed) {
        let printed = Printed::default();
        (Ui::new(printed.clone(), io::sink(), output, false), printed)
    }

    #[test]
    fn colour_is_only_printed_where_it_is_wanted() {
        let (plain, _) = mk_ui(Output::Table);
        assert_eq!(plain.paint(Style::Red, "x"), "x");
        let colored = Ui::new(io::sink(), io::sink(), Output::Table, true);
        assert_eq!(colored.paint(Style::Red, "x"), "\x1b[31mx\x1b[0m");
    }

    #[test]
    fn what_a_terminal_would_obey_is_taken_out() {
        assert_eq!(tame("a\x1b[2Jb\nc"), "a [2Jb c");
    }

    #[test]
    fn a_line_of_a_log_keeps_its_tabs_and_the_order_of_its_letters() {
        assert_eq!(legible("a\tb\x1b[2Jc\u{202e}d"), "a\tb [2Jcd");
    }

    #[test]
    fn programs_get_remarks_and_errors_as_json_too() {
        let printed = Printed::default();
        let ui = Ui::new(io::sink(), printed.clone(), Output::Json, false);
        ui.warn("look");
        ui.fail(&Failure::new("it broke"));
        let lines: Vec<Value> = printed.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["note"], &lines[1]["error"]["message"]), (&"warning: look".into(), &"it broke".into()));
    }
}
