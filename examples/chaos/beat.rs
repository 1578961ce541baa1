//! Shows when it lives.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    thread,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use crate::common::log;

/// How often it writes.
const EVERY: Duration = Duration::from_millis(10);

/// Adds a line to a file every 10 ms, beside everything else, and the first at once: when this run began, which is its name, and
/// the time. Both are nanoseconds since the host's boot, so that runs on one host can be compared.
///
/// # Errors
/// The file can't be written.
pub(crate) fn keep(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let began = since_boot();
    beat(&mut file, began)?;
    thread::spawn(move || {
        loop {
            thread::park_timeout(EVERY);
            if let Err(error) = beat(&mut file, began) {
                log(error);
                return;
            }
        }
    });
    Ok(())
}

/// In one piece, as several runs may write.
fn beat(file: &mut File, began: u128) -> io::Result<()> {
    file.write_all(format!("{began} {}\n", since_boot()).as_bytes())
}

fn since_boot() -> u128 {
    // The kernel's clocks are never negative.
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default().as_nanos()
}
