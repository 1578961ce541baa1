//! The TOML file: flat keys, each with the line that it stands on.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use toml::{Spanned, Value};

use super::{Error, Knob};
use crate::files;

/// What a settings file says.
#[derive(Debug, Clone, Default)]
pub struct File {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
}

/// One value, as text, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: String,
    pub(super) line: usize,
}

impl File {
    /// Reads a settings file.
    ///
    /// # Errors
    /// It can't be read, is not TOML, or has a key that is not one of `knobs`.
    pub fn read(path: &Path, knobs: &[Knob]) -> Result<Self, Error> {
        let text = files::read_text(path, files::MAX_TEXT)
            .map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
        Self::parse(path, &text, knobs)
    }

    /// Takes a settings file's text; `path` is for messages.
    ///
    /// # Errors
    /// As [`File::read`].
    pub fn parse(path: &Path, text: &str, knobs: &[Knob]) -> Result<Self, Error> {
        type Table = BTreeMap<Spanned<String>, Spanned<Value>>;
        let table: Table = toml::from_str(text).map_err(|error| syntax(path, text, &error))?;
        let mut file = Self { path: path.to_owned(), entries: BTreeMap::new() };
        for (key, value) in table {
            let line = line_of(text, key.span().start);
            let key = key.into_inner();
            if !knobs.iter().any(|knob| knob.name == key) {
                return Err(Error::UnknownKey { path: path.to_owned(), line, key });
            }
            file.entries.insert(key, Entry { value: plain(value.get_ref()), line });
        }
        Ok(file)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn get(&self, knob: &Knob) -> Option<&Entry> {
        self.entries.get(knob.name)
    }
}

/// A value as a flag would give it: texts bare, lists with commas.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::Datetime(time) => time.to_string(),
        Value::Table(_) => "a table".to_owned(),
    }
}

fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let line = line_of(text, error.span().map_or(0, |span| span.start));
    Error::Syntax { path: path.to_owned(), line, message: error.message().to_owned() }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    before.matches('\n').count() + 1
}
