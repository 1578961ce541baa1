//! What is posted: an event as CloudEvents 1.0 has them, in structured JSON.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use crate::domain::{Commit, Failure, HookId, PluginId, Stage, State};

/// A message to a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// The same each time that it is sent, as long as the history is the same: a receiver that has seen it may leave it. A restored
    /// backup, and a power cut, begin another history: what is sent once more after that has another.
    pub(super) id: String,
    pub(super) body: Bytes,
}

/// An event. Its `id` and `source` together are those of no other.
#[derive(Serialize)]
struct Event<D> {
    specversion: &'static str,
    source: String,
    #[serde(flatten)]
    about: About,
    datacontenttype: &'static str,
    data: D,
}

/// What an event is about.
#[derive(Serialize)]
struct About {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    time: Timestamp,
}

/// A plugin that came into a state. Nothing in it is secret.
#[derive(Serialize)]
struct Entered<'a> {
    plugin_id: PluginId,
    manifest_id: &'a str,
    name: &'a str,
    version: &'a str,
    state_before: Option<State>,
    state: State,
    failure: Option<Failed<'a>>,
    generation: u64,
    revision: u64,
}

/// Why a plugin failed, as the API says it.
#[derive(Serialize)]
struct Failed<'a> {
    stage: Stage,
    message: &'a str,
    exit_code: Option<i32>,
    signal: Option<i32>,
    out_of_memory: bool,
}

impl<'a> From<&'a Failure> for Failed<'a> {
    fn from(failure: &'a Failure) -> Self {
        let Failure { stage, message, exit_code, signal, out_of_memory, .. } = failure;
        Self { stage: *stage, message, exit_code: *exit_code, signal: *signal, out_of_memory: *out_of_memory }
    }
}

/// Where events come from, for `source` and `id`.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// The id of the database.
    pub(super) database_id: String,
    /// The history of its revisions.
    pub(super) epoch: String,
}

impl Origin {
    /// A change of a plugin's state.
    pub(super) fn of_commit(&self, commit: &Commit) -> Message {
        let (plugin, reported) = (&commit.plugin, &commit.plugin.reported);
        let manifest = &plugin.desired.manifest;
        let data = Entered {
            plugin_id: plugin.id,
            manifest_id: &manifest.id,
            name: &manifest.name,
            version: &manifest.version,
            state_before: commit.before,
            state: reported.state,
            failure: reported.failure.as_deref().map(Failed::from),
            generation: plugin.desired.generation,
            revision: commit.revision,
        };
        let about = About {
            id: format!("{}-{}", self.epoch, commit.revision),
            kind: format!("plugd.plugin.state.{}", word(reported.state)),
            subject: plugin.id.to_string(),
            time: commit.time,
        };
        self.message(about, data)
    }

    /// What an operator has sent to see whether it arrives.
    pub(super) fn of_test(&self, hook: HookId, now: Timestamp) -> Message {
        let (id, subject) = (format!("test-{}", xid::new()), hook.to_string());
        let about = About { id, kind: "plugd.hook.test".to_owned(), subject, time: now };
        self.message(about, serde_json::json!({ "hook_id": hook }))
    }

    fn message(&self, about: About, data: impl Serialize) -> Message {
        let id = about.id.clone();
        let event = Event {
            specversion: "1.0",
            source: format!("/plugd/{}", self.database_id),
            about,
            datacontenttype: "application/json",
            data,
        };
        // Texts and numbers have a JSON form.
        Message { id, body: serde_json::to_vec(&event).unwrap_or_default().into() }
    }
}

/// The word of a state.
fn word(state: State) -> String {
    let word = serde_json::to_value(state).ok();
    word.and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::hook::tests::mk_commit;

    fn mk_origin() -> Origin {
        Origin { database_id: "database".to_owned(), epoch: "epoch".to_owned() }
    }

    #[test]
    fn a_change_of_state_is_a_cloud_event_with_the_same_id_each_time() {
        let mut commit = mk_commit(Some(State::Restarting), State::Error);
        let plugin = std::sync::Arc::make_mut(&mut commit.plugin);
        plugin.reported.failure =
            Some(Failure { exit_code: Some(3), ..Failure::new(Stage::Exit, "exit status 3") }.into());
        let (plugin, message) = (commit.plugin.clone(), mk_origin().of_commit(&commit));
        let manifest = &plugin.desired.manifest;
        let failure = json!({
            "stage": "exit", "message": "exit status 3", "exit_code": 3, "signal": null, "out_of_memory": false,
        });
        let expected = json!({
            "specversion": "1.0",
            "id": "epoch-8",
            "source": "/plugd/database",
            "type": "plugd.plugin.state.error",
            "subject": plugin.id,
            "time": "1970-01-01T00:00:00Z",
            "datacontenttype": "application/json",
            "data": {
                "plugin_id": plugin.id,
                "manifest_id": manifest.id,
                "name": manifest.name,
                "version": manifest.version,
                "state_before": "restarting",
                "state": "error",
                "failure": failure,
                "generation": plugin.desired.generation,
                "revision": 8,
            },
        });
        assert_eq!(serde_json::from_slice::<Value>(&message.body).unwrap(), expected);
        assert_eq!((message.id.as_str(), &message), ("epoch-8", &mk_origin().of_commit(&commit)));
    }

    #[test]
    fn each_test_has_an_id_of_its_own() {
        let test = || mk_origin().of_test(HookId::from_bytes([1; 12]), Timestamp::UNIX_EPOCH);
        assert_ne!(test().id, test().id);
    }
}
