//! The types of settings: how each is read from text and written as TOML.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use jiff::fmt::friendly::SpanParser;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    domain::{
        SandboxLevel, Secret,
        policy::{MaxRestarts, StopSignal, User, UserRange},
    },
    telemetry::LogFormat,
};

/// A type that a setting can have.
pub trait Value: Sized {
    /// What the setting takes, for the sentence "… is expected".
    const EXPECTED: &'static str;

    /// Reads a value; `None` if the text is not one.
    fn read(text: &str) -> Option<Self>;

    /// The value as a TOML literal; `None` if it is not set. Secrets are left out.
    fn to_toml(&self) -> Option<String>;
}

/// How a type is read and written: what it takes, then the text as a value, then the value as TOML.
macro_rules! value {
    ($type:ty, $expected:literal, |$text:ident| $read:expr, |$value:ident| $toml:expr) => {
        impl Value for $type {
            const EXPECTED: &'static str = $expected;

            fn read($text: &str) -> Option<Self> {
                $read
            }

            fn to_toml(&self) -> Option<String> {
                let $value = self;
                $toml
            }
        }
    };
}

fn quoted(text: &str) -> Option<String> {
    Some(serde_json::Value::from(text).to_string())
}

fn unless_empty(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// The value that has this name.
fn named<T: DeserializeOwned>(name: &str) -> Option<T> {
    serde_json::from_value(name.into()).ok()
}

/// The name of a value, as a TOML string.
fn name_of(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

value!(String, "a text that is not empty", |text| unless_empty(text).map(str::to_owned), |value| quoted(
    &without_password(value)
));
value!(PathBuf, "a path", |text| unless_empty(text).map(PathBuf::from), |value| quoted(&value.to_string_lossy()));
value!(u32, "a whole number, 0 or more,", |text| text.parse().ok(), |value| Some(value.to_string()));
value!(u64, "a whole number, 0 or more,", |text| text.parse().ok(), |value| Some(value.to_string()));
value!(bool, "true or false", |text| text.to_ascii_lowercase().parse().ok(), |value| Some(value.to_string()));
value!(Duration, "a time like 100ms, 5s or 1m30s", |text| duration(text), |value| quoted(&shown(*value)));
value!(
    Vec<String>,
    "a list with commas or spaces",
    |text| Some(text.split([',', ' ']).filter(|item| !item.is_empty()).map(str::to_owned).collect()),
    |value| Some(serde_json::Value::from(value.clone()).to_string())
);
value!(
    Vec<IpAddr>,
    "IP addresses with commas",
    |text| text.split([',', ' ']).filter(|item| !item.is_empty()).map(|item| item.parse().ok()).collect(),
    |value| Some(serde_json::json!(value).to_string())
);
value!(
    Vec<PathBuf>,
    "a list of paths with colons",
    |text| Some(std::env::split_paths(text).filter(|path| !path.as_os_str().is_empty()).collect()),
    |value| quoted(&std::env::join_paths(value).unwrap_or_default().to_string_lossy())
);
value!(
    SocketAddr,
    "an address and a port like 127.0.0.1:8000, [::1]:8000, localhost:8000 or :8000",
    |text| address(text),
    |value| quoted(&value.to_string())
);
value!(
    StopSignal,
    "SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2 or SIGKILL",
    |text| text.parse().ok(),
    |value| quoted(value.name())
);
value!(MaxRestarts, "a whole number or unlimited", |text| text.parse().ok(), |value| match value {
    MaxRestarts::Times(most) => Some(most.to_string()),
    MaxRestarts::Unlimited => quoted("unlimited"),
});
value!(RuntimeProvider, "local, kubernetes or none", |text| named(&text.to_ascii_lowercase()), |value| name_of(value));
value!(SandboxLevel, "off, protect or strict", |text| named(&text.to_ascii_lowercase()), |value| name_of(value));
value!(LogFormat, "text or json", |text| named(text), |value| name_of(value));
value!(Secret, "a secret", |text| unless_empty(text).map(|text| text.to_owned().into()), |_value| None);
value!(EventCatalog, "none, storyden or a file", |text| unless_empty(text).map(EventCatalog::named), |value| {
    quoted(&value.name())
});
value!(Bytes, "a size like 10MB, 512KiB or 1000000", |text| bytes(text).map(Self), |value| Some(value.0.to_string()));
value!(Cpus, "a number of processors like 2 or 0.5, at least 0.01,", |text| cpus(text).map(Cpus), |value| {
    Some((value.0 as f64 / 1000.0).to_string())
});
value!(User, "a numeric user and group like 1000:1000", |text| text.parse().ok(), |value| quoted(&value.to_string()));
value!(UserRange, "two numbers of users like 60000-64999, without root's,", |text| text.parse().ok(), |value| quoted(
    &value.to_string()
));
value!(HttpUrl, "an address like http://localhost:8000", |text| http_url(text), |value| value.0.to_toml());

impl<T: Value> Value for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn read(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { T::read(text).map(Some) }
    }

    fn to_toml(&self) -> Option<String> {
        self.as_ref().and_then(T::to_toml)
    }
}

/// `scheme://user:password@host` as `scheme://user@host`, and no `password=` among the parameters. A password may hold
/// any character, so it ends at the last `@`.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let rest = match rest.rsplit_once('@') {
        Some((credentials, host)) => format!("{}@{host}", credentials.split(':').next().unwrap_or_default()),
        None => rest.to_owned(),
    };
    let parts = rest.split_inclusive(['?', '&']).filter(|part| !part.starts_with("password="));
    format!("{scheme}://{}", parts.collect::<String>().trim_end_matches(['?', '&']))
}

fn address(text: &str) -> Option<SocketAddr> {
    if let Some(port) = text.strip_prefix("localhost:") {
        return Some((Ipv4Addr::LOCALHOST, port.parse().ok()?).into());
    }
    match text.strip_prefix(':') {
        Some(port) => Some((Ipv4Addr::UNSPECIFIED, port.parse().ok()?).into()),
        None => text.parse().ok(),
    }
}

/// Reads a time as Go writes it, like `100ms`, `5s`, `1m30s` or `1.5h`, and whole days (`30d`). `None` for anything else, and
/// for more than the 292 years that Go can hold, which no clock could add to the present.
pub fn duration(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
    let time = match days {
        Some(days) => Duration::from_secs(days.checked_mul(24 * 60 * 60)?),
        None if text == "0" => Duration::ZERO,
        // Go takes `.5s` for half a second.
        None if text.starts_with('.') => SpanParser::new().parse_unsigned_duration(format!("0{text}")).ok()?,
        None => SpanParser::new().parse_unsigned_duration(text).ok()?,
    };
    i64::try_from(time.as_nanos()).is_ok().then_some(time)
}

/// Writes a time so that [`duration`] reads it again.
fn shown(time: Duration) -> String {
    match time.subsec_nanos() {
        0 => format!("{}s", time.as_secs()),
        nanoseconds if nanoseconds % 1_000_000 == 0 => format!("{}ms", time.as_millis()),
        _ => format!("{}ns", time.as_nanos()),
    }
}

/// What runs supervised plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeProvider {
    /// As processes of this host.
    Local,
    /// As pods of a cluster.
    Kubernetes,
    /// Nothing: plugins are disabled altogether (CONTRACT 1.2).
    None,
}

/// The events that a manifest may say it consumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventCatalog {
    Any,
    /// The 42 of CONTRACT section 12.
    Storyden,
    /// The names in a file, one a line.
    File(PathBuf),
}

impl EventCatalog {
    fn named(text: &str) -> Self {
        match text {
            "none" => Self::Any,
            "storyden" => Self::Storyden,
            path => Self::File(path.into()),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Any => "none".to_owned(),
            Self::Storyden => "storyden".to_owned(),
            Self::File(path) => path.to_string_lossy().into_owned(),
        }
    }
}

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

fn bytes(text: &str) -> Option<u64> {
    let split = |(unit, factor): &(&str, u64)| Some((text.strip_suffix(unit)?, *factor));
    let (number, factor) = UNITS.iter().find_map(split).unwrap_or((text, 1));
    number.trim().parse::<u64>().ok()?.checked_mul(factor)
}

/// Processors, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpus(pub u64);

/// The least and the most share of the processors that the kernel takes, or near that.
const CPUS: std::ops::RangeInclusive<f64> = 0.01..=100_000.0;

fn cpus(text: &str) -> Option<u64> {
    let number: f64 = text.parse().ok()?;
    CPUS.contains(&number).then_some((number * 1000.0).round() as u64)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl(pub String);

fn http_url(text: &str) -> Option<HttpUrl> {
    let uri: tonic::codegen::http::Uri = text.parse().ok()?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    (is_http && uri.host().is_some()).then(|| HttpUrl(text.trim_end_matches('/').to_owned()))
}
