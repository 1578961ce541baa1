//! Remembers beside the log files at which position each one starts, so that cursors outlive a restart of plugd.

use std::{
    io::{self, Read, Write},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::{
    cursor::Epoch,
    folder::{Folder, Found},
    layout::{Layout, Segment},
};

const NAME: &str = ".positions";
const NEW_NAME: &str = ".positions.new";

/// More than any true file of positions has; the plugin can put anything there.
const MAX_BYTES: u64 = 256 * 1024;

/// Positions beyond this are not ours; it leaves room for any sum.
const MAX_POSITION: u64 = 1 << 60;

#[derive(Default, Serialize, Deserialize)]
struct Positions {
    epoch: String,
    files: Vec<Row>,
    /// At least so much had been printed, what was lost included.
    #[serde(default)]
    head: u64,
}

/// A file, or the part of one after a gap. It is known by its inode, which a rotation does not change.
#[derive(Serialize, Deserialize)]
struct Row {
    inode: u64,
    start: u64,
    #[serde(default)]
    offset: u64,
}

/// What is in the folder. A file whose position is not remembered starts where the one before ends; when the newest
/// one remembered is gone, positions could come twice, so a new history begins.
///
/// # Errors
/// The folder can't be read.
pub(super) fn load(folder: &Folder) -> io::Result<Layout> {
    let files = folder.files()?;
    let known = read(folder).filter(|(_, known)| has_newest(&known.files, &files));
    let (epoch, known) = known.unwrap_or_else(|| (xid::new(), Positions::default()));
    let mut layout = Layout { epoch, ..Layout::empty() };
    for file in files {
        add(&mut layout, &file, &known.files);
    }
    layout.head = layout.head.max(known.head);
    Ok(layout)
}

/// Adds the parts of one file; the first begins where it does, whatever is remembered.
fn add(layout: &mut Layout, file: &Found, rows: &[Row]) {
    let of_file = || rows.iter().filter(|row| row.inode == file.inode);
    let first = of_file().find(|row| row.offset == 0).map_or(0, |row| row.start);
    let later = of_file().filter(|row| (1..file.length).contains(&row.offset)).map(|row| (row.offset, row.start));
    let mut parts: Vec<(u64, u64)> = std::iter::once((0, first)).chain(later).collect();
    parts.sort_unstable();
    parts.dedup_by_key(|(offset, _)| *offset);
    let ends = parts.iter().skip(1).map(|(offset, _)| *offset).chain([file.length]);
    for ((offset, start), end) in parts.iter().copied().zip(ends) {
        let (name, inode, start) = (file.name.as_str().into(), file.inode, start.max(layout.head));
        layout.head = start + (end - offset);
        layout.segments.push(Segment { name, inode, offset, start, end: layout.head });
    }
}

/// Writes down the positions.
///
/// # Errors
/// The disk does not take them: cursors are lost when plugd ends, nothing else.
pub(super) fn save(folder: &Folder, layout: &Layout) -> io::Result<()> {
    let row = |segment: &Segment| Row { inode: segment.inode, start: segment.start, offset: segment.offset };
    let files = layout.segments.iter().map(row).collect();
    let positions = Positions { epoch: layout.epoch.to_string(), files, head: layout.head };
    let mut file = folder.create(NEW_NAME)?;
    file.write_all(&serde_json::to_vec(&positions)?)?;
    folder.rename(NEW_NAME, NAME)
}

fn has_newest(rows: &[Row], files: &[Found]) -> bool {
    rows.last().is_some_and(|row| files.iter().any(|file| file.inode == row.inode))
}

fn read(folder: &Folder) -> Option<(Epoch, Positions)> {
    let mut text = Vec::new();
    folder.read(NAME).ok()?.take(MAX_BYTES).read_to_end(&mut text).ok()?;
    let positions: Positions = serde_json::from_slice(&text).ok()?;
    let is_sane = positions.files.iter().map(|row| row.start).chain([positions.head]).all(|at| at <= MAX_POSITION);
    Epoch::from_str(&positions.epoch).ok().filter(|_| is_sane).map(|epoch| (epoch, positions))
}
