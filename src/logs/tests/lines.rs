//! How lines are cut, kept and read.

use proptest::prelude::*;

use super::*;
use crate::logs::line::{Record, count, first, fitting, whole};

fn cut(mut bytes: &[u8], max_line: usize) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    while !bytes.is_empty() {
        let (line, rest) = bytes.split_at(first(bytes, max_line).unwrap_or(bytes.len()));
        lines.push(line);
        bytes = rest;
    }
    lines
}

fn recorded(bytes: &[u8], is_last: bool, max_line: usize) -> String {
    let mut records = Vec::new();
    let time = "2026-01-02T03:04:05.000000006Z".parse().unwrap();
    line::record(&mut records, (time, Stream::Stderr), Printed { bytes, is_last, max_line });
    String::from_utf8(records).unwrap().replace("2026-01-02T03:04:05.000000006Z stderr ", "")
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
fn an_unfinished_line_is_not_whole() {
    assert_eq!(whole(b"one\ntw", 4), 4);
    assert_eq!(whole(b"one\ntwotwotwo", 4), 12);
    assert_eq!(whole(b"tw", 4), 0);
}

#[test]
fn a_record_has_time_stream_and_tag_as_the_cri_wants_them() {
    let mut records = Vec::new();
    let time = "2026-01-02T03:04:05.6Z".parse().unwrap();
    line::record(&mut records, (time, Stream::Stdout), Printed { bytes: b"a b\n\n", is_last: false, max_line: 9 });
    assert_eq!(records, b"2026-01-02T03:04:05.600000000Z stdout F a b\n2026-01-02T03:04:05.600000000Z stdout F \n");
}

#[test]
fn all_of_a_long_line_but_its_end_is_tagged_as_a_piece() {
    assert_eq!(recorded(b"abcdefghij\n", false, 8), "P abcdefgh\nF ij\n");
    assert_eq!(recorded(b"abcdefgh", false, 8), "P abcdefgh\n");
    assert_eq!(recorded(b"abcdefgh", true, 8), "F abcdefgh\n");
    assert_eq!(recorded(b"abcdefghij", true, 8), "P abcdefgh\nF ij\n");
}

#[test]
fn what_fits_ends_with_a_record() {
    assert_eq!([7, 8, 9].map(|room| fitting(b"one\ntwo\n", room)), [4, 8, 8]);
    assert_eq!(fitting(b"one\n", 3), 0);
    assert_eq!((count(b"a\nb\n"), count(b"")), (2, 0));
}

#[test]
fn a_record_is_read_as_it_was_written_and_any_other_line_as_it_is() {
    let record = Record::parse(b"2026-01-02T03:04:05.6Z stderr P:more tags of the CRI\r\n");
    assert_eq!((record.time.unwrap().to_string().as_str(), record.is_piece), ("2026-01-02T03:04:05.6Z", true));
    assert_eq!((record.stream, record.text().as_str()), (Some(Stream::Stderr), "tags of the CRI\r"));
    for text in
        ["plain", "", "2026-01-02 stdout F x", "2026-01-02T03:04:05Z stdin F x", "2026-01-02T03:04:05Z stdout X x"]
    {
        let record = Record::parse(text.as_bytes());
        assert_eq!((record.time, record.stream, record.is_piece, record.text().as_str()), (None, None, false, text));
    }
}

#[test]
fn the_text_has_no_line_break_and_is_utf8() {
    assert_eq!(Record::parse(b"a\r\n").text(), "a");
    assert_eq!(Record::parse(b"a\rb\xff").text(), "a\rb\u{fffd}");
}

proptest! {
    /// What arrives in any chunks is cut as if it had arrived at once.
    #[test]
    fn the_cuts_do_not_depend_on_how_the_bytes_arrived(text in "[ab\né€]{0,60}", step in 1..9_usize) {
        let (bytes, mut live, mut pending) = (text.as_bytes(), String::new(), Vec::new());
        for chunk in bytes.chunks(step) {
            pending.extend_from_slice(chunk);
            let end = whole(&pending, 9);
            live += &recorded(&pending[..end], false, 9);
            pending.drain(..end);
        }
        live += &recorded(&pending, true, 9);
        prop_assert_eq!(live, recorded(bytes, true, 9));
    }
}
