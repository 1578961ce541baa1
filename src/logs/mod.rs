//! What plugins print: captured into files that rotate, and streamed from them (CONTRACT 4).
//!
//! ```text
//! pipes → capture → output.writer → files ─► reader → follow → streams
//!                        └── view (which file holds what) ──┘ wakes
//! ```
//!
//! A capture never holds up a plugin for want of disk, and a slow stream never holds lines in memory: streams read
//! from the files, and are woken when there is more. Positions count bytes since a plugin's history began, whatever
//! the files are called now, so a rotation neither loses nor repeats a line.

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::Stream as Streams;
use jiff::Timestamp;
use tokio::{
    net::unix::pipe,
    sync::{Semaphore, watch},
};
use tokio_util::task::TaskTracker;

use crate::domain::{PluginId, RunId, SandboxLevel, Secret};
use line::{MAX_LINE, Printed};
use writer::Output;

mod capture;
mod folder;
mod follow;
mod hints;
mod layout;
mod line;
mod reader;
mod relay;
#[cfg(test)]
mod tests;
mod writer;

pub use follow::{From, MAX_PLUGINS, Query};
pub use layout::{LogCursor, NotACursor};
pub use line::Stream;
pub use reader::Filter;
pub use relay::{Line, Relay};

/// The most files that are kept of each plugin; each is looked at whenever one is rotated.
const MAX_KEPT: usize = 2000;

/// What is kept of each plugin's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// A file is rotated before it grows beyond this many bytes.
    pub max_bytes: u64,
    /// So many rotated files are kept (at most 2000),
    pub keep: usize,
    /// and none older than this; looked at when a file is rotated.
    pub max_age: Duration,
    /// A line of more bytes than this comes in pieces (at most 64 KiB).
    pub max_line: usize,
}

impl Default for Options {
    fn default() -> Self {
        let max_age = Duration::from_secs(28 * 24 * 3600);
        Self { max_bytes: 10_000_000, keep: 3, max_age, max_line: MAX_LINE }
    }
}

/// One line that a plugin printed, or a piece of a very long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its text without the line break; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// It is a piece, and the line goes on in the next one.
    pub continues: bool,
    /// The place after it.
    pub cursor: LogCursor,
    /// When it came; none if another program wrote it into the file.
    pub time: Option<Timestamp>,
    /// What it was printed to; none as above.
    pub stream: Option<Stream>,
    pub run: Option<RunId>,
}

/// Some lines, in the order printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBatch {
    pub lines: Vec<LogLine>,
    /// Lines are missing before these: they are no longer kept, or the disk did not take them.
    pub lines_lost: bool,
    /// What had been printed when the stream began has been sent with these; said once.
    pub caught_up: bool,
    /// The place after them, also when there are none.
    pub cursor: LogCursor,
}

impl LogBatch {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && !self.lines_lost && !self.caught_up
    }
}

/// Whose output is captured.
#[derive(Debug, Clone)]
pub struct Source {
    pub plugin: PluginId,
    pub run: RunId,
    /// The run's token, which is not to be in the log; empty for none.
    pub secret: Secret,
    /// How much the run is shut in: it may get hints about that.
    pub sandbox: SandboxLevel,
}

/// The output of all plugins. Cheap to clone.
#[derive(Clone)]
pub struct Logs {
    inner: Arc<Inner>,
}

struct Inner {
    plugin_dir: PathBuf,
    options: Options,
    outputs: Mutex<HashMap<PluginId, Arc<Output>>>,
    /// Counts the outputs that there ever were: changes when a plugin prints, or is followed, that never was before.
    appeared: watch::Sender<usize>,
    captures: TaskTracker,
}

impl Logs {
    /// The logs of the plugins whose directories are `<plugin_dir>/<plugin id>`. A plugin's directory must exist
    /// when its output is captured; its folder `logs` is made here.
    pub fn new(plugin_dir: PathBuf, options: Options) -> Self {
        let (keep, max_line) = (options.keep.min(MAX_KEPT), options.max_line.clamp(1, MAX_LINE));
        let options = Options { keep, max_line, ..options };
        let (outputs, appeared, captures) = (Mutex::default(), watch::Sender::new(0), TaskTracker::new());
        Self { inner: Arc::new(Inner { plugin_dir, options, outputs, appeared, captures }) }
    }

    /// Starts a task that drains stdout and stderr of a run to their ends and writes what comes, in the order in which it
    /// comes. The file is rotated first if an earlier run left one, and when both have ended. Lines that the disk does
    /// not take are dropped, counted and logged, and followers are told that there is a gap.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn capture(&self, source: Source, pipes: [pipe::Receiver; 2]) {
        self.inner.captures.spawn(capture::capture(self.output(source.plugin), source, pipes));
    }

    /// Takes lines of a run that were kept elsewhere, with their times.
    pub fn relay(&self, source: Source) -> Relay {
        Relay::new(self.output(source.plugin), self.clone(), source)
    }

    /// Writes a line of plugd's own between those of a plugin, as if printed to stderr, in the background. It must
    /// not be called often.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn note(&self, plugin: PluginId, line: &str) {
        let (output, line) = (self.output(plugin), line.replace(['\n', '\r'], " "));
        self.inner.captures.spawn_blocking(move || {
            let (mut records, max_line) = (Vec::new(), output.max_line);
            let printed = Printed { bytes: line.as_bytes(), is_last: true, max_line };
            line::record(&mut records, (Timestamp::now(), Stream::Stderr), printed);
            output.append(None, 0, &records);
        });
    }

    /// Waits until all captures have ended and what came is written: the last step of a shutdown, when all plugins are
    /// stopped. Give it a deadline: a process that is left over may hold its pipe open.
    pub async fn drained(&self) {
        self.inner.captures.close();
        self.inner.captures.wait().await;
    }

    /// What the plugin printed, oldest first, in batches of at most 256 lines. It ends after the history, or, if it
    /// follows, when the plugin is removed: until then it stays open, even when nothing was ever printed.
    pub fn stream(
        &self,
        plugin: PluginId,
        from: From,
        query: Query,
    ) -> impl Streams<Item = io::Result<LogBatch>> + Send + use<> {
        follow::stream(self.output(plugin), from, query, Arc::new(Semaphore::new(1)))
    }

    /// The same of several plugins, each from its own place: the lines of each in order, between plugins as they are read.
    /// One whose files can't be read ends with an error, the others go on. With `now`, which says which plugins there are,
    /// those that come later are followed too, and the stream never ends.
    pub fn stream_several(
        &self,
        starts: Vec<(PluginId, From)>,
        now: Option<impl Fn() -> Vec<PluginId> + Send + Sync + 'static>,
        query: Query,
    ) -> impl Streams<Item = (PluginId, io::Result<LogBatch>)> + Send + 'static {
        let now = now.map(|now| Box::new(now) as follow::Now);
        follow::merge(self.clone(), starts, now, query)
    }

    /// Ends the streams of a plugin that is deleted. What it still prints is dropped.
    pub fn remove(&self, plugin: PluginId) {
        if let Some(output) = self.outputs().remove(&plugin) {
            output.removed.cancel();
        }
    }

    fn output(&self, plugin: PluginId) -> Arc<Output> {
        let mk_output = || {
            self.inner.appeared.send_modify(|count| *count += 1);
            Arc::new(Output::new(plugin, self.inner.plugin_dir.join(plugin.to_string()), self.inner.options))
        };
        Arc::clone(self.outputs().entry(plugin).or_insert_with(mk_output))
    }

    fn outputs(&self) -> std::sync::MutexGuard<'_, HashMap<PluginId, Arc<Output>>> {
        self.inner.outputs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
