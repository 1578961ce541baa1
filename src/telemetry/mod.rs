//! What plugd tells of itself: its log, to standard error, for people or as JSON; and the traces that requests belong to.

pub mod output;
pub mod trace;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal},
    panic,
};

use tracing::field::Field;
use tracing_subscriber::{
    EnvFilter, Registry,
    field::MakeExt,
    filter::ParseError,
    fmt::{
        self,
        format::{Writer, debug_fn},
    },
    layer::SubscriberExt,
    reload,
    util::{SubscriberInitExt, TryInitError},
};

use crate::domain::text::sanitize;
use output::BackgroundWriter;

/// The form of plugd's own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the log should let through can't be read.
    #[error("log: {0:?} is no filter: {1}")]
    Filter(String, #[source] ParseError),
    #[error("can't start logging: {0}")]
    Start(#[from] TryInitError),
}

/// What the log lets through, which can be changed.
#[derive(Debug)]
pub struct Filter {
    handle: reload::Handle<EnvFilter, Registry>,
    text: String,
}

/// Starts logging to `output` what the filter of this text lets through, panics included.
pub fn install(text: &str, format: LogFormat, output: &BackgroundWriter) -> Result<Filter, Error> {
    let (filter, handle) = reload::Layer::new(parse(text)?);
    let output = output.clone();
    let layer = fmt::layer().with_writer(move || output.clone()).with_ansi(io::stderr().is_terminal());
    let fields = debug_fn(field).delimited(" ");
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => registry.with(layer.fmt_fields(fields)).try_init()?,
        LogFormat::Json => registry.with(layer.json()).try_init()?,
    }
    log_panics();
    Ok(Filter { handle, text: text.to_owned() })
}

fn parse(text: &str) -> Result<EnvFilter, Error> {
    EnvFilter::try_new(text).map_err(|error| Error::Filter(text.to_owned(), error))
}

/// The standard library prints them by itself, and waits for whoever reads.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let trace = Backtrace::capture();
        match trace.status() {
            BacktraceStatus::Captured => tracing::error!("{panic}\n{trace}"),
            _ => tracing::error!("{panic}"),
        }
    }));
}

impl Filter {
    /// Lets through what this filter does from now on, and says so. One that is none changes nothing.
    pub fn renew(&mut self, text: &str) {
        if self.text == text {
            return;
        }
        let parsed = parse(text).map_err(|error| error.to_string());
        match parsed.and_then(|filter| self.handle.reload(filter).map_err(|error| error.to_string())) {
            Ok(()) => {
                text.clone_into(&mut self.text);
                tracing::info!(log = text, "the log has another filter");
            }
            Err(error) => tracing::error!("{error}; the filter stays {:?}", self.text),
        }
    }
}

/// Writes one field of a line: what a plugin or a client put into it stays on that line, and no terminal obeys it.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn std::fmt::Debug) -> std::fmt::Result {
    let value = sanitize(&format!("{value:?}"));
    match field.name() {
        "message" => writer.write_str(&value),
        name => write!(writer, "{name}={value}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Printed(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Printed {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_of_the_log_stays_one_that_no_terminal_obeys() {
        let printed = Printed::default();
        let writer = printed.clone();
        let layer = fmt::layer().with_ansi(false).without_time().with_writer(move || writer.clone());
        let log = tracing_subscriber::registry().with(layer.fmt_fields(debug_fn(field).delimited(" ")));
        tracing::subscriber::with_default(log, || {
            tracing::warn!(name = %"a\u{202e}b\nINFO c\x1b[2J", count = 1, "it \u{9b}2J broke");
        });
        let text = String::from_utf8(printed.0.lock().unwrap().clone()).unwrap();
        assert!(text.ends_with("it  2J broke name=ab INFO c [2J count=1\n"), "{text:?}");
        assert_eq!(text.lines().count(), 1);
    }
}
