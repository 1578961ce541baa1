//! Lines: cut from what a plugin prints, kept in the CRI format, and read back from it.
//!
//! ```text
//! 2026-01-02T03:04:05.000000006Z stdout F a line
//! 2026-01-02T03:04:05.000000007Z stderr P the first piece of a long one
//! ```
//!
//! The third field is `F` or `P` and nothing else: the CRI allows more tags behind it, but the parsers of several log
//! shippers do not. So the run that printed a line is not in the file; it is remembered with the file's position.

use jiff::Timestamp;

/// The most bytes of a line that is not cut into pieces.
pub(super) const MAX_LINE: usize = 64 * 1024;
/// The most bytes of a record in a file: a line with its time, its stream and its tag.
pub(super) const MAX_RECORD: usize = MAX_LINE + 64;
/// The most bytes of a UTF-8 character: by less than that is a piece shorter than the longest line.
const CHARACTER: usize = 4;

/// What a plugin's process printed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One line of a log file, or a piece of a long one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// When it came; none if another program wrote the line as it is.
    pub(super) time: Option<Timestamp>,
    /// Where it was printed; none as above.
    pub(super) stream: Option<Stream>,
    /// The line goes on in the next record of its stream.
    pub(super) is_piece: bool,
    text: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a record with its line break; what is none is a line as another program wrote it.
    pub(super) fn parse(record: &'a [u8]) -> Self {
        let whole = record.strip_suffix(b"\n");
        let bare = Self { time: None, stream: None, is_piece: false, text: whole.unwrap_or(record) };
        Self::parse_cri(bare.text).unwrap_or(bare)
    }

    fn parse_cri(record: &'a [u8]) -> Option<Self> {
        let mut fields = record.splitn(4, |byte| *byte == b' ');
        let time = str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let stream = match fields.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let is_piece = match fields.next()?.split(|byte| *byte == b':').next()? {
            b"P" => true,
            b"F" => false,
            _ => return None,
        };
        let text = fields.next().unwrap_or_default();
        Some(Self { time: Some(time), stream: Some(stream), is_piece, text })
    }

    /// The text without its line break; bytes that are not UTF-8 are replaced.
    pub(super) fn text(&self) -> String {
        let text = if self.is_piece { self.text } else { self.text.strip_suffix(b"\r").unwrap_or(self.text) };
        String::from_utf8_lossy(text).into_owned()
    }
}

/// Appends a record for each line and piece of `printed`, which is [`whole`], or the last that comes.
pub(super) fn record(records: &mut Vec<u8>, (time, stream): (Timestamp, Stream), printed: Printed<'_>) {
    let (head, mut rest) = (format!("{time:.9} {} ", stream.name()), printed.bytes);
    while !rest.is_empty() {
        let line = &rest[..first(rest, printed.max_line).unwrap_or(rest.len())];
        let is_last = printed.is_last && line.len() == rest.len();
        let is_piece = !is_last && !line.ends_with(b"\n");
        records.extend_from_slice(head.as_bytes());
        records.extend_from_slice(if is_piece { b"P " } else { b"F " });
        records.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        records.push(b'\n');
        rest = &rest[line.len()..];
    }
}

/// Bytes as a plugin printed them.
#[derive(Clone, Copy)]
pub(super) struct Printed<'a> {
    pub(super) bytes: &'a [u8],
    /// Nothing follows: what has no line break is a line all the same.
    pub(super) is_last: bool,
    /// A line of more bytes comes in pieces.
    pub(super) max_line: usize,
}

/// The longest prefix of `bytes` that is whole: complete lines, and pieces of a last line longer than `max_line`.
pub(super) fn whole(bytes: &[u8], max_line: usize) -> usize {
    let mut end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    while let Some(length) = first(&bytes[end..], max_line) {
        end += length;
    }
    end
}

/// The length of the first line of `bytes`, its line break included, or of the first piece of one longer than
/// `max_line`; none when more bytes are needed to tell.
pub(super) fn first(bytes: &[u8], max_line: usize) -> Option<usize> {
    let window = &bytes[..bytes.len().min(max_line + 1)];
    match window.iter().position(|byte| *byte == b'\n') {
        Some(at) => Some(at + 1),
        None => (bytes.len() > max_line).then(|| before_split_character(bytes, max_line)),
    }
}

/// The longest prefix of whole records that has at most `room` bytes.
pub(super) fn fitting(records: &[u8], room: usize) -> usize {
    let end = records.len().min(room);
    records[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

/// How many records these bytes are.
pub(super) fn count(records: &[u8]) -> u64 {
    records.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The last place at or before `at` that does not split a UTF-8 character; `at` itself if there is none near.
fn before_split_character(bytes: &[u8], at: usize) -> usize {
    let is_boundary = |place: &usize| bytes[*place] & 0b1100_0000 != 0b1000_0000;
    (at.saturating_sub(CHARACTER - 1).max(1)..=at).rev().find(is_boundary).unwrap_or(at.max(1))
}
