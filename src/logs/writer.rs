//! One plugin's output: written to its files, which rotate. Blocking; errors lose lines, never the capture.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Options,
    folder::{self, CURRENT, Folder},
    layout::{Layout, Segment},
    line,
};
use crate::{
    domain::{PluginId, RunId},
    files::if_there,
};

/// What the readers of a plugin's output see; none until the folder was first read.
pub(super) type View = Option<Arc<Layout>>;

/// A file of so many parts is rotated, so that the positions stay a small file.
const MAX_PARTS: usize = 32;
/// The least time between two warnings that lines of one plugin are lost.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// One plugin's output. All but [`Output::watch`] and the counters may block on the disk.
pub(super) struct Output {
    pub(super) id: PluginId,
    pub(super) plugin: PathBuf,
    /// The longest line that is not cut into pieces, in bytes.
    pub(super) max_line: usize,
    /// Bytes that are kept at the most.
    pub(super) max_kept: u64,
    writer: Mutex<Writer>,
    view: watch::Sender<View>,
    lost: AtomicU64,
    warned: Mutex<Option<Instant>>,
    /// The plugin is deleted: nothing more is written, and its streams end.
    pub(super) removed: CancellationToken,
}

impl Output {
    /// The output of the plugin with this directory.
    pub(super) fn new(id: PluginId, plugin: PathBuf, options: Options) -> Self {
        let (view, _) = watch::channel(None);
        Self {
            id,
            writer: Mutex::new(Writer::new(plugin.clone(), options, view.clone())),
            plugin,
            max_line: options.max_line,
            max_kept: options.max_bytes.saturating_mul(options.keep as u64 + 1),
            view,
            lost: AtomicU64::new(0),
            warned: Mutex::default(),
            removed: CancellationToken::new(),
        }
    }

    /// Tells when there is more to read.
    pub(super) fn watch(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Lines lost since plugd started, because the disk did not take them.
    #[cfg(test)]
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// These records are dropped because the disk is too slow for them. Does not wait for it; the next write is told how
    /// many bytes they were.
    pub(super) fn note_dropped(&self, records: &[u8]) {
        self.lose(records, "it prints faster than the disk writes");
    }

    /// Writes whole records of a run, before which so many bytes were dropped; counts those that the disk does not take.
    pub(super) fn append(&self, run: Option<RunId>, dropped: u64, records: &[u8]) {
        if self.removed.is_cancelled() {
            return;
        }
        let mut writer = self.writer();
        writer.lose(dropped);
        if let Err((error, rest)) = writer.append(run, records) {
            writer.lose(rest.len() as u64);
            self.lose(rest, &error.to_string());
        }
    }

    /// Whether it is known that there is no file to be put away. Does not wait for the disk.
    pub(super) fn is_put_away(&self) -> bool {
        self.view.borrow().as_ref().is_some_and(|layout| layout.current().is_none())
    }

    /// Puts the file away when a run has ended, after which so many bytes were dropped.
    pub(super) fn finish(&self, dropped: u64) {
        self.append(None, dropped, &[]);
        self.rotate();
    }

    /// Puts the file away.
    pub(super) fn rotate(&self) {
        if self.removed.is_cancelled() {
            return;
        }
        if let Err(error) = self.writer().rotate() {
            self.lose(&[], &error.to_string());
        }
    }

    /// What is kept now. While somebody writes, waits until that is done.
    pub(super) fn settled(&self) -> io::Result<Arc<Layout>> {
        self.writer().layout()
    }

    /// Reads what is kept while nobody writes.
    pub(super) fn read_settled<T>(&self, read: impl FnOnce(&Layout) -> io::Result<T>) -> io::Result<(Arc<Layout>, T)> {
        let mut writer = self.writer();
        let layout = writer.layout()?;
        let read = read(&layout)?;
        Ok((layout, read))
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A panic half way leaves no more behind than an error half way does.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts lost records, and says why unless that was said a moment ago.
    fn lose(&self, records: &[u8], why: &str) {
        let lost = self.lost.fetch_add(line::count(records), Relaxed) + line::count(records);
        if self.is_warning_due(Instant::now()) {
            tracing::warn!(folder = %self.plugin.display(), lost, why, "lines that a plugin prints are lost");
        }
    }

    pub(super) fn is_warning_due(&self, now: Instant) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = warned.is_none_or(|warned| now.duration_since(warned) >= WARN_EVERY);
        if is_due {
            *warned = Some(now);
        }
        is_due
    }

    /// Writes nothing until released, as a disk that hangs.
    #[cfg(test)]
    pub(super) fn hang(&self, held: tokio::sync::oneshot::Sender<()>, release: &std::sync::mpsc::Receiver<()>) {
        let _writer = self.writer();
        held.send(()).unwrap();
        release.recv().unwrap();
    }
}

/// Changes a plugin's log files; nothing else of plugd does.
struct Writer {
    plugin: PathBuf,
    options: Options,
    /// The current file; a file of an earlier writer is never written to, only rotated.
    file: Option<File>,
    view: watch::Sender<View>,
    /// Bytes lost before it was known what is kept.
    lost_before: u64,
}

impl Writer {
    /// A writer for the plugin with this directory; readers see what it wrote through `view`.
    fn new(plugin: PathBuf, options: Options, view: watch::Sender<View>) -> Self {
        Self { plugin, options, file: None, view, lost_before: 0 }
    }

    /// What is kept; read from the folder the first time.
    fn layout(&mut self) -> io::Result<Arc<Layout>> {
        if let Some(layout) = self.view.borrow().clone() {
            return Ok(layout);
        }
        let folder = if_there(Folder::open(&self.plugin))?;
        let mut layout = folder.as_ref().map_or_else(|| Ok(Layout::empty()), load_and_save)?;
        layout.head += std::mem::take(&mut self.lost_before);
        Ok(self.publish(layout))
    }

    /// So many bytes are lost: they have their positions, so that readers see a gap.
    fn lose(&mut self, bytes: u64) {
        let known = self.view.borrow().clone().filter(|_| bytes > 0);
        match known {
            Some(layout) => {
                let head = layout.head + bytes;
                self.publish(Layout { head, ..Layout::clone(&layout) });
            }
            None => self.lost_before += bytes,
        }
    }

    /// Appends whole records, rotating where they don't fit. With an error come the records that the disk did not take.
    fn append<'a>(&mut self, run: Option<RunId>, mut records: &'a [u8]) -> Result<(), (io::Error, &'a [u8])> {
        while !records.is_empty() {
            let written = self.append_some(run, records).map_err(|error| (error, records))?;
            records = &records[written..];
        }
        Ok(())
    }

    /// Gives the current file its rotated name, unless there is nothing in it, and removes files that are too many or
    /// too old.
    fn rotate(&mut self) -> io::Result<()> {
        let mut layout = Layout::clone(&*self.layout()?);
        let mut current: Vec<_> = layout.segments.extract_if(.., |segment| segment.is_current()).collect();
        if current.is_empty() {
            return Ok(());
        }
        self.file = None;
        current.retain(|part| part.start < part.end);
        if !current.is_empty()
            && let Some(folder) = if_there(Folder::open(&self.plugin))?
        {
            self.put_away(&folder, current, &mut layout)?;
        }
        self.publish(layout);
        Ok(())
    }

    /// Gives the current file, which has these parts, its rotated name.
    fn put_away(&self, folder: &Folder, current: Vec<Segment>, layout: &mut Layout) -> io::Result<()> {
        let mut rotated = folder.rotated()?;
        let name = folder::next_name(Timestamp::now(), rotated.last().map(String::as_str));
        if if_there(folder.rename(CURRENT, &name))?.is_some() {
            let shared: Arc<str> = name.as_str().into();
            layout.segments.extend(current.into_iter().map(|part| Segment { name: Arc::clone(&shared), ..part }));
            rotated.push(name);
        }
        self.prune(folder, &rotated, layout);
        // A file keeps its inode, and by that its position. Only lines that were lost after the last one are in no file.
        if layout.segments.last().is_none_or(|last| last.end < layout.head) {
            remember(folder, layout);
        }
        Ok(())
    }

    fn append_some(&mut self, run: Option<RunId>, records: &[u8]) -> io::Result<usize> {
        self.forget_damaged()?;
        let mut length = line::fitting(records, self.room()?);
        if length == 0 || self.layout()?.current_parts() >= MAX_PARTS {
            self.rotate()?;
            length = line::fitting(records, self.room()?);
        }
        if length == 0 {
            length = line::first(records, usize::MAX - 1).unwrap_or(records.len());
        }
        self.write(run, &records[..length])?;
        Ok(length)
    }

    /// How many bytes the current file has room for.
    fn room(&mut self) -> io::Result<usize> {
        let used = self.layout()?.current().map_or(0, Segment::offset_after);
        Ok(usize::try_from(self.options.max_bytes.saturating_sub(used)).unwrap_or(usize::MAX))
    }

    fn write(&mut self, run: Option<RunId>, records: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.create(run)?;
        }
        let mut layout = Layout::clone(&*self.layout()?);
        let is_part_new = layout.begin_part(run);
        let (Some(file), Some(segment)) = (&self.file, layout.current()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let length = segment.offset_after();
        if let Err(error) = file.write_all_at(records, length) {
            // A line that was written in part must not show after a restart.
            let _ = file.set_len(length);
            return Err(error);
        }
        layout.grow(records.len() as u64);
        if is_part_new && let Ok(folder) = Folder::open(&self.plugin) {
            remember(&folder, &layout);
        }
        self.publish(layout);
        Ok(())
    }

    fn create(&mut self, run: Option<RunId>) -> io::Result<()> {
        self.rotate()?;
        let mut layout = Layout::clone(&*self.layout()?);
        let run = run.or(layout.segments.last().and_then(|last| last.run));
        let folder = Folder::open_or_create(&self.plugin)?;
        let file = folder.create(CURRENT)?;
        let inode = file.metadata()?.ino();
        layout.segments.push(Segment {
            name: CURRENT.into(),
            inode,
            offset: 0,
            start: layout.head,
            end: layout.head,
            run,
        });
        remember(&folder, &layout);
        self.file = Some(file);
        self.publish(layout);
        Ok(())
    }

    /// Forgets the current file where somebody removed or emptied it: what was in it is lost, and a new one follows.
    fn forget_damaged(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let metadata = file.metadata()?;
        let mut layout = Layout::clone(&*self.layout()?);
        let length = layout.current().map_or(0, Segment::offset_after);
        if metadata.nlink() == 0 || metadata.len() < length {
            layout.segments.retain(|segment| !segment.is_current());
            self.file = None;
            self.publish(layout);
        }
        Ok(())
    }

    /// Removes rotated files beyond the number and the age kept.
    fn prune(&self, folder: &Folder, rotated: &[String], layout: &mut Layout) {
        let oldest = folder::oldest_kept(Timestamp::now(), self.options.max_age);
        let surplus = rotated.len().saturating_sub(self.options.keep);
        let old = rotated.iter().enumerate().filter(|(index, name)| *index < surplus || **name < oldest);
        for (_, name) in old {
            layout.segments.retain(|segment| *segment.name != **name);
            if let Err(error) = folder.remove(name) {
                tracing::warn!(folder = %self.plugin.display(), name, %error, "an old log file can't be removed");
            }
        }
    }

    fn publish(&self, layout: Layout) -> Arc<Layout> {
        let layout = Arc::new(layout);
        self.view.send_replace(Some(Arc::clone(&layout)));
        layout
    }
}

fn load_and_save(folder: &Folder) -> io::Result<Layout> {
    let layout = Layout::load(folder)?;
    if !layout.segments.is_empty() {
        remember(folder, &layout);
    }
    Ok(layout)
}

/// Positions are a convenience: without them a cursor is lost when plugd ends, but no line.
fn remember(folder: &Folder, layout: &Layout) {
    if let Err(error) = layout.save(folder) {
        tracing::debug!(%error, "positions of log files can't be written");
    }
}
