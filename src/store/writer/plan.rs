//! What one transaction will do: changes applied to the records in memory, nothing written yet. No I/O here.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::op::What;
use crate::{
    domain::{Commit, Desired, Digest, Error, Plugin, PluginId, Reason, Reported, Result, State},
    store::{
        convert::{signed, word},
        documents,
        entity::{configuration_history, journal, plugin},
        record,
    },
};

/// A plugin's current record, with the digests of its documents.
#[derive(Clone)]
pub(in crate::store) struct Record {
    pub(in crate::store) plugin: Arc<Plugin>,
    pub(in crate::store) manifest: Digest,
    pub(in crate::store) configuration: Digest,
}

/// The current record of every plugin.
pub(in crate::store) type Records = HashMap<PluginId, Record>;

/// The changes of one transaction, in order.
pub(super) struct Plan {
    /// The head before it.
    pub(super) base: u64,
    time: Timestamp,
    pub(super) commits: Vec<Arc<Commit>>,
    /// Which of the commits are reports.
    reports: Vec<usize>,
    /// Records after it; none for a plugin that is gone.
    pub(super) staged: HashMap<PluginId, Option<Record>>,
    pub(super) journal: Vec<journal::Model>,
    pub(super) history: Vec<configuration_history::Model>,
    /// Documents that may not be stored yet.
    pub(super) documents: HashMap<Digest, String>,
    /// Documents that a plugin has stopped using.
    pub(super) retired: HashSet<Digest>,
}

/// One change, half applied.
struct Step {
    before: Option<Record>,
    after: Plugin,
    author: String,
    is_removal: bool,
    is_report: bool,
}

impl Plan {
    /// An empty plan on top of this head.
    pub(super) fn new(base: u64, time: Timestamp) -> Self {
        Self {
            base,
            time,
            commits: Vec::new(),
            reports: Vec::new(),
            staged: HashMap::new(),
            journal: Vec::new(),
            history: Vec::new(),
            documents: HashMap::new(),
            retired: HashSet::new(),
        }
    }

    /// The head after it.
    pub(super) fn head(&self) -> u64 {
        self.base + self.commits.len() as u64
    }

    /// The rows of the plugins that are still there after it.
    pub(super) fn plugins(&self) -> impl Iterator<Item = plugin::Model> {
        let last = self.staged.values().flatten().map(|record| record.plugin.revision - self.base - 1);
        last.filter_map(|place| self.journal.get(usize::try_from(place).ok()?)).map(plugin_row)
    }

    /// Ids of the plugins that are gone after it.
    pub(super) fn removed(&self) -> Vec<String> {
        let gone = self.staged.iter().filter(|(_, record)| record.is_none());
        gone.map(|(id, _)| id.to_string()).collect()
    }

    /// The reports among its changes, to be kept when it fails.
    pub(super) fn reports(&self) -> impl Iterator<Item = (PluginId, Reported)> {
        let commits = self.reports.iter().filter_map(|&place| self.commits.get(place));
        commits.map(|commit| (commit.plugin.id, commit.plugin.reported.clone()))
    }

    /// Adds one change. One that changes nothing takes no revision.
    ///
    /// # Errors
    /// `PLUGIN_NOT_FOUND`, or a defect of the caller.
    pub(super) fn apply(&mut self, records: &Records, what: What) -> Result<Arc<Plugin>> {
        match what {
            What::Install(plugin) => self.install(records, *plugin),
            What::Desire { id, desired, author } => self.desire(self.current(records, id)?, *desired, author),
            What::Report { id, reported } => self.report(self.current(records, id)?, *reported),
            What::Remove { id } => self.remove(self.current(records, id)?),
        }
    }

    fn install(&mut self, records: &Records, plugin: Plugin) -> Result<Arc<Plugin>> {
        // An id that was removed a moment ago is refused too: ids are never used twice.
        if self.staged.contains_key(&plugin.id) || records.contains_key(&plugin.id) {
            return Err(Error::new(Reason::Internal, format!("plugin {} is installed already", plugin.id)));
        }
        self.step(Step { before: None, after: plugin, author: String::new(), is_removal: false, is_report: false })
    }

    fn desire(&mut self, before: Record, desired: Desired, author: String) -> Result<Arc<Plugin>> {
        if before.plugin.desired == desired {
            return Ok(before.plugin);
        }
        let after = Plugin { desired, ..Plugin::clone(&before.plugin) };
        self.step(Step { before: Some(before), after, author, is_removal: false, is_report: false })
    }

    fn report(&mut self, before: Record, reported: Reported) -> Result<Arc<Plugin>> {
        if before.plugin.reported == reported {
            return Ok(before.plugin);
        }
        let after = Plugin { reported, ..Plugin::clone(&before.plugin) };
        self.step(Step { before: Some(before), after, author: String::new(), is_removal: false, is_report: true })
    }

    fn remove(&mut self, before: Record) -> Result<Arc<Plugin>> {
        let after = Plugin::clone(&before.plugin);
        self.step(Step { before: Some(before), after, author: String::new(), is_removal: true, is_report: false })
    }

    /// The plugin as the changes so far leave it.
    fn current(&self, records: &Records, id: PluginId) -> Result<Record> {
        let staged = self.staged.get(&id).map_or_else(|| records.get(&id), Option::as_ref);
        staged.cloned().ok_or_else(|| Error::plugin_not_found(&id.to_string()))
    }

    fn step(&mut self, step: Step) -> Result<Arc<Plugin>> {
        let revision = self.head() + 1;
        let installed = step.before.as_ref().map_or(revision, |before| before.plugin.installed);
        let record = self.record(step.before.as_ref(), Plugin { installed, revision, ..step.after })?;
        let state_before = step.before.as_ref().map(|before| before.plugin.reported.state);
        self.journal.push(self.journal_row(&record, state_before, step.is_removal)?);
        self.keep_configuration(step.before.as_ref(), &record, step.author);
        self.retire(step.before.as_ref(), &record, step.is_removal);
        if step.is_report {
            self.reports.push(self.commits.len());
        }
        let plugin = Arc::clone(&record.plugin);
        self.commits.push(Arc::new(Commit {
            revision,
            time: self.time,
            before: state_before,
            is_removal: step.is_removal,
            plugin: Arc::clone(&plugin),
        }));
        self.staged.insert(plugin.id, (!step.is_removal).then_some(record));
        Ok(plugin)
    }

    /// The record of a plugin. Documents that have not changed are neither written nor hashed again.
    fn record(&mut self, before: Option<&Record>, plugin: Plugin) -> Result<Record> {
        let same_manifest = before.filter(|before| before.plugin.desired.manifest == plugin.desired.manifest);
        let manifest = match same_manifest {
            Some(before) => before.manifest,
            None => self.document(&plugin.desired.manifest)?,
        };
        let same_configuration =
            before.filter(|before| before.plugin.desired.configuration == plugin.desired.configuration);
        let configuration = match same_configuration {
            Some(before) => before.configuration,
            None => self.document(&plugin.desired.configuration)?,
        };
        Ok(Record { plugin: Arc::new(plugin), manifest, configuration })
    }

    fn document<T: serde::Serialize>(&mut self, value: &T) -> Result<Digest> {
        let (digest, body) = documents::write(value).map_err(not_json)?;
        self.documents.insert(digest, body);
        Ok(digest)
    }

    fn journal_row(&self, record: &Record, before: Option<State>, is_removal: bool) -> Result<journal::Model> {
        Ok(journal::Model {
            revision: signed(record.plugin.revision),
            time: self.time.to_string(),
            plugin_id: record.plugin.id.to_string(),
            state_before: before.and_then(|state| word(&state)),
            is_removal,
            manifest: record.manifest.0.to_vec(),
            configuration: record.configuration.0.to_vec(),
            record: record::encode(&record.plugin).map_err(not_json)?,
        })
    }

    fn keep_configuration(&mut self, before: Option<&Record>, after: &Record, author: String) {
        let revision = after.plugin.desired.configuration_revision;
        if revision > before.map_or(0, |before| before.plugin.desired.configuration_revision) {
            self.history.push(configuration_history::Model {
                plugin_id: after.plugin.id.to_string(),
                revision: signed(revision),
                configuration: after.configuration.0.to_vec(),
                created: self.time.to_string(),
                author,
            });
        }
    }

    fn retire(&mut self, before: Option<&Record>, after: &Record, is_removal: bool) {
        let Some(before) = before else { return };
        if is_removal || before.manifest != after.manifest {
            self.retired.insert(before.manifest);
        }
        if is_removal || before.configuration != after.configuration {
            self.retired.insert(before.configuration);
        }
    }
}

fn plugin_row(row: &journal::Model) -> plugin::Model {
    plugin::Model {
        id: row.plugin_id.clone(),
        revision: row.revision,
        manifest: row.manifest.clone(),
        configuration: row.configuration.clone(),
        record: row.record.clone(),
    }
}

fn not_json(error: serde_json::Error) -> Error {
    tracing::error!(%error, "a record could not be written as JSON");
    Error::new(Reason::Internal, "the record could not be written as JSON")
}
