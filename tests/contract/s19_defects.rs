//! CONTRACT 19: the defects of the reference, and the test that holds what plugd does instead.
//!
//! | # | the reference | plugd | held by |
//! |---|---|---|---|
//! | 1 | rejects most ids of the Python SDK | takes any | `an_id_of_any_form_comes_back_as_it_was` |
//! | 2 | encodes the address in `access_get` for Go only | for the SDK that asks | `each_sdk_gets_the_encoding_that_it_reads` |
//! | 3 | takes messages of 32 KiB | of 4 MiB | `a_frame_of_several_mebibytes_is_taken` |
//! | 4 | answers a retry with the old error | with what comes of it | `an_activation_never_answers_with_the_error_of_an_earlier_one` |
//! | 5 | never resets the count of restarts | after a stable run | `a_stable_run_clears_the_count_of_restarts` |
//! | 6 | can't stop during a backoff | cancels it | `a_stop_during_a_backoff_cancels_it` |
//! | 7 | can't deactivate what never ran | 200 | `what_never_ran_is_deactivated_with_200` |
//! | 8 | 500 for an empty body or another type | 400, 415 | `an_empty_body_is_400_and_another_type_is_415` |
//! | 9 | 500 for an address that can't be fetched | 400 | `an_address_that_can_not_be_fetched_is_400` |
//! | 10 | refuses addresses of links as strings | takes them | `a_link_is_a_text_and_an_address_as_a_string` |
//! | 11 | is wedged by an event named twice | keeps it once | `an_event_that_is_named_twice_is_kept_once`, `an_event_that_is_named_twice_wedges_nothing` |
//! | 12 | ignores unknown methods | −32601 | `an_unknown_method_is_32601_with_the_id_echoed` |
//! | 13 | serves a plugin's requests one by one | side by side | `calls_of_a_plugin_are_answered_side_by_side` |
//! | 14 | calls a new external plugin inactive | connecting | `a_new_external_plugin_is_connecting_at_once` |
//! | 15 | tells plugins to dial localhost:8000 | where it listens | `the_url_names_the_plugin_its_token_and_where_plugd_really_listens` |
//! | 16 | holds headers back, ends unheard | sends them at once, `data:` | `the_headers_are_these_and_come_before_any_line`, `the_end_is_an_event_of_its_own_with_empty_data` |
//! | 17 | leaves the install directory behind | removes it | `a_deletion_stops_the_plugin_first_and_removes_its_files` |
//! | 18 | leaves a row behind for a bad toolset | 400 and nothing | `tools_and_toolsets_are_unique_and_toolsets_name_tools_that_exist` |
//! | 19 | burns a token for a plain GET | keeps it | `a_plain_get_burns_no_token` |
//! | 20 | waits for ever for a plugin's reply | until a deadline | `a_reply_that_never_comes_is_not_waited_for_for_ever` |

use std::{fs, path::Path, time::Duration};

use plugd::api::v1::ReportedState::{Active, Connecting};
use serde_json::json;
use tonic::Code;

use super::support::{Wire, call_plugin, external, publish, settle};
use crate::harness::{Body, Plugd, chaos_manifest, external_manifest, packaged, repository, url_told_to, within};

/// All Rust below a folder, as one text.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = entries.map(|path| match path.extension() {
        _ if path.is_dir() => sources(&path),
        Some(extension) if extension == "rs" => fs::read_to_string(path).unwrap(),
        _ => String::new(),
    });
    texts.collect()
}

/// A name in the table stands for the test whose name begins like it.
#[test]
fn every_test_of_the_table_exists_19() {
    let sources = ["src", "tests"].map(|folder| sources(&repository(folder))).concat();
    let table = include_str!("s19_defects.rs");
    let rows: Vec<_> = table.lines().filter_map(|line| line.strip_prefix("//! | ")).skip(1).collect();
    assert_eq!(rows.len(), 20);
    for (number, row) in (1..).zip(rows) {
        assert!(row.starts_with(&format!("{number} |")), "{row}");
        let tests: Vec<_> = row.rsplit('|').nth(1).unwrap().split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "{row}");
        for test in tests {
            assert!(sources.contains(&format!("fn {test}")), "defect {number}: there is no test {test}");
        }
    }
}

#[tokio::test]
async fn what_never_ran_is_deactivated_with_200_19_7() {
    let mut plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    for _ in 0..2 {
        let plugin = plugd.rest().set_active(&id, "inactive").await.expect(200);
        assert_eq!(plugin["status"]["active_state"], "inactive");
        assert!(plugd.sigterm().await.0.success());
        plugd.restart().await;
    }
}

#[tokio::test]
async fn an_empty_body_is_400_and_another_type_is_415_19_8() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let path = format!("/api/plugins/{}", plugd.api().install(&["tame"]).await);
    let calls = [
        ("POST", "/api/plugins".to_owned()),
        ("PATCH", format!("{path}/active")),
        ("PATCH", format!("{path}/manifest")),
        ("PATCH", format!("{path}/configuration")),
    ];
    for (method, path) in calls {
        for body in [Body::None, Body::Raw(Some("application/json"), Vec::new())] {
            rest.send(method, &path, body, &[]).await.problem(400);
        }
        rest.send(method, &path, Body::Raw(Some("text/plain"), b"{}".to_vec()), &[]).await.problem(415);
    }
}

#[tokio::test]
async fn an_address_that_can_not_be_fetched_is_400_19_9() {
    let plugd = Plugd::start().await;
    for url in ["", "ftp://example.com/a.zip", "http://localhost/a.zip", "http://127.0.0.1:9/a.zip", "nonsense"] {
        let body = Body::Json(json!({"mode": "supervised", "url": url}));
        plugd.rest().post("/api/plugins", body).await.problem(400);
    }
    assert!(plugd.rest().list().await.is_empty());
}

#[tokio::test]
async fn an_event_that_is_named_twice_wedges_nothing_19_11() {
    let plugd = Plugd::start().await;
    let manifest = external("outside", &json!({"events_consumed": ["EventPostLiked", "EventPostLiked"]}));
    let plugin = plugd.api().register(&manifest).await.unwrap();
    for number in 0..2 {
        let mut wire = Wire::dial(&plugd, plugin.token()).await.unwrap();
        settle(&plugd, &plugin.id, Active).await;
        assert_eq!(publish(&plugd.api(), "EventPostLiked", &json!({"n": number})).await, (1, 1));
        assert_eq!(wire.take_events(|_| true).await, [json!({"event": "EventPostLiked", "n": number})]);
        drop(wire);
        settle(&plugd, &plugin.id, Connecting).await;
    }
}

#[tokio::test]
async fn a_new_external_plugin_is_connecting_at_once_19_14() {
    let plugd = Plugd::start().await;
    let body = Body::Json(json!({"mode": "external", "manifest": external_manifest("outside")}));
    let plugin = plugd.rest().post("/api/plugins", body).await.expect(200);
    assert_eq!(plugin["status"]["active_state"], "connecting");
    assert!(plugin["connection"]["token"].as_str().unwrap().starts_with("sdprt_"));
}

#[tokio::test]
async fn a_plain_get_burns_no_token_19_19() {
    let plugd = Plugd::start().await;
    let fifo = plugd.scratch().join("go-on");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let mut manifest = chaos_manifest(&[]);
    manifest["command"] = json!("sh");
    let script = format!("echo begun; cat '{}'; exec chaos tame", fifo.display());
    manifest["args"] = json!(["-c", script]);
    let id = plugd.rest().install(packaged(&manifest)).await;
    plugd.api().begin(&id).await;
    plugd.api().logs(&id).await.find("begun").await;
    let url = url_told_to(&plugd, &id).await;
    let path = &url[url.find("/rpc").unwrap()..];
    assert_eq!(plugd.rest_as(None).send("GET", path, Body::None, &[]).await.status, 426);

    within("the plugin", tokio::fs::OpenOptions::new().write(true).open(&fifo)).await.unwrap();

    settle(&plugd, &id, Active).await;
}

#[tokio::test]
async fn a_reply_that_never_comes_is_not_waited_for_for_ever_19_20() {
    let plugd = Plugd::start().await;
    let id = plugd.api().run(&["deaf"]).await;
    let call = ("robot_tool_call", json!({}));
    let failed = call_plugin(&plugd.api(), &id, call, Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(failed.code(), Code::DeadlineExceeded, "{failed}");
}
