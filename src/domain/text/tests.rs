use super::*;

#[test]
fn a_byte_order_mark_is_no_part_of_the_text() {
    assert_eq!(decode(b"\xef\xbb\xbf{}"), Ok("{}"));
    assert_eq!(decode("{\"é\": 1}".as_bytes()), Ok("{\"é\": 1}"));
    assert_eq!(decode(b""), Ok(""));
    assert_eq!(decode(b"a"), Ok("a"));
    assert_eq!(unmarked(b"\xef\xbb\xbfcaf\xe9"), Ok(&b"caf\xe9"[..]));
}

#[test]
fn other_encodings_are_told_by_name() {
    for wide in [&b"\xff\xfe{\0}\0"[..], b"\xfe\xff\0{\0}", b"{\0}\0", b"\0{\0}", b"\xff\xfe\0\0{\0\0\0"] {
        assert_eq!(decode(wide), Err(NotText::Wide), "{wide:?}");
    }
    assert_eq!(decode(b"one\ntwo caf\xe9\n"), Err(NotText::NotUtf8 { line: 2 }));
}

#[test]
fn a_terminal_gets_nothing_that_it_would_obey() {
    let cases = [
        ("a\x1b[2Jb\nc\rd\u{7f}e", "a [2Jb c d e"),
        ("\x1b]0;title\x07x", " ]0;title x"),
        ("a\u{9b}2Jb\u{85}c\u{2028}d\u{2029}e", "a 2Jb c d e"),
        ("\x1b[1;31mred\x1b[0m and \x1b[38:5:9mbright\x1b[m", "red and bright"),
        ("\x1b[\x1b[31m31m", " [31m"),
    ];
    for (text, expected) in cases {
        assert_eq!(sanitize(text), expected, "{text:?}");
    }
}

#[test]
fn what_is_not_seen_is_left_out_and_what_is_seen_stays() {
    for letter in ["\u{202e}", "\u{2066}", "\u{200b}", "\u{200d}", "\u{feff}", "\u{ad}", "\u{e0041}", "\u{2060}"] {
        assert_eq!(sanitize(&format!("a{letter}b")), "ab", "{letter:?}");
    }
    let seen = "Grüße, 世界, \u{1f600}, שלום, e\u{301}";
    assert_eq!(sanitize(seen), seen);
    assert!(seen.chars().all(|letter| !is_unsafe(letter)));
}

#[test]
fn a_line_of_a_log_keeps_its_tabs() {
    assert_eq!(sanitize_line("a\tb\x1b[2Jc\u{202e}d"), "a\tb [2Jcd");
}

#[test]
fn a_shortened_text_has_so_many_characters_and_ends_with_an_ellipsis() {
    for (text, characters, short) in [("", 3, ""), ("äöü", 3, "äöü"), ("äöüß", 3, "äö…"), ("abc", 1, "…")]
    {
        assert_eq!(shorten(text, characters), short, "{text:?}");
    }
}

#[test]
fn a_text_that_is_shortened_to_bytes_keeps_its_characters_whole() {
    for (text, bytes, short) in [("äö", 4, "äö"), ("äöü", 5, "ä…"), ("äöü", 4, "…"), ("abcdef", 5, "ab…")]
    {
        assert_eq!(shorten_to_bytes(text, bytes), short, "{text:?}");
    }
}
