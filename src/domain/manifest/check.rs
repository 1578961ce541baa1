//! Checks any JSON against what a manifest must be, and brings it into the normalised form. All problems are found at once,
//! each with its path.
//!
//! This is not left to serde, which stops at the first value of a wrong type, and takes a list for an object.

use serde_json::{Map, Value};

use crate::domain::{
    error::{Error, Reason, Result, Violation},
    events::EventCatalog,
};

/// Problems that are told one by one. A hostile manifest could have hundreds of thousands.
const MAX_TOLD: usize = 100;

/// What a value must be.
pub(super) enum Kind {
    /// A string that keeps these rules. Of several that it breaks, the first is told.
    Text(&'static [Rule]),
    /// One of these words; the text is said of anything else.
    OneOf(&'static [&'static str], &'static str),
    Flag,
    /// Anything.
    Any,
    /// An object whose keys are not the manifest's: all are kept.
    Free,
    /// An object with these keys. Others are dropped, and `null` counts as absent (CONTRACT 5.1).
    Object(&'static [Field]),
    /// A list.
    List(&'static Self),
    /// Of this kind, with more to check once all that is in it has been.
    With(&'static Self, fn(&mut Value, &str, &mut Checker<'_>)),
}

/// A key of an object, what is done where it is absent, and what its value must be.
pub(super) struct Field(pub(super) &'static str, pub(super) Presence, pub(super) Kind);

pub(super) enum Presence {
    Optional,
    /// Left out of the normalised form where nothing is in it.
    UnlessEmpty,
    /// Filled in where it is absent.
    Filled(fn() -> Value),
    /// Refused in these words where it is absent.
    Required(&'static str),
}

/// A rule that a text keeps.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    /// Whether a text keeps it.
    pub(super) holds: fn(&str) -> bool,
    /// What is said when it does not: it continues the sentence `Field "<path>"`.
    pub(super) broken: &'static str,
}

impl Kind {
    /// Adds the keys of the objects that are in this.
    pub(super) fn add_keys(&self, keys: &mut Vec<&'static str>) {
        match self {
            Self::Object(fields) => fields.iter().for_each(|field| {
                keys.push(field.0);
                field.2.add_keys(keys);
            }),
            Self::List(kind) | Self::With(kind, _) => kind.add_keys(keys),
            _ => {}
        }
    }

    fn is_type_of(&self, value: &Value) -> bool {
        match self {
            Self::Text(_) => value.is_string(),
            Self::OneOf(words, _) => value.as_str().is_some_and(|word| words.contains(&word)),
            Self::Flag => value.is_boolean(),
            Self::Any => true,
            Self::Free | Self::Object(_) => value.is_object(),
            Self::List(_) => value.is_array(),
            Self::With(kind, _) => kind.is_type_of(value),
        }
    }

    fn expected(&self) -> &'static str {
        match self {
            Self::Text(_) => "must be a string.",
            Self::OneOf(_, expected) => expected,
            Self::Flag => "must be true or false.",
            Self::Any => "must be a value.",
            Self::Free | Self::Object(_) => "must be an object.",
            Self::List(_) => "must be a list.",
            Self::With(kind, _) => kind.expected(),
        }
    }
}

/// Finds what is wrong with one manifest.
pub(super) struct Checker<'a> {
    /// The events that it may consume.
    pub(super) catalog: &'a EventCatalog,
    told: Vec<Violation>,
    untold: usize,
}

impl<'a> Checker<'a> {
    pub(super) const fn new(catalog: &'a EventCatalog) -> Self {
        Self { catalog, told: Vec::new(), untold: 0 }
    }

    /// Adds a problem: `description` continues the sentence `Field "<path>"`, or `The manifest` where there is no path.
    pub(super) fn add(&mut self, path: &str, description: impl Into<String>) {
        if self.told.len() < MAX_TOLD {
            self.told.push(Violation { field: path.to_owned(), description: description.into() });
        } else {
            self.untold += 1;
        }
    }

    /// Checks a value and all that is in it.
    pub(super) fn check(&mut self, value: &mut Value, path: &str, kind: &Kind) {
        if kind.is_type_of(value) {
            self.check_inside(value, path, kind);
        } else {
            self.add(path, kind.expected());
        }
    }

    fn check_inside(&mut self, value: &mut Value, path: &str, kind: &Kind) {
        match (kind, value) {
            (Kind::Text(rules), Value::String(text)) => {
                if let Some(rule) = rules.iter().find(|rule| !(rule.holds)(text)) {
                    self.add(path, rule.broken);
                }
            }
            (Kind::Object(fields), Value::Object(object)) => self.check_fields(object, path, fields),
            (Kind::List(kind), Value::Array(items)) => self.check_items(items, path, kind),
            (Kind::With(kind, more), value) => {
                self.check_inside(value, path, kind);
                more(value, path, self);
            }
            _ => {}
        }
    }

    fn check_fields(&mut self, object: &mut Map<String, Value>, path: &str, fields: &[Field]) {
        object.retain(|key, value| !value.is_null() && fields.iter().any(|Field(known, ..)| known == key));
        for Field(key, presence, kind) in fields {
            let path = if path.is_empty() { (*key).to_owned() } else { format!("{path}.{key}") };
            match (object.get_mut(*key), presence) {
                (Some(value), _) => self.check(value, &path, kind),
                (None, Presence::Required(missing)) => self.add(&path, *missing),
                (None, Presence::Filled(value)) => drop(object.insert((*key).to_owned(), value())),
                (None, Presence::Optional | Presence::UnlessEmpty) => {}
            }
        }
        for Field(key, ..) in fields.iter().filter(|field| matches!(field.1, Presence::UnlessEmpty)) {
            if object.get(*key).is_some_and(is_empty) {
                object.remove(*key);
            }
        }
    }

    /// Checks the types of all items first. An item of a wrong type is not checked further.
    fn check_items(&mut self, items: &mut [Value], path: &str, kind: &Kind) {
        let path = |index: usize| format!("{path}[{index}]");
        for (index, _) in items.iter().enumerate().filter(|(_, item)| !kind.is_type_of(item)) {
            self.add(&path(index), kind.expected());
        }
        for (index, item) in items.iter_mut().enumerate().filter(|(_, item)| kind.is_type_of(item)) {
            self.check_inside(item, &path(index), kind);
        }
    }

    /// What was found, if anything was: one line of the message and one violation each.
    ///
    /// # Errors
    /// `INVALID_MANIFEST`.
    pub(super) fn outcome(&mut self) -> Result<()> {
        if self.told.is_empty() {
            return Ok(());
        }
        let told = std::mem::take(&mut self.told);
        let mut lines: Vec<String> = told.iter().map(line).collect();
        if self.untold > 0 {
            lines.push(format!("There are {} more problems.", self.untold));
        }
        let violations = told.into_iter().map(in_manifest).collect();
        Err(Error { violations, ..Error::new(Reason::InvalidManifest, lines.join("\n")) })
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

fn line(Violation { field, description }: &Violation) -> String {
    match field.as_str() {
        "" => format!("The manifest {description}"),
        path => format!("Field \"{path}\" {description}"),
    }
}

fn in_manifest(Violation { field, description }: Violation) -> Violation {
    let field = if field.is_empty() { "manifest".to_owned() } else { format!("manifest.{field}") };
    Violation { field, description }
}
