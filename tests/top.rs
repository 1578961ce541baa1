//! `plugd top` in a terminal.

use plugd::api::v1::ReportedState::Active;
use serde_json::{Value, json};

use crate::harness::{Plugd, Run, Running, cli, python, state_of};

/// Types these keys, each once the text was seen that comes before it.
fn top(plugd: &Plugd, steps: &Value) -> Running {
    let mut command = python("tests/python/terminal.py", &[&steps.to_string(), env!("CARGO_BIN_EXE_plugd"), "top"]);
    command.env("PLUGD_SERVER", plugd.url()).env("PLUGD_TOKEN", plugd.token()).env("TERM", "xterm-256color");
    Running::start(&mut command)
}

/// How it ended: with this exit code, and with the terminal as it was.
async fn ended(mut running: Running, code: i32) {
    let line = running.find("{").await;
    let told: Value = serde_json::from_str(&line).unwrap();
    let seen = told["seen"].as_str().unwrap();
    assert_eq!((&told["code"], &told["is_as_before"]), (&json!(code), &json!(true)), "{seen:?}");
    let (begin, end) = (seen.find("\x1b[?1049h").unwrap(), seen.rfind("\x1b[?1049l").unwrap());
    assert!(begin < end, "the screen before it is there again: {seen:?}");
    assert!(seen.rfind("\x1b[?25h") > seen.rfind("\x1b[?25l"), "the cursor is shown: {seen:?}");
    running.ended().await;
}

#[tokio::test]
async fn a_plugin_is_started_looked_at_and_the_terminal_is_left_as_it_was() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    // Only what differs is printed: a space may be a move of the cursor. Memory is shown once it was sampled, and the plugin prints its process id first.
    let steps = json!([["Chaos", "s"], [r"\d\.\dM", "l"], ["log[^a-z]+of[^a-z]+Chaos", ""], [r"pid[^a-z]+\d", "q"]]);
    ended(top(&plugd, &steps), 0).await;
    assert_eq!(state_of(&plugd.api().get(&id).await.unwrap()), Active);
}

#[tokio::test]
async fn a_server_that_goes_away_is_waited_for_and_a_signal_leaves_the_terminal_as_it_was() {
    let mut plugd = Plugd::start().await;
    plugd.api().install(&["tame"]).await;
    let steps = json!([["Chaos", ""], ["RECONNECTING", ""], ["1[^a-z]+plugin", "SIGTERM"]]);
    let mut running = top(&plugd, &steps);
    running.find("step 0").await;
    plugd.sigterm().await;
    running.find("step 1").await;
    plugd.restart_on_the_same_address().await;
    ended(running, 0).await;
}

#[tokio::test]
async fn it_ends_with_its_terminal() {
    let plugd = Plugd::start().await;
    plugd.api().install(&["tame"]).await;
    let mut running = top(&plugd, &json!([["Chaos", "HANGUP"]]));
    let told: Value = serde_json::from_str(&running.find("{").await).unwrap();
    // Of SIGHUP: there is nothing left to put in order.
    assert_eq!(told["code"], -1, "{told}");
}

#[tokio::test]
async fn it_is_refused_where_there_is_no_terminal_and_where_there_is_no_right() {
    let plugd = Plugd::start().await;
    let refused = cli(&plugd, &["top"]).run().await;
    assert_eq!(refused.code(), Some(2), "{refused:?}");
    assert!(refused.stderr.contains("plugd top draws in a terminal"), "{refused:?}");
    let mut command = python("tests/python/terminal.py", &["[]", env!("CARGO_BIN_EXE_plugd"), "top"]);
    command.env("PLUGD_SERVER", plugd.url()).env("PLUGD_TOKEN", "none").env("TERM", "xterm-256color");
    ended(Running::start(&mut command), 4).await;
}
