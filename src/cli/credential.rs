//! The token that is shown to a server, and where it came from, so that a refusal can say what was tried.

use std::path::PathBuf;

/// A token, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credential {
    /// Given with `--token` or `PLUGD_TOKEN`.
    Given(String),
    /// Found in a data folder.
    Found {
        /// The token.
        token: String,
        /// Where it was.
        file: PathBuf,
    },
    /// None was given, and none is in the data folder.
    Missing {
        /// Where it was looked for.
        file: PathBuf,
        /// Why it is not there.
        why: String,
    },
    /// None was given, and the server is on another machine: a token of this one is not for it.
    Withheld,
}

impl Credential {
    /// The token.
    #[must_use]
    pub(super) fn token(&self) -> Option<&str> {
        match self {
            Self::Given(token) | Self::Found { token, .. } => Some(token),
            Self::Missing { .. } | Self::Withheld => None,
        }
    }

    /// What to do when the server does not know who calls: first what was tried.
    #[must_use]
    pub(super) fn hint(&self) -> String {
        match self {
            Self::Given(_) => {
                "the token of --token or PLUGD_TOKEN is not one of this server's, or no longer".to_owned()
            }
            Self::Found { file, .. } => format!(
                "the token in {0} is not one of this server's: name the server's own folder with --data-dir, or give a \
                 token with --token or PLUGD_TOKEN; where that folder has had another database before, the token is in \
                 {0}.new (or .new.2, ...)",
                file.display()
            ),
            Self::Missing { file, why } => format!(
                "neither --token nor PLUGD_TOKEN is given, and {} can't be read ({why}): give a token, or name the \
                 server's data folder with --data-dir or PLUGD_DATA_DIR",
                file.display()
            ),
            Self::Withheld => {
                "neither --token nor PLUGD_TOKEN is given; the token in a data folder is shown to a server \
                               on another machine only if --data-dir names that folder"
                    .to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_names_everything_that_was_tried() {
        let hint = Credential::Missing { file: "data/admin.token".into(), why: "no such file".to_owned() }.hint();
        for tried in ["--token", "PLUGD_TOKEN", "data/admin.token", "no such file", "--data-dir"] {
            assert!(hint.contains(tried), "{tried}: {hint}");
        }
        let hint = Credential::Found { token: "secret".to_owned(), file: "data/admin.token".into() }.hint();
        assert!(hint.contains("data/admin.token.new") && !hint.contains("secret"), "{hint}");
    }
}
