//! The declaration of settings, and where their values come from.

use std::{
    collections::BTreeMap,
    env::{self, VarError},
    marker::PhantomData,
    path::Path,
};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use toml::Spanned;

use super::Value;
use crate::files;

/// The setting that is a global option of the whole command line and so has no flag of its own.
const DATA_DIR: &str = "data_dir";

/// The placeholder of settings that are true or false.
const YES_OR_NO: &str = "BOOL";

/// How alike a key in the file and a setting must be for it to be taken for a slip, of 1.
const ALIKE: f64 = 0.8;

#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name: the field, and the key in the file.
    pub name: &'static str,
    /// Environment variables that set it; the first that is set wins.
    pub env: &'static [&'static str],
    /// Its default as text; `{data_dir}` stands for the data folder, empty for "not set".
    pub default: &'static str,
    /// What a value is called in the help.
    pub placeholder: &'static str,
    pub help: &'static str,
}

pub trait Settings: Sized {
    const ALL: &'static [Setting];

    /// Reads every setting and checks that they go together.
    fn read(given: &Given) -> Result<Self, Error>;

    /// The names of the settings that are others in `other`.
    fn differing(&self, other: &Self) -> Vec<&'static str>;

    /// The settings as a TOML file, each below its description. Secrets are left out.
    fn to_toml(&self) -> String;
}

/// Declares a struct of settings; see [`super::Config`].
macro_rules! settings {
    (
        $(#[$meta:meta])*
        pub struct $name:ident checked by $check:ident {
            $(
                #[doc = $doc:literal]
                $field:ident: $type:ty = $default:literal, $placeholder:literal, [$($env:literal),+];
            )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $(
                #[doc = $doc]
                #[doc = concat!("\n\nDefault: `", $default, "`. Environment: ", $("`", $env, "` ",)+)]
                pub $field: $type,
            )+
        }

        impl $crate::config::Settings for $name {
            const ALL: &'static [$crate::config::Setting] = &[$($crate::config::Setting {
                name: stringify!($field),
                env: &[$($env),+],
                default: $default,
                placeholder: $placeholder,
                help: $doc.trim_ascii(),
            }),+];

            fn read(given: &$crate::config::settings::Given) -> Result<Self, $crate::config::Error> {
                let settings = Self { $($field: $crate::config::settings::read(given, stringify!($field))?,)+ };
                $check(&settings).map_err(|message| $crate::config::Error(message.to_owned()))?;
                Ok(settings)
            }

            fn differing(&self, other: &Self) -> Vec<&'static str> {
                let same = [$((stringify!($field), self.$field == other.$field)),+];
                same.into_iter().filter(|(_, is_same)| !is_same).map(|(name, _)| name).collect()
            }

            fn to_toml(&self) -> String {
                let literals = [$($crate::config::Value::to_toml(&self.$field)),+];
                let entries = Self::ALL.iter().zip(literals);
                entries.map(|(setting, literal)| $crate::config::settings::toml_entry(setting, literal)).collect()
            }
        }
    };
}

pub(super) use settings;

/// One setting as lines of a TOML file.
pub(super) fn toml_entry(setting: &Setting, literal: Option<String>) -> String {
    let entry = match literal {
        Some(literal) => format!("{} = {literal}", setting.name),
        None => format!("# {} is not set", setting.name),
    };
    format!("# {}\n{entry}\n", setting.help)
}

/// Reads settings from everything that says something about them: these flags, the environment of the process, and the
/// file at `path`.
pub fn load<S: Settings>(flags: &Flags<S>, environment: &Environment, path: Option<&Path>) -> Result<S, Error> {
    let read = |path: &Path| {
        let text = files::read_text(path, files::MAX_TEXT);
        text.map_err(|error| Error(format!("can't read {}: {error}", path.display())))
    };
    let text = path.map(read).transpose()?;
    merged(flags, environment, path.zip(text.as_deref()))
}

/// As [`load`], from a file's path and text.
pub(super) fn merged<S: Settings>(
    flags: &Flags<S>,
    environment: &Environment,
    file: Option<(&Path, &str)>,
) -> Result<S, Error> {
    let mut in_file = file.map(|(path, text)| in_file(S::ALL, path, text)).transpose()?.unwrap_or_default();
    let mut given = Given::new();
    for setting in S::ALL {
        let flag = flags.get(setting.name);
        let flag = flag.map(|value| (value.to_owned(), format!("flag --{}", flag_of(setting.name))));
        let variable = environment.first_of(setting.env);
        let variable = variable.map(|(name, value)| (value.to_owned(), format!("environment variable {name}")));
        // Settings whose default names the data folder stand below it.
        let data_dir = given.get(DATA_DIR).map_or("", |(value, _)| value.as_str());
        let default = || (setting.default.replace("{data_dir}", data_dir), "default".to_owned());
        let found = flag.or(variable).or_else(|| in_file.remove(setting.name)).unwrap_or_else(default);
        given.insert(setting.name, found);
    }
    S::read(&given)
}

/// What is given for each setting, as text, and where that was found.
pub type Given = BTreeMap<&'static str, (String, String)>;

/// The value that is given for a setting.
///
/// # Errors
/// It is no value of the setting's type: where it stands, and what is expected.
pub(super) fn read<T: Value>(given: &Given, setting: &'static str) -> Result<T, Error> {
    let (value, origin) = given.get(setting).cloned().unwrap_or_default();
    T::read(&value).ok_or_else(|| {
        let expected = T::EXPECTED;
        Error(format!("{origin}: {value:?} is no value for {setting}: {expected} is expected"))
    })
}

/// What a TOML file says: flat keys, each a setting.
fn in_file(settings: &[Setting], path: &Path, text: &str) -> Result<Given, Error> {
    type Table = BTreeMap<Spanned<String>, Spanned<toml::Value>>;
    let place = |offset: usize| {
        let line = text.get(..offset).unwrap_or(text).matches('\n').count() + 1;
        format!("{} line {line}", path.display())
    };
    let table: Table = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        Error(format!("{}: {}", place(start), error.message()))
    })?;
    let entry = |(key, value): (Spanned<String>, Spanned<toml::Value>)| {
        let place = place(key.span().start);
        match settings.iter().find(|setting| setting.name == key.get_ref()) {
            Some(setting) => Ok((setting.name, (plain(value.get_ref()), place))),
            None => Err(unknown(settings, &place, key.get_ref())),
        }
    };
    table.into_iter().map(entry).collect()
}

/// Refuses a key that is no setting, and names the one that was probably meant.
fn unknown(settings: &[Setting], place: &str, key: &str) -> Error {
    let rated = settings.iter().map(|setting| (strsim::jaro_winkler(setting.name, key), setting.name));
    let best = rated.max_by(|(one, _), (other, _)| one.total_cmp(other));
    let meant = best.filter(|(likeness, _)| *likeness >= ALIKE).map(|(_, name)| format!("; did you mean {name}?"));
    Error(format!("{place}: there is no setting {key:?}{}", meant.unwrap_or_default()))
}

/// A value as a flag would give it: texts bare, lists with commas.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(value) => value.to_string(),
        toml::Value::Datetime(time) => time.to_string(),
        toml::Value::Table(_) => "a table".to_owned(),
    }
}

#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process that the settings `S` are read from.
    pub fn of_process<S: Settings>() -> Result<Self, Error> {
        let names = S::ALL.iter().flat_map(|setting| setting.env);
        let found = names.filter_map(|name| match env::var(name) {
            Ok(value) => Some(Ok(((*name).to_owned(), value))),
            Err(VarError::NotUnicode(_)) => {
                Some(Err(Error(format!("the environment variable {name} is not UTF-8 text: give it another value"))))
            }
            Err(VarError::NotPresent) => None,
        });
        found.collect()
    }

    /// The first of these variables that is set, and its value; an empty one is not.
    pub fn first_of<'a>(&self, names: &[&'a str]) -> Option<(&'a str, &str)> {
        let set = names.iter().filter_map(|name| Some((*name, self.0.get(*name)?.as_str())));
        set.into_iter().find(|(_, value)| !value.is_empty())
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// What the flags of the settings `S` say: one for each, as text.
#[derive(Debug, Clone)]
pub struct Flags<S> {
    values: BTreeMap<&'static str, String>,
    settings: PhantomData<S>,
}

impl<S> Default for Flags<S> {
    fn default() -> Self {
        Self { values: BTreeMap::new(), settings: PhantomData }
    }
}

impl<S> Flags<S> {
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.values.insert(name, value.into());
        self
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}

impl<S: Settings> Args for Flags<S> {
    fn augment_args(command: Command) -> Command {
        let settings = S::ALL.iter().filter(|setting| setting.name != DATA_DIR);
        settings.fold(command, |command, setting| command.arg(argument(setting)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: Settings> FromArgMatches for Flags<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in S::ALL.iter().filter(|setting| setting.name != DATA_DIR) {
            if let Some(value) = matches.get_one::<String>(setting.name) {
                self.values.insert(setting.name, value.clone());
            }
        }
        Ok(())
    }
}

fn argument(setting: &Setting) -> Arg {
    let environment = setting.env.join(", ");
    let help = match setting.default {
        "" => format!("{} [env: {environment}]", setting.help),
        default => format!("{} [env: {environment}] [default: {default}]", setting.help),
    };
    let flag = Arg::new(setting.name).long(flag_of(setting.name)).value_name(setting.placeholder);
    let flag = flag.help(help).help_heading("Settings");
    match setting.placeholder {
        // `--fetch-private` alone is enough; what follows it is not its value.
        YES_OR_NO => flag.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => flag,
    }
}

/// The flag of a setting, without the leading hyphens.
fn flag_of(name: &str) -> String {
    name.replace('_', "-")
}

/// Why settings can't be used: which one, where it stands, and what is expected.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub(super) String);
