use clap::Command;

use super::*;
use crate::{
    api::v1::ReportedState,
    cli::{
        command,
        tests::fake::{Fake, mk_plugin},
    },
};

fn words(plugins: &[Plugin], begun: &str) -> Vec<String> {
    let word = |candidate: &CompletionCandidate| candidate.get_value().to_string_lossy().into_owned();
    candidates(plugins, begun).iter().map(word).collect()
}

#[test]
fn what_names_one_plugin_is_offered() {
    let mk = |id, name| mk_plugin(id, name, ReportedState::Active, 1);
    let plugins = [mk("a1", "Greeter"), mk("b2", "Twin"), mk("b3", "Twin")];
    assert_eq!(words(&plugins, ""), ["greeter", "b2", "b3"]);
    assert_eq!(words(&plugins, "g"), ["greeter"]);
    assert_eq!(words(&plugins, "a"), ["a1"], "an id that somebody has begun to type");
    let help = candidates(&plugins, "g")[0].get_help().unwrap().to_string();
    assert_eq!(help, "Greeter, active");
}

#[test]
fn the_server_of_the_command_that_is_typed_is_asked() {
    let typed = ["plugd", "--server", "http://there", "get", "--token", "t", ""].map(Into::into);
    let options = options(typed.into_iter());
    assert_eq!((options.server(), options.token.as_deref()), ("http://there", Some("t")));
}

#[tokio::test]
async fn a_server_that_is_not_there_has_no_plugins_and_says_nothing() {
    let fake = Fake::start().await;
    fake.set_plugins([mk_plugin("a1", "Greeter", ReportedState::Active, 1)]);
    let options = |server: String| GlobalOptions {
        server: Some(server),
        token: Some("t".to_owned()),
        ..GlobalOptions::default()
    };
    assert_eq!(listed(&options(fake.url)).await.unwrap().len(), 1);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(listed(&options(format!("http://{free}"))).await.is_none());
}

#[test]
fn every_argument_that_names_a_plugin_is_completed() {
    fn check(command: &Command, is_token: bool) {
        for argument in command.get_arguments().filter(|it| it.get_value_names().is_some_and(|it| it == ["ID"])) {
            assert_eq!(argument.get::<ArgValueCompleter>().is_some(), !is_token, "{}", command.get_name());
        }
        command.get_subcommands().for_each(|one| check(one, is_token || one.get_name() == "token"));
    }
    let mut command = command();
    command.build();
    check(&command, false);
}

#[test]
fn the_help_has_commands_options_examples_and_exit_codes() {
    let help = command().render_long_help().to_string();
    let expected = ["Commands:\n  list ", "  --server <URL>", "Examples:\n", "Exit codes:\n"];
    for part in expected {
        assert!(help.contains(part), "{part}: {help}");
    }
    assert!(!help.contains("keeper"), "{help}");
}

#[test]
fn every_command_that_does_something_has_an_example() {
    fn check(command: &Command, path: &str) {
        let (name, is_parent) = (format!("{path} {}", command.get_name()), command.has_subcommands());
        let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(is_parent || examples.contains(name.trim()), "{name} has no example");
        command.get_subcommands().for_each(|one| check(one, &name));
    }
    check(&Cli::command(), "");
}
