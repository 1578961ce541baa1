//! Deletion of plugins whose folders are made to do harm.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{lone::Lone, own_disk::has_own_disk, repeat, rounds};
use crate::harness::{Plugd, Run, eventually, program};

/// Makes very many files, and links that lead out of its folder at every level of a deep one.
const SCRIPT: &str = "python3 - \"$OUTSIDE\" <<'EOF'
import os, sys
outside = sys.argv[1]
for folder in range(20):
    os.makedirs(f'many/{folder}')
    for file in range(@ // 20):
        os.close(os.open(f'many/{folder}/{file}', os.O_CREAT | os.O_WRONLY))
    os.symlink(outside, f'many/{folder}/link')
os.symlink(outside, 'link')
os.symlink(outside + '/kept', 'kept')
os.makedirs('closed/below')
os.symlink(outside, 'closed/below/link')
os.chmod('closed/below', 0)
os.chmod('closed', 0)
for depth in range(2000):
    os.mkdir('deep')
    os.symlink(outside, 'out')
    os.chdir('deep')
EOF
exec chaos tame";

/// A folder with a file that is no plugin's.
fn mk_outside(plugd: &Plugd) -> PathBuf {
    let outside = plugd.scratch().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "kept").unwrap();
    outside
}

#[track_caller]
fn assert_kept(outside: &Path) {
    assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept");
}

#[tokio::test]
async fn very_many_files_and_links_that_lead_out() {
    let files = rounds(2_000, 1_000_000);
    let plugd = Plugd::with(&[("PLUGD_CONNECT_TIMEOUT", "10m")]).await;
    let api = plugd.api();
    let outside = mk_outside(&plugd);
    let script = SCRIPT.replace('@', &files.to_string()).replace("\"$OUTSIDE\"", outside.to_str().unwrap());
    let other = Lone::install(&plugd, "tame").await;
    let scenario = format!("deletion of a plugin with {files} files and with links that lead out");
    repeat(&scenario, rounds(2, 3), async |_| {
        let plugin = Lone::install_script(&plugd, &script).await;
        api.activate(&plugin.id).await.unwrap();
        let toggles = async {
            api.activate(&other.id).await.unwrap();
            other.stop(&api).await;
        };
        let (deleted, ()) = tokio::join!(api.delete(&plugin.id), toggles);
        deleted.unwrap();
        let is_left = |file: &String| file.starts_with("plugins/") && !file.contains(&other.id);
        eventually("nothing of it is left", || (!plugd.files().iter().any(is_left)).then_some(())).await;
        assert_kept(&outside);
    })
    .await;
}

/// Below the plugin's folder, and over it.
const MOUNTS: [&str; 2] = [
    "mkdir -p inside/folder; touch inside/file; mount --bind @ inside/folder && mount --bind @/kept inside/file",
    "mount --bind @ \"$PWD\"",
];

/// Where something is mounted below a folder.
fn mounts_below(folder: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points.filter(|point| Path::new(point).starts_with(folder)).map(str::to_owned).collect()
}

/// Without a sandbox and as root a plugin may mount. What is mounted stays, and so does what it is mounted on, until it is
/// unmounted: that is said.
#[tokio::test]
async fn mounts_that_lead_out() {
    const SCENARIO: &str = "deletion of a plugin with mounts that lead out";
    if !has_own_disk("deletions::mounts_that_lead_out", SCENARIO).await {
        return;
    }
    let mut plugd = Plugd::with(&[("PLUGD_SANDBOX", "off")]).await;
    let (outside, plugins) = (mk_outside(&plugd), plugd.data_dir().join("plugins"));
    repeat(SCENARIO, rounds(2, 50), async |round| {
        let mount = MOUNTS[round % MOUNTS.len()].replace('@', outside.to_str().unwrap());
        let api = plugd.api();
        let plugin = Lone::install_script(&plugd, &format!("{mount} && exec chaos tame")).await;
        api.activate(&plugin.id).await.unwrap();
        assert!(!mounts_below(&plugins).is_empty(), "it has mounted");
        api.delete(&plugin.id).await.unwrap();
        eventually("it is said", || plugd.said().contains("left behind").then_some(())).await;
        assert_kept(&outside);
        plugd.sigterm().await;
        for point in mounts_below(&plugins) {
            let unmounted = program("umount").args(["--lazy", &point]).run().await;
            assert!(unmounted.status.success(), "{unmounted:?}");
        }
        plugd.restart().await;
        let is_left = || plugd.files().iter().any(|file| file.starts_with("plugins/"));
        eventually("nothing of it is left", || (!is_left()).then_some(())).await;
        assert_kept(&outside);
    })
    .await;
}
