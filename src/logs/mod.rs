//! What plugins print: captured into files that rotate, and streamed from them (CONTRACT 4).
//!
//! ```text
//! pipe → drain → output.writer → files ─► reader → follow → streams
//!                      └── view (which file holds what) ──┘ wakes
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

use futures_util::Stream;
use tokio::net::unix::pipe;
use tokio_util::task::TaskTracker;

use crate::domain::PluginId;

mod cursor;
mod drain;
mod folder;
mod follow;
mod layout;
mod line;
mod losses;
mod names;
mod output;
mod positions;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use cursor::{From, LogCursor, NotACursor};

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
    /// A line of more bytes than this comes in pieces.
    pub max_line: usize,
}

impl Default for Options {
    fn default() -> Self {
        let max_age = Duration::from_secs(28 * 24 * 3600);
        Self { max_bytes: 10_000_000, keep: 3, max_age, max_line: 64 * 1024 }
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
}

/// Some lines, in the order printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBatch {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// Lines are missing before these: they are no longer kept, or the disk did not take them.
    pub lines_lost: bool,
    /// What had been printed when the stream began has been sent with these; said once.
    pub caught_up: bool,
}

/// The output of all plugins. Cheap to clone.
#[derive(Clone)]
pub struct Logs {
    inner: Arc<Inner>,
}

struct Inner {
    plugin_dir: PathBuf,
    options: Options,
    outputs: Mutex<HashMap<PluginId, Arc<output::Output>>>,
    captures: TaskTracker,
}

impl Logs {
    /// The logs of the plugins whose directories are `<plugin_dir>/<plugin id>`. A plugin's directory must exist
    /// when its output is captured; its folder `logs` is made here.
    #[must_use]
    pub fn new(plugin_dir: PathBuf, options: Options) -> Self {
        let options = Options { keep: options.keep.min(MAX_KEPT), ..options };
        let (outputs, captures) = (Mutex::default(), TaskTracker::new());
        Self { inner: Arc::new(Inner { plugin_dir, options, outputs, captures }) }
    }

    /// Starts a task that drains the pipe to its end and writes what comes. The file is rotated first if an earlier
    /// run left one, and when the pipe ends. Lines that the disk does not take are dropped, counted and
    /// logged, and followers are told that there is a gap.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn capture(&self, plugin: PluginId, pipe: pipe::Receiver) {
        self.inner.captures.spawn(drain::drain(self.output(plugin), pipe));
    }

    /// Writes a line of plugd's own between those of a plugin, in the background. Rare: whoever calls sees to that.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn note(&self, plugin: PluginId, line: String) {
        let output = self.output(plugin);
        let line = line.replace(['\n', '\r'], " ") + "\n";
        self.inner.captures.spawn_blocking(move || output.append(0, line.as_bytes()));
    }

    /// Waits until all captures have ended and what came is written: the last step of a shutdown, when all plugins are
    /// stopped. Give it a deadline: a stray process may hold its pipe open.
    pub async fn drained(&self) {
        self.inner.captures.close();
        self.inner.captures.wait().await;
    }

    /// What the plugin printed, oldest first, in batches of at most 256 lines. It ends after the history, or with
    /// `follow` when the plugin is removed: until then it stays open, even when nothing was ever printed.
    ///
    /// # Errors
    /// The files can't be read; the stream ends with that.
    pub fn stream(
        &self,
        plugin: PluginId,
        from: From,
        follow: bool,
    ) -> impl Stream<Item = io::Result<LogBatch>> + Send + use<> {
        follow::stream(self.output(plugin), from, follow)
    }

    /// Ends the streams of a plugin that is deleted. What it still prints is thrown away.
    pub fn remove(&self, plugin: PluginId) {
        if let Some(output) = self.outputs().remove(&plugin) {
            output.removed.cancel();
        }
    }

    fn output(&self, plugin: PluginId) -> Arc<output::Output> {
        let mk_output = || output::Output::new(self.inner.plugin_dir.join(plugin.to_string()), self.inner.options);
        Arc::clone(self.outputs().entry(plugin).or_insert_with(|| Arc::new(mk_output())))
    }

    fn outputs(&self) -> std::sync::MutexGuard<'_, HashMap<PluginId, Arc<output::Output>>> {
        self.inner.outputs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
