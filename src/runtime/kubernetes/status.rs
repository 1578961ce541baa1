//! What the status of a pod says of its run, in the cluster's own words.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus};

use super::pod::{CONTAINER, FETCHER};
use crate::domain::{Exit, Failure, Stage, text::shorten};

/// The condition of a pod that the cluster ends for a reason of its own.
const DISRUPTED: &str = "DisruptionTarget";
/// Reasons of that condition, and of a status, that come when nobody can reach the node.
const LOST: [&str; 3] = ["DeletionByTaintManager", "NodeLost", "NodeStatusUnknown"];
/// Reasons to wait that no time ends.
const HOPELESS: [&str; 3] = ["InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"];
/// What a cluster adds to a signal's number for an exit code.
const SIGNALS: i32 = 128;
/// The highest number of a signal that Linux has.
const MAX_SIGNAL: i32 = 64;
/// Why a container is told to have ended of which nothing is known: the node was started again, or lost it.
const UNKNOWN: [&str; 2] = ["ContainerStatusUnknown", "Unknown"];
/// Characters of the cluster's words that are repeated.
const MAX_WORDS: usize = 1000;

/// How far a run is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Seen {
    /// The plugin does not run yet.
    Waiting {
        /// For what, if the cluster says.
        why: Option<String>,
        /// No time ends it.
        is_hopeless: bool,
    },
    Running,
    /// Nobody knows whether it runs: why.
    CutOff(String),
    /// Nothing of it runs, and nothing will.
    Over(Ending),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ending {
    /// The plugin ended, of itself or because it was asked to.
    Exited(Exit),
    /// The plugin was ended by something else.
    Ended(String),
    /// The plugin never ran, for want of something else.
    NeverRan(String),
    /// Its program can't be run.
    CannotRun(String),
}

/// Reads a pod; `is_wanted` while nobody has asked plugd to end its run.
pub(super) fn read(pod: &Pod, is_wanted: bool) -> Seen {
    let Some(status) = &pod.status else { return Seen::Waiting { why: None, is_hopeless: false } };
    let state = state_of(status.container_statuses.as_ref(), CONTAINER);
    let is_over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    // That its node is lost is told of a run that is to end, too: it can't, and why is not its own.
    let outside = from_outside(pod, status).filter(|_| is_wanted || is_lost(status));
    match (state, outside) {
        (Some(ContainerState { terminated: Some(terminated), .. }), outside) => Seen::Over(ended(terminated, outside)),
        (_, outside) if is_over => Seen::Over(Ending::NeverRan(outside.unwrap_or_else(|| why_it_never_ran(status)))),
        (_, Some(words)) if is_lost(status) => Seen::CutOff(words),
        (Some(ContainerState { running: Some(_), .. }), _) => Seen::Running,
        (state, _) => waiting(state, status),
    }
}

/// How a run ended whose pod is gone.
pub(super) fn gone(last: &Pod, is_wanted: bool) -> Ending {
    match read(last, is_wanted) {
        Seen::Over(ending) => ending,
        Seen::Waiting { .. } => Ending::NeverRan("its pod was deleted from outside before the plugin ran".to_owned()),
        Seen::CutOff(words) => Ending::Ended(words),
        Seen::Running => Ending::Ended("its pod was deleted from outside, by force".to_owned()),
    }
}

/// A failure that is none of the plugin's.
pub(super) fn outside(stage: Stage, words: &str) -> Failure {
    Failure::new(stage, shorten(words, MAX_WORDS)).caused_outside()
}

fn state_of<'a>(statuses: Option<&'a Vec<ContainerStatus>>, name: &str) -> Option<&'a ContainerState> {
    statuses?.iter().find(|status| status.name == name)?.state.as_ref()
}

fn ended(terminated: &ContainerStateTerminated, outside: Option<String>) -> Ending {
    let exit = exit(terminated);
    let is_unknown = terminated.reason.as_deref().is_some_and(|reason| UNKNOWN.contains(&reason));
    match outside {
        // A container that its node has lost sight of: nobody knows how it ended.
        None if is_unknown => Ending::Ended(format!(
            "its node does not know how its container ended: {}",
            words((terminated.reason.as_deref(), terminated.message.as_deref()))
        )),
        Some(words) => Ending::Ended(format!("{words} ({exit})")),
        // containerd's word for a program that can't be run: nothing of the plugin has run.
        None if terminated.reason.as_deref() == Some("StartError") => Ending::CannotRun(format!(
            "its program can't be run: {}",
            terminated.message.as_deref().unwrap_or("StartError")
        )),
        None => Ending::Exited(exit),
    }
}

fn exit(terminated: &ContainerStateTerminated) -> Exit {
    let code = terminated.exit_code;
    let out_of_memory = terminated.reason.as_deref() == Some("OOMKilled");
    let signal = terminated
        .signal
        .filter(|signal| *signal > 0)
        .or(Some(code - SIGNALS).filter(|signal| (1..=MAX_SIGNAL).contains(signal)));
    let code = signal.is_none().then_some(code);
    Exit { code, signal, out_of_memory }
}

/// What the cluster, or somebody else, did to the pod.
fn from_outside(pod: &Pod, status: &PodStatus) -> Option<String> {
    let disrupted = status.conditions.iter().flatten().find(|it| it.type_ == DISRUPTED && it.status == "True");
    let told = disrupted.map(|it| (it.reason.as_deref(), it.message.as_deref()));
    let told = told.or_else(|| status.reason.as_deref().map(|reason| (Some(reason), status.message.as_deref())));
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("?");
    match told {
        Some(told) if is_lost(status) => Some(format!("the node {node} is lost: {}", words(told))),
        Some(told) => Some(format!("the cluster ended its pod: {}", words(told))),
        None => pod.metadata.deletion_timestamp.as_ref().map(|_| "its pod was deleted from outside".to_owned()),
    }
}

fn is_lost(status: &PodStatus) -> bool {
    let is_lost = |reason: Option<&String>| reason.is_some_and(|reason| LOST.contains(&reason.as_str()));
    let mut conditions = status.conditions.iter().flatten();
    is_lost(status.reason.as_ref()) || conditions.any(|it| it.type_ == DISRUPTED && is_lost(it.reason.as_ref()))
}

fn waiting(state: Option<&ContainerState>, status: &PodStatus) -> Seen {
    let mut conditions = status.conditions.iter().flatten();
    let unplaced = conditions.find(|it| it.type_ == "PodScheduled" && it.status == "False");
    if let Some(unplaced) = unplaced {
        let why =
            format!("no node can take its pod: {}", words((unplaced.reason.as_deref(), unplaced.message.as_deref())));
        return Seen::Waiting { why: Some(why), is_hopeless: false };
    }
    let first = state_of(status.init_container_statuses.as_ref(), FETCHER);
    let waits = first.into_iter().chain(state).filter_map(|state| state.waiting.as_ref());
    let told = waits.filter_map(|waiting| Some((waiting.reason.as_deref()?, waiting.message.as_deref())));
    // What every container waits for at first says nothing.
    let told = told.into_iter().find(|(reason, _)| !matches!(*reason, "PodInitializing" | "ContainerCreating"));
    let is_hopeless = told.is_some_and(|(reason, _)| HOPELESS.contains(&reason));
    let why = told.map(|(reason, message)| {
        let told = words((Some(reason), message));
        if reason.contains("Image") { format!("its image can't be pulled: {told}") } else { told }
    });
    Seen::Waiting { why, is_hopeless }
}

/// The pod is over, and the plugin has not begun.
fn why_it_never_ran(status: &PodStatus) -> String {
    let fetch = state_of(status.init_container_statuses.as_ref(), FETCHER).and_then(|state| state.terminated.as_ref());
    match fetch {
        Some(fetch) => {
            let said = fetch.message.as_deref().map(|said| format!(": {}", said.trim())).unwrap_or_default();
            format!("its package was not laid out: {}{said}", exit(fetch))
        }
        None => "its pod ended before the plugin ran".to_owned(),
    }
}

fn words((reason, message): (Option<&str>, Option<&str>)) -> String {
    let parts = [reason, message].into_iter().flatten().filter(|text| !text.is_empty());
    parts.collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn mk_pod(status: Value) -> Pod {
        serde_json::from_value(json!({"spec": {"nodeName": "n1", "containers": []}, "status": status})).unwrap()
    }

    fn mk_deleted(status: Value) -> Pod {
        let mut pod = mk_pod(status);
        pod.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-02T03:04:05Z")).unwrap();
        pod
    }

    /// The status of a pod whose plugin's container has this state.
    fn with_state(state: Value) -> Value {
        json!({"containerStatuses": [
            {"name": "plugin", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state},
        ]})
    }

    fn ended(code: i32, reason: &str) -> Value {
        with_state(json!({"terminated": {"exitCode": code, "reason": reason}}))
    }

    fn exit_of(pod: &Pod) -> Exit {
        match read(pod, true) {
            Seen::Over(Ending::Exited(exit)) => exit,
            seen => panic!("{seen:?}"),
        }
    }

    fn waits_for(status: Value) -> (String, bool) {
        match read(&mk_pod(status), true) {
            Seen::Waiting { why, is_hopeless } => (why.unwrap_or_default(), is_hopeless),
            seen => panic!("{seen:?}"),
        }
    }

    #[test]
    fn a_code_over_128_is_a_signal_and_want_of_memory_is_told() {
        let exit = |code, signal, out_of_memory| Exit { code, signal, out_of_memory };
        assert_eq!(exit_of(&mk_pod(ended(3, "Error"))), exit(Some(3), None, false));
        assert_eq!(exit_of(&mk_pod(ended(128, "Error"))), exit(Some(128), None, false));
        assert_eq!(exit_of(&mk_pod(ended(143, "Error"))), exit(None, Some(15), false));
        assert_eq!(exit_of(&mk_pod(ended(137, "OOMKilled"))), exit(None, Some(9), true));
        assert_eq!(exit_of(&mk_pod(ended(255, "Error"))), exit(Some(255), None, false), "no signal has that number");
    }

    #[test]
    fn a_container_that_its_node_lost_is_no_failure_of_the_plugin() {
        for reason in UNKNOWN {
            let pod = mk_pod(ended(137, reason));
            let Seen::Over(Ending::Ended(words)) = read(&pod, true) else { panic!("{pod:?}") };
            assert!(words.starts_with("its node does not know how its container ended"), "{words}");
        }
    }

    #[test]
    fn what_plugd_asked_for_is_not_told_of_as_done_from_outside() {
        let pod = mk_deleted(ended(143, "Error"));
        assert!(matches!(read(&pod, false), Seen::Over(Ending::Exited(_))));
        let Seen::Over(Ending::Ended(words)) = read(&pod, true) else { panic!("{pod:?}") };
        assert_eq!(words, "its pod was deleted from outside (signal: terminated)");
    }

    #[test]
    fn an_eviction_is_told_in_the_clusters_words() {
        let pod = mk_pod(json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}));
        let Seen::Over(Ending::NeverRan(words)) = read(&pod, true) else { panic!("{pod:?}") };
        assert_eq!(words, "the cluster ended its pod: Evicted: The node was low on memory.");
    }

    #[test]
    fn a_pod_on_a_lost_node_is_cut_off_and_not_over() {
        let mut status = with_state(json!({"running": {}}));
        status["conditions"] = json!([{
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": "Taint manager: deleting",
        }]);
        let words = "the node n1 is lost: DeletionByTaintManager: Taint manager: deleting".to_owned();
        for is_wanted in [true, false] {
            assert_eq!(read(&mk_deleted(status.clone()), is_wanted), Seen::CutOff(words.clone()));
        }
        assert_eq!(
            read(&mk_deleted(with_state(json!({"running": {}}))), true),
            Seen::Running,
            "it may still end by itself"
        );
    }

    #[test]
    fn a_pod_that_waits_says_for_what() {
        let pulling = json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"x\""}});
        let words = "its image can't be pulled: ImagePullBackOff: Back-off pulling image \"x\"";
        assert_eq!(waits_for(with_state(pulling)), (words.to_owned(), false));
        let wrong = json!({"waiting": {"reason": "InvalidImageName", "message": "couldn't parse"}});
        assert!(waits_for(with_state(wrong)).1, "no time makes a name valid");
        let unplaced = json!({"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"},
        ]});
        let words = "no node can take its pod: Unschedulable: 0/1 nodes are available";
        assert_eq!(waits_for(unplaced), (words.to_owned(), false));
        assert_eq!(waits_for(with_state(json!({"waiting": {"reason": "PodInitializing"}}))), (String::new(), false));
    }

    #[test]
    fn a_package_that_was_not_laid_out_is_told_with_the_last_words_of_who_should_have() {
        let state = json!({"terminated": {"exitCode": 1, "message": "the server answered 401\n"}});
        let fetch =
            json!({"name": "package", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        let pod = mk_pod(json!({"phase": "Failed", "initContainerStatuses": [fetch]}));
        let Seen::Over(Ending::NeverRan(words)) = read(&pod, true) else { panic!("{pod:?}") };
        assert_eq!(words, "its package was not laid out: exit status 1: the server answered 401");
    }

    #[test]
    fn of_a_pod_that_is_gone_its_last_status_counts() {
        assert_eq!(gone(&mk_pod(ended(3, "Error")), true), Ending::Exited(exit_of(&mk_pod(ended(3, "Error")))));
        let running = mk_pod(with_state(json!({"running": {}})));
        assert!(matches!(gone(&running, true), Ending::Ended(words) if words.ends_with("by force")));
    }
}
