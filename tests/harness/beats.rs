//! What a plugin writes every 10 ms that it lives, in whatever run: its runs, by the clock of this host.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// The lines of the example `chaos beat`, read as they come. Times are nanoseconds since the host's boot.
pub(super) struct Beats {
    path: PathBuf,
    read: u64,
    /// When each run began, and when it showed itself last.
    runs: BTreeMap<u128, u128>,
}

impl Beats {
    /// Those in this file, which need not be there yet.
    pub(super) fn of(path: PathBuf) -> Self {
        Self { path, read: 0, runs: BTreeMap::new() }
    }

    /// Whether the newest run has shown itself after this time.
    pub(super) fn go_on_after(&mut self, time: u128) -> bool {
        self.take();
        self.runs.last_key_value().is_some_and(|(_, last)| *last > time)
    }

    /// Two runs of which one had begun before the other showed itself last.
    pub(super) fn at_once(&mut self) -> Option<[(u128, u128); 2]> {
        self.take();
        let pairs = self.runs.iter().zip(self.runs.iter().skip(1));
        pairs.map(|(one, next)| [(*one.0, *one.1), (*next.0, *next.1)]).find(|[one, next]| one.1 >= next.0)
    }

    /// Reads on.
    fn take(&mut self) {
        let Ok(mut file) = File::open(&self.path) else { return };
        let mut lines = String::new();
        file.seek(SeekFrom::Start(self.read)).unwrap();
        file.read_to_string(&mut lines).unwrap();
        // The last may not be written yet.
        for line in lines.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            self.read += line.len() as u64;
            let (began, now) = line.trim_end().split_once(' ').unwrap();
            self.runs.insert(began.parse().unwrap(), now.parse().unwrap());
        }
    }
}

/// Now.
pub(super) fn since_boot() -> u128 {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap().as_nanos()
}

#[test]
fn runs_that_meet_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("beats");
    let mut beats = Beats::of(path.clone());
    assert!(!beats.go_on_after(0));
    std::fs::write(&path, "1 1\n1 20\n21 21\n21 30\n40 4").unwrap();
    assert!(beats.go_on_after(29) && !beats.go_on_after(30));
    assert_eq!(beats.at_once(), None);
    std::fs::write(&path, "1 1\n1 20\n21 21\n21 30\n40 40\n21 50\n").unwrap();
    assert_eq!(beats.at_once(), Some([(21, 50), (40, 40)]));
}
