//! What plugd makes of signals, and of a parent that ignored or blocked them.

use std::{fs, path::Path};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Code;

use crate::harness::{Api, Certificates, Plugd, Run, Running, deafen, external_manifest, program, serve};

/// Bits of the signals that programs die of when somebody wants them to.
const DEADLY: u64 =
    1 << (Signal::HUP.as_raw() - 1) | 1 << (Signal::INT.as_raw() - 1) | 1 << (Signal::TERM.as_raw() - 1);

/// A plugd, and the address that it said.
async fn started(home: &Path, settings: &[(&str, &str)], is_deaf: bool) -> (Running, String) {
    let mut command = serve(home, &[]);
    command.envs(settings.iter().copied());
    if is_deaf {
        deafen(command.as_std_mut());
    }
    let mut plugd = Running::start_reading_stderr(&mut command);
    let url = plugd.find("plugd serves on ").await.rsplit(' ').next().unwrap().to_owned();
    (plugd, url)
}

fn client(home: &Path, url: &str) -> Api {
    Api::at(url, Some(fs::read_to_string(home.join("data/admin.token")).unwrap().trim()))
}

fn mk_home() -> TempDir {
    tempfile::Builder::new().prefix("plugd-it-").tempdir().unwrap()
}

/// A set of signals of a process, as the kernel tells it.
fn signals(pid: u32, set: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(set)).unwrap();
    u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
}

#[tokio::test]
async fn a_plugd_of_a_parent_that_ignored_and_blocked_signals_stops_all_the_same() {
    for signal in [Signal::INT, Signal::TERM] {
        let home = mk_home();
        let (plugd, _) = started(home.path(), &[], true).await;
        plugd.signal(signal);
        assert!(plugd.ended().await.success(), "{signal:?}");
    }
}

#[tokio::test]
async fn plugins_of_a_deaf_parents_plugd_hear_the_signal_that_stops_them() {
    let home = mk_home();
    let (plugd, url) = started(home.path(), &[("PLUGD_GRACE", "1h")], true).await;
    let api = client(home.path(), &url);
    let id = api.run(&["tame"]).await;
    let [plugin] = &Plugd::processes_of(&id)[..] else { panic!("one process") };
    assert_eq!((signals(plugin.pid, "SigBlk"), signals(plugin.pid, "SigIgn") & DEADLY), (0, 0));

    // Not by the kill that comes after an hour.
    api.deactivate(&id).await.unwrap();

    plugd.signal(Signal::TERM);
    assert!(plugd.ended().await.success());
}

/// A plugd with this file of settings, and its address.
async fn with_file(home: &Path, settings: &str) -> (Running, String) {
    let file = home.join("plugd.toml");
    fs::write(&file, settings).unwrap();
    let mut plugd = Running::start_reading_stderr(&mut serve(home, &["--config", file.to_str().unwrap()]));
    let url = plugd.find("plugd serves on ").await.rsplit(' ').next().unwrap().to_owned();
    (plugd, url)
}

fn consumer(event: &str) -> Value {
    let mut manifest = external_manifest("outside");
    manifest["events_consumed"] = json!([event]);
    manifest
}

#[tokio::test]
async fn sighup_reads_the_log_filter_and_the_catalogue_of_events_again() {
    let home = mk_home();
    let catalog = home.path().join("events");
    fs::write(&catalog, "order.paid\n").unwrap();
    let settings = |log: &str, grace: &str| {
        format!("log = {log:?}\ngrace = {grace:?}\nevent_catalog = {:?}\n", catalog.to_str().unwrap())
    };
    let (mut plugd, url) = with_file(home.path(), &settings("plugd=info", "5s")).await;
    let api = client(home.path(), &url);
    assert_eq!(api.register(&consumer("order.sent")).await.unwrap_err().code(), Code::InvalidArgument);

    fs::write(&catalog, "order.sent\n").unwrap();
    fs::write(home.path().join("plugd.toml"), settings("plugd=info,warn", "6s")).unwrap();
    plugd.signal(Signal::HUP);
    plugd.find("the log has another filter").await;
    plugd.find("the catalogue of events was read again").await;
    let others = plugd.find("changed by a restart only").await;
    assert!(others.contains("grace") && !others.contains("log"), "{others}");
    api.register(&consumer("order.sent")).await.unwrap();
    assert_eq!(api.register(&consumer("order.paid")).await.unwrap_err().code(), Code::InvalidArgument);
    plugd.signal(Signal::TERM);
    assert!(plugd.ended().await.success());
}

#[tokio::test]
async fn what_sighup_finds_to_be_wrong_is_said_and_changes_nothing() {
    let home = mk_home();
    let catalog = home.path().join("events");
    fs::write(&catalog, "order.paid\n").unwrap();
    let good = format!("log = \"plugd=info\"\nevent_catalog = {:?}\n", catalog.to_str().unwrap());
    let (mut plugd, url) = with_file(home.path(), &good).await;
    let again = |plugd: &Running, text: &str| {
        fs::write(home.path().join("plugd.toml"), text).unwrap();
        plugd.signal(Signal::HUP);
    };
    again(&plugd, "log = \"info\"\nnonsense = 1\n");
    let wrong = plugd.find("nothing is changed").await;
    assert!(wrong.contains("plugd.toml line 2: there is no setting \"nonsense\""), "{wrong}");
    again(&plugd, &good.replace("plugd=info", "plugd=[info"));
    plugd.find("is no filter").await;
    fs::remove_file(&catalog).unwrap();
    again(&plugd, &good);
    plugd.find("can't read the catalogue of events").await;
    client(home.path(), &url).register(&consumer("order.paid")).await.unwrap();
    plugd.signal(Signal::TERM);
    assert!(plugd.ended().await.success());
}

#[tokio::test]
async fn sighup_reads_the_certificates_again() {
    let (home, first, second) = (mk_home(), Certificates::new(), Certificates::new());
    let settings = |of: &Certificates| {
        format!("log = \"plugd=info\"\ntls_cert = {:?}\ntls_key = {:?}\n", of.path("server.pem"), of.path("server.key"))
    };
    let (mut plugd, url) = with_file(home.path(), &settings(&first)).await;
    let health = async |of: &Certificates| {
        let mut curl = program("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--cacert", &of.path("ca.pem")]);
        curl.arg(format!("{url}/healthz")).run().await.status.success()
    };
    assert!(health(&first).await && !health(&second).await);

    fs::write(home.path().join("plugd.toml"), settings(&second)).unwrap();
    plugd.signal(Signal::HUP);
    plugd.find("new connections get the renewed certificate").await;
    assert!(health(&second).await && !health(&first).await);

    fs::write(second.path("server.pem"), "half").unwrap();
    plugd.signal(Signal::HUP);
    plugd.find("the renewed certificate can't be used; the old one stays").await;
    assert!(health(&second).await);
    plugd.signal(Signal::TERM);
    assert!(plugd.ended().await.success());
}

#[tokio::test]
async fn sighup_reads_the_settings_of_plugd_rest_again() {
    let (plugd, home) = (Plugd::start().await, mk_home());
    let file = home.path().join("rest.toml");
    let settings = |log: &str, origins: &str| {
        format!("listen = \"127.0.0.1:0\"\nlog = {log:?}\nallowed_origins = [{origins:?}]\n")
    };
    fs::write(&file, settings("plugd=info", "http://a")).unwrap();
    let mut command = program(env!("CARGO_BIN_EXE_plugd"));
    command.args(["rest", "--config", file.to_str().unwrap(), "--upstream", &plugd.url()]);
    let mut shim = Running::start_reading_stderr(&mut command);
    shim.find("plugd serves REST on ").await;

    fs::write(&file, settings("plugd=info,warn", "http://b")).unwrap();
    shim.signal(Signal::HUP);
    shim.find("the log has another filter").await;
    let others = shim.find("changed by a restart only").await;
    assert!(others.contains("allowed_origins") && !others.contains("listen"), "{others}");
    shim.signal(Signal::TERM);
    assert!(shim.ended().await.success());
}
