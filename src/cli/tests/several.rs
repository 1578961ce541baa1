//! Commands for several plugins.

use tonic::{Code, Status};

use crate::api::v1::{Plugin, PluginMode};

use super::{
    Exit, ID, OTHER, State,
    fake::{Fake, mk_plugin, mk_status},
    run,
};

async fn mk_fake() -> Fake {
    let fake = Fake::start().await;
    fake.set_plugins([mk_plugin(ID, "Greeter", State::Active, 1), mk_plugin(OTHER, "Echo", State::Active, 2)]);
    fake
}

#[tokio::test]
async fn what_fails_for_one_does_not_keep_it_from_the_others() {
    let fake = mk_fake().await;
    fake.fail_activation(mk_status(Code::FailedPrecondition, "PLUGIN_FAILED"));
    let (printed, done) = run(&fake.url, &["activate", "greeter", "nobody", "echo", ID]).await;
    let failure = done.unwrap_err();
    assert_eq!(failure.what, "2 of 3 plugins are not activated", "the same plugin counts once");
    assert_eq!(failure.exit, Exit::PluginFailed, "the highest of 3 and 5");
    assert_eq!(printed.lines().count(), 1, "{printed}");
    assert_eq!(fake.calls(), ["activate", "activate"]);
}

#[tokio::test]
async fn all_are_those_that_it_makes_a_difference_to() {
    let fake = mk_fake().await;
    run(&fake.url, &["deactivate", "--all"]).await.1.unwrap();
    assert_eq!(fake.calls(), ["activate", "activate"]);
    let (_, done) = run(&fake.url, &["restart", "--all"]).await;
    done.expect("none of them is to run, so there is nothing to restart");
}

/// A script parses what is printed as one document, and the error as one object.
#[tokio::test]
async fn json_is_one_document_and_one_error_whatever_the_number_of_plugins() {
    let fake = mk_fake().await;
    let ids = |printed: &str| {
        let document: serde_json::Value = serde_json::from_str(printed).unwrap();
        document.as_array().unwrap().iter().map(|plugin| plugin["id"].clone()).collect::<Vec<_>>()
    };
    let (printed, done) = run(&fake.url, &["deactivate", "--all", "-o", "json"]).await;
    done.unwrap();
    assert_eq!(ids(&printed), [ID, OTHER]);

    fake.fail_activation(mk_status(Code::FailedPrecondition, "PLUGIN_FAILED"));
    let (printed, done) = run(&fake.url, &["activate", ID, "nobody", OTHER, "-o", "json"]).await;
    assert_eq!(ids(&printed).len(), 1, "{printed}");
    let error = done.unwrap_err().json();
    let failed: Vec<_> = error["plugins"].as_object().unwrap().keys().collect();
    assert!(failed.len() == 2 && failed.contains(&&"nobody".to_owned()), "{error}");
    assert_eq!(error["plugins"]["nobody"]["exit_code"], 3);

    let (printed, done) = run(&fake.url, &["activate", ID, "-o", "json"]).await;
    done.unwrap();
    let document: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(document["id"], ID, "of one plugin it is an object");
}

#[tokio::test]
async fn all_leaves_out_plugins_that_somebody_else_runs() {
    let fake = mk_fake().await;
    let external = Plugin { mode: PluginMode::External.into(), ..mk_plugin(OTHER, "Echo", State::Active, 2) };
    fake.set_plugins([mk_plugin(ID, "Greeter", State::Active, 1), external]);
    for command in ["activate", "deactivate"] {
        run(&fake.url, &[command, "--all"]).await.1.unwrap();
    }
    assert_eq!(fake.calls(), ["activate", "activate"], "one each");
}

#[tokio::test]
async fn deleting_all_takes_a_yes() {
    let fake = mk_fake().await;
    let (_, done) = run(&fake.url, &["delete", "--all"]).await;
    let failure = done.unwrap_err();
    assert_eq!((failure.exit, fake.calls().len()), (Exit::Usage, 0));
    assert!(failure.what.contains("every plugin") && failure.hint.unwrap().contains("--yes"));
    let (printed, done) = run(&fake.url, &["delete", "--all", "--yes"]).await;
    done.unwrap();
    let expected = [format!("{ID} Greeter is deleted"), format!("{OTHER} Echo is deleted")];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_plugin_is_found_by_its_manifest_id_before_another_that_calls_itself_so() {
    let fake = Fake::start().await;
    fake.set_plugins([mk_plugin(ID, "Greeter", State::Active, 1), mk_plugin(OTHER, "greeter", State::Active, 2)]);
    let mut impostor = mk_plugin(OTHER, "greeter", State::Active, 2);
    impostor.manifest.clear();
    fake.set_plugins([impostor, mk_plugin(ID, "Greeter", State::Active, 1)]);
    let (printed, done) = run(&fake.url, &["get", "greeter"]).await;
    done.unwrap();
    assert!(printed.contains(ID) && printed.contains("manifest id:") && !printed.contains(OTHER), "{printed}");
    assert_eq!(fake.pages_served(), 1, "the server finds it");
}

#[tokio::test]
async fn an_error_names_the_address_that_was_tried() {
    let fake = mk_fake().await;
    for status in [Status::deadline_exceeded("no answer within 30s"), Status::cancelled("gone")] {
        fake.fail_activation(status);
        let (_, done) = run(&fake.url, &["activate", ID]).await;
        let failure = done.unwrap_err();
        assert!(failure.what.contains(&fake.url), "{failure}");
    }
}
