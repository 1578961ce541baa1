//! No descriptor is left to plugd.

use std::fs;

use plugd::api::v1::{
    ActiveState,
    ReportedState::{Active, Restarting},
};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::AsyncReadExt;

use super::{lone::Lone, repeat, rounds};
use crate::harness::{Plugd, QUICK, message_of, state_of, within};

/// Sets the limit on open files of a process that runs; returns the one that it had.
fn limit(pid: u32, files: Option<u64>) -> Option<u64> {
    let pid = Pid::from_raw(pid.try_into().unwrap());
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    prlimit(pid, Resource::Nofile, Rlimit { current: files, maximum }).unwrap().current
}

#[tokio::test]
async fn no_descriptor_is_left() {
    let plugd = Plugd::with(&[QUICK, &[("PLUGD_MAX_RESTART_ATTEMPTS", "1000000")]].concat()).await;
    let api = plugd.api();
    let (running, other) = (Lone::install(&plugd, "tame").await, Lone::install(&plugd, "tame").await);
    let mut watch = api.live().await;
    repeat("EMFILE: what is open works, what needs more says so and comes by itself", rounds(2, 100), async |_| {
        api.activate(&running.id).await.unwrap();
        let before = limit(plugd.pid(), Some(3));
        api.desire(&other.id, ActiveState::Active).await.unwrap();
        let failed = watch.plugin_in(&other.id, Restarting).await;
        assert!(message_of(&failed).contains("open files"), "{failed:?}");
        assert_eq!(state_of(&api.get(&running.id).await.unwrap()), Active);
        running.stop(&api).await;
        let mut waiting = plugd.dial(b"GET /healthz HTTP/1.1\r\nhost: plugd\r\nconnection: close\r\n\r\n").await;
        limit(plugd.pid(), before);
        let mut answer = String::new();
        within("an answer to who came meanwhile", waiting.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        watch.until_state(&other.id, Active).await;
        other.stop(&api).await;
        within("a new connection", async { while plugd.rest().get("/readyz").await.status != 200 {} }).await;
    })
    .await;
    let open = fs::read_dir(format!("/proc/{}/fd", plugd.pid())).unwrap().count();
    assert!(open < 100, "{open} descriptors are open");
}
