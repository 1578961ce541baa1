//! A plugin whose every text is meant for the terminal of whoever looks at it.

use clap::Parser;
use prost::Message;
use prost_types::{Struct, Value, value::Kind};
use tonic::{Code, Status};

use super::{
    Cli, Command, ID, OTHER,
    fake::{self, Fake, mk_plugin},
    run_client,
};
use crate::{
    api::v1::{Failure, Plugin, PluginEvent, ReportedState as State, failure::Stage, plugin_event},
    cli::ui::{Ui, tests::Printed},
    domain::text::is_unsafe,
};

const EVIL: &str = "a\x1b[2J\x1b]0;t\x07b\u{9b}31m\u{202e}c\u{2066}d\u{200b}e\r\nerror: f\u{2028}g\u{e0041}\u{feff}";

fn evil(id: &str, revision: u64) -> Plugin {
    let text = Value { kind: Some(Kind::StringValue(EVIL.to_owned())) };
    let mut plugin = mk_plugin(id, EVIL, State::Error, revision);
    (plugin.version, plugin.description, plugin.package_digest) = (EVIL.into(), EVIL.into(), Some("x".into()));
    plugin.manifest = Struct { fields: [("id".to_owned(), text)].into() }.encode_to_vec().into();
    let mut status = plugin.status.take().unwrap();
    status.failure = Some(Failure { message: EVIL.into(), ..Failure::default() });
    status.run_id = Some(EVIL.into());
    Plugin { status: Some(status), ..plugin }
}

/// Everything that a command prints, to both outputs, with the error that it ends with.
async fn printed(server: &str, arguments: &[&str]) -> String {
    let cli = Cli::try_parse_from(["plugd", "--server", server, "--token", "t"].iter().chain(arguments)).unwrap();
    let printed = Printed::default();
    let ui = Ui::new(printed.clone(), printed.clone(), cli.options.output, false);
    let Command::Client(command) = cli.command else { panic!("not a client command") };
    if let Err(failure) = Box::pin(run_client(*command, cli.options, ui.clone())).await {
        ui.fail(&failure);
    }
    printed.text()
}

fn changed(version: &str) -> PluginEvent {
    let plugin = Plugin { version: version.to_owned(), package_digest: Some(version.to_owned()), ..evil(ID, 2) };
    let kind = plugin_event::Kind::Changed.into();
    PluginEvent {
        kind,
        revision: 2,
        plugin_id: ID.to_owned(),
        plugin: Some(plugin),
        cursor: EVIL.into(),
        ..PluginEvent::default()
    }
}

#[tokio::test]
async fn no_command_prints_what_a_terminal_would_obey() {
    let commands: [&[&str]; 13] = [
        &["list"],
        &["list", "--wide"],
        &["get", ID],
        &["get", EVIL],
        &["get", "abe"],
        &["activate", ID],
        &["activate", ID, OTHER, "nobody"],
        &["deactivate", "--all"],
        &["call", ID, "x"],
        &["watch"],
        &["config", "get", ID],
        &["delete", ID],
        &["delete", "--all"],
    ];
    for form in ["table", "json"] {
        for command in commands {
            let fake = Fake::start().await;
            fake.set_plugins([evil(ID, 1), evil(OTHER, 1)]);
            fake.fail_activation(Status::new(Code::FailedPrecondition, EVIL));
            fake.watch(
                [fake::opened(1), fake::snapshot(1, [evil(ID, 1)]), fake::end(1), fake::events(2, [changed(EVIL)])],
                Status::unavailable(EVIL),
            );
            fake.watch([], Status::permission_denied(EVIL));
            let text = printed(&fake.url, &[command, &["-o", form]].concat()).await;
            assert!(!text.is_empty(), "{command:?}");
            assert!(text.chars().all(|letter| letter == '\n' || !is_unsafe(letter)), "{command:?} {form}: {text:?}");
            assert!(form == "json" || !text.contains("\nerror: f"), "a line of its own: {command:?}: {text:?}");
        }
    }
}

#[tokio::test]
async fn the_hint_of_a_failure_names_only_logs_that_are_there() {
    for (stage, has_log) in [(Stage::Start, false), (Stage::Exit, true), (Stage::Connect, true)] {
        let fake = Fake::start().await;
        let mut plugin = mk_plugin(ID, "Greeter", State::Error, 1);
        plugin.status.as_mut().unwrap().failure = Some(Failure { stage: stage.into(), ..Failure::default() });
        fake.set_plugins([plugin]);
        let shown = printed(&fake.url, &["get", ID]).await;
        assert_eq!(shown.contains("plugd logs"), has_log, "{stage:?}: {shown}");
        assert!(shown.contains(&format!("`plugd activate {ID}`")), "{stage:?}: {shown}");

        let word = stage.as_str_name().trim_start_matches("STAGE_").to_lowercase();
        let metadata = [("stage".to_owned(), word), ("plugin_id".to_owned(), ID.to_owned())];
        fake.fail_activation(fake::mk_status_with(Code::FailedPrecondition, "PLUGIN_FAILED", metadata));
        let failed = printed(&fake.url, &["activate", ID]).await;
        assert_eq!(failed.contains(&format!("`plugd logs {ID}`")), has_log, "{stage:?}: {failed}");
    }
}
