//! The data folder: any name, a database that is somewhere else, and a token that was lost.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::Path};

use plugd::api::v1::ReportedState::{Active, Inactive};

use crate::harness::{Output, Plugd, Run, Server, eventually, program, state_of, within};

/// What `plugd` says to these arguments where it ends by itself.
async fn plugd(arguments: &[&OsStr]) -> Output {
    let mut command = program(env!("CARGO_BIN_EXE_plugd"));
    command.args(arguments).env_remove("PLUGD_DATABASE_URL");
    within("the end of plugd", command.run()).await
}

async fn reset(folder: &Path) -> Output {
    plugd(&["token".as_ref(), "reset".as_ref(), "--data-dir".as_ref(), folder.as_os_str()]).await
}

fn token_in(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_data_folder_may_have_any_name() {
    let mut plugd = Plugd::in_folder("%41 ?mode=memory#\u{fc}").await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    assert!(plugd.data_dir().join("plugd.db").is_file());
    plugd.sigterm().await;
    plugd.restart().await;
    let api = plugd.api();
    api.live().await.until_state(&id, Active).await;
    api.deactivate(&id).await.unwrap();
    assert_eq!(state_of(&api.get(&id).await.unwrap()), Inactive);
    api.delete(&id).await.unwrap();
    let beside: Vec<_> =
        fs::read_dir(plugd.data_dir().parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(beside.len(), 2, "its own folder and the test's: {beside:?}");
}

#[tokio::test]
async fn a_data_folder_that_can_not_be_used_is_refused_by_its_name() {
    let serve = ["serve", "--data-dir"].map(OsStr::new);
    let refused = plugd(&[&serve[..], &[OsStr::from_bytes(b"/tmp/\xff")]].concat()).await;
    assert_eq!(refused.code(), Some(2), "{refused:?}");
    assert!(refused.stderr.contains("/tmp/\\xFF"), "{refused:?}");
    let mut command = program(env!("CARGO_BIN_EXE_plugd"));
    command.arg("serve").env("PLUGD_PLUGIN_DIR", OsStr::from_bytes(b"/tmp/\xff"));
    let refused = within("the end of plugd", command.run()).await;
    assert_eq!(refused.code(), Some(2), "{refused:?}");
    assert!(refused.stderr.contains("PLUGD_PLUGIN_DIR"), "{refused:?}");
}

#[tokio::test]
async fn a_folder_without_a_database_is_named_with_the_options_that_name_another() {
    let home = tempfile::tempdir().unwrap();
    let mut command = program(env!("CARGO_BIN_EXE_plugd"));
    let refused = within("the end of plugd", command.args(["token", "reset"]).current_dir(home.path()).run()).await;
    assert!(refused.stderr.contains("there is no database ./data/plugd.db"), "{refused:?}");
    assert!(refused.stderr.contains("--database-url") && refused.stderr.contains("--data-dir"), "{refused:?}");
}

/// A token may be the only key to the other database.
#[tokio::test]
async fn another_database_for_a_folder_leaves_its_token_alone_and_says_what_is_there() {
    let mut plugd = Plugd::start().await;
    let (first, folder) = (plugd.token().to_owned(), plugd.data_dir());
    plugd.sigterm().await;
    let database = Server::shared().database().await;
    plugd.set("PLUGD_DATABASE_URL", &database.url());
    plugd.restart_with_token("admin.token.new").await;
    assert_eq!(token_in(&folder, "admin.token"), first);
    assert_ne!(plugd.token(), first);
    for words in ["plugd.db holds records", "admin.token is not valid in it", "admin.token.new"] {
        eventually(words, || plugd.said().contains(words).then_some(())).await;
    }
    assert_eq!(plugd.api().list().await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_lost_token_is_made_anew_where_the_server_does_not_run() {
    let mut plugd = Plugd::start().await;
    let (lost, folder) = (plugd.token().to_owned(), plugd.data_dir());
    let refused = reset(&folder).await;
    assert!(!refused.status.success() && refused.stderr.contains("another plugd uses this data folder"), "{refused:?}");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir"].map(OsStr::new);
    for refused in [refused, self::plugd(&[&serve[..], &[folder.as_os_str()]].concat()).await] {
        assert!(refused.stderr.contains("`fuser ") && refused.stderr.contains("stop that one first"), "{refused:?}");
    }
    plugd.sigterm().await;
    for _ in 0..2 {
        let made = reset(&folder).await;
        assert!(made.text().contains("admin.token"), "{made:?}");
        assert!(made.stderr.contains("stay valid") && made.stderr.contains("`plugd token revoke ID`"), "{made:?}");
    }
    let kept = fs::read_dir(&folder).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
        name.starts_with("admin.token.")
    });
    assert_eq!(kept.count(), 2, "what was there is kept, each time");
    plugd.restart().await;
    assert_ne!(plugd.token(), lost);
    plugd.api().list().await.unwrap();
    plugd.api_as(Some(&lost)).list().await.unwrap();
}

#[tokio::test]
async fn a_token_is_not_reset_where_there_is_no_database() {
    let home = tempfile::tempdir().unwrap();
    let refused = reset(home.path()).await;
    assert!(refused.stderr.contains("there is no database"), "{refused:?}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}
