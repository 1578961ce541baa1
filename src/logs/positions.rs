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
const MAX_BYTES: u64 = 64 * 1024;

/// Positions beyond this are not ours; it leaves room for any sum.
const MAX_POSITION: u64 = 1 << 60;

#[derive(Serialize, Deserialize)]
struct Positions {
    epoch: String,
    files: Vec<Row>,
}

/// A file is known by its inode, which a rotation does not change.
#[derive(Serialize, Deserialize)]
struct Row {
    inode: u64,
    start: u64,
}

/// What is in the folder. A file whose position is not remembered starts where the one before ends; when the newest
/// one remembered is gone, positions could come twice, so a new history begins.
///
/// # Errors
/// The folder can't be read.
pub(super) fn load(folder: &Folder) -> io::Result<Layout> {
    let files = folder.files()?;
    let known = read(folder).filter(|(_, known)| has_newest(known, &files));
    let (epoch, rows) = known.unwrap_or_else(|| (xid::new(), Vec::new()));
    let mut layout = Layout { epoch, ..Layout::empty() };
    for file in files {
        let remembered = rows.iter().find(|row| row.inode == file.inode).map_or(0, |row| row.start);
        let start = remembered.max(layout.head);
        layout.head = start + file.length;
        layout.segments.push(Segment { name: file.name.into(), inode: file.inode, start, end: layout.head });
    }
    Ok(layout)
}

/// Writes down the positions.
///
/// # Errors
/// The disk does not take them: cursors are lost when plugd ends, nothing else.
pub(super) fn save(folder: &Folder, layout: &Layout) -> io::Result<()> {
    let files = layout.segments.iter().map(|segment| Row { inode: segment.inode, start: segment.start }).collect();
    let positions = Positions { epoch: layout.epoch.to_string(), files };
    let mut file = folder.create(NEW_NAME)?;
    file.write_all(&serde_json::to_vec(&positions)?)?;
    folder.rename(NEW_NAME, NAME)
}

fn has_newest(rows: &[Row], files: &[Found]) -> bool {
    rows.last().is_some_and(|row| files.iter().any(|file| file.inode == row.inode))
}

fn read(folder: &Folder) -> Option<(Epoch, Vec<Row>)> {
    let mut text = Vec::new();
    folder.read(NAME).ok()?.take(MAX_BYTES).read_to_end(&mut text).ok()?;
    let positions: Positions = serde_json::from_slice(&text).ok()?;
    let is_sane = positions.files.iter().all(|row| row.start <= MAX_POSITION);
    Epoch::from_str(&positions.epoch).ok().filter(|_| is_sane).map(|epoch| (epoch, positions.files))
}
