//! Tables for people: aligned columns, no borders.

use std::io;

use unicode_width::UnicodeWidthStr;

use super::ui::{Style, Ui, sanitize};

/// One field of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A field in this style.
    pub(super) fn styled(text: impl AsRef<str>, style: Style) -> Self {
        Self { text: sanitize(text.as_ref()), style }
    }

    fn width(&self) -> usize {
        self.text.width()
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::Plain)
    }
}

/// Rows below a heading.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<Cell>>,
    /// Of the rows that were printed already.
    widths: Vec<usize>,
}

impl Table {
    /// An empty table with this heading.
    #[must_use]
    pub(super) fn new(heading: &[&str]) -> Self {
        let heading = heading.iter().map(|text| Cell::styled(text, Style::Bold)).collect();
        Self { rows: vec![heading], widths: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints it.
    ///
    /// # Errors
    /// The other end is gone.
    pub(super) fn print(&self, ui: &Ui) -> io::Result<()> {
        let widths = self.widths();
        self.rows.iter().try_for_each(|row| ui.line(&line(ui, row, &widths)))
    }

    /// Prints what it has so far. The rows that follow are aligned with these as far as they fit.
    ///
    /// # Errors
    /// The other end is gone.
    pub(super) fn flush(&mut self, ui: &Ui) -> io::Result<()> {
        self.print(ui)?;
        self.widths = self.widths();
        self.rows.clear();
        Ok(())
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default().max(self.widths.len());
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(Cell::width);
            cells.chain(self.widths.get(column).copied()).max()
        };
        (0..columns).map(|column| width(column).unwrap_or_default()).collect()
    }
}

fn line(ui: &Ui, row: &[Cell], widths: &[usize]) -> String {
    let mut line = String::new();
    for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
        line += &ui.paint(cell.style, &cell.text);
        if column + 1 < row.len() {
            line += &" ".repeat(width - cell.width() + 2);
        }
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{options::Output, ui::tests::mk_ui};

    #[test]
    fn columns_are_aligned_by_what_is_seen() {
        let (ui, printed) = mk_ui(Output::Table);
        let mut table = Table::new(&["ID", "NAME", "STATE"]);
        table.row(["1".into(), "Grüße".into(), "active".into()]);
        table.row(["22".into(), "x".into(), "".into()]);
        table.row(["3".into(), "世e\u{301}\u{202e}界".into(), "error".into()]);
        table.print(&ui).unwrap();
        let expected = "ID  NAME   STATE\n1   Grüße  active\n22  x\n3   世e\u{301}界  error\n";
        assert_eq!(printed.text(), expected, "a wide letter takes two columns, a mark none");
    }

    #[test]
    fn what_follows_is_aligned_with_what_was_printed() {
        let (ui, printed) = mk_ui(Output::Table);
        let mut table = Table::new(&["ID", "NAME"]);
        table.row(["22222".into(), "x".into()]);
        table.flush(&ui).unwrap();
        table.row(["1".into(), "y".into()]);
        table.flush(&ui).unwrap();
        assert_eq!(printed.text(), "ID     NAME\n22222  x\n1      y\n");
    }

    #[test]
    fn colour_does_not_count_as_width() {
        let printed = crate::cli::ui::tests::Printed::default();
        let ui = Ui::new(printed.clone(), io::sink(), Output::Table, true);
        let mut table = Table::new(&["A", "B"]);
        table.row([Cell::styled("long", Style::Green), "b".into()]);
        table.print(&ui).unwrap();
        assert_eq!(printed.text(), "\x1b[1mA\x1b[0m     \x1b[1mB\x1b[0m\n\x1b[32mlong\x1b[0m  b\n");
    }
}
