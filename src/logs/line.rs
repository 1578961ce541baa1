//! Where lines begin and end: pure functions that the writer and the readers share, so that both cut alike.

/// Most bytes of a UTF-8 character: by less than that is a piece shorter than the longest line.
const CHARACTER: usize = 4;

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

/// The longest prefix of the whole lines and pieces in `bytes` that has at most `room` bytes.
pub(super) fn fitting(bytes: &[u8], room: usize, max_line: usize) -> usize {
    if bytes.len() <= room {
        return bytes.len();
    }
    let mut end = bytes[..room].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    while let Some(length) = first(&bytes[end..], max_line).filter(|length| end + length <= room) {
        end += length;
    }
    end
}

/// How many lines these bytes are; a last one without a line break counts.
pub(super) fn count(bytes: &[u8]) -> u64 {
    let breaks = bytes.iter().filter(|byte| **byte == b'\n').count();
    let rest = bytes.last().is_some_and(|byte| *byte != b'\n');
    breaks as u64 + u64::from(rest)
}

/// The text of a line without its line break.
pub(super) fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
    String::from_utf8_lossy(line).into_owned()
}

/// Is this a piece of a longer line? The last line of a file may have no line break either, but is shorter.
pub(super) fn is_piece(line: &[u8], max_line: usize) -> bool {
    !line.ends_with(b"\n") && line.len() + CHARACTER > max_line
}

/// The last place at or before `at` that does not split a UTF-8 character; `at` itself if there is none near.
fn before_split_character(bytes: &[u8], at: usize) -> usize {
    let is_boundary = |place: &usize| bytes[*place] & 0b1100_0000 != 0b1000_0000;
    (at.saturating_sub(CHARACTER - 1).max(1)..=at).rev().find(is_boundary).unwrap_or(at.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(mut bytes: &[u8], max_line: usize) -> Vec<&[u8]> {
        let mut lines = Vec::new();
        while !bytes.is_empty() {
            let (line, rest) = bytes.split_at(first(bytes, max_line).unwrap_or(bytes.len()));
            lines.push(line);
            bytes = rest;
        }
        lines
    }

    #[test]
    fn a_line_ends_at_its_break_and_a_long_one_comes_in_pieces() {
        assert_eq!(cut(b"one\ntwo", 4), [&b"one\n"[..], b"two"]);
        assert_eq!(cut(b"abcd\nabcdefghij\n", 4), [&b"abcd\n"[..], b"abcd", b"efgh", b"ij\n"]);
    }

    #[test]
    fn a_piece_does_not_split_a_character() {
        assert_eq!(cut("abcéde".as_bytes(), 4), ["abc".as_bytes(), "éde".as_bytes()]);
        assert_eq!(first(&[0x80; 9], 4), Some(4));
    }

    #[test]
    fn a_piece_is_told_from_a_last_line_by_its_length() {
        let cut = cut("abcdefg\u{e9}abcdefabc".as_bytes(), 8);
        let pieces: Vec<bool> = cut.iter().map(|line| is_piece(line, 8)).collect();
        assert_eq!(pieces, [true, true, false]);
        assert!(!is_piece(b"abcdefgh\n", 8));
    }

    #[test]
    fn an_unfinished_line_is_not_whole() {
        assert_eq!(whole(b"one\ntw", 4), 4);
        assert_eq!(whole(b"one\ntwotwotwo", 4), 12);
        assert_eq!(whole(b"tw", 4), 0);
    }

    #[test]
    fn what_fits_ends_with_a_line() {
        assert_eq!(fitting(b"one\ntwo\n", 7, 4), 4);
        assert_eq!(fitting(b"one\ntwo\n", 8, 4), 8);
        assert_eq!(fitting(b"one\n", 3, 4), 0);
        assert_eq!(fitting(b"abcdefghijkl", 9, 4), 8);
    }

    #[test]
    fn the_text_has_no_line_break_and_is_utf8() {
        assert_eq!(text(b"a\r\n"), "a");
        assert_eq!(text(b"a\rb\xff"), "a\rb\u{fffd}");
        assert_eq!((count(b"a\nb"), count(b"a\n"), count(b"")), (2, 1, 0));
    }

    proptest! {
        /// What arrives in any chunks is cut as if it had arrived at once: cursors of a live reader stay good.
        #[test]
        fn the_cuts_do_not_depend_on_how_the_bytes_arrived(text in "[ab\né€]{0,60}", step in 1..9_usize) {
            let (bytes, mut live, mut pending) = (text.as_bytes(), Vec::new(), Vec::new());
            for chunk in bytes.chunks(step) {
                pending.extend_from_slice(chunk);
                let end = whole(&pending, 7);
                live.extend(cut(&pending[..end], 7).into_iter().map(<[u8]>::to_vec));
                pending.drain(..end);
            }
            live.extend(cut(&pending, 7).into_iter().map(<[u8]>::to_vec));
            prop_assert_eq!(live, cut(bytes, 7));
        }
    }
}
