//! Updates: packages that crash, and `kill -9` of plugd at each step.

use std::time::Duration;

use plugd::api::v1::{Plugin, ReportedState::Active, UpdatePackageRequest, update_package_request as update};

use super::{repeat, resumed, rounds};
use crate::{
    contract::support::{replace, settle, version_of, versioned},
    harness::{Api, Plugd, QUICK, state_of, status_of, within},
};

const STABLE: crate::harness::Knobs = &[("PLUGD_STABLE_AFTER", "1ms"), ("PLUGD_GRACE", "1h")];

/// Steps of an update at which plugd is killed: while it is sent, after none of its changes, after one, …
const STEPS: usize = 8;

/// A version that runs, and was found to be stable.
async fn mk_stable(api: &Api) -> String {
    let id = api.upload(versioned(1, "tame")).await.unwrap().id;
    let mut watch = api.live().await;
    api.activate(&id).await.unwrap();
    // What follows in this state is that it is stable.
    watch.until_state(&id, Active).await;
    watch.until_state(&id, Active).await;
    id
}

#[tokio::test]
async fn an_update_that_crashes() {
    let plugd = Plugd::with(&[QUICK, STABLE].concat()).await;
    let api = plugd.api();
    let id = mk_stable(&api).await;
    repeat("an update that crashes is taken back", rounds(2, 50), async |round| {
        let mut watch = api.live().await;
        let version = u32::try_from(round).unwrap() + 2;
        let refused = replace(&api, &id, versioned(version, "nonsense")).await.unwrap_err();
        let is_back = |plugin: &Plugin| version_of(plugin) == 1 && state_of(plugin) == Active;
        if !is_back(&api.get(&id).await.unwrap()) {
            watch.until(|event| event.plugin.as_ref().is_some_and(is_back)).await;
        }
        assert!(refused.message().contains("exit status"), "{refused}");
        api.logs(&id).await.until("whole 1").await;
        assert_eq!(Plugd::processes_of(&id).len(), 1);
    })
    .await;
}

/// An update that is sent up to its last byte and no further.
async fn send_most(api: &Api, id: &str, archive: Vec<u8>) {
    let (sender, receiver) = tokio::sync::mpsc::channel(2);
    let header = update::Header { plugin_id: id.to_owned(), ..Default::default() };
    let most = archive[..archive.len() - 1].to_vec();
    for part in [update::Part::Header(header), update::Part::Chunk(most)] {
        sender.send(UpdatePackageRequest { part: Some(part) }).await.unwrap();
    }
    let mut packages = api.packages();
    let sent = packages.update_package(tokio_stream::wrappers::ReceiverStream::new(receiver));
    // It has not come to its end, so there is no answer.
    let _ = tokio::time::timeout(Duration::from_millis(20), sent).await;
    drop(sender);
}

/// Updates and kills plugd at a step of it. Whether the update was answered.
async fn update_and_kill(plugd: &mut Plugd, id: &str, archive: Vec<u8>, step: usize) -> bool {
    let api = plugd.api();
    let mut watch = api.live().await;
    let mut is_answered = false;
    if step == 0 {
        send_most(&api, id, archive).await;
    } else {
        let seen = async {
            for _ in 1..step {
                watch.event().await.unwrap();
            }
        };
        let updated = async {
            is_answered = replace(&api, id, archive).await.is_ok();
            std::future::pending::<()>().await;
        };
        within("a step of an update", async {
            tokio::select! { () = seen => {}, () = updated => {} }
        })
        .await;
    }
    let cursor = watch.cursor.clone();
    plugd.kill_9().await;
    plugd.restart().await;
    let mut watch = resumed(plugd, &cursor).await;
    let last = plugd.api().live().await.cursor.revision;
    if last > cursor.revision {
        // The watch fails on a gap or a repeat.
        watch.until(|event| event.revision >= last).await;
    }
    is_answered
}

/// The whole of one version runs, the new one if that was answered. The program itself refuses to run a mixture.
#[tokio::test]
async fn plugd_is_killed_at_each_step_of_an_update() {
    let mut plugd = Plugd::with(&[QUICK, STABLE].concat()).await;
    let id = mk_stable(&plugd.api()).await;
    for (kind, behaviour) in [("an update", "tame"), ("an update that crashes", "nonsense")] {
        let mut version = version_of(&plugd.api().get(&id).await.unwrap());
        let scenario = format!("kill -9 of plugd at each step of {kind}");
        repeat(&scenario, rounds(STEPS, 20 * STEPS), async |round| {
            let archive = versioned(version + 1, behaviour);
            let is_answered = update_and_kill(&mut plugd, &id, archive, round % STEPS).await;
            let api = plugd.api();
            let wanted = |plugin: &Plugin| {
                let is_new = version_of(plugin) == version + 1 && behaviour == "tame";
                state_of(plugin) == Active && (is_new || version_of(plugin) == version && !is_answered)
            };
            let mut watch = api.live().await;
            if !wanted(&api.get(&id).await.unwrap()) {
                watch.until(|event| event.plugin.as_ref().is_some_and(wanted)).await;
            }
            settle(&plugd, &id, Active).await;
            let now = api.get(&id).await.unwrap();
            version = version_of(&now);
            let run = status_of(&now).run_id().to_owned();
            let lines = api.logs(&id).await.until(&format!("whole {version}")).await;
            assert!(!lines.iter().any(|line| line.text.starts_with("mixture")), "{lines:?}");
            assert!(Plugd::processes_of(&id).len() == 1 && !run.is_empty());
            if (round + 1) % STEPS == 0 {
                let updated = replace(&api, &id, versioned(version + 1, "tame")).await;
                version = version_of(&updated.expect("an update that nobody disturbs"));
            }
        })
        .await;
    }
}
