//! How large a manifest and its parts may be, and which letters they have.

use super::{
    super::{
        check::Rule,
        rules::{DOTTED, IDENTIFIER, NAME, NO_NUL, PRINTABLE, SHORT, SLUG},
    },
    *,
};

/// A client would get another number, or a string in its place.
#[test]
fn a_number_that_can_not_be_carried_is_refused_with_its_place() {
    let field = |default: &str| format!(r#"{{"fields":[{{"id":"n","type":"number","default":{default}}}]}}"#);
    let text = |default: &str| {
        let minimal = mk_minimal().to_string();
        format!(r#"{},"configuration_schema":{}}}"#, minimal.trim_end_matches('}'), field(default))
    };
    let parse = |default: &str| Manifest::parse(text(default).as_bytes(), &EventCatalog::any());
    for number in ["9007199254740993", "-9007199254740993", "18446744073709551617"] {
        let error = parse(number).unwrap_err();
        assert_eq!(fields(&error), ["manifest.configuration_schema.fields[0].default"]);
        assert!(error.message.contains(number), "{}", error.message);
    }
    for number in ["9007199254740992", "0.9424502837770503", "1e300"] {
        let kept = parse(number).unwrap().configuration_schema.unwrap().fields[0].default.clone().unwrap();
        assert_eq!(kept.as_f64().unwrap(), number.parse::<f64>().unwrap());
    }
    let mut tool = mk_tool("t");
    tool["input_schema"]["maximum"] = json!(u64::MAX);
    let error = read(mk_provider(json!([tool]), json!([]))).unwrap_err();
    assert_eq!(fields(&error), ["manifest.capabilities[0].tools[0].input_schema.maximum"]);
}

/// A package's manifest can't be larger, so one that comes by the API can't either.
#[test]
fn a_manifest_has_a_mebibyte_at_most_whatever_way_it_comes() {
    let rest = mk_with("command", "".into()).to_string().len();
    let with = |bytes: usize| read(mk_with("command", "x".repeat(bytes).into()));
    with(MAX_BYTES - rest).unwrap();
    assert_eq!(fields(&with(MAX_BYTES - rest + 1).unwrap_err()), ["manifest"]);
}

/// Short numbers take several times as many bytes on the wire as their text has: a client would not take the message.
#[test]
fn a_manifest_that_is_too_large_for_the_wire_is_refused() {
    let mut tool = mk_tool("t");
    tool["input_schema"]["enum"] = json!(vec![1; json::MAX_OBJECT / 11]);
    let refused = read(mk_provider(json!([tool]), json!([]))).unwrap_err();
    assert_eq!(fields(&refused), ["manifest"]);
    assert!(refused.message.contains("on the wire"), "{}", refused.message);
}

/// Half of what a client takes is what one plugin may be.
#[test]
fn a_description_counts_twice_as_a_plugin_has_it_beside_its_manifest() {
    let error = read(mk_with("description", "x".repeat(MAX_CARRIED / 2).into())).unwrap_err();
    assert_eq!(fields(&error), ["manifest.description"]);
    read(mk_with("description", "x".repeat(MAX_CARRIED / 2 - 1000).into())).unwrap();
}

fn check(rule: Rule, good: &[&str], bad: &[&str]) {
    for text in good {
        assert!((rule.holds)(text), "{text:?} keeps the rule");
    }
    for text in bad {
        assert!(!(rule.holds)(text), "{text:?} breaks the rule");
    }
}

#[test]
fn a_slug_has_hyphens_only_inside() {
    check(SLUG, &["a", "9", "my-plugin", "a--b", "A1"], &["", "-", "-a", "a-", "a_b", "a.b", "a b", "é", "a\n"]);
}

#[test]
fn a_model_providers_id_may_have_dots_and_hyphens_after_the_first() {
    check(DOTTED, &["a", "a.", "a-_.", "gpt-4.1"], &["", ".a", "-a", "_a", "a b", "aé"]);
}

#[test]
fn a_tools_id_has_neither_dots_nor_hyphens() {
    check(IDENTIFIER, &["a", "a_", "search_2"], &["", "_a", "a-b", "a.b", "a b", "aé"]);
}

#[test]
fn a_name_has_1_to_100_characters() {
    check(NAME, &["a", " ", &"é".repeat(100)], &["", &"a".repeat(101)]);
}

#[test]
fn what_names_a_plugin_has_100_characters_at_most() {
    check(SHORT, &["", &"é".repeat(100)], &[&"a".repeat(101)]);
    for key in ["id", "author", "name", "version"] {
        let with = |length: usize| read(mk_with(key, "a".repeat(length).into()));
        with(100).unwrap();
        assert_eq!(fields(&with(101).unwrap_err()), [format!("manifest.{key}")]);
    }
}

#[test]
fn what_is_shown_on_a_line_has_no_control_characters() {
    check(PRINTABLE, &["", "a b", "Grüße 🦀"], &["a\nb", "\t", "\u{1b}[31m", "\u{7f}", "\u{9b}"]);
    let provider = |members: Value| {
        let mut provider = json!({"type": "robot.tool_provider", "id": "p", "version": "1"});
        provider.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        mk_with("capabilities", json!([provider]))
    };
    let field = |key: &str| mk_with("configuration_schema", json!({"fields": [{"type": "string", key: "a\u{7}"}]}));
    for (manifest, path) in [
        (mk_with("name", "a\nb".into()), "name"),
        (mk_with("version", "1\u{1b}".into()), "version"),
        (field("id"), "configuration_schema.fields[0].id"),
        (field("label"), "configuration_schema.fields[0].label"),
        (provider(json!({"name": "a\r"})), "capabilities[0].name"),
        (provider(json!({"version": "a\r"})), "capabilities[0].version"),
        (provider(json!({"toolsets": [{"id": "a\r"}]})), "capabilities[0].toolsets[0].id"),
    ] {
        assert_eq!(fields(&read(manifest).unwrap_err()), [format!("manifest.{path}")]);
    }
    assert!(read(mk_with("description", "two\nlines".into())).is_ok());
}

#[test]
fn each_id_of_a_configuration_field_comes_once_and_a_blank_one_is_none() {
    let with = |ids: [&str; 2]| {
        let fields = ids.map(|id| json!({"type": "string", "id": id}));
        read(mk_with("configuration_schema", json!({"fields": fields})))
    };
    let refused = with(["a", "a"]).unwrap_err();
    assert_eq!(refused.message, "Field \"configuration_schema.fields\" contains \"a\" more than once.");
    for ids in [["a", "b"], ["", ""], [" ", " "]] {
        with(ids).unwrap();
    }
}

#[test]
fn what_a_process_is_started_with_has_no_nul() {
    check(NO_NUL, &["", "a", "a\n\u{1}"], &["\0", "a\0", "a\0b"]);
}

#[test]
fn a_manifest_that_no_client_could_read_is_refused() {
    let nested = (0..30).fold(json!({"type": "object"}), |inner, _| json!({"properties": inner}));
    let tool = json!({"id": "t", "input_schema": nested});
    let provider = json!({"type": "robot.tool_provider", "id": "p", "version": "1", "tools": [tool]});
    let manifest = json!({"id": "a", "author": "a", "name": "A", "capabilities": [provider]});
    let error = Manifest::from_value(manifest, &EventCatalog::any()).unwrap_err();
    assert_eq!(error.violations[0].field, "manifest");
    assert!(error.message.contains("nested deeper than 30 levels"), "{error}");
}
