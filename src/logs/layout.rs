//! Which file holds which part of what a plugin printed, remembered beside the files so that cursors outlive a restart
//! of plugd.

use std::{
    fmt,
    io::{self, Read},
    str::FromStr,
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::folder::{self, CURRENT, Folder, Found};
use crate::domain::{PluginId, RunId};

/// The file of positions.
const NAME: &str = ".positions";
/// More than any true file of positions has; the plugin can put anything there.
const MAX_BYTES: u64 = 1024 * 1024;
/// Positions beyond this are not ours; it leaves room for any sum.
const MAX_POSITION: u64 = 1 << 60;

/// Names one history of a plugin's output, in which positions only grow.
pub(super) type Epoch = xid::Id;

/// A place in what a plugin printed: opaque to clients, good across rotations and restarts of plugd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogCursor {
    pub plugin: PluginId,
    /// The history that the position is of.
    pub(super) epoch: Epoch,
    /// Bytes written before this place since the history began, and bytes lost.
    pub(super) position: u64,
}

impl fmt::Display for LogCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.plugin, self.epoch, self.position)
    }
}

/// The text is not a cursor that plugd gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of a log stream")]
pub struct NotACursor;

impl From<NotACursor> for io::Error {
    fn from(error: NotACursor) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

impl FromStr for LogCursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let parts: Vec<&str> = text.splitn(4, '-').collect();
        let [plugin, epoch, position] = parts[..] else { return Err(NotACursor) };
        let plugin = plugin.parse().map_err(|_| NotACursor)?;
        let epoch = Epoch::from_str(epoch).map_err(|_| NotACursor)?;
        let position = position.parse().map_err(|_| NotACursor)?;
        Ok(Self { plugin, epoch, position })
    }
}

/// One log file, or a part of one: what one run printed, without a gap. Lines that were lost have positions but no place.
/// Positions count bytes since the history began, so they stay true when the file is renamed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// The file's name in the folder.
    pub(super) name: Arc<str>,
    /// Its inode, to tell it from another that has taken its name.
    pub(super) inode: u64,
    /// Where in the file the part begins.
    pub(super) offset: u64,
    /// Position of its first byte.
    pub(super) start: u64,
    /// Position after its last whole line.
    pub(super) end: u64,
    pub(super) run: Option<RunId>,
}

impl Segment {
    /// Where in the file it ends.
    pub(super) fn offset_after(&self) -> u64 {
        self.offset + (self.end - self.start)
    }

    /// Whether this is the file that is written, or that was when plugd ended.
    pub(super) fn is_current(&self) -> bool {
        &*self.name == CURRENT
    }
}

/// All that is kept of one plugin's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// The history that the positions are of.
    pub(super) epoch: Epoch,
    /// The files, oldest first.
    pub(super) segments: Vec<Segment>,
    /// Position after everything printed, what was lost included.
    pub(super) head: u64,
}

impl Layout {
    /// Nothing has been printed.
    pub(super) fn empty() -> Self {
        Self { epoch: xid::new(), segments: Vec::new(), head: 0 }
    }

    /// Position of the oldest line kept.
    pub(super) fn oldest(&self) -> u64 {
        self.segments.first().map_or(self.head, |segment| segment.start)
    }

    /// A position before which nothing is younger than this time.
    pub(super) fn since(&self, time: Timestamp) -> u64 {
        let name = folder::rotated(time);
        let young = self.segments.iter().find(|segment| segment.is_current() || *segment.name >= *name);
        young.map_or(self.head, |segment| segment.start)
    }

    /// The last part of the current file, if there is one.
    pub(super) fn current(&self) -> Option<&Segment> {
        self.segments.last().filter(|segment| segment.is_current())
    }

    /// The file to read next from this position: a later one if the file that had it is no longer kept.
    pub(super) fn at(&self, position: u64) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.end > position)
    }

    /// The position of a cursor, or none if what follows it is no longer kept.
    pub(super) fn after(&self, cursor: LogCursor) -> Option<u64> {
        let is_kept = cursor.epoch == self.epoch && (self.oldest()..=self.head).contains(&cursor.position);
        is_kept.then_some(cursor.position)
    }

    /// How many parts the current file has.
    pub(super) fn current_parts(&self) -> usize {
        self.segments.iter().filter(|segment| segment.is_current()).count()
    }

    /// Begins a new part of the current file where lines were lost or another run goes on. True if that was so. What
    /// plugd itself writes (no run) is part of whatever run was the last.
    pub(super) fn begin_part(&mut self, run: Option<RunId>) -> bool {
        let is_another = |last: &&Segment| last.end < self.head || (run.is_some() && last.run != run);
        let Some(last) = self.segments.last().filter(is_another).cloned() else { return false };
        let run = run.or(last.run);
        let part = Segment { offset: last.offset_after(), start: self.head, end: self.head, run, ..last };
        self.segments.pop_if(|last| last.start == last.end);
        self.segments.push(part);
        true
    }

    /// Adds so many bytes to the last part of the current file.
    pub(super) fn grow(&mut self, bytes: u64) {
        self.head += bytes;
        if let Some(segment) = self.segments.last_mut() {
            segment.end = self.head;
        }
    }

    /// Reads what is in the folder. A file whose position is not remembered starts where the one before ends; when the
    /// newest one remembered is gone, positions could come twice, so a new history begins.
    pub(super) fn load(folder: &Folder) -> io::Result<Self> {
        let files = folder.files()?;
        let known = Positions::read(folder).filter(|known| known.has_newest(&files)).unwrap_or_default();
        let epoch = Epoch::from_str(&known.epoch).unwrap_or_else(|_| xid::new());
        let mut layout = Self { epoch, ..Self::empty() };
        for file in files {
            layout.add(&file, &known.parts);
        }
        layout.head = layout.head.max(known.head);
        Ok(layout)
    }

    /// Adds the parts of one file; the first begins where it does, whatever is remembered.
    fn add(&mut self, file: &Found, rows: &[Row]) {
        let of_file = || rows.iter().filter(|row| row.inode == file.inode);
        let first = of_file().find(|row| row.offset == 0).cloned().unwrap_or_default();
        let later = of_file().filter(|row| (1..file.length).contains(&row.offset)).cloned();
        let mut parts: Vec<Row> = std::iter::once(first).chain(later).collect();
        parts.sort_unstable_by_key(|part| part.offset);
        parts.dedup_by_key(|part| part.offset);
        let ends: Vec<u64> = parts.iter().skip(1).map(|part| part.offset).chain([file.length]).collect();
        for (Row { offset, start, run, .. }, end) in parts.into_iter().zip(ends) {
            let (name, inode, start) = (file.name.as_str().into(), file.inode, start.max(self.head));
            self.head = start + (end - offset);
            self.segments.push(Segment { name, inode, offset, start, end: self.head, run });
        }
    }

    pub(super) fn save(&self, folder: &Folder) -> io::Result<()> {
        let row = |of: &Segment| Row { inode: of.inode, start: of.start, offset: of.offset, run: of.run };
        let parts = self.segments.iter().map(row).collect();
        let positions = Positions { epoch: self.epoch.to_string(), parts, head: self.head };
        folder.replace(NAME, &serde_json::to_vec(&positions)?)
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Positions {
    epoch: String,
    parts: Vec<Row>,
    /// At least so much had been printed, what was lost included.
    head: u64,
}

/// A file, or a part of one. It is known by its inode, which a rotation does not change.
#[derive(Default, Clone, Serialize, Deserialize)]
struct Row {
    inode: u64,
    start: u64,
    offset: u64,
    run: Option<RunId>,
}

impl Positions {
    fn read(folder: &Folder) -> Option<Self> {
        let mut text = Vec::new();
        folder.read(NAME).ok()?.take(MAX_BYTES).read_to_end(&mut text).ok()?;
        let positions: Self = serde_json::from_slice(&text).ok()?;
        let is_sane = positions.parts.iter().map(|row| row.start).chain([positions.head]).all(|at| at <= MAX_POSITION);
        Some(positions).filter(|_| is_sane)
    }

    fn has_newest(&self, files: &[Found]) -> bool {
        self.parts.last().is_some_and(|row| files.iter().any(|file| file.inode == row.inode))
    }
}
