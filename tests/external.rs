//! External plugins: the test itself runs the process that dials in.

use std::process::ExitStatus;

use plugd::api::v1::{
    CycleTokenRequest,
    ReportedState::{Active, Connecting},
};

use crate::harness::{Api, Plugd, Running, external_manifest, program, state_of, status_of};

/// Runs the example `chaos` as an external plugin.
fn dial(plugd: &Plugd, token: &str, mode: &[&str]) -> Running {
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_plugd")).parent().unwrap().join("examples/chaos");
    let mut command = program(bin);
    command.args(mode).env("STORYDEN_RPC_URL", format!("ws://{}/rpc?token={token}", plugd.address()));
    Running::start(&mut command)
}

async fn register(api: &Api) -> (String, String) {
    let plugin = api.register(&external_manifest("outside")).await.unwrap();
    assert_eq!(state_of(&plugin), Connecting);
    (plugin.id, plugin.token)
}

#[tokio::test]
async fn an_external_plugin_is_active_while_it_is_connected_contract_9() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let (id, token) = register(&api).await;
    let mut watch = api.live().await;

    let mut plugin = dial(&plugd, &token, &["tame"]);
    let active = watch.plugin_in(&id, Active).await;
    assert_eq!(status_of(&active).pid, 0);
    plugin.find("connected").await;
    plugin.interrupt();
    assert!(plugin.ended().await.success());
    watch.until_state(&id, Connecting).await;

    let _again = dial(&plugd, &token, &["tame"]);
    watch.until_state(&id, Active).await;
}

#[tokio::test]
async fn an_external_plugin_dials_again_after_plugd_was_killed() {
    let mut plugd = Plugd::with(&[("PLUGD_LISTEN", "127.0.0.1:0")]).await;
    let (id, token) = register(&plugd.api()).await;
    plugd.kill_9().await;
    plugd.restart().await;
    let api = plugd.api();
    let found = api.get(&id).await.unwrap();
    assert_eq!((state_of(&found), &found.token), (Connecting, &token));
    let mut watch = api.live().await;
    let _plugin = dial(&plugd, &token, &["tame"]);
    watch.until_state(&id, Active).await;
}

#[tokio::test]
async fn a_cycled_token_drops_the_connection_and_lets_nobody_in_contract_3_7() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let (id, old) = register(&api).await;
    let mut watch = api.live().await;
    let mut plugin = dial(&plugd, &old, &["tame"]);
    watch.until_state(&id, Active).await;

    let request = CycleTokenRequest { plugin_id: id.clone() };
    let new = api.plugins().cycle_token(request).await.unwrap().into_inner().token;

    plugin.find("disconnected: closed 1000 closed").await;
    watch.until_state(&id, Connecting).await;
    let status: ExitStatus = plugin.ended().await;
    assert!(!status.success(), "the old token is refused for good");
    let _plugin = dial(&plugd, &new, &["tame"]);
    watch.until_state(&id, Active).await;
}

#[tokio::test]
async fn a_second_connection_is_rejected_while_the_first_lives_contract_10_4_must() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let (id, token) = register(&api).await;
    let mut watch = api.live().await;
    let mut first = dial(&plugd, &token, &["tame"]);
    watch.until_state(&id, Active).await;

    let mut second = dial(&plugd, &token, &["tame"]);

    second.find("disconnected: closed 1008 connection rejected").await;
    assert_eq!(state_of(&api.get(&id).await.unwrap()), Active);
    drop(second);
    first.interrupt();
    first.find("stopping").await;
}

#[tokio::test]
async fn deletion_closes_the_connection_contract_10_4() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let (id, token) = register(&api).await;
    let mut watch = api.live().await;
    let mut plugin = dial(&plugd, &token, &["tame"]);
    watch.until_state(&id, Active).await;

    api.delete(&id).await.unwrap();

    plugin.find("disconnected: closed 1000 closed").await;
    assert!(!plugin.ended().await.success(), "its token is refused");
}
