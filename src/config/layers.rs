//! Where a knob's value comes from: flag, environment, file or default, in this order.

use std::{collections::BTreeMap, fmt, io, path::PathBuf};

use super::{File, Flags, Knob, Knobs, Value, check};

/// Environment variables by name.
pub type Environment = BTreeMap<String, String>;

/// Everything that settings are read from.
#[derive(Debug)]
pub struct Layers<'a> {
    knobs: &'static [Knob],
    flags: BTreeMap<&'static str, &'a str>,
    environment: &'a Environment,
    file: &'a File,
}

/// Where a value was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The flag of this name.
    Flag(&'static str),
    /// This environment variable.
    Variable(&'static str),
    /// This line of this file.
    File(PathBuf, usize),
    /// The default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag --{flag}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::File(path, line) => write!(f, "{} line {line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Settings that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value that the knob does not take.
    #[error("{origin}: {value:?} is no value for {knob}: {expected} is expected")]
    Invalid {
        /// Where the value stands.
        origin: Origin,
        /// The knob's name.
        knob: &'static str,
        /// The value.
        value: String,
        /// What the knob takes.
        expected: &'static str,
    },
    /// A key in the file that is no knob.
    #[error("{} line {line}: there is no setting {key:?}", .path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The key.
        key: String,
    },
    /// The file is not TOML.
    #[error("{} line {line}: {message}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// The file can't be read.
    #[error("can't read {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Two settings that don't go together.
    #[error("{0}")]
    Inconsistent(&'static str),
}

impl<'a> Layers<'a> {
    /// The layers of the settings `C`.
    #[must_use]
    pub fn new<C: Knobs>(flags: &'a Flags<C>, environment: &'a Environment, file: &'a File) -> Self {
        let given = C::KNOBS.iter().filter_map(|knob| Some((knob.name, flags.get(knob.name)?)));
        Self { knobs: C::KNOBS, flags: given.collect(), environment, file }
    }

    /// The value of a knob from the first layer that has it.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn read<T: Value>(&self, knob: &Knob) -> Result<T, Error> {
        let (value, origin) = self.find(knob);
        T::read(&value).ok_or(Error::Invalid { origin, knob: knob.name, value, expected: T::EXPECTED })
    }

    fn find(&self, knob: &Knob) -> (String, Origin) {
        if let Some(value) = self.flags.get(knob.name) {
            return ((*value).to_owned(), Origin::Flag(knob.flag));
        }
        if let Some((name, value)) = self.variable(knob) {
            return (value.to_owned(), Origin::Variable(name));
        }
        if let Some(entry) = self.file.get(knob) {
            return (entry.value.clone(), Origin::File(self.file.path().to_owned(), entry.line));
        }
        (self.default(knob), Origin::Default)
    }

    fn variable(&self, knob: &Knob) -> Option<(&'static str, &str)> {
        let set = |name: &&'static str| Some((*name, self.environment.get(*name)?.as_str()));
        knob.env.iter().filter_map(set).find(|(_, value)| !value.is_empty())
    }

    fn default(&self, knob: &Knob) -> String {
        const FOLDER: &str = "{data_dir}";
        let folder = self.knobs.iter().find(|other| other.name == "data_dir");
        match folder {
            Some(folder) if knob.default.contains(FOLDER) => knob.default.replace(FOLDER, &self.find(folder).0),
            _ => knob.default.to_owned(),
        }
    }
}

/// Reads all settings of one kind and checks that they go together.
fn load<C: Knobs>(flags: &Flags<C>, environment: &Environment, file: &File) -> Result<C, Error> {
    C::resolve(&Layers::new(flags, environment, file))
}

impl super::Config {
    /// The settings of `plugd serve` from everything that says something about them.
    ///
    /// # Errors
    /// A value that a knob does not take, or two that don't go together.
    pub fn load(flags: &Flags<Self>, environment: &Environment, file: &File) -> Result<Self, Error> {
        let config = load(flags, environment, file)?;
        check::check(&config)?;
        Ok(config)
    }
}

impl super::RestConfig {
    /// The settings of `plugd rest` from everything that says something about them.
    ///
    /// # Errors
    /// A value that a knob does not take.
    pub fn load(flags: &Flags<Self>, environment: &Environment, file: &File) -> Result<Self, Error> {
        load(flags, environment, file)
    }
}
