//! What one transaction will do: changes applied to the records in memory, nothing written yet. No I/O here.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{
    entity::{configuration, journal, plugin},
    lease::Durability,
    rows::{self, Record, plain, signed, stored, to_column},
};
use crate::domain::{
    Commit, Desired, Digest, Error, HookId, Plugin, PluginId, Reason, Reported, Result, TokenId, access::AccessToken,
    hook::Hook, manifest::Manifest, plugin::Request,
};

/// Configurations that are listed of each plugin, the present one included: enough to go back behind a bad day. They may
/// have 1 MiB each.
const HISTORY: i64 = 100;

/// Where an answer goes. A caller that went away is no reason to stop.
pub(super) type Reply<T> = oneshot::Sender<Result<T>>;

/// One thing that the writer is asked to do.
pub(super) enum Op {
    /// Change a plugin.
    Change(Change),
    /// Change a token.
    Token(TokenOp),
    /// Change a webhook.
    Hook(HookOp),
    /// Store how far a webhook has come.
    Note { hook: Box<Hook>, reply: Reply<()> },
    /// Say when everything before this is durable.
    Flush(Reply<()>),
    /// Finish; say when the database is closed.
    Close(oneshot::Sender<()>),
    /// The same, with the lease left to run out.
    CloseKeepingLease(oneshot::Sender<()>),
}

/// A change of one plugin, and who waits for it.
pub(super) struct Change {
    pub(super) what: What,
    /// Nobody waits for a report.
    pub(super) reply: Option<Reply<Arc<Plugin>>>,
}

/// How a plugin changes.
#[derive(Clone)]
pub(super) enum What {
    Install(Box<Plugin>),
    Desire { id: PluginId, desired: Box<Desired>, author: String },
    Report { id: PluginId, reported: Box<Reported> },
    Remove { id: PluginId },
}

/// A change of the access tokens.
pub(super) enum TokenOp {
    Create { token: AccessToken, reply: Reply<()> },
    Revoke { id: TokenId, reply: Reply<AccessToken> },
}

/// A change of the webhooks.
pub(super) enum HookOp {
    Create { hook: Box<Hook>, reply: Reply<()> },
    Update { hook: Box<Hook>, reply: Reply<()> },
    Delete { id: HookId, reply: Reply<()> },
}

/// The current record of every plugin.
#[derive(Default)]
pub(super) struct Records {
    plugins: HashMap<PluginId, Record>,
    requests: HashMap<String, PluginId>,
}

impl Records {
    pub(super) fn get(&self, id: PluginId) -> Option<&Record> {
        self.plugins.get(&id)
    }

    pub(super) fn put(&mut self, record: Record) {
        if let Some(request) = &record.plugin.request {
            self.requests.insert(request.id.clone(), record.plugin.id);
        }
        self.plugins.insert(record.plugin.id, record);
    }

    fn remove(&mut self, id: PluginId) {
        let Some(record) = self.plugins.remove(&id) else { return };
        if let Some(request) = &record.plugin.request
            && self.requests.get(&request.id) == Some(&id)
        {
            // Otherwise it is the name of another plugin by now, installed in the same transaction.
            self.requests.remove(&request.id);
        }
    }

    /// All plugins, in the order of their installation.
    pub(super) fn in_order(&self) -> Vec<Plugin> {
        let mut plugins: Vec<Plugin> = self.plugins.values().map(|record| Plugin::clone(&record.plugin)).collect();
        plugins.sort_by_key(Plugin::place);
        plugins
    }
}

/// The changes of one transaction, in order.
pub(super) struct Batch {
    /// The head before it.
    pub(super) base: u64,
    time: Timestamp,
    pub(super) commits: Vec<Arc<Commit>>,
    /// Which of the commits are reports.
    reports: Vec<usize>,
    /// Something of it has files taken away.
    takes_files: bool,
    /// Records after it; none for a plugin that is gone.
    staged: HashMap<PluginId, Option<Record>>,
    pub(super) journal: Vec<journal::Model>,
    /// The newest row of each plugin that is there after it.
    pub(super) plugins: HashMap<PluginId, plugin::Model>,
    pub(super) configurations: HashMap<(PluginId, i64), configuration::Model>,
    /// Plugins with the newest of their configurations that is not listed any more.
    pub(super) unlisted_configurations: HashMap<PluginId, i64>,
    pub(super) manifests: HashMap<Digest, String>,
    /// Manifests that a plugin has stopped using.
    pub(super) unused_manifests: HashSet<Digest>,
}

/// One change, half applied.
struct Step {
    before: Option<Record>,
    after: Plugin,
    author: String,
    is_removal: bool,
    is_report: bool,
}

impl Batch {
    /// An empty batch on top of this head.
    pub(super) fn new(base: u64, time: Timestamp) -> Self {
        Self {
            base,
            time: stored(time),
            commits: Vec::new(),
            reports: Vec::new(),
            takes_files: false,
            staged: HashMap::new(),
            journal: Vec::new(),
            plugins: HashMap::new(),
            configurations: HashMap::new(),
            unlisted_configurations: HashMap::new(),
            manifests: HashMap::new(),
            unused_manifests: HashSet::new(),
        }
    }

    /// The head after it.
    pub(super) fn head(&self) -> u64 {
        self.base + self.commits.len() as u64
    }

    /// What is reported needs no sync of its own: no plugin runs after a power cut anyway. For the same reason plugins may do what is
    /// desired while that is synced. But where files are taken away after a change, that is to be there for good: those of a
    /// plugin, or a package that none refers to any more.
    pub(super) fn durability(&self) -> Durability {
        match () {
            () if self.takes_files => Durability::Synced,
            () if self.reports.len() == self.commits.len() => Durability::Written,
            () => Durability::Syncing,
        }
    }

    /// The plugins that are gone after it.
    pub(super) fn removed(&self) -> Vec<PluginId> {
        self.staged.iter().filter(|(_, record)| record.is_none()).map(|(id, _)| *id).collect()
    }

    /// The reports among its changes, to be kept when it fails.
    pub(super) fn reports(&self) -> impl Iterator<Item = (PluginId, Reported)> {
        let commits = self.reports.iter().filter_map(|&place| self.commits.get(place));
        commits.map(|commit| (commit.plugin.id, commit.plugin.reported.clone()))
    }

    /// Brings the records to what it has made of them.
    pub(super) fn take_effect(self, records: &mut Records) {
        for (id, record) in self.staged {
            match record {
                Some(record) => records.put(record),
                None => records.remove(id),
            }
        }
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

    /// A request that has installed a plugin already is answered with that plugin.
    fn install(&mut self, records: &Records, plugin: Plugin) -> Result<Arc<Plugin>> {
        if let Some(installed) = self.installed_by(records, plugin.request.as_ref()) {
            return Ok(installed);
        }
        // An id that was removed a moment ago is refused too: ids are never used twice.
        if self.staged.contains_key(&plugin.id) || records.get(plugin.id).is_some() {
            return Err(Error::new(Reason::Internal, format!("plugin {} is installed already", plugin.id)));
        }
        let after = Plugin { created: stored(plugin.created), reported: as_stored(plugin.reported), ..plugin };
        self.step(Step { before: None, after, author: String::new(), is_removal: false, is_report: false })
    }

    fn installed_by(&self, records: &Records, request: Option<&Request>) -> Option<Arc<Plugin>> {
        let name = &request?.id;
        let is_same = |record: &&Record| record.plugin.request.as_ref().is_some_and(|request| request.id == *name);
        let staged = self.staged.values().flatten().find(is_same).cloned();
        let known = || records.requests.get(name).and_then(|id| self.current(records, *id).ok());
        staged.or_else(known).map(|record| record.plugin)
    }

    fn desire(&mut self, before: Record, desired: Desired, author: String) -> Result<Arc<Plugin>> {
        if before.plugin.desired == desired {
            return Ok(before.plugin);
        }
        let after = Plugin { desired, ..Plugin::clone(&before.plugin) };
        self.step(Step { before: Some(before), after, author, is_removal: false, is_report: false })
    }

    fn report(&mut self, before: Record, reported: Reported) -> Result<Arc<Plugin>> {
        let reported = as_stored(reported);
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
        let staged = self.staged.get(&id).map_or_else(|| records.get(id), Option::as_ref);
        staged.cloned().ok_or_else(|| Error::plugin_not_found(&id.to_string()))
    }

    fn step(&mut self, Step { before, after, author, is_removal, is_report }: Step) -> Result<Arc<Plugin>> {
        let revision = self.head() + 1;
        let installed = before.as_ref().map_or(revision, |before| before.plugin.installed);
        let record = self.record(before.as_ref(), Plugin { installed, revision, ..after })?;
        let plugin = Arc::clone(&record.plugin);
        let commit = Commit {
            revision,
            time: self.time,
            before: before.as_ref().map(|before| before.plugin.reported.state),
            is_removal,
            plugin: Arc::clone(&plugin),
        };
        self.write(&record, &commit)?;
        self.write_configuration(before.as_ref(), &record, author)?;
        self.note_unused(before.as_ref(), &record, is_removal);
        if is_report {
            self.reports.push(self.commits.len());
        }
        self.takes_files |= is_removal || before.is_none_or(|before| !has_packages_of(&before.plugin, &plugin));
        self.commits.push(Arc::new(commit));
        self.staged.insert(plugin.id, (!is_removal).then_some(record));
        Ok(plugin)
    }

    /// The record of a plugin. A manifest that has not changed is neither written nor hashed again.
    fn record(&mut self, before: Option<&Record>, plugin: Plugin) -> Result<Record> {
        let manifest = self.manifest(before, &plugin.desired.manifest)?;
        let previous = plugin.desired.previous_package.as_ref();
        let previous_manifest = previous.map(|previous| self.manifest(before, &previous.manifest)).transpose()?;
        Ok(Record { plugin: Arc::new(plugin), manifest, previous_manifest })
    }

    fn manifest(&mut self, before: Option<&Record>, manifest: &Manifest) -> Result<Digest> {
        if let Some(digest) = before.and_then(|before| before.digest_of(manifest)) {
            return Ok(digest);
        }
        let (digest, body) = rows::manifest_body(manifest).map_err(not_json)?;
        self.manifests.insert(digest, body);
        Ok(digest)
    }

    fn write(&mut self, record: &Record, commit: &Commit) -> Result<()> {
        let row = rows::plugin_row(record).map_err(not_json)?;
        self.journal.push(journal::Model {
            revision: row.revision,
            time: to_column(commit.time),
            plugin_id: row.id,
            state_before: commit.before,
            removal: commit.is_removal,
            record: serde_json::to_string(&row).map_err(not_json)?,
        });
        if commit.is_removal {
            self.plugins.remove(&row.id);
        } else {
            self.plugins.insert(row.id, row);
        }
        Ok(())
    }

    /// A plugin that was never configured has no row.
    fn write_configuration(&mut self, before: Option<&Record>, after: &Record, author: String) -> Result<()> {
        let key = |record: &Record| record.plugin.desired.configuration_revision;
        let (id, desired) = (after.plugin.id, &after.plugin.desired);
        let is_new = before.is_none_or(|before| key(before) != key(after));
        if !is_new || key(after) == 0 {
            return Ok(());
        }
        let revision = signed(key(after));
        let row = configuration::Model {
            plugin_id: id,
            revision,
            body: serde_json::to_string(&desired.configuration).map_err(not_json)?,
            author: plain(&author),
            created: to_column(self.time),
        };
        self.configurations.insert((id, revision), row);
        if revision > HISTORY {
            self.unlisted_configurations.insert(id, revision - HISTORY);
        }
        Ok(())
    }

    /// What of a plugin nobody but the journal needs any more.
    fn note_unused(&mut self, before: Option<&Record>, after: &Record, is_removal: bool) {
        let Some(before) = before else { return };
        let is_unused = |digest: &Digest| is_removal || after.manifests().all(|needed| needed != *digest);
        self.unused_manifests.extend(before.manifests().filter(is_unused));
        if is_removal {
            self.unlisted_configurations.insert(after.plugin.id, i64::MAX);
        }
    }
}

/// Whether both refer to the same packages.
fn has_packages_of(one: &Plugin, other: &Plugin) -> bool {
    let packages = |plugin: &Plugin| (plugin.desired.package, plugin.desired.previous_digest());
    packages(one) == packages(other)
}

/// What is reported, as databases can keep it.
fn as_stored(reported: Reported) -> Reported {
    Reported { since: stored(reported.since), ..reported }
}

fn not_json(error: serde_json::Error) -> Error {
    tracing::error!(%error, "a record could not be written as JSON");
    Error::new(Reason::Internal, "the record could not be written as JSON")
}
