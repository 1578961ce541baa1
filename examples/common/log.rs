//! A plugin's stdout is its log.

use std::{
    fmt::Display,
    io::{Write, stdout},
};

/// Prints one line. A line that cannot be written is lost: a plugin must not die because nobody reads its log.
pub(crate) fn log(line: impl Display) {
    let mut stdout = stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
