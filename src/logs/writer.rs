//! Writes one plugin's output to its files and rotates them. Blocking; errors lose lines, never the capture.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::PathBuf,
    sync::Arc,
};

use jiff::Timestamp;
use tokio::sync::watch;

use super::{
    Options,
    folder::Folder,
    layout::{Layout, Segment},
    line, names, positions,
};

/// What the readers of a plugin's output see; none until the folder was first read.
pub(super) type View = Option<Arc<Layout>>;

/// A file with so many gaps is rotated, so that the positions stay a small file.
const MAX_PARTS: usize = 32;

/// The only one who changes a plugin's log files.
pub(super) struct Writer {
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
    pub(super) fn new(plugin: PathBuf, options: Options, view: watch::Sender<View>) -> Self {
        Self { plugin, options, file: None, view, lost_before: 0 }
    }

    /// What is kept; read from the folder the first time.
    ///
    /// # Errors
    /// The folder can't be read.
    pub(super) fn layout(&mut self) -> io::Result<Arc<Layout>> {
        if let Some(layout) = self.view.borrow().clone() {
            return Ok(layout);
        }
        let mut layout = match Folder::open(&self.plugin) {
            Ok(folder) => load_and_save(&folder)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Layout::empty(),
            Err(error) => return Err(error),
        };
        layout.head += std::mem::take(&mut self.lost_before);
        Ok(self.publish(layout))
    }

    /// So many bytes are lost: they have their positions, so that readers see a gap.
    pub(super) fn lose(&mut self, bytes: u64) {
        let known = self.view.borrow().clone().filter(|_| bytes > 0);
        match known {
            Some(layout) => {
                let head = layout.head + bytes;
                self.publish(Layout { head, ..Layout::clone(&layout) });
            }
            None => self.lost_before += bytes,
        }
    }

    /// Appends whole lines (see [`line::whole`]), rotating where they don't fit.
    ///
    /// # Errors
    /// The disk did not take the lines that are returned with the error.
    pub(super) fn append<'a>(&mut self, mut lines: &'a [u8]) -> Result<(), (io::Error, &'a [u8])> {
        while !lines.is_empty() {
            let written = self.append_some(lines).map_err(|error| (error, lines))?;
            lines = &lines[written..];
        }
        Ok(())
    }

    /// Gives the current file its rotated name, unless there is nothing in it, and removes files that are too many or
    /// too old.
    ///
    /// # Errors
    /// The file can't be renamed.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        let mut layout = Layout::clone(&*self.layout()?);
        let mut current: Vec<_> = layout.segments.extract_if(.., |segment| segment.is_current()).collect();
        if current.is_empty() {
            return Ok(());
        }
        self.file = None;
        current.retain(|part| part.start < part.end);
        if !current.is_empty() {
            match self.rename_current() {
                Ok(name) => {
                    let name: Arc<str> = name.into();
                    layout.segments.extend(current.into_iter().map(|part| Segment { name: Arc::clone(&name), ..part }));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            self.prune(&mut layout);
        }
        self.publish(layout);
        Ok(())
    }

    fn rename_current(&self) -> io::Result<String> {
        let folder = Folder::open(&self.plugin)?;
        let name = names::next(Timestamp::now(), folder.rotated()?.last().map(String::as_str));
        folder.rename(names::CURRENT, &name)?;
        Ok(name)
    }

    fn append_some(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.forget_damaged()?;
        let mut length = self.fitting(lines)?;
        if length == 0 || self.layout()?.current_parts() >= MAX_PARTS {
            self.rotate()?;
            length = self.fitting(lines)?;
        }
        if length == 0 {
            length = line::first(lines, self.options.max_line).unwrap_or(lines.len());
        }
        self.write(&lines[..length])?;
        Ok(length)
    }

    /// How many bytes of these lines the current file has room for.
    fn fitting(&mut self, lines: &[u8]) -> io::Result<usize> {
        let layout = self.layout()?;
        let used = layout.current().map_or(0, Segment::offset_after);
        let room = usize::try_from(self.options.max_bytes.saturating_sub(used)).unwrap_or(usize::MAX);
        Ok(line::fitting(lines, room, self.options.max_line))
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.create()?;
        }
        let mut layout = Layout::clone(&*self.layout()?);
        let is_after_gap = layout.close_gap();
        let (Some(file), Some(segment)) = (&self.file, layout.current()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let length = segment.offset_after();
        if let Err(error) = file.write_all_at(lines, length) {
            // A line that was written in part must not show after a restart.
            let _ = file.set_len(length);
            return Err(error);
        }
        layout.grow(lines.len() as u64);
        if is_after_gap && let Ok(folder) = Folder::open(&self.plugin) {
            remember(&folder, &layout);
        }
        self.publish(layout);
        Ok(())
    }

    fn create(&mut self) -> io::Result<()> {
        self.rotate()?;
        let mut layout = Layout::clone(&*self.layout()?);
        let folder = Folder::open_or_create(&self.plugin)?;
        let file = folder.create(names::CURRENT)?;
        let inode = file.metadata()?.ino();
        layout.segments.push(Segment {
            name: names::CURRENT.into(),
            inode,
            offset: 0,
            start: layout.head,
            end: layout.head,
        });
        remember(&folder, &layout);
        self.file = Some(file);
        self.publish(layout);
        Ok(())
    }

    /// Somebody removed or emptied the current file: what was in it is lost, and a new one follows.
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
    fn prune(&self, layout: &mut Layout) {
        let Ok(folder) = Folder::open(&self.plugin) else { return };
        let rotated = folder.rotated().unwrap_or_default();
        let oldest = names::oldest_kept(Timestamp::now(), self.options.max_age);
        let surplus = rotated.len().saturating_sub(self.options.keep);
        let old = rotated.iter().enumerate().filter(|(index, name)| *index < surplus || **name < oldest);
        for (_, name) in old {
            layout.segments.retain(|segment| *segment.name != **name);
            if let Err(error) = folder.remove(name) {
                tracing::warn!(folder = %self.plugin.display(), name, %error, "an old log file can't be removed");
            }
        }
        remember(&folder, layout);
    }

    fn publish(&self, layout: Layout) -> Arc<Layout> {
        let layout = Arc::new(layout);
        self.view.send_replace(Some(Arc::clone(&layout)));
        layout
    }
}

fn load_and_save(folder: &Folder) -> io::Result<Layout> {
    let layout = positions::load(folder)?;
    if !layout.segments.is_empty() {
        remember(folder, &layout);
    }
    Ok(layout)
}

/// Positions are a convenience: without them a cursor is lost when plugd ends, but no line.
fn remember(folder: &Folder, layout: &Layout) {
    if let Err(error) = positions::save(folder, layout) {
        tracing::debug!(%error, "positions of log files can't be written");
    }
}
