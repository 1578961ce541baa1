//! Output in unhealthy amounts.

use std::{env, thread};

use crate::common::log;

/// Bytes of a long line.
const LONG: usize = 100 * 1024;
/// One line in so many is long.
const LONG_EVERY: u32 = 100;

/// Prints `lines` lines, as fast as they are read, beside everything else. A line starts with its number, and the line
/// after the last says that it was the last.
pub(crate) fn flood(lines: u32) {
    thread::spawn(move || {
        for number in 1..=lines {
            let length = if number % LONG_EVERY == 0 { LONG } else { 0 };
            log(format_args!("flood {number} {}", "x".repeat(length)));
        }
        log(format_args!("flooded {lines}"));
    });
}

/// Prints the environment, a variable a line.
pub(crate) fn environment() {
    let mut variables: Vec<String> =
        env::vars_os().map(|(name, value)| format!("env {}={}", name.display(), value.display())).collect();
    variables.sort();
    variables.iter().for_each(log);
}
