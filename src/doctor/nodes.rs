//! The nodes of the cluster that the settings make this plugd one of: whether each is reached where it says, and is of one version.

use futures_util::future::join_all;

use super::Check;
use crate::{
    app::{reach_node, store_options},
    config::Config,
    store::{self, Seen},
};

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Looks at each; at none where the settings are of a plugd that is alone. That the database can't be read is told elsewhere.
pub(super) async fn checks(config: &Config) -> Vec<Check> {
    if config.advertise.is_none() {
        return Vec::new();
    }
    let Ok(options) = store_options(config) else { return Vec::new() };
    match store::nodes(&options.address).await {
        Ok(nodes) if nodes.is_empty() => vec![Check::ok("nodes", "none of this cluster runs")],
        Ok(nodes) => join_all(nodes.iter().map(|seen| check(config, seen))).await,
        Err(_) => Vec::new(),
    }
}

async fn check(config: &Config, seen: &Seen) -> Check {
    if !seen.is_present {
        return gone(seen);
    }
    let reached = reach_node(config, &seen.node.address).await;
    judge(seen, reached.map_err(|error| format!("{error:#}")))
}

fn subject(seen: &Seen) -> String {
    format!("node {}", seen.node.address)
}

fn gone(seen: &Seen) -> Check {
    let found = format!("nothing was heard of it since {:.0}", seen.time);
    Check::warning(subject(seen), found, "start it again, if it should run; it is forgotten an hour after that")
}

/// What is said of a node that runs, and was reached or not.
fn judge(seen: &Seen, reached: Result<(), String>) -> Check {
    let version = &seen.node.version;
    match reached {
        Err(why) => Check::failure(
            subject(seen),
            format!("it is not reached from here: {why}"),
            "its --advertise must be where the others reach it, and --cluster-token-file the same at each",
        ),
        Ok(()) if version != VERSION => Check::failure(
            subject(seen),
            format!("it has version {version}, and this is {VERSION}"),
            "stop all nodes, then start those of one version",
        ),
        Ok(()) => Check::ok(subject(seen), "it answers, and has the same token and version"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{doctor::Outcome, store::Node};

    fn mk_seen(version: &str) -> Seen {
        let (address, host_name) = ("http://one:8000".to_owned(), "one".to_owned());
        let (started, version) = (Timestamp::UNIX_EPOCH, version.to_owned());
        let node = Node { address, started, host_name, version, reach: None, term: None };
        Seen { node, time: Timestamp::UNIX_EPOCH, is_present: true }
    }

    #[test]
    fn a_node_is_to_be_reached_and_of_this_version() {
        let judged = |version, reached| judge(&mk_seen(version), reached);
        assert_eq!(judged(VERSION, Ok(())).outcome, Outcome::Ok);
        let other = judged("0.0.1", Ok(()));
        assert_eq!(other.outcome, Outcome::Failure);
        assert!(other.found.contains("0.0.1") && other.found.contains(VERSION), "{other:?}");
        let unreached = judged(VERSION, Err("refused".to_owned()));
        assert_eq!((unreached.outcome, unreached.subject.as_str()), (Outcome::Failure, "node http://one:8000"));
        assert!(unreached.found.ends_with("refused"), "{unreached:?}");
    }

    #[test]
    fn a_node_of_which_nothing_is_heard_is_told_of() {
        let gone = gone(&mk_seen(VERSION));
        assert_eq!(gone.outcome, Outcome::Warning);
        assert!(gone.found.ends_with("since 1970-01-01T00:00:00Z"), "{gone:?}");
    }
}
