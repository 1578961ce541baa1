//! Backups of a plugd that is at work, restored elsewhere, and records that move from one kind of database to the other.

use std::{fs, path::Path};

use plugd::api::v1::{Plugin, PluginView, ReportedState::Active, Role, WatchStateRequest};
use serde_json::Value;
use tokio::{process::Command, select};
use tonic::Code;
use zip::ZipArchive;

use crate::harness::{Api, Cursor, Output, Plugd, QUICK, Run, Server, cli, external_manifest, program, reason, within};

/// A command of the server's machine, on this data folder.
fn on(folder: &Path, args: &[&str]) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_plugd"));
    command.arg("--data-dir").arg(folder).args(args);
    command
}

async fn done(folder: &Path, args: &[&str]) -> Output {
    on(folder, args).run_at_length().await
}

/// What the manifest of a backup says of this.
fn told(file: &Path, key: &str) -> Value {
    let mut archive = ZipArchive::new(fs::File::open(file).unwrap()).unwrap();
    let manifest: Value = serde_json::from_reader(archive.by_name("manifest.json").unwrap()).unwrap();
    manifest[key].clone()
}

/// Starts and stops these plugins, again and again.
async fn toggle(api: Api, ids: Vec<String>) {
    loop {
        for id in &ids {
            api.activate(id).await.unwrap();
            api.deactivate(id).await.unwrap();
        }
    }
}

/// The plugin is active, with one process.
async fn assert_runs_once(plugd: &Plugd, id: &str) -> Plugin {
    let plugin = plugd.api().live().await.plugin_in(id, Active).await;
    assert_eq!(plugd.runs_of(id).len(), 1);
    plugin
}

async fn greeting(plugd: &Plugd, id: &str) -> Value {
    cli(plugd, &["config", "get", id, "-o", "json"]).run().await.json()
}

async fn assert_unknown(api: &Api, cursor: &Cursor) {
    let request = WatchStateRequest { start: Some(cursor.start()), ..Default::default() };
    let mut refused = api.watch(request).await;
    let status = match &mut refused {
        Ok(watch) => watch.end().await,
        Err(status) => status.clone(),
    };
    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "EPOCH_UNKNOWN"));
}

#[tokio::test]
async fn a_backup_of_a_plugd_at_work_brings_the_same_plugins_up_elsewhere_once() {
    let mut plugd = Plugd::start().await;
    let (api, scratch) = (plugd.api(), plugd.scratch().to_owned());
    let steady = api.run(&["tame"]).await;
    cli(&plugd, &["config", "set", &steady, "greeting=as it was"]).run().await.text();
    let outside = api.register(&external_manifest("outside")).await.unwrap();
    let (_, viewer) = api.create_token("viewer", Role::Viewer).await;
    let (token, configuration) = (plugd.token().to_owned(), greeting(&plugd, &steady).await);
    let cursor = api.live().await.cursor;
    let mut busy = Vec::new();
    for _ in 0..3 {
        busy.push(api.install(&["tame"]).await);
    }

    let file = |number: usize| scratch.join(format!("{number}.backup"));
    let backups = async {
        for number in 0..3 {
            let made = done(&plugd.data_dir(), &["backup", "-o", "json", file(number).to_str().unwrap()]).await.json();
            assert_eq!(made["plugins"], 5, "{made}");
        }
    };
    select! {
        () = backups => {}
        () = toggle(api.clone(), busy.clone()) => unreachable!("it has no end"),
    }
    let revisions: Vec<u64> =
        (0..3).map(|number| told(&file(number), "standing")["revision"].as_u64().unwrap()).collect();
    assert!(revisions.is_sorted() && revisions[0] < revisions[2], "{revisions:?}");
    plugd.sigterm().await;

    for number in 0..3 {
        let restore = async |folder: &Path| {
            let restored = done(folder, &["restore", file(number).to_str().unwrap()]).await;
            assert!(restored.text().contains("5 plugins"), "{restored:?}");
            assert!(restored.stderr.contains("admin.token"), "{restored:?}");
        };
        let restored = Plugd::filled(QUICK, &token, restore).await;
        let api = restored.api();
        assert_runs_once(&restored, &steady).await;
        assert_eq!(greeting(&restored, &steady).await, configuration);
        let mut ids: Vec<_> = api.list().await.unwrap().into_iter().map(|plugin| plugin.id).collect();
        ids.sort();
        let mut expected = [vec![steady.clone(), outside.id.clone()], busy.clone()].concat();
        expected.sort();
        assert_eq!(ids, expected);
        let known = api.get_as(&outside.id, PluginView::Full).await.unwrap();
        assert_eq!(known.token(), outside.token());
        assert_eq!(restored.api_as(Some(&viewer)).list().await.unwrap().len(), 5);
        assert_unknown(&api, &cursor).await;
        assert_eq!(restored.packages().len(), 1, "all have the same package");
        for id in &busy {
            api.activate(id).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_restore_that_would_spoil_something_is_refused_and_writes_nothing() {
    let mut plugd = Plugd::start().await;
    plugd.api().install(&["tame"]).await;
    let (folder, file) = (plugd.data_dir(), plugd.scratch().join("whole"));
    done(&folder, &["backup", file.to_str().unwrap()]).await.text();
    let again = done(&folder, &["backup", file.to_str().unwrap()]).await;
    assert_eq!(again.code(), Some(6), "{again:?}");
    done(&folder, &["backup", "--force", file.to_str().unwrap()]).await.text();
    plugd.sigterm().await;

    let used = done(&folder, &["restore", file.to_str().unwrap()]).await;
    assert!(!used.status.success() && used.stderr.contains("a plugd has been here"), "{used:?}");
    let elsewhere = plugd.scratch().join("elsewhere");
    let cut = plugd.scratch().join("cut");
    let bytes = fs::read(&file).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 100]).unwrap();
    for (path, words) in [(&cut, "cut short"), (&plugd.scratch().join("none"), "can't read")] {
        let refused = done(&elsewhere, &["restore", path.to_str().unwrap()]).await;
        assert!(!refused.status.success() && refused.stderr.contains(words), "{refused:?}");
        assert!(!elsewhere.exists(), "it was refused before anything was written");
    }
    let nothing = done(&elsewhere, &["backup", plugd.scratch().join("new").to_str().unwrap()]).await;
    assert!(!nothing.status.success() && nothing.stderr.contains("there is no database"), "{nothing:?}");
}

#[tokio::test]
async fn records_move_to_a_server_and_back_while_plugd_does_not_run() {
    let database = Server::shared().database().await;
    let mut plugd = Plugd::start().await;
    let folder = plugd.data_dir();
    let id = plugd.api().run(&["tame"]).await;
    cli(&plugd, &["config", "set", &id, "greeting=as it was"]).run().await.text();
    let configuration = greeting(&plugd, &id).await;
    let cursor = plugd.api().live().await.cursor;
    let url = database.url();
    let refused = done(&folder, &["migrate", "--to", &url]).await;
    assert!(!refused.status.success() && refused.stderr.contains("another plugd uses"), "{refused:?}");
    plugd.sigterm().await;

    let moved = done(&folder, &["migrate", "--to", &url]).await;
    assert!(moved.text().contains("moved 1 plugins"), "{moved:?}");
    assert!(!moved.stderr.contains(&url) && moved.stderr.contains("--database-url"), "{moved:?}");
    let backup = |name: &str| plugd.scratch().join(name).to_str().unwrap().to_owned();
    let (before, there, back) = (backup("before"), backup("there"), backup("back"));
    let again = format!("sqlite://{}", folder.join("again.db").display());
    done(&folder, &["backup", &before]).await.text();
    done(&folder, &["backup", "--database-url", &url, &there]).await.text();
    done(&folder, &["migrate", "--database-url", &url, "--to", &again]).await.text();
    done(&folder, &["backup", "--database-url", &again, &back]).await.text();
    for key in ["tables", "packages", "standing"] {
        assert_eq!(told(there.as_ref(), key), told(before.as_ref(), key));
        assert_eq!(told(back.as_ref(), key), told(before.as_ref(), key));
    }
    let twice = done(&folder, &["migrate", "--to", &url]).await;
    assert!(!twice.status.success() && twice.stderr.contains("it has records already"), "{twice:?}");

    for used in [url, again] {
        plugd.set("PLUGD_DATABASE_URL", &used);
        within("a start on the other database", plugd.restart()).await;
        assert_runs_once(&plugd, &id).await;
        assert_eq!(greeting(&plugd, &id).await, configuration);
        assert_unknown(&plugd.api(), &cursor).await;
        plugd.sigterm().await;
    }
}
