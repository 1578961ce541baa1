use std::{fs, time::Duration};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::{
    deploy::{Deployment, Outcome},
    *,
};
use crate::cli::{
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
    let options = Options { server: Some(fake.url.clone()), token: Some("x".to_owned()), ..Options::default() };
    let api = Api::connect(&options).await.unwrap();
    let dir = folder.path().canonicalize().unwrap();
    let (data_dir, (ui, printed)) = (dir.join("data"), mk_ui(Output::Table));
    let session = Session { dir, manifest: None, data_dir, home: Home::Own, api, ui, stop: CancellationToken::new() };
    Bench { fake, session, folder, printed }
}

impl Bench {
    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }
}

/// Deploys the folder as it is now; none if it did not change.
async fn deploy(deployment: &mut Deployment<'_>) -> Result<Option<Outcome>, Failure> {
    let Some(package) = deployment.prepare().await? else { return Ok(None) };
    deployment.deploy(&package).await.map(Some)
}

#[tokio::test]
async fn a_folder_is_installed_then_updated_only_when_it_changed() {
    let bench = mk_bench().await;
    let mut deployment = Deployment::new(&bench.session, None);
    assert!(matches!(deploy(&mut deployment).await, Ok(Some(Outcome::First(_)))));
    assert_eq!(bench.fake.calls(), ["install", "activate"]);
    assert!(matches!(deploy(&mut deployment).await, Ok(None)));
    assert_eq!(bench.fake.calls(), [""; 0]);
    bench.write("main.py", "1");
    assert!(matches!(deploy(&mut deployment).await, Ok(Some(Outcome::Again(_)))));
    assert_eq!(bench.fake.calls(), ["update", "activate"]);
}

#[tokio::test]
async fn a_build_that_fails_deploys_nothing_until_a_file_changes() {
    let bench = mk_bench().await;
    bench.write("source", "broken");
    let mut deployment = Deployment::new(&bench.session, Some("date +%N > built; grep -q good source"));
    assert!(deploy(&mut deployment).await.unwrap_err().what.contains("failed"));
    assert!(matches!(deploy(&mut deployment).await, Ok(None)), "what the build wrote is no change");
    assert_eq!(bench.fake.calls(), [""; 0]);
    bench.write("source", "good");
    assert!(matches!(deploy(&mut deployment).await, Ok(Some(Outcome::First(_)))));
    assert_eq!(bench.fake.calls(), ["install", "activate"]);
}

#[tokio::test]
async fn what_is_left_out_is_said_once() {
    let bench = mk_bench().await;
    fs::create_dir(bench.folder.path().join(".venv")).unwrap();
    let mut deployment = Deployment::new(&bench.session, None);
    deploy(&mut deployment).await.unwrap();
    bench.write("main.py", "1");
    deploy(&mut deployment).await.unwrap();
    let text = bench.printed.text();
    assert_eq!(text.matches("left out: .venv; ").count(), 1, "{text}");
    assert_eq!(text.matches("no \"command\"").count(), 1, "{text}");
}

#[tokio::test]
async fn a_broken_manifest_is_an_error_and_the_mended_one_another_chance() {
    let bench = mk_bench().await;
    bench.write("manifest.json", "{");
    let mut deployment = Deployment::new(&bench.session, None);
    assert!(deploy(&mut deployment).await.is_err());
    bench.write("manifest.json", MANIFEST);
    assert!(matches!(deploy(&mut deployment).await, Ok(Some(Outcome::First(_)))));
}

#[tokio::test]
async fn an_external_command_gets_its_address_and_is_run_again_when_a_file_changes() {
    let bench = mk_bench().await;
    let outside = tempfile::tempdir().unwrap();
    let script =
        format!("echo $PLUGD_RPC_URL $STORYDEN_RPC_URL >> {0}/runs; sleep 1000 & wait", outside.path().display());
    let command = ["sh".to_owned(), "-c".to_owned(), script];
    let runs = || fs::read_to_string(outside.path().join("runs")).unwrap_or_default();
    let mut changes = Changes::of(&bench.session.dir, vec![]).unwrap();
    let mut seen = Changes::of(&outside.path().canonicalize().unwrap(), vec![]).unwrap();
    let work = external::run(&bench.session, &command, &mut changes);
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
    output::follow_log(&bench.session, "x").await.unwrap();
    assert!(bench.printed.text().starts_with("  log | a [2Jbc\n"), "{}", bench.printed.text());
}

#[tokio::test]
async fn the_remedy_for_a_plugin_that_fails_is_to_save_a_file() {
    let bench = mk_bench().await;
    bench.fake.fail_activation(mk_status(Code::FailedPrecondition, "PLUGIN_FAILED"));
    bench.session.failed(deploy(&mut Deployment::new(&bench.session, None)).await.unwrap_err());
    assert!(bench.printed.text().contains("save a file"), "{}", bench.printed.text());
}
