//! Reads JSON of which nothing is known: what has the wrong type becomes a problem with its path, and reading goes on.

use serde_json::{Map, Value};

use super::problems::Problems;

/// A value and its place in the manifest.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it stands: `capabilities[0].tools[1].id`.
    pub(super) path: String,
    /// The value.
    pub(super) value: Value,
}

impl Node {
    /// The manifest itself.
    pub(super) const fn root(value: Value) -> Self {
        Self { path: String::new(), value }
    }

    /// It as an object.
    pub(super) fn object(self, problems: &mut Problems) -> Option<Object> {
        match self.value {
            Value::Object(map) => Some(Object { path: self.path, map }),
            _ => refuse(problems, &self.path, "must be an object."),
        }
    }

    /// It as a string.
    pub(super) fn text(self, problems: &mut Problems) -> Option<String> {
        match self.value {
            Value::String(text) => Some(text),
            _ => refuse(problems, &self.path, "must be a string."),
        }
    }

    /// It as a string; a broken rule becomes a problem.
    fn text_keeping(self, rule: Rule, problems: &mut Problems) -> Option<String> {
        let path = self.path.clone();
        let text = self.text(problems);
        if text.as_deref().is_some_and(|text| !(rule.holds)(text)) {
            problems.add(&path, rule.broken);
        }
        text
    }

    fn boolean(self, problems: &mut Problems) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(value),
            _ => refuse(problems, &self.path, "must be true or false."),
        }
    }

    fn list(self, problems: &mut Problems) -> Option<Vec<Self>> {
        let Value::Array(values) = self.value else { return refuse(problems, &self.path, "must be a list.") };
        let nodes = values.into_iter().enumerate();
        Some(nodes.map(|(index, value)| Self { path: format!("{}[{index}]", self.path), value }).collect())
    }
}

fn refuse<T>(problems: &mut Problems, path: &str, description: &str) -> Option<T> {
    problems.add(path, description);
    None
}

/// An object and its place in the manifest. Keys that nobody asks for are dropped with it.
#[derive(Debug)]
pub(super) struct Object {
    path: String,
    map: Map<String, Value>,
}

impl Object {
    /// Path of one of its keys.
    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// What is left of it: everything that has not been asked for.
    pub(super) fn into_map(self) -> Map<String, Value> {
        self.map
    }

    /// Takes a value out. `null` counts as absent (CONTRACT 5.1).
    pub(super) fn take(&mut self, key: &str) -> Option<Node> {
        let value = self.map.remove(key).filter(|value| !value.is_null())?;
        Some(Node { path: self.path_of(key), value })
    }

    /// Takes a string out that is to keep a rule; the empty one if it is absent.
    pub(super) fn text_keeping(&mut self, key: &str, rule: Rule, problems: &mut Problems) -> String {
        self.take(key).and_then(|node| node.text_keeping(rule, problems)).unwrap_or_default()
    }

    /// Takes a string out, if it is there.
    pub(super) fn text(&mut self, key: &str, problems: &mut Problems) -> Option<String> {
        self.take(key)?.text(problems)
    }

    /// Takes a string out; the empty one if it is absent.
    pub(super) fn text_or_empty(&mut self, key: &str, problems: &mut Problems) -> String {
        self.text(key, problems).unwrap_or_default()
    }

    /// Takes a string out that must be there and keep a rule; `rule` continues the sentence `Field "<path>"`.
    pub(super) fn checked_text(&mut self, key: &str, rule: Rule, problems: &mut Problems) -> String {
        let path = self.path_of(key);
        let Some(node) = self.take(key) else {
            problems.add(&path, "is required.");
            return String::new();
        };
        node.text_keeping(rule, problems).unwrap_or_default()
    }

    /// Takes true or false out, if it is there.
    pub(super) fn boolean(&mut self, key: &str, problems: &mut Problems) -> Option<bool> {
        self.take(key)?.boolean(problems)
    }

    /// Takes a list out; the empty one if it is absent.
    pub(super) fn list(&mut self, key: &str, problems: &mut Problems) -> Vec<Node> {
        self.take(key).and_then(|node| node.list(problems)).unwrap_or_default()
    }

    /// Takes a list of strings out that are to keep a rule; the empty one if it is absent.
    pub(super) fn texts_keeping(&mut self, key: &str, rule: Rule, problems: &mut Problems) -> Vec<String> {
        self.list(key, problems).into_iter().filter_map(|node| node.text_keeping(rule, problems)).collect()
    }

    /// Takes a list of strings out; the empty one if it is absent.
    pub(super) fn texts(&mut self, key: &str, problems: &mut Problems) -> Vec<String> {
        self.list(key, problems).into_iter().filter_map(|node| node.text(problems)).collect()
    }

    /// Takes a list of objects out; the empty one if it is absent.
    pub(super) fn objects(&mut self, key: &str, problems: &mut Problems) -> Vec<Self> {
        self.list(key, problems).into_iter().filter_map(|node| node.object(problems)).collect()
    }

    /// Takes an object out, if it is there.
    pub(super) fn object(&mut self, key: &str, problems: &mut Problems) -> Option<Self> {
        self.take(key)?.object(problems)
    }
}

/// A rule that a text keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// Does the text keep it?
    pub(super) holds: fn(&str) -> bool,
    /// What is said when it does not: it continues the sentence `Field "<path>"`.
    pub(super) broken: &'static str,
}
