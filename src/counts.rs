//! Hot paths of which the instructions are counted: by `benches/counts.py`, from outside.

use std::env;

/// Takes a path: once where it is a test like others, and as often as it is told where it is counted.
pub(crate) fn repeat(mut path: impl FnMut()) {
    let times = env::var("PLUGD_COUNTED_TIMES").map_or(1, |times| times.parse().unwrap());
    (0..times).for_each(|_| path());
}
