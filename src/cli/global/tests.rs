use std::fs;

use super::*;

fn folder_with_token() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(TOKEN_FILE), "\u{feff}found \r\n\n").unwrap();
    folder
}

#[test]
fn the_token_given_beats_the_one_in_the_data_folder() {
    let folder = folder_with_token();
    let mut options = GlobalOptions { data_dir: Some(folder.path().into()), ..GlobalOptions::default() };
    assert_eq!(options.credential().unwrap().token.as_deref(), Some("found"));
    options.token = Some("given".to_owned());
    assert_eq!(options.credential().unwrap().token.as_deref(), Some("given"));
}

#[test]
fn a_folder_without_a_token_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let options = GlobalOptions { data_dir: Some(folder.path().into()), ..GlobalOptions::default() };
    assert_eq!(options.credential().unwrap().token, None);
}

#[test]
fn a_token_found_by_itself_does_not_leave_this_machine() {
    let options = GlobalOptions { server: Some("http://example.com".to_owned()), ..GlobalOptions::default() };
    assert_eq!(options.credential().unwrap(), Credential { token: None, hint: OF_NONE.to_owned() });
}

#[test]
fn the_command_line_wins_over_the_environment_and_an_empty_variable_is_none() {
    let environment = |name: &str| match name {
        "PLUGD_SERVER" => Some("http://env".into()),
        "PLUGD_TOKEN" => Some(" ".into()),
        _ => None,
    };
    let given = GlobalOptions { server: Some("http://given".to_owned()), ..GlobalOptions::default() };
    assert_eq!(given.or_from(environment).server(), "http://given");
    let options = GlobalOptions::default().or_from(environment);
    assert_eq!((options.server(), options.token.as_deref()), ("http://env", None));
}

#[test]
fn only_addresses_of_this_machine_are_local() {
    for server in ["http://localhost:8000", "http://127.0.0.1:1", "http://127.8.0.1", "http://[::1]:8000"] {
        assert!(is_local(server), "{server}");
    }
    for server in ["http://example.com", "http://localhost.example.com", "http://10.0.0.1:8000", "nonsense"] {
        assert!(!is_local(server), "{server}");
    }
}

#[test]
fn the_hint_names_everything_that_was_tried() {
    let nowhere = GlobalOptions { data_dir: Some("/no/such".into()), ..GlobalOptions::default() };
    let hint = nowhere.credential().unwrap().hint;
    for tried in ["--token", "PLUGD_TOKEN", "/no/such/admin.token", "No such file", "--data-dir"] {
        assert!(hint.contains(tried), "{tried}: {hint}");
    }
    let folder = folder_with_token();
    let here = GlobalOptions { data_dir: Some(folder.path().into()), ..GlobalOptions::default() };
    let hint = here.credential().unwrap().hint;
    assert!(hint.contains("admin.token.new") && !hint.contains("found"), "{hint}");
}
