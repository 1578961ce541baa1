//! The secret that the nodes of a cluster share.

use std::{
    fmt,
    io::{self, ErrorKind},
    path::Path,
};

use axum::http::HeaderValue;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::files;

/// Fewest characters of a token: less can be guessed.
const SHORTEST: usize = 32;

/// Most characters of a token: with more, it would not fit into the head of a request.
const LONGEST: usize = 1024;

/// What each node shows to the leader, and to nobody else. No log shows it.
#[derive(Clone)]
pub struct ClusterToken(HeaderValue);

impl ClusterToken {
    /// Reads it from a file; spaces around it are no part of it. Blocking.
    ///
    /// # Errors
    /// The file can't be read, or what it holds is no token: in words that say what to do. The caller names the file.
    pub fn read(path: &Path) -> io::Result<Self> {
        Self::new(files::read_text(path, files::MAX_TEXT)?.trim())
    }

    pub(super) fn new(text: &str) -> io::Result<Self> {
        let unfit = |why: &str| io::Error::new(ErrorKind::InvalidData, why.to_owned());
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !(SHORTEST..=LONGEST).contains(&text.len()) || !is_visible {
            return Err(unfit(
                "a token of 32 to 1024 letters and digits is needed: make one with `openssl rand -hex 32`",
            ));
        }
        let mut value = HeaderValue::from_str(text).map_err(|_| unfit("it is no value of a header"))?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// Whether this is the token. How long that takes tells nothing of it.
    pub(super) fn is(&self, shown: &HeaderValue) -> bool {
        Sha256::digest(self.0.as_bytes()).ct_eq(&Sha256::digest(shown.as_bytes())).into()
    }
}

impl fmt::Debug for ClusterToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_without_the_spaces_around_it_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (path, text) = (folder.path().join("token"), "0123456789".repeat(4));
        std::fs::write(&path, format!(" {text}\r\n")).unwrap();
        let token = ClusterToken::read(&path).unwrap();
        assert!(token.is(&HeaderValue::from_str(&text).unwrap()));
        assert!(!token.is(&HeaderValue::from_str(&text[1..]).unwrap()));
        assert!(!token.is(&HeaderValue::from_static("")));
        assert!(!format!("{token:?} {:?}", token.header()).contains(&text));
    }

    #[test]
    fn what_could_be_guessed_or_does_not_fit_is_no_token() {
        for text in [&"a".repeat(31), &"a".repeat(1025), &format!("{} b", "a".repeat(40)), &"\u{e4}".repeat(40)] {
            let error = ClusterToken::new(text).unwrap_err();
            assert!(error.to_string().contains("32 to 1024"), "{error}");
        }
        assert!(ClusterToken::new(&"a".repeat(32)).is_ok());
    }
}
