use super::*;

#[test]
fn every_command_is_in_one_group() {
    let mut command = Cli::command();
    command.build();
    let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
    let mut declared: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    grouped.sort_unstable();
    declared.sort_unstable();
    assert_eq!(grouped, declared);
}

#[test]
fn the_help_has_groups_options_examples_and_exit_codes() {
    let help = command().render_long_help().to_string();
    let expected = ["Plugins:\n  list ", "  --server <URL>", "Examples:\n", "Exit codes:\n"];
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
