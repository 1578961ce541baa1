//! The flags: one for each knob, as text.

use std::{collections::BTreeMap, marker::PhantomData};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, error::Error};

use super::{Knob, Knobs};

/// The knob that is a global option of the whole command line and so has no flag of its own here.
const GLOBAL: &str = "data_dir";

/// The placeholder of knobs that are true or false.
const YES_OR_NO: &str = "BOOL";

/// What the flags of the settings `C` say.
#[derive(Debug, Clone)]
pub struct Flags<C> {
    values: BTreeMap<&'static str, String>,
    settings: PhantomData<C>,
}

impl<C> Default for Flags<C> {
    fn default() -> Self {
        Self { values: BTreeMap::new(), settings: PhantomData }
    }
}

impl<C> Flags<C> {
    /// The same with one more knob set.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.values.insert(name, value.into());
        self
    }

    /// What the flag of a knob says, if it was given.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}

impl<C: Knobs> Args for Flags<C> {
    fn augment_args(command: Command) -> Command {
        C::KNOBS.iter().filter(|knob| knob.name != GLOBAL).fold(command, |command, knob| command.arg(argument(knob)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<C: Knobs> FromArgMatches for Flags<C> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for knob in C::KNOBS.iter().filter(|knob| knob.name != GLOBAL) {
            if let Some(value) = matches.get_one::<String>(knob.name) {
                self.values.insert(knob.name, value.clone());
            }
        }
        Ok(())
    }
}

fn argument(knob: &Knob) -> Arg {
    let flag =
        Arg::new(knob.name).long(knob.flag).value_name(knob.placeholder).help(help(knob)).help_heading("Settings");
    match knob.placeholder {
        // `--fetch-private` alone is enough; what follows it is not its value.
        YES_OR_NO => flag.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => flag,
    }
}

fn help(knob: &Knob) -> String {
    let environment = knob.env.join(", ");
    match knob.default {
        "" => format!("{} [env: {environment}]", knob.help),
        default => format!("{} [env: {environment}] [default: {default}]", knob.help),
    }
}
