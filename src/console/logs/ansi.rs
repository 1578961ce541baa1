//! Printed text as markup: its colours as classes, and nothing else of what it would have a terminal do.

use std::{fmt::Write, ops::Range};

use anstyle_parse::{DefaultCharAccumulator, Params, Parser, Perform};
use maud::{Markup, html};

use crate::domain::text::sanitize_line;

/// A part of a line that looks the same throughout.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) style: Style,
    pub(super) text: String,
}

/// A line's pieces. Escapes are left out, and letters that change how others are read; other controls become spaces.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let plain = || vec![Piece { style: Style::default(), text: sanitize_line(text) }];
    if !text.contains('\u{1b}') {
        return plain();
    }
    let mut reader = Reader::default();
    let mut parser = Parser::<DefaultCharAccumulator>::new();
    text.bytes().for_each(|byte| parser.advance(&mut reader, byte));
    // What stands behind an escape that never ends would be hidden: then the line is shown with its escapes as text.
    let before = reader.count;
    parser.advance(&mut reader, b'.');
    if reader.count == before {
        return plain();
    }
    reader.text.pop();
    reader.cut();
    reader.pieces
}

/// The text alone, as [`pieces`] have it.
pub(super) fn plain(text: &str) -> String {
    pieces(text).into_iter().map(|piece| piece.text).collect()
}

/// The pieces with what was searched for marked, which is in lower case.
pub(super) fn shown(pieces: &[Piece], searched: &str) -> Markup {
    let whole: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
    let found = found(&whole, searched);
    let placed = pieces.iter().scan(0, |end, piece| {
        let start = *end;
        *end += piece.text.len();
        Some((piece.style.class(), marked(&whole, start..*end, &found)))
    });
    html! {
        @for (class, markup) in placed {
            @if class.is_empty() { (markup) } @else { span class=(class) { (markup) } }
        }
    }
}

/// Whether a text has what is searched for, whatever the case.
pub(super) fn has(text: &str, searched: &str) -> bool {
    searched.is_empty() || text.to_lowercase().contains(searched)
}

/// Where a text has what is searched for. In a text whose lower case has another length, as few have, nothing is marked: it is
/// found all the same.
fn found(text: &str, searched: &str) -> Vec<Range<usize>> {
    let lower = text.to_lowercase();
    if searched.is_empty() || lower.len() != text.len() {
        return Vec::new();
    }
    let starts = lower.match_indices(searched).map(|(at, _)| at..at + searched.len());
    starts.filter(|range| text.is_char_boundary(range.start) && text.is_char_boundary(range.end)).collect()
}

/// A part of a text, with what lies within the ranges marked.
fn marked(text: &str, part: Range<usize>, found: &[Range<usize>]) -> Markup {
    let first = found.partition_point(|range| range.end <= part.start);
    let within = found[first..].iter().take_while(|range| range.start < part.end);
    let marks = within.map(|range| range.start.max(part.start)..range.end.min(part.end));
    let marks = marks.scan(part.start, |end, mark| Some((std::mem::replace(end, mark.end)..mark.start, mark)));
    let marks: Vec<_> = marks.collect();
    let rest = marks.last().map_or(part.start, |(_, mark)| mark.end)..part.end;
    html! {
        @for (before, mark) in marks { (text[before]) mark { (text[mark]) } }
        (text[rest])
    }
}

/// Takes what a parser of escapes finds.
#[derive(Default)]
struct Reader {
    pieces: Vec<Piece>,
    style: Style,
    text: String,
    /// Letters that were seen.
    count: usize,
}

impl Reader {
    /// Ends the piece that is read.
    fn cut(&mut self) {
        let text = sanitize_line(&std::mem::take(&mut self.text));
        if !text.is_empty() {
            self.pieces.push(Piece { style: self.style, text });
        }
    }
}

impl Perform for Reader {
    fn print(&mut self, letter: char) {
        self.text.push(letter);
        self.count += 1;
    }

    fn execute(&mut self, byte: u8) {
        self.text.push(if byte == b'\t' { '\t' } else { ' ' });
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], is_cut: bool, action: u8) {
        if action == b'm' && intermediates.is_empty() && !is_cut {
            let style = self.style.then(params);
            if style != self.style {
                self.cut();
                self.style = style;
            }
        }
    }
}

/// Which of the 16 colours the text and its ground have, and how it is set: "Select Graphic Rendition" of ECMA-48, as far as a page
/// has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Style {
    text: Option<u8>,
    ground: Option<u8>,
    is_bold: bool,
    is_dim: bool,
    is_italic: bool,
    is_underlined: bool,
}

impl Style {
    /// The style after these parameters. What a page does not have changes nothing.
    fn then(mut self, params: &Params) -> Self {
        let mut params = params.iter();
        while let Some(param) = params.next() {
            match *param {
                [code @ (38 | 48)] => {
                    let color = color(&mut params.by_ref().map(|param| param[0]));
                    self.set(code, color);
                }
                [code @ (38 | 48), 2, _, red, green, blue, ..] | [code @ (38 | 48), 2, red, green, blue] => {
                    self.set(code, color(&mut [2, red, green, blue].into_iter()));
                }
                [code @ (38 | 48), 5, number, ..] => self.set(code, color(&mut [5, number].into_iter())),
                [4, 0, ..] => self.is_underlined = false,
                [code, ..] => self.take(code),
                [] => {}
            }
        }
        self
    }

    fn take(&mut self, code: u16) {
        match code {
            0 => *self = Self::default(),
            1 => self.is_bold = true,
            2 => self.is_dim = true,
            3 => self.is_italic = true,
            4 | 21 => self.is_underlined = true,
            22 => (self.is_bold, self.is_dim) = (false, false),
            23 => self.is_italic = false,
            24 => self.is_underlined = false,
            39 => self.text = None,
            49 => self.ground = None,
            30..=37 => self.text = number(code - 30),
            40..=47 => self.ground = number(code - 40),
            90..=97 => self.text = number(code - 90 + 8),
            100..=107 => self.ground = number(code - 100 + 8),
            _ => {}
        }
    }

    fn set(&mut self, code: u16, color: Option<u8>) {
        let place = if code == 38 { &mut self.text } else { &mut self.ground };
        *place = color.or(*place);
    }

    /// Its classes. A ground of the text's own colour, which would hide it, is left out.
    fn class(self) -> String {
        let mut class = String::new();
        let ground = self.ground.filter(|ground| self.text != Some(*ground));
        for (letter, color) in [('f', self.text), ('b', ground)] {
            if let Some(color) = color {
                // Writing to a string can't fail.
                let _ = write!(class, "{letter}{color} ");
            }
        }
        let words = [
            (self.is_bold, "bold "),
            (self.is_dim, "dim "),
            (self.is_italic, "italic "),
            (self.is_underlined, "underline "),
        ];
        words.into_iter().filter(|(is, _)| *is).for_each(|(_, word)| class.push_str(word));
        class.truncate(class.trim_end().len());
        class
    }
}

fn number(code: u16) -> Option<u8> {
    u8::try_from(code).ok().filter(|code| *code < 16)
}

/// The colour that follows a 38 or 48: `5;N` of a table of 256, or `2;R;G;B`.
fn color(codes: &mut impl Iterator<Item = u16>) -> Option<u8> {
    let kind = codes.next()?;
    let mut byte = || codes.next().map(|code| u8::try_from(code).ok());
    match kind {
        5 => byte()?.map(of_table),
        2 => {
            let (red, green, blue) = (byte()?, byte()?, byte()?);
            Some(nearest([red?, green?, blue?]))
        }
        _ => None,
    }
}

/// The nearest to one of the 256 colours that terminals have: 16, a cube of 6 × 6 × 6, and 24 greys.
fn of_table(number: u8) -> u8 {
    let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
    match number {
        0..16 => number,
        16..232 => {
            let place = number - 16;
            nearest([level(place / 36), level(place / 6 % 6), level(place % 6)])
        }
        232.. => nearest([8 + 10 * (number - 232); 3]),
    }
}

/// The 16 colours as xterm has them.
const COLORS: [[u8; 3]; 16] = [
    [0, 0, 0],
    [205, 0, 0],
    [0, 205, 0],
    [205, 205, 0],
    [0, 0, 238],
    [205, 0, 205],
    [0, 205, 205],
    [229, 229, 229],
    [127, 127, 127],
    [255, 0, 0],
    [0, 255, 0],
    [255, 255, 0],
    [92, 92, 255],
    [255, 0, 255],
    [0, 255, 255],
    [255, 255, 255],
];

fn nearest(color: [u8; 3]) -> u8 {
    let distance = |other: &[u8; 3]| -> u32 {
        other.iter().zip(color).map(|(one, other)| u32::from(one.abs_diff(other)).pow(2)).sum()
    };
    (0..16).min_by_key(|number: &u8| distance(&COLORS[usize::from(*number)])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markup(text: &str) -> String {
        shown(&pieces(text), "").into_string()
    }

    #[test]
    fn colours_become_classes() {
        assert_eq!(markup("plain"), "plain");
        assert_eq!(markup("\u{1b}[31mred\u{1b}[0m, not"), "<span class=\"f1\">red</span>, not");
        assert_eq!(markup("\u{1b}[1;3;4;2;93;44mall"), "<span class=\"f11 b4 bold dim italic underline\">all</span>");
        assert_eq!(
            markup("\u{1b}[1mbold\u{1b}[22;35m not\u{1b}[39m"),
            "<span class=\"bold\">bold</span><span class=\"f5\"> not</span>"
        );
        assert_eq!(markup("a\u{1b}[mb"), "ab");
    }

    #[test]
    fn more_colours_become_the_nearest_of_sixteen() {
        for (text, class) in [
            ("38;5;9", "f9"),
            ("38;5;196", "f9"),
            ("38;5;244", "f8"),
            ("38;2;0;0;0", "f0"),
            ("38;2;250;250;10", "f11"),
            ("38:2::0:205:0", "f2"),
            ("38:5:4", "f4"),
            ("48;2;0;0;230;31", "f1 b4"),
        ] {
            assert_eq!(markup(&format!("\u{1b}[{text}mx")), format!("<span class=\"{class}\">x</span>"), "{text}");
        }
        for text in ["38", "38;5", "38;2;1;2", "38;7", "999", "38;5;300"] {
            assert_eq!(markup(&format!("\u{1b}[{text}mx")), "x", "{text}");
        }
    }

    /// A colour on the same colour would hide the text.
    #[test]
    fn no_text_is_hidden_by_its_colours() {
        assert_eq!(markup("\u{1b}[30;40mx"), "<span class=\"f0\">x</span>");
        assert_eq!(markup("\u{1b}[8mx"), "x");
    }

    #[test]
    fn other_escapes_are_left_out() {
        let link = "\u{1b}]8;;https://evil.example\u{1b}\\click\u{1b}]8;;\u{1b}\\";
        for (text, shown) in [
            (link, "click"),
            ("\u{1b}]0;title\u{7}a", "a"),
            ("\u{1b}[2J\u{1b}[1;1Ha", "a"),
            ("\u{1b}[?25la\u{1b}c", "a"),
            ("\u{1b}P1$rq\u{1b}\\a", "a"),
            ("a\u{1b}[31", "a [31"),
            ("a\u{1b}]0;the rest is not hidden", "a ]0;the rest is not hidden"),
            ("a\u{1b}Xnor here", "a Xnor here"),
        ] {
            assert_eq!(markup(text), shown, "{text:?}");
        }
    }

    #[test]
    fn hostile_text_is_text() {
        for (text, shown) in [
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("\u{1b}[31m\" onmouseover='x' &", "<span class=\"f1\">&quot; onmouseover='x' &amp;</span>"),
            ("a\0b\rc\u{8}d\te", "a b c d\te"),
            ("\u{1b}[1ma\0b", "<span class=\"bold\">a b</span>"),
            ("user\u{202e}nimda", "usernimda"),
            ("\u{1b}[1muser\u{202e}\u{200b}nimda", "<span class=\"bold\">usernimda</span>"),
            ("\u{9b}31mx", " 31mx"),
            ("\u{1b}[1m\u{9b}31mx", "<span class=\"bold\"> 31mx</span>"),
            ("Grüße \u{1b}[32m日本", "Grüße <span class=\"f2\">日本</span>"),
        ] {
            assert_eq!(markup(text), shown, "{text:?}");
        }
    }

    #[test]
    fn what_is_searched_is_marked_across_colours() {
        let pieces = pieces("an Er\u{1b}[31mRor <b>");
        assert_eq!(
            shown(&pieces, "error").into_string(),
            "an <mark>Er</mark><span class=\"f1\"><mark>Ror</mark> &lt;b&gt;</span>"
        );
        assert_eq!(shown(&pieces, "<b>").into_string(), "an Er<span class=\"f1\">Ror <mark>&lt;b&gt;</mark></span>");
        // "İ" is longer in lower case.
        assert_eq!(shown(&super::pieces("İx"), "x").into_string(), "İx");
        assert!(has("İX", "x") && has("", "") && !has("a", "b"));
    }
}
