//! Whether this host and these settings do what plugd is to do: looked at, and tried where trying can tell more.
//!
//! Nothing of plugd's is changed and no lock of its is taken, so that one may run on the same data folder, and none need
//! ever have.
//!
//! - `host`: the kernel, what it can shut in, its limits, its clock.
//! - `nodes`: the cluster that the settings are of, if they are of one.
//! - `used`: the folders, the database, the certificates and the secrets that the settings name.
//! - `protections`: a plugin that tries what no plugin may; `probe` is its program.

mod host;
mod nodes;
mod probe;
mod protections;
mod used;
mod verdict;

use std::path::{Path, PathBuf};

use crate::{config::Config, domain::finding::Topic};

pub use crate::domain::finding::{Finding, Outcome, worst};
pub use probe::{ARGUMENT as PROBE, run as probe};
pub use protections::{BYSTANDER, bystander};

/// One thing, before it is said what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    subject: String,
    outcome: Outcome,
    found: String,
    remedy: Option<String>,
}

impl Check {
    fn ok(subject: impl Into<String>, found: impl Into<String>) -> Self {
        Self { subject: subject.into(), outcome: Outcome::Ok, found: found.into(), remedy: None }
    }

    fn warning(subject: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { outcome: Outcome::Warning, remedy: Some(remedy.into()), ..Self::ok(subject, found) }
    }

    fn failure(subject: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failure, remedy: Some(remedy.into()), ..Self::ok(subject, found) }
    }

    fn about(self, topic: Topic) -> Finding {
        let Self { subject, outcome, found, remedy } = self;
        Finding { topic, subject, outcome, found, remedy }
    }
}

/// Looks at everything and tries every protection. `file` is where settings were read from.
pub async fn examine(config: &Config, file: Option<&Path>) -> Vec<Finding> {
    let secrets = used::secrets(config, file);
    let of = |topic: Topic| move |check: Check| check.about(topic);
    let host = host::checks(config.sandbox).into_iter().map(of(Topic::Host));
    let used = used::checks(config).await.into_iter().chain(nodes::checks(config).await).map(of(Topic::Settings));
    let tried = protections::checks(config, secrets).await.into_iter().map(of(Topic::Protections));
    host.chain(used).chain(tried).collect()
}

/// The folder that is there, on the way to this one.
fn nearest(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let found = absolute.ancestors().find(|folder| folder.exists()).map(Path::to_owned);
    found.unwrap_or_else(|| Path::new("/").to_owned())
}

/// A count of bytes for people.
fn bytes(count: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let steps = (0..4).take_while(|step| count >> (10 * (step + 1)) > 0).count();
    format!("{} {}", count >> (10 * steps), units.get(steps).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_the_largest_unit_that_they_fill() {
        let told = [0, 1023, 1024, 5 << 20, (3 << 30) - 1, 7 << 40].map(bytes);
        assert_eq!(told, ["0 bytes", "1023 bytes", "1 KiB", "5 MiB", "2 GiB", "7 TiB"]);
    }

    #[test]
    fn the_nearest_folder_is_one_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(nearest(&folder.path().join("a/b")), folder.path());
        assert_eq!(nearest(folder.path()), folder.path());
    }
}
