//! `${env:NAME}` in the values of a file: the environment's own, filled in, and never printed.

use std::{cmp::Reverse, collections::BTreeSet};

use serde_json::{Map, Value};

use crate::cli::{
    failure::{Exit, Failure},
    ui::first_few,
};

const OPEN: &str = "${env:";
/// How [`OPEN`] is written where it is meant as it stands.
const ESCAPED: &str = "$${env:";
/// What stands for a value that is not printed.
pub(super) const SECRET: &str = "[secret]";

/// An object with the environment's values in it. It can't be printed by accident: it has no `Debug`.
#[derive(Clone, Default)]
pub(super) struct Filled {
    pub(super) values: Map<String, Value>,
    /// The keys whose values have something of the environment in them.
    pub(super) secret: BTreeSet<String>,
    /// What the environment gave.
    given: BTreeSet<String>,
}

impl Filled {
    /// These values, with nothing of the environment in them.
    pub(super) fn plain(values: Map<String, Value>) -> Self {
        Self { values, ..Self::default() }
    }

    /// A failure without what the environment gave: a plugin may repeat it.
    pub(super) fn hide_in(&self, failure: Failure) -> Failure {
        let mut given: Vec<&String> = self.given.iter().collect();
        // One may be a part of another.
        given.sort_by_key(|value| Reverse(value.len()));
        let hide = |text: String| given.iter().fold(text, |text, value| text.replace(*value, SECRET));
        Failure { what: hide(failure.what), hint: failure.hint.map(hide), ..failure }
    }
}

/// Fills in variables, and remembers which of them are not there.
pub(super) struct Environment<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    missing: BTreeSet<String>,
}

impl<'a> Environment<'a> {
    pub(super) fn new(variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { variable, missing: BTreeSet::new() }
    }

    /// The object with the environment's values in it, at any depth.
    pub(super) fn fill(&mut self, values: Map<String, Value>) -> Filled {
        let mut filled = Filled::default();
        for (key, mut value) in values {
            let mut given = BTreeSet::new();
            self.fill_value(&mut value, &mut given);
            if !given.is_empty() {
                filled.secret.insert(key.clone());
            }
            filled.given.append(&mut given);
            filled.values.insert(key, value);
        }
        filled
    }

    fn fill_value(&mut self, value: &mut Value, given: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => *text = self.fill_text(text, given),
            Value::Array(items) => items.iter_mut().for_each(|item| self.fill_value(item, given)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.fill_value(field, given)),
            _ => {}
        }
    }

    fn fill_text(&mut self, text: &str, given: &mut BTreeSet<String>) -> String {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once(OPEN) {
            if let Some(before) = before.strip_suffix('$') {
                filled.extend([before, OPEN]);
                rest = after;
            } else if let Some((name, after)) = after.split_once('}') {
                let value = self.value_of(name);
                filled.extend([before, &value]);
                given.insert(value);
                rest = after;
            } else {
                break;
            }
        }
        filled + rest
    }

    /// The value of a variable; an empty one counts as not set.
    fn value_of(&mut self, name: &str) -> String {
        let value = (self.variable)(name).filter(|value| !value.is_empty());
        value.unwrap_or_else(|| {
            self.missing.insert(name.to_owned());
            String::new()
        })
    }

    /// # Errors
    /// Variables are not there.
    pub(super) fn finish(self) -> Result<(), Failure> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = self.missing.into_iter().collect();
        Err(Failure::new(format!("not set in the environment, or empty: {}", first_few(&names)))
            .hint(format!("set them, or write `{ESCAPED}NAME}}` where `{OPEN}NAME}}` is meant as it stands"))
            .exit(Exit::Refused))
    }
}

/// A value as a file has it whose reader fills in the environment.
pub(super) fn escaped(value: &Value) -> Value {
    match value {
        Value::String(text) => text.replace(OPEN, ESCAPED).into(),
        Value::Array(items) => items.iter().map(escaped).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), escaped(value))).collect(),
        other => other.clone(),
    }
}
