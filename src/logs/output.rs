//! One plugin's output, as the capture writes it and the streams read it.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Options,
    layout::{Layout, Segment},
    line,
    reader::{self, Part},
    writer::{View, Writer},
};

/// One plugin's output. All but [`Output::watch`] and the counters may block on the disk.
pub(super) struct Output {
    plugin: PathBuf,
    /// Longest line that is not cut into pieces, in bytes.
    pub(super) max_line: usize,
    writer: Mutex<Writer>,
    view: watch::Sender<View>,
    dropped: AtomicU64,
    is_failing: AtomicBool,
    /// The plugin is deleted: nothing more is written, and its streams end.
    pub(super) removed: CancellationToken,
}

impl Output {
    /// The output of the plugin with this directory.
    pub(super) fn new(plugin: PathBuf, options: Options) -> Self {
        let (view, _) = watch::channel(None);
        Self {
            writer: Mutex::new(Writer::new(plugin.clone(), options, view.clone())),
            plugin,
            max_line: options.max_line,
            view,
            dropped: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            removed: CancellationToken::new(),
        }
    }

    /// Tells when there is more to read.
    pub(super) fn watch(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Lines lost because the disk did not take them.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Counts these lines as lost.
    pub(super) fn lose(&self, lines: &[u8]) {
        self.dropped.fetch_add(line::count(lines), Relaxed);
    }

    /// Puts away what an earlier run left.
    pub(super) fn begin(&self) {
        self.rotate();
    }

    /// Writes whole lines; counts those that the disk does not take.
    pub(super) fn append(&self, lines: &[u8]) {
        if self.removed.is_cancelled() {
            return;
        }
        match self.writer().append(lines) {
            Ok(()) => self.note_success(),
            Err((error, rest)) => {
                self.lose(rest);
                self.note_failure(&error);
            }
        }
    }

    /// Writes the last line, which has no line break, and puts the file away.
    pub(super) fn finish(&self, mut rest: Vec<u8>) {
        if !rest.is_empty() {
            rest.push(b'\n');
            self.append(&rest);
        }
        self.rotate();
    }

    /// What is kept now. While somebody writes, waits until that is done.
    ///
    /// # Errors
    /// The folder can't be read.
    pub(super) fn settled(&self) -> io::Result<Arc<Layout>> {
        self.writer().layout()
    }

    /// What is kept now, and where the last so many lines of that start.
    ///
    /// # Errors
    /// The folder or a file can't be read.
    pub(super) fn tail(&self, lines: u32) -> io::Result<(Arc<Layout>, u64)> {
        let mut writer = self.writer();
        let layout = writer.layout()?;
        let position = reader::tail(&self.plugin, &layout, lines)?;
        Ok((layout, position))
    }

    /// Reads on from a position of this file, at most until `until`; none if it is not this file any longer.
    ///
    /// # Errors
    /// The file can't be read.
    pub(super) fn read(&self, segment: &Segment, position: u64, until: u64) -> io::Result<Option<Part>> {
        reader::read(&self.plugin, segment, position..until, self.max_line)
    }

    fn rotate(&self) {
        if self.removed.is_cancelled() {
            return;
        }
        if let Err(error) = self.writer().rotate() {
            self.note_failure(&error);
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A panic half way leaves no more behind than an error half way does.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes nothing until released, as a disk that hangs.
    #[cfg(test)]
    pub(super) fn hang(&self, held: tokio::sync::oneshot::Sender<()>, release: &std::sync::mpsc::Receiver<()>) {
        let _writer = self.writer();
        held.send(()).unwrap();
        release.recv().unwrap();
    }

    fn note_failure(&self, error: &io::Error) {
        if !self.is_failing.swap(true, Relaxed) {
            let folder = self.plugin.display();
            tracing::warn!(%folder, %error, "the output of a plugin can't be written; lines are lost");
        }
    }

    fn note_success(&self) {
        if self.is_failing.swap(false, Relaxed) {
            let (folder, dropped) = (self.plugin.display(), self.dropped());
            tracing::info!(%folder, dropped, "the output of a plugin can be written again");
        }
    }
}
