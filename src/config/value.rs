//! The types of knobs: how each is read from text and written as TOML.

mod duration;
mod kinds;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use rustix::process::Signal;

pub use duration::parse as duration;
pub use kinds::{Bytes, EventCatalog, HttpUrl, LogFormat, PluginUser, RuntimeProvider, Secret};

/// A type that a knob can have.
pub trait Value: Sized {
    /// What the knob takes, for the sentence "… is expected".
    const EXPECTED: &'static str;

    /// Reads a value; `None` if the text is not one.
    fn read(text: &str) -> Option<Self>;

    /// The value as a TOML literal; `None` if it is not set. Passwords in addresses are left out.
    fn to_toml(&self) -> Option<String>;
}

/// A TOML string.
fn quoted(text: &str) -> Option<String> {
    Some(serde_json::Value::from(text).to_string())
}

impl Value for String {
    const EXPECTED: &'static str = "a text that is not empty";

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn to_toml(&self) -> Option<String> {
        quoted(&without_password(self))
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

impl Value for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.into())
    }

    fn to_toml(&self) -> Option<String> {
        quoted(&self.to_string_lossy())
    }
}

impl<T: Value> Value for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn read(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { T::read(text).map(Some) }
    }

    fn to_toml(&self) -> Option<String> {
        self.as_ref().and_then(T::to_toml)
    }
}

impl Value for Vec<String> {
    const EXPECTED: &'static str = "a list with commas or spaces";

    fn read(text: &str) -> Option<Self> {
        Some(text.split([',', ' ']).filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }

    fn to_toml(&self) -> Option<String> {
        Some(serde_json::Value::from(self.clone()).to_string())
    }
}

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl Value for $type {
            const EXPECTED: &'static str = "a whole number, 0 or more,";

            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn to_toml(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )+};
}

numbers!(u32, u64);

impl Value for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(text: &str) -> Option<Self> {
        text.to_ascii_lowercase().parse().ok()
    }

    fn to_toml(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for Duration {
    const EXPECTED: &'static str = "a time like 100ms, 5s or 1m30s";

    fn read(text: &str) -> Option<Self> {
        duration::parse(text)
    }

    fn to_toml(&self) -> Option<String> {
        quoted(&duration::show(*self))
    }
}

impl Value for SocketAddr {
    const EXPECTED: &'static str = "an address and a port like 127.0.0.1:8000, [::1]:8000, localhost:8000 or :8000";

    fn read(text: &str) -> Option<Self> {
        if let Some(port) = text.strip_prefix("localhost:") {
            return Some((Ipv4Addr::LOCALHOST, port.parse().ok()?).into());
        }
        match text.strip_prefix(':') {
            Some(port) => Some((Ipv4Addr::UNSPECIFIED, port.parse().ok()?).into()),
            None => text.parse().ok(),
        }
    }

    fn to_toml(&self) -> Option<String> {
        quoted(&self.to_string())
    }
}

/// The signals that may ask a plugin to stop.
const SIGNALS: [(&str, Signal); 7] = [
    ("SIGINT", Signal::INT),
    ("SIGTERM", Signal::TERM),
    ("SIGQUIT", Signal::QUIT),
    ("SIGHUP", Signal::HUP),
    ("SIGUSR1", Signal::USR1),
    ("SIGUSR2", Signal::USR2),
    ("SIGKILL", Signal::KILL),
];

impl Value for Signal {
    const EXPECTED: &'static str = "SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2 or SIGKILL";

    fn read(text: &str) -> Option<Self> {
        let upper = text.to_ascii_uppercase();
        let short = upper.strip_prefix("SIG").unwrap_or(&upper);
        SIGNALS.iter().find(|(name, _)| name.strip_prefix("SIG") == Some(short)).map(|(_, signal)| *signal)
    }

    fn to_toml(&self) -> Option<String> {
        SIGNALS.iter().find(|(_, signal)| signal == self).and_then(|(name, _)| quoted(name))
    }
}
