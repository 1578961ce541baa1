//! Everything that is wrong with a manifest, collected before anything is said.

use super::super::error::{Error, Reason, Result, Violation};

/// Problems that are told one by one. A hostile manifest could have hundreds of thousands.
const MAX_TOLD: usize = 100;

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    told: Vec<(String, String)>,
    untold: usize,
}

impl Problems {
    /// Adds one: `description` continues the sentence `Field "<path>"`.
    pub(super) fn add(&mut self, path: &str, description: impl Into<String>) {
        if self.told.len() < MAX_TOLD {
            self.told.push((path.to_owned(), description.into()));
        } else {
            self.untold += 1;
        }
    }

    /// The value if there was no problem, else an `INVALID_MANIFEST` with one line and one violation a problem.
    pub(super) fn outcome<T>(self, value: T) -> Result<T> {
        if self.told.is_empty() { Ok(value) } else { Err(self.into_error()) }
    }

    fn into_error(self) -> Error {
        let mut lines: Vec<String> = self.told.iter().map(line).collect();
        if self.untold > 0 {
            lines.push(format!("There are {} more problems.", self.untold));
        }
        let violations = self.told.into_iter().map(violation).collect();
        Error { violations, ..Error::new(Reason::InvalidManifest, lines.join("\n")) }
    }
}

fn line((path, description): &(String, String)) -> String {
    match path.as_str() {
        "" => format!("The manifest {description}"),
        path => format!("Field \"{path}\" {description}"),
    }
}

fn violation((path, description): (String, String)) -> Violation {
    let field = if path.is_empty() { "manifest".to_owned() } else { format!("manifest.{path}") };
    Violation { field, description }
}
