//! The first activation of a plugin with a large package, against unzipping it and spawning; and the next ones.

use std::{
    fs,
    io::Cursor,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Instant,
};

use plugd::api::v1::ActiveState;
use rand::RngCore;
use zip::ZipArchive;

use crate::{
    figures::{Goal, ROUNDS, Report, Rounds, ms, to_f64},
    plugins::{greeter_manifest, install, package, set},
    server::Plugd,
    spawn::spawn,
};

/// Files of half a megabyte, 20 MB together.
const FILES: usize = 40;
const FILE_BYTES: usize = 500_000;

pub(crate) async fn measure(report: &mut Report) {
    let plugd = Plugd::start();
    let client = plugd.client().await;
    let (mut first, mut unzip) = (Rounds::default(), Rounds::default());
    let (mut next, mut bare, mut touched) = (Rounds::default(), Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        let package = package(&greeter_manifest(), &files());
        let id = install(client.clone(), &package).await;
        first.add(vec![ms(set(client.clone(), &id, ActiveState::Active).await)]);
        set(client.clone(), &id, ActiveState::Inactive).await;
        let began = Instant::now();
        let folder = tempfile::tempdir().unwrap();
        ZipArchive::new(Cursor::new(package)).unwrap().extract(folder.path()).unwrap();
        let unzipped = began.elapsed();
        let (spawned, time) = spawn().await;
        spawned.stop().await;
        unzip.add(vec![ms(unzipped + time)]);
        bare.add(vec![ms(time)]);

        let before = changes(&plugd.data());
        next.add(vec![ms(set(client.clone(), &id, ActiveState::Active).await)]);
        let after = changes(&plugd.data());
        touched.add(vec![to_f64(after.iter().filter(|file| !before.contains(file)).count())]);
        set(client.clone(), &id, ActiveState::Inactive).await;
    }
    let what = ("first activation of a 20 MB package", "ms");
    report.median(what, &first, Some(("unzip + spawn", &unzip)), Goal::Times(1.5));
    let what = ("activation when it is laid out", "ms");
    report.median(what, &next, Some(("spawn + accept", &bare)), Goal::Seen);
    report.median(("its files touched by that", ""), &touched, None, Goal::AtMost(0.0));
}

/// Half of each is noise, so that it can be made smaller, but not by much.
fn files() -> Vec<(String, Vec<u8>)> {
    let file = |number| {
        let mut bytes = vec![b'-'; FILE_BYTES];
        rand::rng().fill_bytes(&mut bytes[..FILE_BYTES / 2]);
        (format!("assets/{number}.bin"), bytes)
    };
    (0..FILES).map(file).collect()
}

/// Which file of a package stands where, and when it was changed last.
fn changes(folder: &Path) -> Vec<(PathBuf, u64, (i64, i64))> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let found = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => changes(&entry.path()),
        false if entry.path().extension().is_some_and(|extension| extension == "bin") => {
            let metadata = entry.metadata().unwrap();
            vec![(entry.path(), metadata.ino(), (metadata.ctime(), metadata.ctime_nsec()))]
        }
        false => Vec::new(),
    });
    found.flatten().collect()
}
