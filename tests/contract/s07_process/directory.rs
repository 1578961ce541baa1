//! The directory: where it is, what is in it, and when it is laid out.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use serde_json::{Value, json};

use super::{activate, install};
use crate::harness::Plugd;

const SCRIPT: &str = "#!/bin/sh\necho from the package\nexec chaos tame\n";

fn folder(plugd: &Plugd, id: &str) -> PathBuf {
    plugd.data_dir().join("plugins").join(id)
}

fn command() -> Value {
    json!({"command": "./run.sh", "args": []})
}

#[tokio::test]
async fn the_directory_is_made_at_the_first_start_with_0755_7() {
    let plugd = Plugd::start().await;
    let id = install(&plugd, &json!({}), &[]).await;
    assert!(!folder(&plugd, &id).exists());
    activate(&plugd, &id).await;
    let mode = fs::metadata(folder(&plugd, &id)).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[tokio::test]
async fn the_marker_is_the_archives_digest_in_hex_and_a_line_break_7() {
    let plugd = Plugd::start().await;
    let id = install(&plugd, &json!({}), &[]).await;
    activate(&plugd, &id).await;
    let digest = plugd.api().get(&id).await.unwrap().package_digest().to_owned();
    let digits = digest.strip_prefix("sha256:").unwrap();
    assert_eq!(fs::read_to_string(folder(&plugd, &id).join(".sdxlock")).unwrap(), format!("{digits}\n"));
}

/// The package's own program is changed on the disk: as long as the marker and the command are there it stays so.
#[tokio::test]
async fn a_package_is_laid_out_again_only_without_its_marker_or_its_command_7() {
    let mut plugd = Plugd::start().await;
    let id = install(&plugd, &command(), &[("run.sh", SCRIPT, 0o755)]).await;
    activate(&plugd, &id).await;
    let file = |name: &str| folder(&plugd, &id).join(name);
    let (program, marker) = (file("run.sh"), file(".sdxlock"));
    let changed = SCRIPT.replace("from the package", "changed");
    let start = async |plugd: &Plugd| {
        plugd.rest().set_active(&id, "inactive").await.expect(200);
        activate(plugd, &id).await;
        fs::read_to_string(&program).unwrap()
    };

    fs::write(&program, &changed).unwrap();
    assert_eq!(start(&plugd).await, changed);
    plugd.kill_9().await;
    plugd.restart().await;
    assert_eq!(start(&plugd).await, changed, "another plugd sees the marker too");
    fs::remove_file(&marker).unwrap();
    assert_eq!(start(&plugd).await, SCRIPT);
    fs::write(&program, &changed).unwrap();
    fs::write(&marker, "0".repeat(64) + "\n").unwrap();
    assert_eq!(start(&plugd).await, SCRIPT);
    fs::remove_file(&program).unwrap();
    assert_eq!(start(&plugd).await, SCRIPT);
}

#[tokio::test]
async fn files_of_a_package_overwrite_what_is_there_and_what_the_plugin_wrote_stays_7() {
    let mut plugd = Plugd::start().await;
    let id = install(&plugd, &json!({}), &[("data/x", "the package's", 0o644)]).await;
    let own = folder(&plugd, &id).join("data/own");
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    fs::write(&own, "the plugin's").unwrap();
    fs::write(own.with_file_name("x"), "in the way").unwrap();
    activate(&plugd, &id).await;
    assert_eq!(fs::read_to_string(own.with_file_name("x")).unwrap(), "the package's");
    assert!(plugd.sigterm().await.0.success());
    plugd.restart().await;
    activate(&plugd, &id).await;
    assert_eq!(fs::read_to_string(&own).unwrap(), "the plugin's");
}
