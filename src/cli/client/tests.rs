use prost_types::{Struct, Value, value::Kind};

use super::*;

fn mk_plugin(id: &str, name: &str, manifest_id: &str) -> Plugin {
    let id_value = Value { kind: Some(Kind::StringValue(manifest_id.to_owned())) };
    let manifest = Struct { fields: [("id".to_owned(), id_value)].into() };
    Plugin { id: id.to_owned(), name: name.to_owned(), manifest: Some(manifest), ..Plugin::default() }
}

#[test]
fn an_ambiguous_name_is_an_error_that_lists_the_candidates() {
    let plugins = [mk_plugin("id1", "same", "one"), mk_plugin("id2", "same", "two"), mk_plugin("id3", "x", "y")];
    let failure = named(&plugins, "same").unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    let hint = failure.hint.unwrap();
    assert!(hint.contains("id1  same") && hint.contains("id2  same") && !hint.contains("id3"), "{hint}");
}

#[test]
fn an_unknown_name_is_not_found_and_the_nearest_are_suggested() {
    let plugins = [mk_plugin("1", "Greeter", "greeter"), mk_plugin("2", "Weather", "forecast")];
    let failure = named(&plugins, "greter").unwrap_err();
    assert_eq!(failure.exit, Exit::NotFound);
    let hint = failure.hint.unwrap();
    assert!(hint.starts_with("did you mean \"Greeter\" or \"greeter\"? `plugd list`"), "{hint}");
    let hint = |text| named(&plugins, text).unwrap_err().hint.unwrap();
    assert!(hint("forcast").starts_with("did you mean \"forecast\"? "));
    assert!(hint("x").starts_with("`plugd list`"));
}
