//! What is to be done so that plugins become what files desire: from both alone, without a server.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    desired::{Archive, Decision, Desired, Source},
    environment::Filled,
    file::refused,
    present::{Present, only},
};
use crate::{
    api::v1::{ActiveState, Plugin, ReportedState},
    cli::{
        failure::{Exit, Failure},
        show,
    },
};

/// All that is to be done.
pub(super) struct Plan {
    /// The plugins to which something is to be done: those of the files in their order, then those to be deleted.
    pub(super) plugins: Vec<Planned>,
    /// How many plugins of the files are as those say.
    pub(super) settled: usize,
    /// The manifest ids of external plugins that no file names, and that are left all the same.
    pub(super) spared: Vec<String>,
}

/// What is to be done to one plugin.
pub(super) struct Planned {
    /// Its manifest id.
    pub(super) id: String,
    /// The plugin as it was seen; none if it is to be installed.
    pub(super) plugin: Option<Plugin>,
    pub(super) steps: Vec<Step>,
    /// What the author of its new package or manifest may want to know.
    pub(super) notes: Vec<String>,
}

impl Planned {
    pub(super) fn is_deleted(&self) -> bool {
        matches!(self.steps.as_slice(), [Step::Delete])
    }
}

/// One call to the server, with all that it takes.
#[derive(Clone)]
pub(super) enum Step {
    Install(Archive),
    /// From this version.
    Update(String, Archive),
    Register(Map<String, Value>),
    UpdateManifest(Map<String, Value>, Vec<Change>),
    Decide(Box<Decision>, Vec<Change>),
    Start,
    Configure(Filled, Vec<Change>),
    Stop,
    Delete,
}

impl Step {
    /// Whether it sends a package or a manifest.
    fn brings_something_new(&self) -> bool {
        matches!(self, Self::Install(_) | Self::Update(..) | Self::Register(_) | Self::UpdateManifest(..))
    }
}

/// The change of one field. A value that is none is not to be printed.
#[derive(Clone)]
pub(super) enum Change {
    Add(String, Option<Value>),
    Replace(String, Option<(Value, Value)>),
    Remove(String),
}

/// Compares what is desired with what there is. With `prune` what no file names is to be deleted, but no external plugin: its
/// token is with somebody else, who would be cut off, and nothing that is in a file brings it back.
///
/// # Errors
/// What is desired can't be done, or not be told from what there is.
pub(super) fn plan(desired: &[Desired], present: &[Present], prune: bool) -> Result<Plan, Failure> {
    let mut plugins = Vec::new();
    for desired in desired {
        let present = only(present, &desired.id, &desired.place)?;
        let refused = |failure: Failure| failure.about(format_args!("{}: {}", desired.place, desired.id));
        let steps = steps(desired, present).map_err(refused)?;
        let is_new = steps.iter().any(Step::brings_something_new);
        plugins.push(Planned {
            id: desired.id.clone(),
            plugin: present.map(|present| present.plugin.clone()),
            steps,
            notes: if is_new { desired.source.notes().to_vec() } else { Vec::new() },
        });
    }
    plugins.retain(|planned| !planned.steps.is_empty());
    let settled = desired.len() - plugins.len();
    let unnamed = present.iter().filter(|present| prune && desired.iter().all(|desired| desired.id != present.id));
    let (external, supervised): (Vec<_>, Vec<_>) = unnamed.partition(|present| present.is_external());
    plugins.extend(supervised.into_iter().map(deleted));
    Ok(Plan { plugins, settled, spared: external.into_iter().map(|present| present.id.clone()).collect() })
}

fn deleted(present: &Present) -> Planned {
    let plugin = Some(present.plugin.clone());
    Planned { id: present.id.clone(), plugin, steps: vec![Step::Delete], notes: Vec::new() }
}

fn steps(desired: &Desired, present: Option<&Present>) -> Result<Vec<Step>, Failure> {
    let source = match present {
        Some(present) => of_present(&desired.source, present)?,
        None => Some(of_new(&desired.source)?),
    };
    let new = Present::default();
    let present = present.unwrap_or(&new);
    let policy = desired.policy.as_ref().and_then(|decision| {
        let changes = changes(&present.policy, &decision.words);
        (!changes.is_empty()).then(|| Step::Decide(Box::new(decision.clone()), changes))
    });
    let configuration = desired.configuration.as_ref().and_then(|filled| {
        let changes = changes(&present.configuration, filled);
        (!changes.is_empty()).then(|| Step::Configure(filled.clone(), changes))
    });
    if present.is_external() && (policy.is_some() || desired.active == Some(false)) {
        let what = "it is external: somebody else runs it, and a file can't say how, or that it is not to run";
        return Err(Failure::new(what).exit(Exit::Refused));
    }
    let is_external = present.is_external() || matches!(desired.source, Source::External(..));
    Ok(match is_external {
        true => source.into_iter().chain(configuration).collect(),
        false => in_order(source, policy, configuration, &present.plugin, desired.active),
    })
}

/// How a plugin that is on no server yet comes there.
fn of_new(source: &Source) -> Result<Step, Failure> {
    match source {
        Source::Package(archive) => Ok(Step::Install(archive.clone())),
        Source::External(manifest, _) => Ok(Step::Register(manifest.clone())),
        Source::Digest(_) => {
            let hint = "give its package, too; `plugd export --packages DIR` writes packages beside the file";
            Err(Failure::new("it is not there, and the file has but the digest of its package")
                .hint(hint)
                .exit(Exit::NotFound))
        }
        // What is at a URL was fetched before.
        Source::Unsaid | Source::Url(..) => Err(Failure::new("it is not there, and the file does not say what it is")
            .hint("give a package, or external with a manifest")
            .exit(Exit::NotFound)),
    }
}

/// How a plugin that is there comes to be made of this, if it is not yet.
fn of_present(source: &Source, present: &Present) -> Result<Option<Step>, Failure> {
    let plugin = &present.plugin;
    let is_mismatch = match source {
        Source::Package(_) | Source::Digest(_) => present.is_external(),
        Source::External(..) => !present.is_external(),
        Source::Unsaid | Source::Url(..) => false,
    };
    if is_mismatch {
        let what = format!("{} is {}, and the file says otherwise", plugin.id, show::mode(plugin));
        let hint = format!("a plugin can't become another kind: `plugd delete {}` makes room", plugin.id);
        return Err(Failure::new(what).hint(hint).exit(Exit::Conflict));
    }
    match source {
        Source::Package(archive) if plugin.package_digest() != archive.digest => {
            Ok(Some(Step::Update(plugin.version.clone(), archive.clone())))
        }
        Source::Digest(digest) if plugin.package_digest() != digest => {
            let what = format!("it has another package, {}, and the file has but a digest", plugin.package_digest());
            Err(refused("digest", what).hint("give the package, too"))
        }
        Source::External(manifest, _) => {
            let filled = Filled::plain(manifest.clone());
            let changes = changes(&show::object(Some(&plugin.manifest_struct())), &filled);
            Ok((!changes.is_empty()).then(|| Step::UpdateManifest(manifest.clone(), changes)))
        }
        _ => Ok(None),
    }
}

/// The steps to a plugin that plugd runs. It has to run while it is configured; one that is to be stopped and needs not be
/// configured is stopped first, so that an update does not start it anew.
fn in_order(
    source: Option<Step>,
    policy: Option<Step>,
    configuration: Option<Step>,
    plugin: &Plugin,
    active: Option<bool>,
) -> Vec<Step> {
    let (is_desired, state) = (plugin.active_state() == ActiveState::Active, show::state_of(plugin));
    let shall_run = active.unwrap_or(is_desired);
    let is_updated = matches!(source, Some(Step::Update(..)));
    // An update waits until it runs.
    let runs = is_desired && (state == ReportedState::Active || is_updated);
    let has_to_be_started = active == Some(true) && (!is_desired || state == ReportedState::Error);
    let start = (!runs && (configuration.is_some() || has_to_be_started)).then_some(Step::Start);
    let stop = (!shall_run && (is_desired || start.is_some())).then_some(Step::Stop);
    let (first, last) = if configuration.is_some() { (None, stop) } else { (stop, None) };
    [first, source, policy, start, configuration, last].into_iter().flatten().collect()
}

/// The changes by field from these values to those.
fn changes(before: &Map<String, Value>, after: &Filled) -> Vec<Change> {
    let keys: BTreeSet<&String> = before.keys().chain(after.values.keys()).collect();
    let change = |key: &String| {
        let is_secret = after.secret.contains(key);
        match (before.get(key), after.values.get(key)) {
            (before, after) if before == after => None,
            (None, Some(after)) => Some(Change::Add(key.clone(), (!is_secret).then(|| after.clone()))),
            (Some(before), Some(after)) => {
                Some(Change::Replace(key.clone(), (!is_secret).then(|| (before.clone(), after.clone()))))
            }
            (_, None) => Some(Change::Remove(key.clone())),
        }
    };
    keys.into_iter().filter_map(change).collect()
}
