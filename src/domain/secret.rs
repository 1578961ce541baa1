//! Texts that are not to be printed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text that no log may show: a token, or what holds one. Whoever needs it says so. It is stored as it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_and_can_be_asked_for() {
        let secret = Secret::from("sdprt_1".to_owned());
        assert_eq!((format!("{secret:?}").as_str(), secret.expose()), ("[secret]", "sdprt_1"));
    }
}
