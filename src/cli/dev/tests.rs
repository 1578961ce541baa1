use std::{fs, time::Duration};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::{
    changes::Changes,
    deploy::{Deployment, Packages},
    *,
};
use crate::cli::{
    global::Output,
    package::Package,
    tests::fake::{Fake, mk_status},
    ui::tests::{Printed, mk_ui},
};

const MANIFEST: &str = r#"{"id": "installed", "author": "me", "name": "Installed"}"#;

struct Bench {
    fake: Fake,
    session: Session,
    folder: tempfile::TempDir,
    printed: Printed,
}

async fn mk_bench() -> Bench {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().unwrap());
    fs::write(folder.path().join("manifest.json"), MANIFEST).unwrap();
    let options =
        GlobalOptions { server: Some(fake.url.clone()), token: Some("x".to_owned()), ..GlobalOptions::default() };
    let api = Api::connect(&options).await.unwrap();
    let dir = folder.path().canonicalize().unwrap();
    let (data_dir, (ui, printed)) = (dir.join("data"), mk_ui(Output::Table));
    let (begin, stop) = (SystemTime::now(), CancellationToken::new());
    let session = Session { dir, manifest: None, data_dir, api, ui, begin, stop };
    Bench { fake, session, folder, printed }
}

impl Bench {
    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }
}

/// The next package of the folder.
async fn next(packages: &mut Packages<'_>) -> Package {
    timeout(Duration::from_secs(60), packages.next()).await.expect("another package")
}

#[tokio::test]
async fn a_folder_is_installed_then_updated_when_it_changed() {
    let bench = mk_bench().await;
    let mut packages = Packages::of(&bench.session, None).unwrap();
    let mut deployment = Deployment::new(&bench.session);
    deployment.deploy(&next(&mut packages).await).await;
    assert_eq!(bench.fake.calls(), ["install", "activate"]);
    bench.write("main.py", "1");
    deployment.deploy(&next(&mut packages).await).await;
    assert_eq!(bench.fake.calls(), ["update", "activate"]);
    let text = bench.printed.text();
    assert!(text.contains(" runs as ") && text.contains("runs the new package"), "{text}");
}

/// Does this once the folder has changed and is quiet again.
async fn once_changed(bench: &Bench, act: impl FnOnce()) {
    let seen = Changes::of(&bench.session.dir, &bench.session.data_dir).unwrap();
    seen.settled().await;
    act();
}

#[tokio::test]
async fn a_file_that_is_written_as_it_was_makes_no_package() {
    let bench = mk_bench().await;
    let mut packages = Packages::of(&bench.session, None).unwrap();
    next(&mut packages).await;
    let changed = once_changed(&bench, || bench.write("main.py", "1"));
    let again = async { bench.write("manifest.json", MANIFEST) };
    let (package, (), ()) = tokio::join!(next(&mut packages), changed, again);
    let is_there = package.digest == Package::of_folder(&bench.session.folder()).unwrap().digest;
    assert!(is_there && bench.folder.path().join("main.py").exists(), "the first one has both changes");
}

#[tokio::test]
async fn a_build_that_fails_makes_no_package_until_a_file_changes() {
    let bench = mk_bench().await;
    bench.write("source", "broken");
    let mut packages = Packages::of(&bench.session, Some("date +%N > built; grep -q good source")).unwrap();
    tokio::join!(once_changed(&bench, || bench.write("source", "good")), next(&mut packages));
    let text = bench.printed.text();
    assert_eq!(text.matches("` failed: ").count(), 1, "{text}");
    assert_eq!(text.matches("building: ").count(), 2, "what a build wrote is no change: {text}");
}

#[tokio::test]
async fn a_build_is_not_started_again_by_what_it_wrote_beside_a_broken_manifest() {
    let bench = mk_bench().await;
    bench.write("manifest.json", "{");
    let mut packages = Packages::of(&bench.session, Some("date +%N > built")).unwrap();
    let mend = async {
        let seen = Changes::of(&bench.session.dir, &bench.session.data_dir).unwrap();
        seen.settled().await;
        assert!(timeout(Duration::from_secs(1), seen.settled()).await.is_err(), "{}", bench.printed.text());
        bench.write("manifest.json", MANIFEST);
    };
    tokio::join!(mend, next(&mut packages));
    assert_eq!(bench.printed.text().matches("building: ").count(), 2, "{}", bench.printed.text());
}

#[tokio::test]
async fn what_is_left_out_is_said_once() {
    let bench = mk_bench().await;
    fs::create_dir(bench.folder.path().join(".venv")).unwrap();
    let mut packages = Packages::of(&bench.session, None).unwrap();
    next(&mut packages).await;
    bench.write("main.py", "1");
    next(&mut packages).await;
    let text = bench.printed.text();
    assert_eq!(text.matches("left out: .venv; ").count(), 1, "{text}");
    assert_eq!(text.matches("no \"command\"").count(), 1, "{text}");
}

#[tokio::test]
async fn a_broken_manifest_is_an_error_and_the_mended_one_another_chance() {
    let bench = mk_bench().await;
    bench.write("manifest.json", "{");
    let mut packages = Packages::of(&bench.session, None).unwrap();
    let mended = once_changed(&bench, || bench.write("manifest.json", MANIFEST));
    let broken = async { bench.write("main.py", "1") };
    let (package, (), ()) = tokio::join!(next(&mut packages), mended, broken);
    assert_eq!(package.manifest_id(), "installed");
    assert!(bench.printed.text().contains("is no manifest"), "{}", bench.printed.text());
}

#[tokio::test]
async fn an_external_command_gets_its_address_and_is_run_again_when_a_file_changes() {
    let bench = mk_bench().await;
    let outside = tempfile::tempdir().unwrap();
    let script =
        format!("echo $PLUGD_RPC_URL $STORYDEN_RPC_URL >> {0}/runs; sleep 1000 & wait", outside.path().display());
    let command = ["sh".to_owned(), "-c".to_owned(), script];
    let runs = || fs::read_to_string(outside.path().join("runs")).unwrap_or_default();
    let seen = Changes::of(&outside.path().canonicalize().unwrap(), Path::new("/none")).unwrap();
    let work = external::run(&bench.session, &command);
    let script = async {
        seen.settled().await;
        bench.write("manifest.json", r#"{"id": "installed", "author": "me", "name": "New"}"#);
        seen.settled().await;
        bench.session.stop.cancel();
    };
    let (done, ()) = timeout(Duration::from_secs(60), async { tokio::join!(work, script) }).await.expect("it ends");
    done.unwrap();
    let url = format!("{}/rpc?token=sdprt_x", bench.fake.url.replace("http", "ws"));
    assert_eq!(runs(), format!("{url} {url}\n").repeat(2));
    assert_eq!(bench.fake.calls(), ["register", "update manifest"]);
}

#[tokio::test]
async fn what_a_plugin_prints_can_not_command_the_authors_terminal() {
    let bench = mk_bench().await;
    bench.fake.log(["a\x1b[2Jb\u{202e}c"], Some(Status::permission_denied("enough")));
    follow_log(&bench.session, "x").await.unwrap();
    assert!(bench.printed.text().starts_with("  log | a [2Jbc\n"), "{}", bench.printed.text());
}

#[tokio::test]
async fn the_remedy_for_a_plugin_that_fails_is_to_save_a_file() {
    let bench = mk_bench().await;
    bench.fake.fail_activation(mk_status(Code::FailedPrecondition, "PLUGIN_FAILED"));
    let package = Package::of_folder(&bench.session.folder()).unwrap();
    Deployment::new(&bench.session).deploy(&package).await;
    let text = bench.printed.text();
    assert!(text.contains("error: it broke") && text.contains("save a file") && !text.contains("do this"), "{text}");
}

#[test]
fn the_lines_can_be_pasted() {
    let text = commands("http://127.0.0.1:8000", "tok", "abc", "/opt/bin/grpcurl");
    let expected = [
        r#"/opt/bin/grpcurl -plaintext -H 'authorization: Bearer tok' -d '{"plugin_id":"abc"}' 127.0.0.1:8000 plugd.v1.PluginService/GetPlugin"#,
        r#"-d '{"plugin_id":"abc","active_state":"ACTIVE_STATE_INACTIVE"}' 127.0.0.1:8000 plugd.v1.PluginService/SetActiveState"#,
        r#"-d '{"plugin_ids":["abc"],"follow":true}' 127.0.0.1:8000 plugd.v1.LogService/StreamLogs"#,
        r#"curl -X PATCH -H 'authorization: Bearer tok' -H 'content-type: application/json' -d '{"active":"inactive"}' http://127.0.0.1:8000/api/plugins/abc/active"#,
    ];
    for line in expected {
        assert!(text.contains(line), "{text}");
    }
}
