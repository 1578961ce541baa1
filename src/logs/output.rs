//! One plugin's output, as the capture writes it and the streams read it.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Options,
    layout::{Layout, Segment},
    line,
    losses::Losses,
    reader::{self, Part},
    writer::{View, Writer},
};

/// The least that is searched for the last lines: lines may be long, and files of other settings still be there.
const MIN_SEARCHED: u64 = 64 * 1024 * 1024;

/// One plugin's output. All but [`Output::watch`] and the counters may block on the disk.
pub(super) struct Output {
    plugin: PathBuf,
    /// Longest line that is not cut into pieces, in bytes.
    pub(super) max_line: usize,
    /// Bytes among which the last lines are looked for: what is kept, or some more.
    most: u64,
    writer: Mutex<Writer>,
    view: watch::Sender<View>,
    losses: Losses,
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
            most: options.max_bytes.saturating_mul(options.keep as u64 + 1).max(MIN_SEARCHED),
            view,
            losses: Losses::default(),
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
        self.losses.lines()
    }

    /// These lines are dropped because the disk is too slow for them. Does not wait for it; the next write is told how
    /// many bytes they were.
    pub(super) fn shed(&self, lines: &[u8]) {
        self.losses.add(line::count(lines));
        self.losses.warn(&self.plugin, "it prints faster than the disk writes");
    }

    /// Puts away what an earlier run left.
    pub(super) fn begin(&self) {
        self.rotate();
    }

    /// Writes whole lines, before which so many bytes were shed; counts those that the disk does not take.
    pub(super) fn append(&self, shed: u64, lines: &[u8]) {
        if self.removed.is_cancelled() {
            return;
        }
        let mut writer = self.writer();
        writer.lose(shed);
        match writer.append(lines) {
            Ok(()) => self.note_success(),
            Err((error, rest)) => {
                writer.lose(rest.len() as u64);
                self.losses.add(line::count(rest));
                self.note_failure(&error);
            }
        }
    }

    /// Writes the last line, which has no line break, and puts the file away.
    pub(super) fn finish(&self, shed: u64, mut rest: Vec<u8>) {
        if !rest.is_empty() {
            rest.push(b'\n');
        }
        self.append(shed, &rest);
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
        let position = reader::tail(&self.plugin, &layout, lines, self.most)?;
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
        self.is_failing.store(true, Relaxed);
        self.losses.warn(&self.plugin, &error.to_string());
    }

    fn note_success(&self) {
        if self.is_failing.swap(false, Relaxed) {
            let (folder, lost) = (self.plugin.display(), self.dropped());
            tracing::debug!(%folder, lost, "the output of a plugin can be written again");
        }
    }
}
