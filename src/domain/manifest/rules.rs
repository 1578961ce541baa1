//! What a manifest must be, key by key (CONTRACT 5).

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::check::{
    Checker, Field,
    Kind::{self, Any, Flag, Free, List, Object, OneOf, Text, With},
    Presence::{self, Filled, Optional, Required, UnlessEmpty},
    Rule,
};
use crate::domain::{configuration::FieldType, text::shorten};

/// Most characters of what names a plugin: its id, its author, its name and its version.
const MAX_NAME: usize = 100;

/// Most characters of a text from a manifest that a message repeats.
const MAX_QUOTED: usize = 64;

/// The types of capabilities.
const LLM_PROVIDER: &str = "robot.llm_provider";
const TOOL_PROVIDER: &str = "robot.tool_provider";

const REQUIRED: Presence = Required("is required.");

/// What a whole manifest must be.
pub(super) static MANIFEST: Kind = Object(&[
    Field("id", REQUIRED, Text(&[SLUG, SHORT])),
    Field("author", REQUIRED, Text(&[SLUG, SHORT])),
    Field("name", REQUIRED, Text(&[NAME, PRINTABLE])),
    Field("description", Optional, Text(&[])),
    Field("version", Optional, Text(&[SHORT, PRINTABLE])),
    Field("command", Optional, Text(&[NO_NUL])),
    Field("args", Optional, List(&Text(&[NO_NUL]))),
    Field("events_consumed", Optional, With(&TEXTS, check_events)),
    Field("access", Optional, ACCESS),
    Field("configuration_schema", Optional, CONFIGURATION),
    Field("capabilities", Optional, List(&With(&Free, check_capability))),
]);

/// The keys of a manifest and of all that is in it.
pub(super) fn keys() -> Vec<&'static str> {
    let mut keys = Vec::new();
    [&MANIFEST, &LLM_PROVIDERS, &TOOL_PROVIDERS].into_iter().for_each(|kind| kind.add_keys(&mut keys));
    keys
}

const TEXTS: Kind = List(&Text(&[]));

const ACCESS: Kind = Object(&[
    Field("handle", Optional, Text(&[])),
    Field("name", Optional, Text(&[])),
    Field("permissions", Optional, TEXTS),
    Field("bio", Optional, Text(&[])),
    Field("links", Optional, List(&Object(&[Field("text", Optional, Text(&[])), Field("url", Optional, Text(&[]))]))),
    Field("metadata", Optional, Free),
]);

/// What is said of a field without a type that plugd knows.
const NO_TYPE: &str = "must be \"string\", \"number\" or \"boolean\".";

const CONFIGURATION: Kind = Object(&[Field(
    "fields",
    Optional,
    With(&List(&With(&CONFIGURATION_FIELD, check_default)), |fields, path, checker| {
        check_unique(ids(fields), path, checker);
    }),
)]);

const CONFIGURATION_FIELD: Kind = Object(&[
    Field("type", Required(NO_TYPE), OneOf(&["string", "number", "boolean"], NO_TYPE)),
    Field("id", Optional, Text(&[PRINTABLE])),
    Field("label", Optional, Text(&[PRINTABLE])),
    Field("description", Optional, Text(&[])),
    Field("default", Optional, Any),
]);

static LLM_PROVIDERS: Kind = Object(&[
    Field("type", REQUIRED, Any),
    Field("id", REQUIRED, Text(&[DOTTED])),
    Field("version", REQUIRED, Text(&[NOT_EMPTY, PRINTABLE])),
    Field("name", Optional, Text(&[PRINTABLE])),
    Field("description", Optional, Text(&[])),
]);

static TOOL_PROVIDERS: Kind = With(
    &Object(&[
        Field("type", REQUIRED, Any),
        Field("id", REQUIRED, Text(&[IDENTIFIER])),
        Field("version", REQUIRED, Text(&[NOT_EMPTY, PRINTABLE])),
        Field("name", Optional, Text(&[PRINTABLE])),
        Field("description", Optional, Text(&[])),
        Field("tools", Filled(|| json!([])), List(&TOOL)),
        Field("toolsets", UnlessEmpty, List(&TOOLSET)),
    ]),
    check_toolsets,
);

const TOOL: Kind = Object(&[
    Field("input_schema", Required("is required: an object whose \"type\" is \"object\"."), SCHEMA),
    Field("id", REQUIRED, Text(&[IDENTIFIER])),
    Field("name", Filled(|| json!("")), Text(&[PRINTABLE])),
    Field("description", Filled(|| json!("")), Text(&[])),
    Field("title", Optional, Text(&[PRINTABLE])),
    Field("output_schema", Optional, SCHEMA),
    Field("requires_confirmation", Optional, Flag),
    Field("requires_workspace", Optional, Flag),
    Field("annotations", UnlessEmpty, ANNOTATIONS),
]);

const ANNOTATIONS: Kind = Object(&[
    Field("readOnlyHint", Optional, Flag),
    Field("destructiveHint", Optional, Flag),
    Field("idempotentHint", Optional, Flag),
    Field("openWorldHint", Optional, Flag),
]);

const TOOLSET: Kind = Object(&[
    Field("id", REQUIRED, Text(&[NOT_EMPTY, PRINTABLE])),
    Field("name", Filled(|| json!("")), Text(&[PRINTABLE])),
    Field("description", Filled(|| json!("")), Text(&[])),
    Field("tools", Filled(|| json!([])), TEXTS),
    Field("instruction", Optional, Text(&[])),
    Field("requires_workspace", Optional, Flag),
]);

/// A JSON schema. Its own keys are all kept: they are JSON schema's, not the manifest's.
const SCHEMA: Kind = With(&Free, |schema, path, checker| {
    if schema["type"] != "object" {
        checker.add(path, "is invalid. Its \"type\" must be \"object\".");
    }
});

fn check_events(names: &mut Value, path: &str, checker: &mut Checker<'_>) {
    let mut seen = HashSet::new();
    for name in texts(names).filter(|name| seen.insert(*name) && !checker.catalog.has(name)).collect::<Vec<_>>() {
        let hint = match checker.catalog.is_any() {
            true => " A name has up to 128 letters, digits, dots, underscores and hyphens, and begins with a letter.",
            false => "",
        };
        checker.add(path, format!("contains unknown event {}.{hint}", quoted(name)));
    }
}

fn check_default(field: &mut Value, path: &str, checker: &mut Checker<'_>) {
    let kind = FieldType::deserialize(&field["type"]).ok();
    if let (Some(kind), Some(default)) = (kind, field.get("default"))
        && !kind.fits(default)
    {
        checker.add(&format!("{path}.default"), format!("must be a {} value.", kind.name()));
    }
}

/// The type of a capability tells what it must be.
fn check_capability(capability: &mut Value, path: &str, checker: &mut Checker<'_>) {
    match capability["type"].as_str() {
        Some(LLM_PROVIDER) => checker.check(capability, path, &LLM_PROVIDERS),
        Some(TOOL_PROVIDER) => checker.check(capability, path, &TOOL_PROVIDERS),
        _ => checker.add(&format!("{path}.type"), format!("must be \"{LLM_PROVIDER}\" or \"{TOOL_PROVIDER}\".")),
    }
}

/// Checks what can only be seen when all tools and toolsets are known: each id once, each reference to a tool that
/// exists. Storyden found this too late and left a broken plugin behind (CONTRACT 19, defect 18).
fn check_toolsets(provider: &mut Value, path: &str, checker: &mut Checker<'_>) {
    check_unique(ids(&provider["tools"]), &format!("{path}.tools"), checker);
    check_unique(ids(&provider["toolsets"]), &format!("{path}.toolsets"), checker);
    let known: HashSet<&str> = ids(&provider["tools"]).collect();
    for (index, toolset) in items(&provider["toolsets"]).enumerate() {
        let path = format!("{path}.toolsets[{index}].tools");
        check_unique(texts(&toolset["tools"]), &path, checker);
        for id in texts(&toolset["tools"]).filter(|id| !known.contains(id)) {
            checker.add(&path, format!("contains unknown tool {}.", quoted(id)));
        }
    }
}

/// Blank ids are left out: they are problems of their own, or name nothing.
fn check_unique<'a>(ids: impl Iterator<Item = &'a str>, path: &str, checker: &mut Checker<'_>) {
    let mut seen = HashSet::new();
    for id in ids.filter(|id| !id.trim().is_empty() && !seen.insert(*id)) {
        checker.add(path, format!("contains {} more than once.", quoted(id)));
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    items(list).filter_map(Value::as_str)
}

fn ids(list: &Value) -> impl Iterator<Item = &str> {
    items(list).filter_map(|item| item["id"].as_str())
}

/// The text in quotes, shortened to what a message can bear.
fn quoted(text: &str) -> String {
    format!("{:?}", shorten(text, MAX_QUOTED))
}

/// Ids of plugins and authors: `^[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?$`.
pub(super) const SLUG: Rule = Rule {
    holds: |text| {
        let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        consists_of(text, "-") && is_edge(text.chars().next()) && is_edge(text.chars().last())
    },
    broken: "is invalid. Use letters, digits and hyphens; begin and end with a letter or a digit.",
};

/// Ids of model providers: `^[a-zA-Z0-9][a-zA-Z0-9._-]*$`.
pub(super) const DOTTED: Rule = Rule {
    holds: |text| begins_well(text) && consists_of(text, "._-"),
    broken: "is invalid. Use letters, digits, dots, underscores and hyphens; begin with a letter or a digit.",
};

/// Ids of tools and of their providers: `^[a-zA-Z0-9][a-zA-Z0-9_]*$`.
pub(super) const IDENTIFIER: Rule = Rule {
    holds: |text| begins_well(text) && consists_of(text, "_"),
    broken: "is invalid. Use letters, digits and underscores; begin with a letter or a digit.",
};

/// The name of a plugin.
pub(super) const NAME: Rule = Rule {
    holds: |text| (1..=MAX_NAME).contains(&text.chars().count()),
    broken: "is invalid. Use 1 to 100 characters.",
};

/// A text of a bounded length.
pub(super) const SHORT: Rule =
    Rule { holds: |text| text.chars().count() <= MAX_NAME, broken: "is too long. Use at most 100 characters." };

/// A text that is shown on one line, in a terminal or on a page.
pub(super) const PRINTABLE: Rule = Rule {
    holds: |text| !text.contains(char::is_control),
    broken: "is invalid. It must not contain control characters.",
};

/// A text that says something.
const NOT_EMPTY: Rule = Rule { holds: |text| !text.is_empty(), broken: "is invalid. It must not be empty." };

/// A text that a process is started with: Linux ends it at its first NUL.
pub(super) const NO_NUL: Rule =
    Rule { holds: |text| !text.contains('\0'), broken: "is invalid. It must not contain a NUL character." };

fn begins_well(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

fn consists_of(text: &str, marks: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || marks.contains(c))
}
