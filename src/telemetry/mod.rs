//! What plugd tells of itself: its log, to standard error, for people or as JSON; metrics; and the traces that requests belong
//! to.
//!
//! Printing never waits for the reader. A reader that stops (a pipe that nobody empties, a collector of logs that
//! hangs, a frozen terminal) makes each write wait for ever, with a lock that every print needs. So a thread writes,
//! and what it can't keep up with is dropped and counted. (The crate `tracing-appender` does the same, but when it ends it
//! prints to standard output if its queue is full, and so waits for just that reader; and its queue has no limit in bytes.)

pub mod metrics;
#[cfg(test)]
mod tests;
pub mod trace;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal, Write},
    panic,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
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

/// The form of plugd's own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// Sends panics to the log: the standard library would print them by itself, and wait for the reader.
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

/// Bytes that wait for a reader at most; what is more is dropped.
const MAX_WAITING: usize = 1 << 20;

/// How long what was printed last may take to be read when the process ends.
const FINISH: Duration = Duration::from_secs(2);

/// A place to print to that never blocks and never fails. Each write is taken or dropped as a whole.
#[derive(Clone)]
pub struct BackgroundWriter {
    pieces: mpsc::Sender<Piece>,
    counts: Arc<Counts>,
}

enum Piece {
    Bytes(Vec<u8>),
    /// Answered once everything before it is written.
    End(mpsc::Sender<()>),
}

#[derive(Default)]
struct Counts {
    /// Bytes that wait.
    waiting: AtomicUsize,
    /// Writes that were dropped, ever.
    dropped: AtomicU64,
}

impl BackgroundWriter {
    /// A thread writes to `target`. Each time that the reader is back after some was dropped, `tell` is called with how many
    /// writes that were since the start.
    pub fn start(target: impl Write + Send + 'static, tell: impl Fn(u64) + Send + 'static) -> io::Result<Self> {
        let (pieces, received) = mpsc::channel();
        let writer = Self { pieces, counts: Arc::default() };
        let counts = Arc::clone(&writer.counts);
        let write = move || keep_writing(&received, &counts, target, tell);
        thread::Builder::new().name("plugd-output".into()).spawn(write)?;
        Ok(writer)
    }

    /// Waits until all is written, but not for long.
    pub fn finish(&self) {
        let (end, ended) = mpsc::channel();
        if self.pieces.send(Piece::End(end)).is_ok() {
            // Whether it ended in time or not, nothing is left to be done.
            let _ = ended.recv_timeout(FINISH);
        }
    }
}

impl Write for BackgroundWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.counts.waiting.fetch_add(bytes.len(), Relaxed) + bytes.len() > MAX_WAITING {
            self.counts.waiting.fetch_sub(bytes.len(), Relaxed);
            self.counts.dropped.fetch_add(1, Relaxed);
        } else {
            // The thread lives as long as any writer.
            let _ = self.pieces.send(Piece::Bytes(bytes.to_vec()));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn keep_writing(pieces: &mpsc::Receiver<Piece>, counts: &Counts, mut target: impl Write, tell: impl Fn(u64)) {
    let mut told = 0;
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => {
                counts.waiting.fetch_sub(bytes.len(), Relaxed);
                // A reader that has gone away may be back, or plugd goes on without.
                let _ = target.write_all(&bytes).and_then(|()| target.flush());
            }
            Piece::End(end) => drop(end.send(())),
        }
        let dropped = counts.dropped.load(Relaxed);
        if dropped != told {
            told = dropped;
            tell(dropped);
        }
    }
}
