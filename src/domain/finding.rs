//! What an examination of a host and of settings finds.

use serde::Serialize;

/// Whether something is as it should be. The worse is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is.
    Ok,
    /// plugd works, but less well or less safely than it could.
    Warning,
    /// plugd would not start, could not start plugins, or something does not hold that the settings promise.
    Failure,
}

/// What something is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// The host, whatever the settings are.
    Host,
    /// What the settings name.
    Settings,
    /// What plugins can't do.
    Protections,
}

/// One thing that was looked at or tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub topic: Topic,
    /// The thing.
    pub subject: String,
    /// Whether it is as it should be.
    pub outcome: Outcome,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// The worst of them.
pub fn worst(findings: &[Finding]) -> Outcome {
    findings.iter().map(|finding| finding.outcome).max().unwrap_or(Outcome::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_all_counts() {
        let mk = |outcome| Finding {
            topic: Topic::Host,
            subject: "a".to_owned(),
            outcome,
            found: "b".to_owned(),
            remedy: None,
        };
        assert_eq!(worst(&[]), Outcome::Ok);
        let mut findings = vec![mk(Outcome::Warning), mk(Outcome::Ok)];
        assert_eq!(worst(&findings), Outcome::Warning);
        findings.push(mk(Outcome::Failure));
        assert_eq!(worst(&findings), Outcome::Failure);
    }
}
