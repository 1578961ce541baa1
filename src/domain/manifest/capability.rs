//! What a plugin offers to the application (CONTRACT 5.6).

use serde::{Deserialize, Serialize};

use super::{
    problems::Problems,
    reader::{Object, Rule},
    rules,
    tool::{Tool, Toolset, check_toolsets, read_tools, read_toolsets},
};

/// Type of [`Capability::LlmProvider`] in a manifest.
const LLM_PROVIDER: &str = "robot.llm_provider";

/// Type of [`Capability::ToolProvider`] in a manifest.
const TOOL_PROVIDER: &str = "robot.tool_provider";

/// One thing that a plugin offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Capability {
    /// Language models.
    #[serde(rename = "robot.llm_provider")]
    LlmProvider(Offer),
    /// Tools that a robot may call.
    #[serde(rename = "robot.tool_provider")]
    ToolProvider(ToolProvider),
}

/// What all capabilities have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Offer {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Its name, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A provider of tools.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolProvider {
    /// What all capabilities have.
    #[serde(flatten)]
    pub offer: Offer,
    /// Its tools.
    pub tools: Vec<Tool>,
    /// Its toolsets: tools that belong together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub toolsets: Vec<Toolset>,
}

impl Capability {
    /// Reads one; none if its type is missing or unknown.
    pub(super) fn read(mut object: Object, problems: &mut Problems) -> Option<Self> {
        let path = object.path_of("type");
        let node = object.take("type");
        match node.as_ref().and_then(|node| node.value.as_str()) {
            Some(LLM_PROVIDER) => Some(Self::LlmProvider(Offer::read(&mut object, rules::DOTTED, problems))),
            Some(TOOL_PROVIDER) => Some(Self::ToolProvider(ToolProvider::read(&mut object, problems))),
            _ => {
                problems.add(&path, format!("must be \"{LLM_PROVIDER}\" or \"{TOOL_PROVIDER}\"."));
                None
            }
        }
    }
}

impl Offer {
    fn read(object: &mut Object, id: Rule, problems: &mut Problems) -> Self {
        Self {
            id: object.checked_text("id", id, problems),
            version: object.checked_text("version", rules::NOT_EMPTY, problems),
            name: object.text("name", problems),
            description: object.text("description", problems),
        }
    }
}

impl ToolProvider {
    fn read(object: &mut Object, problems: &mut Problems) -> Self {
        let provider = Self {
            offer: Offer::read(object, rules::IDENTIFIER, problems),
            tools: read_tools(object, problems),
            toolsets: read_toolsets(object, problems),
        };
        check_toolsets(&provider.tools, &provider.toolsets, object, problems);
        provider
    }
}
