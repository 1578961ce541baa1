//! What an operator decides about one plugin: its process has it, its supervision follows it, and it is remembered.

use std::fs;

use plugd::api::v1::{
    Confinement, Limits, Plugin, Policy,
    ReportedState::{Error, Restarting},
    SandboxLevel, Supervision, UpdatePolicyRequest,
    supervision::Restarts,
};
use tonic::{Code, Status};

use crate::harness::{
    Api, Plugd, external_manifest, field_violations, gone, kill_9, message_of, reason, states, status_of,
};

async fn decide(api: &Api, id: &str, policy: Policy) -> Result<Plugin, Status> {
    let request = UpdatePolicyRequest { plugin_id: id.to_owned(), policy: Some(policy), ..Default::default() };
    Ok(api.policies().update_policy(request).await?.into_inner().plugin.unwrap())
}

fn file_of(plugin: &Plugin, name: &str) -> String {
    fs::read_to_string(format!("/proc/{}/{name}", status_of(plugin).pid())).unwrap()
}

#[tokio::test]
async fn a_process_has_what_was_decided_and_so_has_the_next_after_a_restart_of_plugd() {
    let mut plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    let before = api.get(&id).await.unwrap();
    let policy = Policy {
        sandbox: SandboxLevel::Off.into(),
        limits: Some(Limits { open_files: Some(77), ..Limits::default() }),
        environment: [("GIVEN".to_owned(), "by the operator".to_owned())].into(),
        ..Policy::default()
    };
    let has_it = |plugin: &Plugin| {
        assert_eq!(status_of(plugin).confinement(), Confinement::Off);
        assert!(file_of(plugin, "environ").contains("GIVEN=by the operator"));
        let limits = file_of(plugin, "limits");
        assert!(limits.lines().any(|line| line.starts_with("Max open files            77 ")), "{limits}");
    };

    let after = decide(&api, &id, policy).await.unwrap();
    has_it(&after);
    assert_ne!(status_of(&after).pid(), status_of(&before).pid());
    assert_eq!(after.generation, before.generation + 1);

    plugd.sigterm().await;
    plugd.restart().await;
    has_it(&plugd.api().activate(&id).await.unwrap());

    let api = plugd.api();
    let plain = decide(&api, &id, Policy::default()).await.unwrap();
    assert_eq!(status_of(&plain).confinement(), status_of(&before).confinement(), "it is taken back");
    assert!(!file_of(&plain, "environ").contains("GIVEN"));
}

#[tokio::test]
async fn how_a_plugin_is_supervised_changes_without_another_run() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    let before = api.get(&id).await.unwrap();
    let none = Supervision { restarts: Some(Restarts::MaxRestarts(0)), ..Supervision::default() };
    let after = decide(&api, &id, Policy { supervision: Some(none), ..Policy::default() }).await.unwrap();
    assert_eq!(status_of(&after).pid(), status_of(&before).pid());

    let mut watch = api.live().await;
    kill_9(status_of(&after).pid());
    gone(status_of(&after).pid()).await;
    let events = watch.until_state(&id, Error).await;
    assert!(!states(&events, &id).contains(&Restarting), "it was not to be restarted");
}

#[tokio::test]
async fn what_cannot_be_is_refused_or_told_by_the_start() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    let bad = decide(&api, &id, Policy { read_paths: vec!["relative".into()], ..Policy::default() }).await.unwrap_err();
    assert_eq!((bad.code(), field_violations(&bad)), (Code::InvalidArgument, vec!["policy.read_paths".to_owned()]));
    assert_eq!(api.get(&id).await.unwrap().generation, 2, "nothing was changed");

    let lost = Policy { write_paths: vec!["/no/such/folder".into()], ..Policy::default() };
    let failed = decide(&api, &id, lost).await.unwrap_err();
    assert_eq!(reason(&failed), "PLUGIN_FAILED");
    assert!(failed.message().contains("plugins may not use /no/such/folder"), "{failed}");
    let hidden = Policy { read_paths: vec![plugd.data_dir().display().to_string()], ..Policy::default() };
    let failed = decide(&api, &id, hidden).await.unwrap_err();
    assert!(failed.message().contains("plugd's own folder"), "{failed}");
    assert!(message_of(&api.get(&id).await.unwrap()).contains("plugd's own folder"));
    decide(&api, &id, Policy::default()).await.unwrap();

    let external = api.register(&external_manifest("elsewhere")).await.unwrap();
    let refused = decide(&api, &external.id, Policy::default()).await.unwrap_err();
    assert_eq!(reason(&refused), "EXTERNAL_PLUGIN");
}
