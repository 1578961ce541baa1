//! Reads lines back from the files. Blocking.

use std::{
    io,
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    LogLine,
    folder::Folder,
    layout::{Layout, LogCursor, Segment},
    line::{self, MAX_RECORD, Record, Stream},
    writer::{Output, View},
};
use crate::domain::RunId;

/// A batch has at most this many lines,
const MAX_LINES: usize = 256;
/// and is cut from at most this many bytes.
const MAX_BYTES: u64 = 256 * 1024;
/// How much is read at once when looking for the last lines: some records of any length.
const BLOCK: u64 = 2 * MAX_RECORD as u64;
/// A piece of a line of more than [`MAX_RECORD`] bytes has at least so many: only a split character makes it shorter.
const MIN_PIECE: usize = MAX_RECORD - 4;
/// The least that is searched for the last lines: lines may be long, and files of other settings still be there.
const MIN_SEARCHED: u64 = 64 * 1024 * 1024;

/// Which lines are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Lines that came at this time or later.
    pub since: Option<Timestamp>,
    /// Lines of this stream; of both if none is given.
    pub stream: Option<Stream>,
    /// Lines of this run.
    pub run: Option<RunId>,
}

impl Filter {
    /// A line that another program wrote has neither time nor stream, so it passes no filter for these.
    fn takes(&self, record: &Record<'_>, run: Option<RunId>) -> bool {
        self.since.is_none_or(|since| record.time.is_some_and(|time| time >= since))
            && (self.stream.is_none() || self.stream == record.stream)
            && (self.run.is_none() || self.run == run)
    }
}

/// Some bytes of one file, up to the end of what is whole in there or as many as a batch takes.
pub(super) struct Part {
    bytes: Vec<u8>,
    /// Position of the first byte; the epoch is that of all of them.
    start: LogCursor,
    run: Option<RunId>,
    is_end: bool,
}

impl Part {
    /// Its lines as far as a batch takes them, and the place after those; what is not whole is left for the next part.
    pub(super) fn lines(&self, filter: &Filter) -> (Vec<LogLine>, u64) {
        let (mut lines, mut at) = (Vec::new(), 0);
        while lines.len() < MAX_LINES
            && let Some(length) = self.next(at)
        {
            let bytes = &self.bytes[at..at + length];
            at += length;
            let record = Record::parse(bytes);
            if filter.takes(&record, self.run) {
                // A line without a break in the middle of a file is one of another program's, longer than any of ours.
                let continues = record.is_piece || (length >= MIN_PIECE && !bytes.ends_with(b"\n"));
                let cursor = LogCursor { position: self.start.position + at as u64, ..self.start };
                let (time, stream, run) = (record.time, record.stream, self.run);
                lines.push(LogLine { text: record.text(), continues, cursor, time, stream, run });
            }
        }
        (lines, self.start.position + at as u64)
    }

    fn next(&self, at: usize) -> Option<usize> {
        let rest = &self.bytes[at..];
        let last = (self.is_end && !rest.is_empty()).then_some(rest.len());
        line::first(rest, MAX_RECORD).or(last)
    }
}

/// What there is to read.
pub(super) struct Next {
    /// None if there is nothing now.
    pub(super) part: Option<Part>,
    /// The part starts here, or reading goes on here.
    pub(super) position: u64,
    /// Lines before that are no longer kept.
    pub(super) is_lossy: bool,
}

/// Reads on from a position. What is not where the view says may just be renamed: then it is looked for again when
/// nobody writes, and if it is not there either, it is lost.
pub(super) fn read_on(output: &Output, view: View, range: Range<u64>) -> io::Result<Next> {
    if let Some(found) = view.map(|layout| try_read(output, &layout, &range)).transpose()?
        && let Ok(found) = found
    {
        return Ok(found);
    }
    let mut position = range.start;
    let mut is_lossy = false;
    loop {
        let layout = output.settled()?;
        match try_read(output, &layout, &(position..range.end))? {
            Ok(found) => return Ok(Next { is_lossy: found.is_lossy || is_lossy, ..found }),
            Err(missing) if output.settled()? == layout => (position, is_lossy) = (missing, true),
            Err(_) => {}
        }
    }
}

/// Reads on from a position, or says after which position to go on when the file that has it is missing.
fn try_read(output: &Output, layout: &Layout, range: &Range<u64>) -> io::Result<Result<Next, u64>> {
    let segment = layout.at(range.start);
    // Where nothing is kept nothing comes any more: what had a position there is lost.
    let next = segment.map_or(layout.head, |segment| segment.start);
    let position = range.start.max(next.min(range.end));
    let mut found = Next { part: None, position, is_lossy: position > range.start };
    let Some(segment) = segment.filter(|_| position < range.end) else { return Ok(Ok(found)) };
    let end = segment.end.min(range.end);
    let length = end.saturating_sub(position).min(MAX_BYTES);
    let Some(bytes) = read_range(output, segment, position..position + length)? else { return Ok(Err(segment.end)) };
    let start = LogCursor { plugin: output.id, epoch: layout.epoch, position };
    found.part = Some(Part { bytes, start, run: segment.run, is_end: position + length == end });
    Ok(Ok(found))
}

/// Whether this position is in the middle of a record, where no cursor is. What another program wrote may have longer lines
/// than any of plugd's: those are read in pieces, and a cursor may stand between two of them.
pub(super) fn is_within_a_line(output: &Output, layout: &Layout, position: u64) -> io::Result<bool> {
    let is_inside = |segment: &&Segment| segment.start < position && position < segment.end;
    let Some(segment) = layout.segments.iter().find(is_inside) else { return Ok(false) };
    let start = position.saturating_sub(MIN_PIECE as u64).max(segment.start);
    let Some(before) = read_range(output, segment, start..position)? else { return Ok(false) };
    Ok(!before.ends_with(b"\n") && (before.len() < MIN_PIECE || before.contains(&b'\n')))
}

/// What is kept now, and the position at which the last so many of the lines that a filter takes start, or as many of them
/// as are found among what is kept at the most.
pub(super) fn tail(output: &Output, lines: u32, filter: &Filter) -> io::Result<(Arc<Layout>, u64)> {
    output.read_settled(|layout| {
        let left = output.max_kept.max(MIN_SEARCHED);
        let mut search = Search { filter, wanted: lines.into(), left, found: layout.head };
        for segment in layout.segments.iter().rev().take_while(|_| lines > 0) {
            if search.segment(output, segment)? {
                break;
            }
        }
        Ok(search.found)
    })
}

struct Search<'a> {
    filter: &'a Filter,
    /// Lines that are still to be found,
    wanted: u64,
    /// and the bytes that may be read for that.
    left: u64,
    /// Where the earliest line found starts.
    found: u64,
}

impl Search<'_> {
    /// Looks through one file from its end. True once all are found or enough was read.
    fn segment(&mut self, output: &Output, segment: &Segment) -> io::Result<bool> {
        let mut end = segment.end;
        while end > segment.start {
            let start = end.saturating_sub(BLOCK).max(segment.start);
            let Some(bytes) = read_range(output, segment, start..end)? else { return Ok(false) };
            // The first record of a block may begin before the block. No record of plugd's fills a whole block.
            let cut = bytes[..bytes.len() - 1].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
            let whole = if start == segment.start { 0 } else { cut };
            if self.block(&bytes[whole..], (start + whole as u64, segment.run)) {
                return Ok(true);
            }
            self.left = self.left.saturating_sub(end - start);
            if self.left == 0 {
                return Ok(true);
            }
            end = if whole == bytes.len() { start } else { start + whole as u64 };
        }
        Ok(false)
    }

    /// Looks through some records from their end. A line has one record that is no piece, its last.
    fn block(&mut self, records: &[u8], (start, run): (u64, Option<RunId>)) -> bool {
        let mut end = records.len();
        while end > 0 {
            let at = records[..end - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let record = Record::parse(&records[at..end]);
            end = at;
            if !self.filter.takes(&record, run) {
                continue;
            }
            if !record.is_piece {
                if self.wanted == 0 {
                    return true;
                }
                self.wanted -= 1;
            }
            self.found = start + at as u64;
        }
        false
    }
}

fn read_range(output: &Output, segment: &Segment, range: Range<u64>) -> io::Result<Option<Vec<u8>>> {
    let file = match Folder::open(&output.plugin).and_then(|folder| folder.read(&segment.name)) {
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
