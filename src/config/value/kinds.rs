//! Types that only settings have.

use std::path::PathBuf;

use super::{Value, quoted};

/// What runs supervised plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeProvider {
    /// plugd, as processes on this machine.
    Local,
    /// Nothing: plugins are disabled altogether (CONTRACT 1.2).
    None,
}

impl Value for RuntimeProvider {
    const EXPECTED: &'static str = "local or none";

    fn read(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "local" => Some(Self::Local),
            "none" => Some(Self::None),
            _ => None,
        }
    }

    fn to_toml(&self) -> Option<String> {
        quoted(match self {
            Self::Local => "local",
            Self::None => "none",
        })
    }
}

/// Something that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Value for Secret {
    const EXPECTED: &'static str = "a secret";

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    fn to_toml(&self) -> Option<String> {
        None
    }
}

/// The form of plugd's own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Value for LogFormat {
    const EXPECTED: &'static str = "text or json";

    fn read(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    fn to_toml(&self) -> Option<String> {
        quoted(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// The events that a manifest may say it consumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventCatalog {
    /// Any name.
    Any,
    /// The 42 of CONTRACT section 12.
    Storyden,
    /// Those in a file, one a line.
    File(PathBuf),
}

impl Value for EventCatalog {
    const EXPECTED: &'static str = "none, storyden or a file";

    fn read(text: &str) -> Option<Self> {
        match text {
            "" => None,
            "none" => Some(Self::Any),
            "storyden" => Some(Self::Storyden),
            path => Some(Self::File(path.into())),
        }
    }

    fn to_toml(&self) -> Option<String> {
        match self {
            Self::Any => quoted("none"),
            Self::Storyden => quoted("storyden"),
            Self::File(path) => quoted(&path.to_string_lossy()),
        }
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// Units of a size, longest first where one ends with another.
const UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

impl Value for Bytes {
    const EXPECTED: &'static str = "a size like 10MB, 512KiB or 1000000";

    fn read(text: &str) -> Option<Self> {
        let split = |(unit, factor): &(&str, u64)| Some((text.strip_suffix(unit)?, *factor));
        let (number, factor) = UNITS.iter().find_map(split).unwrap_or((text, 1));
        number.trim().parse::<u64>().ok()?.checked_mul(factor).map(Self)
    }

    fn to_toml(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// A user and a group by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginUser {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Value for PluginUser {
    const EXPECTED: &'static str = "a numeric user and group like 1000:1000";

    fn read(text: &str) -> Option<Self> {
        // The highest number means "no change" to the kernel.
        let id = |text: &str| text.parse().ok().filter(|id| *id != u32::MAX);
        let (uid, gid) = text.split_once(':')?;
        Some(Self { uid: id(uid)?, gid: id(gid)? })
    }

    fn to_toml(&self) -> Option<String> {
        quoted(&format!("{}:{}", self.uid, self.gid))
    }
}

/// An http or https address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl(pub String);

impl Value for HttpUrl {
    const EXPECTED: &'static str = "an address like http://localhost:8000";

    fn read(text: &str) -> Option<Self> {
        let uri: tonic::codegen::http::Uri = text.parse().ok()?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        (is_http && uri.host().is_some()).then(|| Self(text.trim_end_matches('/').to_owned()))
    }

    fn to_toml(&self) -> Option<String> {
        self.0.to_toml()
    }
}
