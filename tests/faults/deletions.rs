//! Deletion of plugins whose folders are made to do harm.

use std::fs;

use super::{lone::Lone, repeat, rounds};
use crate::harness::{Plugd, eventually};

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

#[tokio::test]
async fn very_many_files_and_links_that_lead_out() {
    let files = rounds(2_000, 1_000_000);
    let plugd = Plugd::with(&[("PLUGD_CONNECT_TIMEOUT", "10m")]).await;
    let api = plugd.api();
    let outside = plugd.scratch().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "kept").unwrap();
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
        assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept");
    })
    .await;
}
