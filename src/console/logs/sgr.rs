//! How a piece of a line looks: "Select Graphic Rendition" of ECMA-48, with the colours that a page has.

use std::fmt::Write;

use anstyle_parse::Params;

/// Which of the 16 colours the text and its ground have, and how it is set.
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
    pub(super) fn then(mut self, params: &Params) -> Self {
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
    pub(super) fn class(self) -> String {
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
