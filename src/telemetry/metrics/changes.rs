//! What commits tell: they are the one order of all that happens to plugins.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use super::SECONDS;
use crate::domain::{Commit, Failure, PluginId, Stage, State};

/// What plugins fail of.
const CAUSES: [&str; 6] = ["start", "connect", "link", "exit", "stop", "out_of_memory"];

fn cause(failure: &Failure) -> &'static str {
    let [start, connect, link, exit, stop, out_of_memory] = CAUSES;
    match failure.stage {
        _ if failure.out_of_memory => out_of_memory,
        Stage::Start => start,
        Stage::Connect => connect,
        Stage::Link => link,
        Stage::Exit => exit,
        Stage::Stop => stop,
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    plugin_id: String,
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Started {
    plugin_id: String,
}

/// Counts what commits tell. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Changes {
    starts: Family<Started, Counter>,
    failures: Family<Failed, Counter>,
    duration: Histogram,
    /// When the starts began that are under way.
    begun: Arc<Mutex<HashMap<PluginId, Timestamp>>>,
}

impl Default for Changes {
    fn default() -> Self {
        let duration = Histogram::new(SECONDS);
        Self { starts: Family::default(), failures: Family::default(), duration, begun: Arc::default() }
    }
}

impl Changes {
    /// Registers what is counted.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("plugin_starts", "Runs of a plugin that were begun", self.starts.clone());
        let help = "Failures of a plugin, by what failed: its start, its connecting, its connection (link), its process \
                    (exit, out_of_memory), its stop";
        registry.register("plugin_failures", help, self.failures.clone());
        let help = "From the beginning of a plugin's start until it was active";
        registry.register("plugin_start_duration_seconds", help, self.duration.clone());
    }

    /// Takes what was committed.
    pub fn observe(&self, commits: &[Arc<Commit>]) {
        for commit in commits {
            let plugin = &commit.plugin;
            let (id, reported) = (plugin.id, &plugin.reported);
            if commit.is_removal {
                self.forget(id);
            } else if commit.before != Some(reported.state) {
                self.enter(id, commit.before, reported.state, reported.since);
                let is_new = !matches!(commit.before, None | Some(State::Restarting | State::Error));
                let has_failed = is_new && matches!(reported.state, State::Restarting | State::Error);
                if let Some(failure) = reported.failure.as_ref().filter(|_| has_failed) {
                    let failed = Failed { plugin_id: id.to_string(), cause: cause(failure) };
                    self.failures.get_or_create(&failed).inc();
                }
            }
        }
    }

    fn enter(&self, id: PluginId, before: Option<State>, state: State, since: Timestamp) {
        match state {
            State::Starting => {
                self.starts.get_or_create(&Started { plugin_id: id.to_string() }).inc();
                self.begun().insert(id, since);
            }
            State::Active if before == Some(State::Connecting) => {
                if let Some(begun) = self.begun().remove(&id) {
                    self.duration.observe(since.duration_since(begun).as_secs_f64().max(0.0));
                }
            }
            State::Connecting => {}
            _ => drop(self.begun().remove(&id)),
        }
    }

    /// A plugin that is gone has no series.
    fn forget(&self, id: PluginId) {
        let plugin_id = id.to_string();
        self.begun().remove(&id);
        for cause in CAUSES {
            self.failures.remove(&Failed { plugin_id: plugin_id.clone(), cause });
        }
        self.starts.remove(&Started { plugin_id });
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<PluginId, Timestamp>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::domain::{ActiveState, Mode, lifecycle::tests::mk_plugin};

    /// What is told after these states were committed, the last one with this failure if it is a failure.
    fn told(states: &[State], is_removal: bool) -> String {
        let (changes, mut registry) = (Changes::default(), Registry::default());
        changes.register(&mut registry);
        let (mut before, mut plugin) = (None, mk_plugin(Mode::Supervised, ActiveState::Active));
        for (revision, state) in (1..).zip(states) {
            plugin.reported.state = *state;
            plugin.reported.since += jiff::SignedDuration::from_millis(30);
            let has_failed = matches!(state, State::Restarting | State::Error);
            plugin.reported.failure = has_failed.then(|| Failure::new(Stage::Exit, "exit status 1").into());
            let (time, is_last) = (plugin.reported.since, revision == states.len() as u64);
            let plugin = Arc::new(plugin.clone());
            changes.observe(&[Arc::new(Commit { revision, time, before, is_removal: is_removal && is_last, plugin })]);
            before = Some(*state);
        }
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text.replace(&plugin.id.to_string(), "ID")
    }

    const CRASH: [State; 8] = [
        State::Inactive,
        State::Starting,
        State::Connecting,
        State::Active,
        State::Restarting,
        State::Starting,
        State::Starting,
        State::Error,
    ];

    #[test]
    fn a_start_and_its_failure_are_counted_once() {
        let text = told(&CRASH, false);
        for line in [
            "plugin_starts_total{plugin_id=\"ID\"} 2",
            "plugin_failures_total{plugin_id=\"ID\",cause=\"exit\"} 2",
            "plugin_start_duration_seconds_count 1",
            "plugin_start_duration_seconds_bucket{le=\"0.05\"} 0",
            "plugin_start_duration_seconds_bucket{le=\"0.1\"} 1",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_deleted_plugin_leaves_no_series() {
        assert!(!told(&CRASH, true).contains("ID"));
    }
}
