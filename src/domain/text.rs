//! Text as files have it: UTF-8, with or without the byte order mark that some editors write before it.

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

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
///
/// # Errors
/// They are in another encoding.
pub fn decode(bytes: &[u8]) -> Result<&str, NotText> {
    let bytes = unmarked(bytes)?;
    str::from_utf8(bytes).map_err(|error| {
        let before = bytes.iter().take(error.valid_up_to());
        NotText::NotUtf8 { line: before.filter(|byte| **byte == b'\n').count() + 1 }
    })
}

/// These bytes without a byte order mark: for formats in which only some parts are text.
///
/// # Errors
/// They are UTF-16 or UTF-32. ASCII in there shows by its zeros, which no text in UTF-8 begins with.
pub fn unmarked(bytes: &[u8]) -> Result<&[u8], NotText> {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => Err(NotText::Wide),
        _ => Ok(bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)),
    }
}

#[cfg(test)]
mod tests {
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
}
