//! What plugd prints itself, and those who should read it: they stop, go away, or were never there.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{Api, Plugd, Running, eventually, program, rest_shim_trusting, serve};

/// Calls that are logged with more than a pipe holds, and plugd keeps for its reader (1 MiB).
const CALLS: usize = 500;
/// Requests that are logged with more than a pipe holds.
const REQUESTS: usize = 50;

fn mk_home() -> TempDir {
    tempfile::Builder::new().prefix("plugd-it-").tempdir().unwrap()
}

fn client(home: &Path, url: &str) -> Api {
    Api::at(url, Some(fs::read_to_string(home.join("data/admin.token")).unwrap().trim()))
}

/// A plugd that logs everything, and its address. What it prints is read when a test asks for it, and not before.
async fn talkative(home: &Path) -> (Running, String) {
    let mut plugd = Running::start_reading_stderr(serve(home, &[]).env("PLUGD_LOG", "trace"));
    let url = plugd.find("plugd serves on ").await.rsplit(' ').next().unwrap().to_owned();
    (plugd, url)
}

#[tokio::test]
async fn a_reader_that_stops_does_not_stop_plugd_and_is_told_what_it_missed() {
    let home = mk_home();
    let (mut plugd, url) = talkative(home.path()).await;
    let api = client(home.path(), &url);
    let id = api.install(&["tame"]).await;
    for _ in 0..CALLS {
        api.list().await.unwrap();
    }
    api.activate(&id).await.unwrap();
    plugd.find("lines of output were dropped").await;
    plugd.signal(Signal::TERM);
    assert!(plugd.ended().await.success());
}

#[tokio::test]
async fn a_reader_that_stops_does_not_hold_up_the_end() {
    let home = mk_home();
    let (mut plugd, url) = talkative(home.path()).await;
    let api = client(home.path(), &url);
    for _ in 0..CALLS {
        api.list().await.unwrap();
    }
    plugd.signal(Signal::TERM);
    assert!(plugd.ended_unread().await.success());
}

#[tokio::test]
async fn a_reader_that_goes_away_does_not_stop_plugd() {
    let home = mk_home();
    let (mut plugd, url) = talkative(home.path()).await;
    plugd.stop_reading();
    let api = client(home.path(), &url);
    let id = api.run(&["tame"]).await;
    api.deactivate(&id).await.unwrap();
    assert_eq!(Plugd::processes_of(&id), []);
    plugd.signal(Signal::TERM);
    assert!(plugd.ended_unread().await.success());
}

#[tokio::test]
async fn a_reader_that_stops_does_not_stop_plugd_rest() {
    let plugd = Plugd::start().await;
    let (mut shim, rest) = rest_shim_trusting(&plugd, &[("PLUGD_LOG", "trace".to_owned())]).await;
    for _ in 0..REQUESTS {
        rest.get("/api/plugins").await.expect(200);
    }
    shim.signal(Signal::TERM);
    assert!(shim.ended_unread().await.success());
}

/// An address that is free and stays so: nobody else makes one of the id of this process.
fn mk_address() -> SocketAddr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    TcpListener::bind(SocketAddr::from(([127, a.max(1), b, c], 0))).unwrap().local_addr().unwrap()
}

/// As of some service managers and scripts: no socket and no database may get the number of a standard stream, or it is
/// printed into.
#[tokio::test]
async fn a_plugd_without_standard_streams_serves_and_prints_into_nothing_else() {
    let (home, address) = (mk_home(), mk_address());
    let served = serve(home.path(), &["--log", "trace"]);
    let served = served.as_std();
    let mut command = program("sh");
    command.args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh"]).arg(served.get_program()).args(served.get_args());
    command.envs(served.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PLUGD_LISTEN", address.to_string());
    let mut plugd = Running::start_reading_stderr(&mut command);
    // It listens before it serves: who dials meanwhile waits.
    let token = || fs::read_to_string(home.path().join("data/admin.token")).ok().filter(|token| !token.is_empty());
    eventually("the token is there", token).await;

    for number in 0..3 {
        let stream = fs::read_link(format!("/proc/{}/fd/{number}", plugd.pid())).unwrap();
        assert_eq!(stream, Path::new("/dev/null"), "{number}");
    }
    client(home.path(), &format!("http://{address}")).list().await.unwrap();
    plugd.signal(Signal::TERM);
    assert!(plugd.ended_unread().await.success());
}
