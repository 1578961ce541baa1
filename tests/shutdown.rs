//! SIGTERM: streams are told, plugins stop side by side, the exit is clean.

use std::time::Duration;

use plugd::api::v1::ReportedState::Connecting;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{join, time::timeout};
use tonic::Code;

use crate::harness::{Plugd, Running, gone, program, reason};

const GRACE: Duration = Duration::from_secs(2);
/// So many that a busy host and one after the other can be told apart.
const STUBBORN: u32 = 12;
const KNOBS: crate::harness::Knobs = &[("PLUGD_GRACE", "2s"), ("PLUGD_KILL_TIMEOUT", "2s")];

#[tokio::test]
async fn sigterm_stops_stubborn_plugins_side_by_side_and_exits_well() {
    let mut plugd = Plugd::with(KNOBS).await;
    let api = plugd.api();
    let mut ids = Vec::new();
    for _ in 0..STUBBORN {
        ids.push(api.run(&["stubborn"]).await);
    }

    let (status, took) = plugd.sigterm().await;

    assert!(status.success(), "{status}");
    assert!(took >= GRACE, "they were given their time: {took:?}");
    assert!(took < STUBBORN * GRACE, "one after the other: {took:?}");
    assert!(ids.iter().all(|id| Plugd::processes_of(id).is_empty()));
}

/// Longer than a store that answers at once needs to close.
const WHILE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_store_that_is_slow_at_the_end_still_gets_the_last_reports() {
    const HOLD: &str = "import signal, sqlite3, sys; d = sqlite3.connect(sys.argv[1], isolation_level=None); \
                        d.execute('begin immediate'); print('held', flush=True); signal.pause()";
    let mut plugd = Plugd::start().await;
    plugd.api().run(&["tame"]).await;
    let mut holder = program("python3");
    let mut holder = Running::start(holder.args(["-c", HOLD]).arg(plugd.data_dir().join("plugd.db")));
    holder.find("held").await;

    kill_process(Pid::from_raw(plugd.pid().try_into().unwrap()).unwrap(), Signal::TERM).unwrap();
    assert!(timeout(WHILE, gone(plugd.pid())).await.is_err(), "it waits for its database");
    holder.signal(Signal::KILL);

    let status = plugd.ended().await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn sigterm_ends_every_stream_with_unavailable() {
    let mut plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    let mut watch = api.live().await;
    let mut log = api.logs(&id).await;
    log.until("connected").await;

    let (status, _) = plugd.sigterm().await;

    assert!(status.success(), "{status}");
    let end = watch.end().await;
    assert_eq!((end.code(), reason(&end).as_str()), (Code::Unavailable, "DRAINING"));
    let end = log.end().await.unwrap_err();
    assert_eq!((end.code(), reason(&end).as_str()), (Code::Unavailable, "DRAINING"));
}

#[tokio::test]
async fn sigterm_ends_server_sent_events_too() {
    let mut plugd = Plugd::start().await;
    let id = plugd.api().run(&["tame"]).await;
    let mut watch = plugd.rest().stream("/api/plugins/watch", &[]);
    watch.until(|event| event.name == "snapshot_end").await;
    let mut log = plugd.rest().stream(&format!("/api/plugins/{id}/logs"), &[]);
    log.until(|event| event.data == "connected").await;

    let (status, _) = plugd.sigterm().await;

    assert!(status.success(), "{status}");
    let last = watch.until(|event| event.name == "error").await.pop().unwrap();
    assert_eq!(last.json()["error"], "draining");
    let last = log.until(|event| event.name == "end").await.pop().unwrap();
    assert_eq!(last.data, "");
}

#[tokio::test]
async fn sigterm_answers_the_calls_that_still_wait() {
    let mut plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.install(&["hang"]).await;
    let mut watch = api.live().await;
    let stop = async {
        watch.until_state(&id, Connecting).await;
        plugd.sigterm().await
    };

    let (waiting, (status, _)) = join!(api.activate(&id), stop);

    assert!(status.success(), "{status}");
    let waiting = waiting.unwrap_err();
    assert_eq!((waiting.code(), reason(&waiting).as_str()), (Code::Unavailable, "DRAINING"));
}
