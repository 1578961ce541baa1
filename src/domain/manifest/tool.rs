//! Tools that a robot may call, and sets of them (CONTRACT 5.6).

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{problems::Problems, quoted, reader::Object, rules};

/// One tool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tool {
    /// Its id, unique within the provider.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it does, for a model.
    pub description: String,
    /// Its title, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// JSON schema of its parameters, of type `object`.
    pub input_schema: Map<String, Value>,
    /// JSON schema of its result, of type `object`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Map<String, Value>>,
    /// Must a person agree to each call?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires_confirmation: Option<bool>,
    /// Does it work on a workspace?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires_workspace: Option<bool>,
    /// Hints for who calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
}

/// Hints about a tool; none of them is enforced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Annotations {
    /// It changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only_hint: Option<bool>,
    /// It may destroy something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destructive_hint: Option<bool>,
    /// Doing it again changes nothing more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotent_hint: Option<bool>,
    /// It reaches beyond the application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_world_hint: Option<bool>,
}

/// Tools that belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Toolset {
    /// Its id, unique within the provider.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Ids of tools of the same provider, each once.
    pub tools: Vec<String>,
    /// How a model should use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction: Option<String>,
    /// Does it work on a workspace?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires_workspace: Option<bool>,
}

/// Reads a provider's tools.
pub(super) fn read_tools(provider: &mut Object, problems: &mut Problems) -> Vec<Tool> {
    let objects = provider.objects("tools", problems).into_iter();
    objects.map(|object| Tool::read(object, problems)).collect()
}

/// Reads a provider's toolsets.
pub(super) fn read_toolsets(provider: &mut Object, problems: &mut Problems) -> Vec<Toolset> {
    let objects = provider.objects("toolsets", problems).into_iter();
    objects.map(|object| Toolset::read(object, problems)).collect()
}

/// Checks what can only be seen when all tools and toolsets are known: each id once, each reference to a tool that
/// exists. Storyden found this too late and left a broken plugin behind (CONTRACT 19, defect 18).
pub(super) fn check_toolsets(tools: &[Tool], toolsets: &[Toolset], provider: &Object, problems: &mut Problems) {
    check_unique(tools.iter().map(|tool| &*tool.id), &provider.path_of("tools"), problems);
    check_unique(toolsets.iter().map(|toolset| &*toolset.id), &provider.path_of("toolsets"), problems);
    let known: HashSet<&str> = tools.iter().map(|tool| &*tool.id).collect();
    for (index, toolset) in toolsets.iter().enumerate() {
        let path = format!("{}[{index}].tools", provider.path_of("toolsets"));
        check_unique(toolset.tools.iter().map(|id| &**id), &path, problems);
        for id in toolset.tools.iter().filter(|id| !known.contains(&***id)) {
            problems.add(&path, format!("contains unknown tool {}.", quoted(id)));
        }
    }
}

/// Empty ids are left out: they are problems of their own.
fn check_unique<'a>(ids: impl Iterator<Item = &'a str>, path: &str, problems: &mut Problems) {
    let mut seen = HashSet::new();
    for id in ids.filter(|id| !id.is_empty() && !seen.insert(*id)) {
        problems.add(path, format!("contains {} more than once.", quoted(id)));
    }
}

impl Tool {
    fn read(mut object: Object, problems: &mut Problems) -> Self {
        let input = read_schema(&mut object, "input_schema", problems);
        if input.is_none() {
            problems.add(&object.path_of("input_schema"), "is required: an object whose \"type\" is \"object\".");
        }
        Self {
            id: object.checked_text("id", rules::IDENTIFIER, problems),
            name: object.text_or_empty("name", problems),
            description: object.text_or_empty("description", problems),
            title: object.text("title", problems),
            input_schema: input.unwrap_or_default(),
            output_schema: read_schema(&mut object, "output_schema", problems),
            requires_confirmation: object.boolean("requires_confirmation", problems),
            requires_workspace: object.boolean("requires_workspace", problems),
            annotations: Annotations::read(&mut object, problems),
        }
    }
}

/// The schema, if it is there. Its own keys are all kept: they are JSON schema's, not the manifest's.
fn read_schema(object: &mut Object, key: &str, problems: &mut Problems) -> Option<Map<String, Value>> {
    let node = object.take(key)?;
    let path = node.path.clone();
    let schema = node.object(problems).map(Object::into_map).unwrap_or_else(object_schema);
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        problems.add(&path, "is invalid. Its \"type\" must be \"object\".");
    }
    Some(schema)
}

/// Stands in for one that has been complained about already.
fn object_schema() -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), Value::from("object"))])
}

impl Annotations {
    fn read(tool: &mut Object, problems: &mut Problems) -> Option<Self> {
        let mut object = tool.object("annotations", problems)?;
        let annotations = Self {
            read_only_hint: object.boolean("readOnlyHint", problems),
            destructive_hint: object.boolean("destructiveHint", problems),
            idempotent_hint: object.boolean("idempotentHint", problems),
            open_world_hint: object.boolean("openWorldHint", problems),
        };
        (annotations != Self::default()).then_some(annotations)
    }
}

impl Toolset {
    fn read(mut object: Object, problems: &mut Problems) -> Self {
        Self {
            id: object.checked_text("id", rules::NOT_EMPTY, problems),
            name: object.text_or_empty("name", problems),
            description: object.text_or_empty("description", problems),
            tools: object.texts("tools", problems),
            instruction: object.text("instruction", problems),
            requires_workspace: object.boolean("requires_workspace", problems),
        }
    }
}
