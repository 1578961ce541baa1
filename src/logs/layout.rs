//! Which file holds which part of what a plugin printed.

use std::sync::Arc;

use super::{
    cursor::{Epoch, LogCursor},
    names,
};

/// One log file, or what is in there between two gaps: lines that were lost have positions but no place. Positions count
/// bytes since the history began, so they stay true when the file is renamed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Its name in the folder.
    pub(super) name: Arc<str>,
    /// Its inode, to tell it from another that has taken its name.
    pub(super) inode: u64,
    /// Where in the file it begins.
    pub(super) offset: u64,
    /// Position of its first byte.
    pub(super) start: u64,
    /// Position after its last whole line.
    pub(super) end: u64,
}

impl Segment {
    /// Where in the file it ends.
    pub(super) fn offset_after(&self) -> u64 {
        self.offset + (self.end - self.start)
    }

    /// Is this the file that is written, or that was when plugd ended?
    pub(super) fn is_current(&self) -> bool {
        &*self.name == names::CURRENT
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

    /// The last part of the current file, if there is one.
    pub(super) fn current(&self) -> Option<&Segment> {
        self.segments.last().filter(|segment| segment.is_current())
    }

    /// The file to read next from this position; one that starts later when what was there is no longer kept.
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

    /// After lines were lost, begins a new part of the current file. True if that was so.
    pub(super) fn close_gap(&mut self) -> bool {
        let Some(last) = self.segments.last().filter(|last| last.end < self.head).cloned() else { return false };
        let part = Segment { offset: last.offset_after(), start: self.head, end: self.head, ..last };
        self.segments.pop_if(|last| last.start == last.end);
        self.segments.push(part);
        true
    }

    /// The same with so many more bytes in the last part of its current file.
    pub(super) fn grow(&mut self, bytes: u64) {
        self.head += bytes;
        if let Some(segment) = self.segments.last_mut() {
            segment.end = self.head;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_layout() -> Layout {
        let segment = |name: &str, start, end| Segment { name: name.into(), inode: start, offset: 0, start, end };
        Layout { segments: vec![segment("a", 10, 20), segment(names::CURRENT, 30, 40)], head: 40, ..Layout::empty() }
    }

    #[test]
    fn a_position_is_found_in_its_file_and_one_in_a_gap_in_the_next() {
        let start = |position| mk_layout().at(position).map(|segment| segment.start);
        assert_eq!([0, 10, 19, 20, 30, 39].map(start), [10, 10, 10, 30, 30, 30].map(Some));
        assert_eq!(start(40), None);
    }

    #[test]
    fn a_cursor_of_another_history_or_outside_of_what_is_kept_has_no_position() {
        let layout = mk_layout();
        let after = |position| layout.after(LogCursor { epoch: layout.epoch, position });
        assert_eq!([9, 10, 40, 41].map(after), [None, Some(10), Some(40), None]);
        assert_eq!(layout.after(LogCursor { epoch: xid::new(), position: 15 }), None);
    }

    #[test]
    fn after_a_loss_the_current_file_goes_on_in_a_new_part() {
        let mut layout = mk_layout();
        assert!(!layout.close_gap());
        layout.head += 5;
        assert!(layout.close_gap());
        layout.grow(3);
        let last = layout.current().unwrap();
        assert_eq!((last.offset, last.start, last.end, layout.current_parts()), (10, 45, 48, 2));
        assert_eq!(layout.at(40).unwrap().start, 45);
    }
}
