//! Text: read from bytes, made safe for a terminal, shortened for a message.

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Begins a sequence that a terminal obeys (ECMA-48, 5.4).
const SEQUENCE: &str = "\x1b[";

/// Why bytes are no text that plugd reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    /// What some editors and shells of Windows write, with or without a byte order mark.
    #[error("it is text in UTF-16 or UTF-32: save it as UTF-8")]
    Wide,
    /// Neither that nor UTF-8: another encoding, or no text at all.
    #[error("it is not text in UTF-8 (line {line}): save it as UTF-8")]
    NotUtf8 {
        /// Where the first byte stands that is wrong; from 1.
        line: usize,
    },
}

/// The text of these bytes, without a byte order mark.
pub fn decode(bytes: &[u8]) -> Result<&str, NotText> {
    let bytes = unmarked(bytes)?;
    str::from_utf8(bytes).map_err(|error| {
        let before = bytes.iter().take(error.valid_up_to());
        NotText::NotUtf8 { line: before.filter(|byte| **byte == b'\n').count() + 1 }
    })
}

/// These bytes without a byte order mark: for formats in which only some parts are text. UTF-16 and UTF-32 are refused: ASCII
/// in there shows by its zeros, which no text in UTF-8 begins with.
pub fn unmarked(bytes: &[u8]) -> Result<&[u8], NotText> {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => Err(NotText::Wide),
        _ => Ok(bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)),
    }
}

/// At most so many characters of a text; the last one is an ellipsis if some are left out.
pub fn shorten(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters.saturating_sub(1)) {
        Some((end, last)) if end + last.len_utf8() < text.len() => format!("{}…", &text[..end]),
        _ => text.to_owned(),
    }
}

/// At most so many bytes of a text, whole characters; it ends with an ellipsis if some are left out.
pub fn shorten_to_bytes(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(bytes.saturating_sub('…'.len_utf8()))])
}

/// A text of somebody else's on one line, with nothing in it that a terminal would obey or that can't be seen: colours and
/// invisible letters are left out, other controls and the ends of lines become spaces. Joiners go too, so that a joined
/// emoji falls into its parts: what looks like a name must be that name.
pub fn sanitize(text: &str) -> String {
    if text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        // Most texts are, and some are on the way of every request.
        return text.to_owned();
    }
    let mut parts = text.split(SEQUENCE);
    let first = parts.next().unwrap_or_default();
    let rest = parts.flat_map(|part| without_colour(part).map_or([SEQUENCE, part], |part| ["", part]));
    std::iter::once(first).chain(rest).flat_map(str::chars).filter_map(shown).collect()
}

/// As [`sanitize`], but tabs stay: for the lines of a log, whose columns they are.
pub fn sanitize_line(text: &str) -> String {
    text.split('\t').map(sanitize).collect::<Vec<_>>().join("\t")
}

/// Whether a terminal may obey this letter, or it changes a text without being seen.
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
mod tests;
