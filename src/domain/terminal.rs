//! Text of plugins and servers, made safe for a terminal.

/// Begins a sequence that a terminal obeys (ECMA-48, 5.4).
const SEQUENCE: &str = "\x1b[";

/// A text of somebody else's on one line, with nothing in it that a terminal would obey or that can't be seen: colours and
/// invisible letters are left out, other controls and the ends of lines become spaces. Joiners go too, so that a joined
/// emoji falls into its parts: what looks like a name must be that name.
#[must_use]
pub fn sanitize(text: &str) -> String {
    let mut parts = text.split(SEQUENCE);
    let first = parts.next().unwrap_or_default();
    let rest = parts.flat_map(|part| without_colour(part).map_or([SEQUENCE, part], |part| ["", part]));
    std::iter::once(first).chain(rest).flat_map(str::chars).filter_map(shown).collect()
}

/// As [`sanitize`], but tabs stay: for the lines of a log, whose columns they are.
#[must_use]
pub fn sanitize_line(text: &str) -> String {
    text.split('\t').map(sanitize).collect::<Vec<_>>().join("\t")
}

/// Is this a letter that a terminal may obey, or that changes a text without being seen?
#[must_use]
pub fn is_unsafe(letter: char) -> bool {
    shown(letter) != Some(letter)
}

/// What follows a sequence that is a colour ("Select Graphic Rendition"), of a text that begins within it.
fn without_colour(text: &str) -> Option<&str> {
    let is_parameter = |letter: char| letter.is_ascii_digit() || matches!(letter, ';' | ':');
    text.trim_start_matches(is_parameter).strip_prefix('m')
}

fn shown(letter: char) -> Option<char> {
    match letter {
        '\u{2028}' | '\u{2029}' => Some(' '),
        _ if letter.is_control() => Some(' '),
        _ if is_invisible(letter) => None,
        _ => Some(letter),
    }
}

/// Marks without a shape of their own: those that turn the order of letters about (Unicode's UAX 9), those of no width,
/// annotations and tags.
fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
