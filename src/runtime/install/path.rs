//! Paths that can't leave the install directory.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Folder inside the install directory that belongs to plugd.
pub(super) const OWN_DIR: &str = ".plugd";

/// Most bytes of a path, as in packages: each of its folders is a name of its own that is worked on.
const MAX_PATH: usize = 1024;

/// A path of plain names below the install directory, separated by `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) struct Inside(String);

/// The path leaves the install directory, or is plugd's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the path {0:?} is not allowed in a package")]
pub(super) struct NotInside(String);

impl Inside {
    /// Reads a path as a package has it. A leading `/` is the install directory's root (CONTRACT 6).
    pub(super) fn parse(path: &str) -> Result<Self, NotInside> {
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
        let is_refused = |name: &&str| *name == ".." || name.contains('\0') || name.len() > 255;
        if path.len() > MAX_PATH
            || names.is_empty()
            || names[0] == OWN_DIR
            || names.iter().any(is_refused)
            || path.ends_with('/')
        {
            return Err(NotInside(path.to_owned()));
        }
        Ok(Self(names.join("/")))
    }

    /// plugd's own folder, which no package may name.
    pub(super) fn own_dir() -> Self {
        Self(OWN_DIR.to_owned())
    }

    /// The folder that holds it; `None` is the install directory itself.
    pub(super) fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// All folders above it, the nearest first.
    pub(super) fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }

    /// Its last name.
    pub(super) fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// Its names from the top.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// How deep it lies.
    pub(super) fn depth(&self) -> usize {
        self.names().count()
    }
}

impl fmt::Display for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Inside> for String {
    fn from(path: Inside) -> Self {
        path.0
    }
}

impl TryFrom<String> for Inside {
    type Error = NotInside;

    fn try_from(text: String) -> Result<Self, NotInside> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_inside() {
        for (given, expected) in [("a", "a"), ("/etc/passwd", "etc/passwd"), ("./a//b", "a/b")] {
            assert_eq!(Inside::parse(given).unwrap().to_string(), expected);
        }
        for given in [
            &*format!("{}x", "a/".repeat(MAX_PATH / 2)),
            "",
            "/",
            ".",
            "a/../b",
            "..",
            ".plugd/installed.json",
            "a\0b",
            "a/",
        ] {
            assert!(Inside::parse(given).is_err(), "{given:?}");
        }
    }

    #[test]
    fn ancestors_come_nearest_first() {
        let path = Inside::parse("a/b/c").unwrap();
        let above: Vec<_> = path.ancestors().map(|path| path.to_string()).collect();
        assert_eq!(above, ["a/b", "a"]);
    }
}
