//! 5.1, 5.4 and 5.5: the fields and what is enforced of each.

use serde_json::{Value, json};

use super::{assert_refused, refused, taken, with, without};
use crate::{
    contract::support::register,
    harness::{Body, Plugd, within},
};

const SLUG: &str = "is invalid. Use letters, digits and hyphens; begin and end with a letter or a digit.";

#[tokio::test]
async fn ids_and_authors_are_letters_and_digits_with_hyphens_inside_5_1() {
    let plugd = Plugd::start().await;
    for key in ["id", "author"] {
        for good in ["a", "7", "a-b", "A--9"] {
            assert_eq!(taken(&plugd, &with(&json!({key: good}))).await[key], good);
        }
        for bad in ["", "-", "-a", "a-", "a_b", "a.b", "a b", "\u{e9}", "a\n"] {
            assert_eq!(refused(&plugd, &with(&json!({key: bad}))).await, format!("Field \"{key}\" {SLUG}"), "{bad:?}");
        }
        assert_eq!(refused(&plugd, &without(key)).await, format!("Field \"{key}\" is required."));
    }
}

#[tokio::test]
async fn a_name_has_1_to_100_characters_5_1() {
    let plugd = Plugd::start().await;
    for good in ["a".to_owned(), "a".repeat(100), "\u{e9}".repeat(100)] {
        assert_eq!(taken(&plugd, &with(&json!({"name": good}))).await["name"], good);
    }
    for bad in [String::new(), "a".repeat(101)] {
        let line = "Field \"name\" is invalid. Use 1 to 100 characters.";
        assert_eq!(refused(&plugd, &with(&json!({"name": bad}))).await, line);
    }
    assert_eq!(refused(&plugd, &without("name")).await, "Field \"name\" is required.");
}

/// Longer ones, and such that a terminal would obey, are of no use to anybody who reads a list of plugins.
#[tokio::test]
async fn what_names_a_plugin_has_100_characters_at_most_and_no_control_characters_5_1() {
    const TOO_LONG: &str = "is too long. Use at most 100 characters.";
    const CONTROL: &str = "is invalid. It must not contain control characters.";
    let long = "a".repeat(101);
    assert_refused(
        [
            (json!({"id": long}), format!("Field \"id\" {TOO_LONG}")),
            (json!({"author": long}), format!("Field \"author\" {TOO_LONG}")),
            (json!({"version": long}), format!("Field \"version\" {TOO_LONG}")),
            (json!({"version": "1\u{1b}[31m"}), format!("Field \"version\" {CONTROL}")),
            (json!({"name": "two\nlines"}), format!("Field \"name\" {CONTROL}")),
        ]
        .map(|(members, line)| (with(&members), line)),
    )
    .await;
}

/// The web UI's own example of an external manifest, field by field, has no command.
#[tokio::test]
async fn the_external_manifest_that_the_web_ui_proposes_is_taken_5_1_must() {
    let plugd = Plugd::start().await;
    let proposed = json!({
        "id": "my-plugin", "author": "your-name", "name": "My Plugin", "description": "What it does", "version": "1.0.0",
    });
    let shown = taken(&plugd, &proposed).await;
    assert_eq!((&shown["id"], &shown["command"]), (&json!("my-plugin"), &json!("")));
}

#[tokio::test]
async fn description_version_and_command_may_be_missing_5_1() {
    let plugd = Plugd::start().await;
    let shown = taken(&plugd, &with(&json!({}))).await;
    for key in ["description", "version", "command"] {
        assert_eq!(shown[key], "", "{key}");
    }
}

#[tokio::test]
async fn a_known_key_of_another_type_is_refused_5_1() {
    let cases = [
        (json!({"id": 1}), "Field \"id\" must be a string."),
        (json!({"author": []}), "Field \"author\" must be a string."),
        (json!({"name": {}}), "Field \"name\" must be a string."),
        (json!({"description": 1}), "Field \"description\" must be a string."),
        (json!({"version": 1.0}), "Field \"version\" must be a string."),
        (json!({"command": ["a"]}), "Field \"command\" must be a string."),
        (json!({"args": "a"}), "Field \"args\" must be a list."),
        (json!({"args": ["a", 1]}), "Field \"args[1]\" must be a string."),
        (json!({"events_consumed": {}}), "Field \"events_consumed\" must be a list."),
        (json!({"events_consumed": [1]}), "Field \"events_consumed[0]\" must be a string."),
        (json!({"access": []}), "Field \"access\" must be an object."),
        (json!({"configuration_schema": 1}), "Field \"configuration_schema\" must be an object."),
        (json!({"capabilities": {}}), "Field \"capabilities\" must be a list."),
    ];
    assert_refused(cases.map(|(members, line)| (with(&members), line))).await;
}

#[tokio::test]
async fn null_counts_as_absent_5_1() {
    let plugd = Plugd::start().await;
    let bare = taken(&plugd, &with(&json!({}))).await;
    let optional = json!({"description": null, "version": null, "command": null, "args": null, "events_consumed": null,
        "access": null, "configuration_schema": null, "capabilities": null});
    assert_eq!(taken(&plugd, &with(&optional)).await, bare);
    for key in ["id", "author", "name"] {
        assert_eq!(refused(&plugd, &with(&json!({key: null}))).await, format!("Field \"{key}\" is required."));
    }
}

/// What no process can be started with is refused before there is anything to start.
#[tokio::test]
async fn a_nul_byte_in_the_command_or_an_argument_is_refused_5_1() {
    let cases = [
        (json!({"command": "sh\u{0}"}), "Field \"command\" is invalid. It must not contain a NUL character."),
        (json!({"args": ["a", "b\u{0}"]}), "Field \"args[1]\" is invalid. It must not contain a NUL character."),
    ];
    assert_refused(cases.map(|(members, line)| (with(&members), line))).await;
}

#[tokio::test]
async fn a_link_is_a_text_and_an_address_as_a_string_5_4() {
    let plugd = Plugd::start().await;
    let access = json!({
        "handle": "bot", "name": "Bot", "permissions": ["CREATE_POST"], "bio": "I am a bot.",
        "links": [{"text": "Home", "url": "https://example.com/a?b=c"}], "metadata": {"any": [1, null]},
    });
    assert_eq!(taken(&plugd, &with(&json!({"access": access}))).await["access"], access);
}

/// Nothing but types is checked: who grants permissions checks their names, when the plugin asks.
#[tokio::test]
async fn of_access_only_the_types_are_checked_5_4() {
    let plugd = Plugd::start().await;
    let unknown = json!({"handle": "Not a handle!", "name": "", "permissions": ["NO_SUCH_PERMISSION"]});
    assert_eq!(taken(&plugd, &with(&json!({"access": unknown}))).await["access"], unknown);
    let cases = [
        (json!({"handle": 1}), "Field \"access.handle\" must be a string."),
        (json!({"name": 1}), "Field \"access.name\" must be a string."),
        (json!({"permissions": "CREATE_POST"}), "Field \"access.permissions\" must be a list."),
        (json!({"permissions": [1]}), "Field \"access.permissions[0]\" must be a string."),
        (json!({"bio": []}), "Field \"access.bio\" must be a string."),
        (json!({"links": ["x"]}), "Field \"access.links[0]\" must be an object."),
        (json!({"links": [{"text": 1}]}), "Field \"access.links[0].text\" must be a string."),
        (json!({"links": [{"url": {"Scheme": "https"}}]}), "Field \"access.links[0].url\" must be a string."),
        (json!({"metadata": []}), "Field \"access.metadata\" must be an object."),
    ];
    for (access, line) in cases {
        assert_eq!(refused(&plugd, &with(&json!({"access": access}))).await, line);
    }
}

fn schema(field: &Value) -> Value {
    with(&json!({"configuration_schema": {"fields": [field]}}))
}

#[tokio::test]
async fn a_configuration_field_has_a_known_type_and_a_default_of_it_5_5() {
    const NO_TYPE: &str =
        "Field \"configuration_schema.fields[0].type\" must be \"string\", \"number\" or \"boolean\".";
    let plugd = Plugd::start().await;
    for (kind, default) in
        [("string", json!("a")), ("number", json!(1.5)), ("number", json!(1)), ("boolean", json!(false))]
    {
        let field = json!({"type": kind, "id": "f", "label": "F", "description": "d", "default": default});
        assert_eq!(taken(&plugd, &schema(&field)).await["configuration_schema"], json!({"fields": [field]}));
    }
    let sparse = taken(&plugd, &schema(&json!({"type": "number"}))).await;
    let filled = json!({"type": "number", "id": "", "label": "", "description": ""});
    assert_eq!(sparse["configuration_schema"], json!({"fields": [filled]}));
    for field in [json!({}), json!({"type": "date"}), json!({"type": 1}), json!({"type": null})] {
        assert_eq!(refused(&plugd, &schema(&field)).await, NO_TYPE, "{field}");
    }
    for (kind, default) in [("string", json!(1)), ("number", json!("1")), ("boolean", json!(0))] {
        let line = format!("Field \"configuration_schema.fields[0].default\" must be a {kind} value.");
        assert_eq!(refused(&plugd, &schema(&json!({"type": kind, "default": default}))).await, line);
    }
}

#[tokio::test]
async fn two_configuration_fields_have_two_ids_5_5() {
    let field = json!({"type": "string", "id": "greeting"});
    let manifest = with(&json!({"configuration_schema": {"fields": [field, field]}}));
    assert_refused([(manifest, "Field \"configuration_schema.fields\" contains \"greeting\" more than once.")]).await;
}

#[tokio::test]
async fn a_configuration_field_with_a_blank_id_is_never_validated_against_5_5() {
    let plugd = Plugd::start().await;
    let members = json!({"configuration_schema": {"fields": [{"type": "number"}, {"type": "number", "id": "n"}]}});
    let (plugin, wire) = register(&plugd, &members, "").await;
    let obeying = wire.obey();
    let path = format!("/api/plugins/{}/configuration", plugin.id);
    let patch = async |body| plugd.rest().patch(&path, Body::Json(body)).await;
    assert_eq!(patch(json!({"": "no number"})).await.expect(200), json!({"": "no number"}));
    patch(json!({"n": "no number"})).await.problem(400);
    drop(plugd);
    within("the end", obeying).await.unwrap();
}
