//! The declaration of a knob, and the macro that makes a struct, a table and a reader of a list of them.

use super::{Error, Layers};

/// One thing that can be set.
#[derive(Debug, Clone, Copy)]
pub struct Knob {
    /// Its name: the field, and the key in the file.
    pub name: &'static str,
    /// Its flag, without the leading hyphens.
    pub flag: &'static str,
    /// Environment variables that set it; the first that is set wins.
    pub env: &'static [&'static str],
    /// Its default as text; `{data_dir}` stands for the data folder, empty for "not set".
    pub default: &'static str,
    /// What a value is called in the help.
    pub placeholder: &'static str,
    /// What it is for.
    pub help: &'static str,
}

/// A struct of settings whose fields are knobs.
pub trait Knobs: Sized {
    /// Its knobs, in the order of the fields.
    const KNOBS: &'static [Knob];

    /// Reads every knob from where it is set.
    ///
    /// # Errors
    /// A value that a knob does not take.
    fn resolve(layers: &Layers<'_>) -> Result<Self, Error>;

    /// The names of the knobs that are set otherwise in `other`.
    fn differing(&self, other: &Self) -> Vec<&'static str>;

    /// The settings as a TOML file, each knob below its description. Passwords in addresses are left out.
    fn to_toml(&self) -> String;
}

/// `max_backoff` as `max-backoff`.
pub(super) const fn hyphened<const N: usize>(name: &str) -> [u8; N] {
    let mut flag = [b'-'; N];
    let mut at = 0;
    while at < N {
        if name.as_bytes()[at] != b'_' {
            flag[at] = name.as_bytes()[at];
        }
        at += 1;
    }
    flag
}

/// Text that [`hyphened`] made of a field's name.
pub(super) const fn text(flag: &'static [u8]) -> &'static str {
    match std::str::from_utf8(flag) {
        Ok(text) => text,
        Err(_) => "",
    }
}

/// One knob as lines of a TOML file.
pub(super) fn toml_entry(knob: &Knob, literal: Option<String>) -> String {
    let entry = match literal {
        Some(literal) => format!("{} = {literal}", knob.name),
        None => format!("# {} is not set", knob.name),
    };
    format!("# {}\n{entry}\n", knob.help)
}

/// Declares a struct of settings; see [`super::Config`].
macro_rules! knobs {
    (@knob $field:ident, $doc:literal, $default:literal, $placeholder:literal, [$($env:literal),+]) => {{
        const NAME: &str = stringify!($field);
        const FLAG: [u8; NAME.len()] = $crate::config::knob::hyphened(NAME);
        $crate::config::Knob {
            name: NAME,
            flag: $crate::config::knob::text(&FLAG),
            env: &[$($env),+],
            default: $default,
            placeholder: $placeholder,
            help: $doc.trim_ascii(),
        }
    }};
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
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

        impl $crate::config::Knobs for $name {
            const KNOBS: &'static [$crate::config::Knob] =
                &[$(knobs!(@knob $field, $doc, $default, $placeholder, [$($env),+])),+];

            fn resolve(layers: &$crate::config::Layers<'_>) -> Result<Self, $crate::config::Error> {
                Ok(Self {
                    $($field: layers.read(&knobs!(@knob $field, $doc, $default, $placeholder, [$($env),+]))?,)+
                })
            }

            fn differing(&self, other: &Self) -> Vec<&'static str> {
                let same = [$((stringify!($field), self.$field == other.$field)),+];
                same.into_iter().filter(|(_, is_same)| !is_same).map(|(name, _)| name).collect()
            }

            fn to_toml(&self) -> String {
                let literals = [$($crate::config::Value::to_toml(&self.$field)),+];
                let entries = Self::KNOBS.iter().zip(literals);
                entries.map(|(knob, literal)| $crate::config::knob::toml_entry(knob, literal)).collect()
            }
        }
    };
}

pub(super) use knobs;
