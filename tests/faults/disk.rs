//! The disk is full or read-only, and files disappear under plugd.

use std::{
    fs,
    fs::OpenOptions,
    io::{ErrorKind, Write},
    path::Path,
};

use plugd::api::v1::{ActiveState, ReportedState::Active};
use tonic::{Code, Status};

use super::{lone::Lone, own_disk::has_own_disk, ready, repeat, rounds};
use crate::harness::{Plugd, QUICK, Run, chaos, eventually, program, reason, state_of, within};

/// Takes all the room that there is.
fn fill(file: &Path) {
    let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
    for piece in [1 << 20, 4096, 1] {
        while file.write_all(&vec![b'x'; piece]).is_ok() {}
    }
}

#[track_caller]
fn assert_unavailable(refused: Result<impl std::fmt::Debug, Status>, words: &[&str]) {
    let status = refused.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"), "{status}");
    assert!(words.iter().any(|words| status.message().contains(words)), "{status}");
}

#[tokio::test]
async fn a_disk_that_is_full() {
    const SCENARIO: &str = "disk full: plugins run, can be stopped and deleted, nothing is pretended";
    if !has_own_disk("disk::a_disk_that_is_full", SCENARIO).await {
        return;
    }
    let mut plugd = Plugd::start().await;
    let filler = plugd.scratch().join("filler");
    repeat(SCENARIO, rounds(2, 30), async |round| {
        let api = plugd.api();
        let talker = Lone::install_script(&plugd, "(yes | head -c 5000000; echo poured) & exec chaos tame").await;
        let stopped = Lone::install(&plugd, "stubborn").await;
        api.activate(&stopped.id).await.unwrap();
        fill(&filler);
        assert_unavailable(api.upload(chaos(&["tame"])).await, &["full", "no storage space"]);
        // There may be room for it where the database had some already.
        let begun = api.desire(&talker.id, ActiveState::Active).await;
        if begun.is_err() {
            assert_unavailable(begun, &["full"]);
        }
        assert_eq!(state_of(&api.get(&stopped.id).await.unwrap()), Active, "what runs goes on");
        stopped.stop(&api).await;
        api.delete(&stopped.id).await.unwrap();
        if round % 2 == 1 {
            plugd.kill_9().await;
            fs::remove_file(&filler).unwrap();
            plugd.restart().await;
        } else {
            fs::remove_file(&filler).unwrap();
            ready(&plugd, 200).await;
        }
        let api = plugd.api();
        assert_eq!(reason(&api.get(&stopped.id).await.unwrap_err()), "PLUGIN_NOT_FOUND");
        api.activate(&talker.id).await.unwrap();
        api.delete(&talker.id).await.unwrap();
        assert!(api.list().await.unwrap().is_empty(), "what was refused is not there");
    })
    .await;
}

async fn mount(arguments: &[&str], folder: &Path) {
    let mounted = program("mount").args(arguments).args([folder, folder]).run().await;
    assert!(mounted.status.success(), "{mounted:?}");
}

/// What is open stays writable, as on a disk of which a folder was mounted again. What would need another file is refused.
#[tokio::test]
async fn a_disk_that_is_read_only() {
    const SCENARIO: &str = "disk read-only: what runs goes on, a new file is refused, a start says why it ends";
    if !has_own_disk("disk::a_disk_that_is_read_only", SCENARIO).await {
        return;
    }
    let mut plugd = Plugd::start().await;
    let folder = plugd.data_dir();
    let running = Lone::install(&plugd, "tame").await;
    repeat(SCENARIO, rounds(2, 30), async |_| {
        let api = plugd.api();
        api.activate(&running.id).await.unwrap();
        mount(&["--bind", "-o", "ro"], &folder).await;
        let refused = api.upload(chaos(&["tame"])).await.unwrap_err();
        assert!(refused.message().to_lowercase().contains("read-only"), "{refused}");
        assert_eq!(state_of(&api.get(&running.id).await.unwrap()), Active, "what runs goes on");
        plugd.kill_9().await;
        eventually("the end of what ran", || running.has_ended().then_some(())).await;
        let mut start = crate::harness::serve(folder.parent().unwrap(), &[]);
        let refused = within("the end of plugd", start.run()).await;
        assert!(!refused.status.success() && refused.stderr.to_lowercase().contains("read-only"), "{refused:?}");
        let unmounted = program("umount").arg(&folder).run().await;
        assert!(unmounted.status.success(), "{unmounted:?}");
        plugd.restart().await;
        let api = plugd.api();
        running.stop(&api).await;
        let id = api.install(&["tame"]).await;
        api.delete(&id).await.unwrap();
    })
    .await;
}

/// plugd may write one more file into a folder that is being emptied.
async fn remove(folder: &Path) {
    let gone = || fs::remove_dir_all(folder).map_or_else(|error| error.kind() == ErrorKind::NotFound, |()| true);
    eventually("an empty folder", || gone().then_some(())).await;
}

#[tokio::test]
async fn the_data_folder_is_removed() {
    repeat("data folder removed: it is said, what runs goes on and is stopped at the end", rounds(2, 30), async |_| {
        let mut plugd = Plugd::start().await;
        let api = plugd.api();
        let id = api.run(&["grandchild"]).await;
        remove(&plugd.data_dir()).await;
        assert_unavailable(api.upload(chaos(&["tame"])).await, &["deleted or replaced", "removed"]);
        assert_unavailable(api.deactivate(&id).await, &["deleted or replaced"]);
        ready(&plugd, 503).await;
        eventually("it is said", || plugd.said().contains("was deleted, replaced").then_some(())).await;
        assert_eq!(state_of(&api.get(&id).await.unwrap()), Active);
        plugd.sigterm().await;
        assert!(Plugd::processes_of(&id).is_empty());
        plugd.restart().await;
        assert!(plugd.api().list().await.unwrap().is_empty(), "another folder, another history");
    })
    .await;
}

/// The file has to be put back; the log and its index come back by a restart.
#[tokio::test]
async fn files_of_the_database_are_deleted() {
    let mut plugd = Plugd::with(&[QUICK, &[("PLUGD_GRACE", "50ms")]].concat()).await;
    let path = |suffix: &str| plugd.data_dir().join(format!("plugd.db{suffix}"));
    let [file, log, index] = ["", "-wal", "-shm"].map(path);
    let aside = plugd.data_dir().join("aside");
    let plugin = Lone::install(&plugd, "tame").await;
    let deleted: [&[&Path]; 4] = [&[&log], &[&index], &[&log, &index], &[&file]];
    repeat("`plugd.db`, `-wal` or `-shm` deleted while it runs", rounds(4, 100), async |round| {
        let api = plugd.api();
        let before = api.activate(&plugin.id).await.unwrap();
        let deleted = deleted[round % deleted.len()];
        let is_file = deleted.contains(&file.as_path());
        for path in deleted {
            if is_file { fs::rename(path, &aside).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        assert_unavailable(api.deactivate(&plugin.id).await, &["deleted or replaced"]);
        assert_eq!(state_of(&api.get(&plugin.id).await.unwrap()), Active, "what runs goes on");
        ready(&plugd, 503).await;
        if is_file {
            fs::rename(&aside, &file).unwrap();
        } else {
            // What is gone comes back by a restart alone.
            plugd.sigterm().await;
            plugd.restart().await;
        }
        let api = plugd.api();
        ready(&plugd, 200).await;
        let mut watch = api.live().await;
        assert_eq!(api.get(&plugin.id).await.unwrap().generation, before.generation, "what was refused is not made");
        plugin.stop(&api).await;
        let last = api.live().await.cursor.revision;
        watch.until(|event| event.revision >= last).await;
        let kept = api.get(&plugin.id).await.unwrap();
        plugd.kill_9().await;
        plugd.restart().await;
        assert_eq!(plugd.api().get(&plugin.id).await.unwrap().generation, kept.generation, "what was answered is kept");
    })
    .await;
}
