//! What goes to the screen: colour, tables, JSON. Its output is shared, so that several tasks can print whole lines.

use std::{
    ffi::OsStr,
    fmt,
    io::{self, IsTerminal, Write},
    os::unix::ffi::OsStrExt,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};

use super::{
    failure::Failure,
    options::{Options, Output, When},
};
pub(super) use crate::domain::terminal::{sanitize, sanitize_line};
use crate::{domain::terminal::is_unsafe, telemetry::output::BackgroundWriter};

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
            Output::Table => write_line(&self.err, &sanitize(text)),
            Output::Json => write_line(&self.err, &escaped(&json!({"note": text}).to_string())),
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
            Output::Json => write_line(&self.err, &escaped(&failure.json().to_string())),
        };
    }

    /// Prints a document with indents.
    ///
    /// # Errors
    /// The other end is gone.
    pub(super) fn json(&self, value: &Value) -> io::Result<()> {
        self.line(&escaped(&format!("{value:#}")))
    }

    /// Prints an object on one line.
    ///
    /// # Errors
    /// The other end is gone.
    pub(super) fn json_line(&self, value: &Value) -> io::Result<()> {
        self.line(&escaped(&value.to_string()))
    }
}

fn is_colored(options: &Options) -> bool {
    match options.color {
        When::Always => true,
        When::Never => false,
        When::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()),
    }
}

/// In one piece, as an [`BackgroundWriter`] takes or drops it.
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
    /// # Errors
    /// No thread could be started.
    pub(super) fn start(options: &Options) -> io::Result<Self> {
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

/// JSON in which letters that a terminal may obey are written as escapes, which says the same. They only occur in strings.
pub(super) fn escaped(json: &str) -> String {
    let mut units = [0; 2];
    let mut escape = |letter: char| match letter {
        '\n' => letter.to_string(),
        _ if is_unsafe(letter) => letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        _ => letter.to_string(),
    };
    json.chars().map(&mut escape).collect()
}

/// A word of a command that is printed to be pasted into a shell.
#[must_use]
pub(super) fn quoted(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref();
    match word.to_str() {
        Some(text) if !text.contains(is_unsafe) => shlex::try_quote(text).map_or_else(|_| escapes(word), Into::into),
        _ => escapes(word),
    }
}

/// A word with escapes for what can't be shown (POSIX.1-2024, 2.2.4).
fn escapes(word: &OsStr) -> String {
    let escape = |byte: &u8| match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
        b' '..=b'~' => char::from(*byte).to_string(),
        _ => format!("\\{byte:03o}"),
    };
    format!("$'{}'", word.as_bytes().iter().map(escape).collect::<String>())
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
    fn json_says_the_same_in_letters_that_no_terminal_obeys() {
        let (ui, printed) = mk_ui(Output::Json);
        let text = "a\u{202e}b\u{9b}c\u{7f}d\u{e0041}e\n\u{2028}";
        ui.json(&json!({"text": text, "empty": []})).unwrap();
        assert!(printed.text().chars().all(|letter| letter == '\n' || !is_unsafe(letter)), "{:?}", printed.text());
        assert_eq!(serde_json::from_str::<Value>(&printed.text()).unwrap()["text"], text);
    }

    #[test]
    fn remarks_and_errors_have_nothing_that_a_terminal_would_obey() {
        let printed = Printed::default();
        let ui = Ui::new(io::sink(), printed.clone(), Output::Table, false);
        ui.warn("a\x1b[2J\u{202e}b");
        ui.fail(&Failure::new("c\nerror: \x1b]0;d").hint("e\n    \u{202e}f"));
        assert_eq!(printed.text(), "warning: a [2Jb\nerror: c error:  ]0;d\n  hint: e\n    f\n");
    }

    #[test]
    fn a_word_for_a_shell_is_the_word_once_a_shell_has_read_it() {
        for (word, expected) in
            [("a-b/c.zip", "a-b/c.zip"), ("", "''"), ("a\n\u{202e}'b\\", "$'a\\012\\342\\200\\256\\'b\\\\'")]
        {
            assert_eq!(quoted(word), expected);
        }
        for word in ["a b", "it's", "\"$HOME\"", "a\tb\nc\u{202e}\\'", "~", "*"] {
            let said = std::process::Command::new("bash").arg("-c").arg(format!("printf %s {}", quoted(word))).output();
            assert_eq!(String::from_utf8(said.unwrap().stdout).unwrap(), word, "{}", quoted(word));
        }
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
