use super::*;

#[test]
fn an_ambiguous_name_is_an_error_that_lists_the_candidates() {
    let failure = only("plugin", "list", "same", ["id1", "id2"]).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.hint.unwrap().ends_with(": id1, id2"));
    assert_eq!(only("plugin", "list", "one", ["id1"]).unwrap(), "id1");
}

#[test]
fn an_unknown_name_is_not_found_and_the_hint_is_to_list() {
    let failure = only("token", "token list", "ci", []).unwrap_err();
    assert_eq!((failure.exit, failure.what.as_str()), (Exit::NotFound, "there is no token \"ci\""));
    assert!(failure.hint.unwrap().starts_with("`plugd token list`"));
}
