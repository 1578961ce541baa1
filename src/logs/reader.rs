//! Reads lines back from the files. Blocking.

use std::{
    io,
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use super::{
    LogLine,
    cursor::{Epoch, LogCursor},
    folder::Folder,
    layout::{Layout, Segment},
    line,
};

/// A batch has at most this many lines,
const MAX_LINES: usize = 256;
/// and is cut from at most this many bytes (more if one line may be longer).
const MAX_BYTES: usize = 256 * 1024;
/// How much is read at once when looking for the last lines.
const BLOCK: u64 = 64 * 1024;

/// Some bytes of one file, up to the end of what is whole in there or as many as a batch takes.
pub(super) struct Part {
    bytes: Vec<u8>,
    start: u64,
    is_end: bool,
}

/// Reads from the start of this range of positions on, at most to its end. None if the file is not there any longer, or is
/// not what it was.
///
/// # Errors
/// The file can't be read.
pub(super) fn read(plugin: &Path, segment: &Segment, range: Range<u64>, max_line: usize) -> io::Result<Option<Part>> {
    let (position, end) = (range.start, segment.end.min(range.end));
    let length = end.saturating_sub(position).min(MAX_BYTES.max(max_line + 1) as u64);
    let bytes = read_range(plugin, segment, position..position + length)?;
    Ok(bytes.map(|bytes| Part { bytes, start: position, is_end: position + length == end }))
}

/// The position at which the last so many lines start, or as many of them as are within `most` bytes from the end.
///
/// # Errors
/// A file can't be read.
pub(super) fn tail(plugin: &Path, layout: &Layout, lines: u32, most: u64) -> io::Result<u64> {
    let mut search = Search { wanted: lines.into(), left: most, found: layout.head };
    if search.wanted == 0 {
        return Ok(layout.head);
    }
    for segment in layout.segments.iter().rev() {
        if let Some(position) = tail_of(plugin, segment, &mut search)? {
            return Ok(position);
        }
    }
    Ok(layout.oldest())
}

/// A search for the last lines.
struct Search {
    /// Lines that are still to be found,
    wanted: u64,
    /// and the bytes that may be read for that.
    left: u64,
    /// Where the earliest line found starts.
    found: u64,
}

/// Looks through one file from its end. Answers where the lines start, once that is known or enough was read.
fn tail_of(plugin: &Path, segment: &Segment, search: &mut Search) -> io::Result<Option<u64>> {
    let mut end = segment.end;
    while end > segment.start {
        let start = end.saturating_sub(BLOCK).max(segment.start);
        let Some(bytes) = read_range(plugin, segment, start..end)? else { return Ok(None) };
        let breaks = bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
        let starts = breaks.map(|(at, _)| start + at as u64 + 1).filter(|start| *start < segment.end);
        let first = (start == segment.start).then_some(start);
        for position in starts.chain(first) {
            (search.wanted, search.found) = (search.wanted - 1, position);
            if search.wanted == 0 {
                return Ok(Some(position));
            }
        }
        search.left = search.left.saturating_sub(end - start);
        if search.left == 0 {
            return Ok(Some(search.found));
        }
        end = start;
    }
    Ok(None)
}

fn read_range(plugin: &Path, segment: &Segment, range: Range<u64>) -> io::Result<Option<Vec<u8>>> {
    let file = match Folder::open(plugin).and_then(|folder| folder.read(&segment.name)) {
        Ok(file) => file,
        // A plugin may have put something else there.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.metadata()?.ino() != segment.inode {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
    match file.read_exact_at(&mut bytes, segment.offset + (range.start - segment.start)) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

impl Part {
    /// Cuts it into lines; what is not whole is left for the next part.
    pub(super) fn lines(&self, epoch: Epoch, max_line: usize) -> Vec<LogLine> {
        let (mut lines, mut at) = (Vec::new(), 0);
        while lines.len() < MAX_LINES
            && let Some(length) = self.next(at, max_line)
        {
            let line = &self.bytes[at..at + length];
            at += length;
            let (text, continues) = (line::text(line), line::is_piece(line, max_line));
            lines.push(LogLine { text, continues, cursor: LogCursor { epoch, position: self.start + at as u64 } });
        }
        lines
    }

    fn next(&self, at: usize, max_line: usize) -> Option<usize> {
        let rest = &self.bytes[at..];
        let last = (self.is_end && !rest.is_empty()).then_some(rest.len());
        line::first(rest, max_line).or(last)
    }
}
