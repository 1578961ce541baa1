//! plugd's own log: to standard error, for people or as JSON.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal},
    panic,
};

use tracing::field::Field;
use tracing_subscriber::{
    EnvFilter, Registry,
    field::MakeExt,
    fmt::{
        self,
        format::{Writer, debug_fn},
    },
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

use super::{failure::Failure, outlet::Outlet, usage};
use crate::{config::LogFormat, domain::terminal::sanitize};

/// What the log lets through, which can be changed.
#[derive(Debug)]
pub(super) struct Filter {
    handle: reload::Handle<EnvFilter, Registry>,
    /// As it was written.
    text: String,
}

/// Starts logging to `output` what the filter of this text lets through, panics included.
///
/// # Errors
/// The filter is not one.
pub(super) fn install(text: &str, format: LogFormat, output: &Outlet) -> Result<Filter, Failure> {
    let (filter, handle) = reload::Layer::new(parse(text)?);
    let output = output.clone();
    let layer = fmt::layer().with_writer(move || output.clone()).with_ansi(io::stderr().is_terminal());
    let fields = debug_fn(field).delimited(" ");
    let registry = tracing_subscriber::registry().with(filter);
    let installed = match format {
        LogFormat::Text => registry.with(layer.fmt_fields(fields)).try_init(),
        LogFormat::Json => registry.with(layer.json()).try_init(),
    };
    installed.map_err(|error| Failure::new(format!("can't start logging: {error}")))?;
    log_panics();
    Ok(Filter { handle, text: text.to_owned() })
}

fn parse(text: &str) -> Result<EnvFilter, Failure> {
    EnvFilter::try_new(text).map_err(|error| {
        usage(format!("log: {text:?} is no filter: {error}")).hint("write it like \"info\" or \"warn,plugd=debug\"")
    })
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
    pub(super) fn renew(&mut self, text: &str) {
        if self.text == text {
            return;
        }
        let renewed =
            parse(text).and_then(|filter| self.handle.reload(filter).map_err(|error| Failure::new(error.to_string())));
        match renewed {
            Ok(()) => {
                text.clone_into(&mut self.text);
                tracing::info!(log = text, "the log has another filter");
            }
            Err(failure) => tracing::error!("{}; the filter stays {:?}", failure.what, self.text),
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
    use crate::cli::ui::tests::Printed;

    #[test]
    fn a_line_of_the_log_stays_one_that_no_terminal_obeys() {
        let printed = Printed::default();
        let writer = Arc::new(Mutex::new(printed.clone()));
        let layer = fmt::layer().with_ansi(false).without_time().with_writer(move || Shared(Arc::clone(&writer)));
        let log = tracing_subscriber::registry().with(layer.fmt_fields(debug_fn(field).delimited(" ")));
        tracing::subscriber::with_default(log, || {
            tracing::warn!(name = %"a\u{202e}b\nINFO c\x1b[2J", count = 1, "it \u{9b}2J broke");
        });
        assert!(printed.text().ends_with("it  2J broke name=ab INFO c [2J count=1\n"), "{:?}", printed.text());
        assert_eq!(printed.text().lines().count(), 1);
    }

    struct Shared(Arc<Mutex<Printed>>);

    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
