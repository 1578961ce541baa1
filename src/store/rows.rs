//! Rows to and from the domain's types.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, prelude::DateTimeUtc};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{
    StoreError,
    entity::{configuration, journal, manifest, plugin},
};
use crate::domain::{
    Commit, Desired, Digest, Placement, Plugin, PluginId, PreviousPackage, Reported, Secret, manifest::Manifest,
    plugin::Request, policy::Policy,
};

/// Keys asked for in one statement; databases limit the number of parameters.
const PAGE: usize = 1000;

/// A plugin's current record, with the digests of its manifests.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) plugin: Arc<Plugin>,
    pub(super) manifest: Digest,
    /// That of the package before this one.
    pub(super) previous_manifest: Option<Digest>,
}

impl Record {
    /// The digest of a manifest, if it is one of this record's.
    pub(super) fn digest_of(&self, manifest: &Manifest) -> Option<Digest> {
        let Desired { manifest: present, previous_package, .. } = &self.plugin.desired;
        let is_previous = || previous_package.as_ref().is_some_and(|previous| *previous.manifest == *manifest);
        if **present == *manifest { Some(self.manifest) } else { self.previous_manifest.filter(|_| is_previous()) }
    }

    /// The manifests that it needs.
    pub(super) fn manifests(&self) -> impl Iterator<Item = Digest> {
        [Some(self.manifest), self.previous_manifest].into_iter().flatten()
    }
}

/// The row of a plugin.
pub(super) fn plugin_row(record: &Record) -> Result<plugin::Model, serde_json::Error> {
    let Plugin { desired, reported, .. } = &*record.plugin;
    let (manifest, placement) = (&desired.manifest, reported.placement.as_deref());
    Ok(plugin::Model {
        id: record.plugin.id,
        revision: signed(record.plugin.revision),
        created: to_column(record.plugin.created),
        installed: signed(record.plugin.installed),
        request_id: record.plugin.request.as_ref().map(|request| plain(&request.id)),
        request_digest: record.plugin.request.as_ref().map(|request| request.asked),
        manifest_id: plain(&manifest.id),
        name: plain(&manifest.name),
        version: plain(&manifest.version),
        description: plain(&manifest.description),
        manifest_digest: record.manifest,
        mode: desired.mode,
        active: desired.active,
        generation: signed(desired.generation),
        active_generation: signed(desired.active_generation),
        restart_generation: signed(desired.restart_generation),
        package_digest: desired.package,
        previous_package_digest: desired.previous_digest(),
        previous_manifest_digest: record.previous_manifest,
        restored: desired.is_restored,
        policy: policy_body(&desired.policy)?,
        configuration_revision: signed(desired.configuration_revision),
        token: desired.token.as_ref().map(|token| token.expose().to_owned()),
        token_epoch: signed(desired.token_epoch),
        state: reported.state,
        since: to_column(reported.since),
        observed_generation: signed(reported.observed_generation),
        failure: reported.failure.as_ref().map(serde_json::to_string).transpose()?,
        stopping_from: reported.stopping_from,
        restarts: i64::from(reported.restarts),
        deaths_at_start: i64::from(reported.deaths_at_start),
        run_id: reported.run,
        pid: reported.pid.map(i64::from),
        confinement: reported.confinement,
        provider: placement.map(|placement| plain(&placement.provider)),
        run_name: placement.map(|placement| plain(&placement.name)),
        host: placement.and_then(|placement| placement.host.as_deref()).map(plain),
        degraded: reported.is_degraded,
        events_dropped: signed(reported.events_dropped),
        protocol_faults: signed(reported.protocol_faults),
        last_protocol_fault: plain(&reported.last_protocol_fault),
        proven_package_digest: reported.proven_package,
        failed_package_digest: reported.failed_package,
        serial: signed(reported.serial),
    })
}

/// What rows of plugins refer to.
#[derive(Default)]
pub(super) struct References {
    manifests: HashMap<Digest, Arc<Manifest>>,
    configurations: HashMap<(PluginId, i64), Arc<Map<String, Value>>>,
}

impl References {
    /// Reads what these rows refer to, each once however many rows do. What can't be understood is left out.
    pub(super) async fn load(db: &impl ConnectionTrait, rows: &[plugin::Model]) -> Result<Self, StoreError> {
        let mut found = Self::default();
        let of_row = |row: &plugin::Model| [Some(row.manifest_digest), row.previous_manifest_digest];
        let digests: HashSet<_> = rows.iter().flat_map(of_row).flatten().collect();
        for page in digests.into_iter().collect::<Vec<_>>().chunks(PAGE) {
            let page = manifest::Column::Digest.is_in(page.iter().copied());
            for row in manifest::Entity::find().filter(page).all(db).await? {
                keep(&mut found.manifests, row.digest, &row.body);
            }
        }
        let configured = rows.iter().filter(|row| row.configuration_revision > 0);
        let keys: HashSet<_> = configured.map(|row| (row.id, row.configuration_revision)).collect();
        for page in keys.into_iter().collect::<Vec<_>>().chunks(PAGE / 2) {
            for row in configuration::Entity::find().filter(any_of(page)).all(db).await? {
                keep(&mut found.configurations, (row.plugin_id, row.revision), &row.body);
            }
        }
        Ok(found)
    }

    /// In place of what this row refers to, as much of it as is in the row.
    fn none_of(row: &plugin::Model) -> Self {
        let manifest = Manifest {
            id: row.manifest_id.clone(),
            name: row.name.clone(),
            description: row.description.clone(),
            version: row.version.clone(),
            ..Manifest::default()
        };
        let previous = row.previous_manifest_digest.map(|digest| (digest, Arc::default()));
        let manifests = previous.into_iter().chain([(row.manifest_digest, Arc::new(manifest))]).collect();
        Self { manifests, configurations: [((row.id, row.configuration_revision), Arc::default())].into() }
    }

    /// The plugin of a row.
    pub(super) fn record(&self, row: plugin::Model) -> Result<Record, StoreError> {
        let missing = |what| StoreError::Corrupt(format!("plugin {}: its {what} is missing or not one", row.id));
        let manifest = self.manifests.get(&row.manifest_digest).ok_or_else(|| missing("manifest"))?;
        let previous = row.previous_package_digest.zip(row.previous_manifest_digest).map(|(digest, of_manifest)| {
            let manifest = self.manifests.get(&of_manifest).ok_or_else(|| missing("previous manifest"))?;
            Ok::<_, StoreError>(PreviousPackage { digest, manifest: Arc::clone(manifest) })
        });
        let configuration = match self.configurations.get(&(row.id, row.configuration_revision)) {
            Some(configuration) => Arc::clone(configuration),
            None if row.configuration_revision == 0 => Arc::default(),
            None => return Err(missing("configuration")),
        };
        let (digest, previous_manifest) = (row.manifest_digest, row.previous_manifest_digest);
        let plugin = Plugin {
            id: row.id,
            created: from_column(row.created)?,
            installed: unsigned(row.installed)?,
            revision: unsigned(row.revision)?,
            request: row.request_id.clone().zip(row.request_digest).map(|(id, asked)| Request { id, asked }),
            desired: desired(&row, Arc::clone(manifest), previous.transpose()?, configuration)?,
            reported: reported(row)?,
        };
        Ok(Record { plugin: Arc::new(plugin), manifest: digest, previous_manifest })
    }
}

fn any_of(keys: &[(PluginId, i64)]) -> Condition {
    let one = |(id, revision): &(PluginId, i64)| {
        let of_plugin = Condition::all().add(configuration::Column::PluginId.eq(*id));
        of_plugin.add(configuration::Column::Revision.eq(*revision))
    };
    keys.iter().map(one).fold(Condition::any(), Condition::add)
}

fn keep<K: std::hash::Hash + Eq, T: DeserializeOwned>(found: &mut HashMap<K, Arc<T>>, key: K, body: &str) {
    match serde_json::from_str(body) {
        Ok(value) => drop(found.insert(key, Arc::new(value))),
        Err(error) => tracing::debug!(%error, "a manifest or a configuration can't be understood"),
    }
}

fn desired(
    row: &plugin::Model,
    manifest: Arc<Manifest>,
    previous_package: Option<PreviousPackage>,
    configuration: Arc<Map<String, Value>>,
) -> Result<Desired, StoreError> {
    Ok(Desired {
        mode: row.mode,
        manifest,
        package: row.package_digest,
        previous_package,
        is_restored: row.restored,
        policy: row
            .policy
            .as_deref()
            .map(serde_json::from_str)
            .transpose()
            .map_err(not_understood)?
            .unwrap_or_default(),
        configuration,
        configuration_revision: unsigned(row.configuration_revision)?,
        active: row.active,
        active_generation: unsigned(row.active_generation)?,
        restart_generation: unsigned(row.restart_generation)?,
        generation: unsigned(row.generation)?,
        token: row.token.clone().map(Secret::from),
        token_epoch: unsigned(row.token_epoch)?,
    })
}

fn reported(row: plugin::Model) -> Result<Reported, StoreError> {
    Ok(Reported {
        state: row.state,
        since: from_column(row.since)?,
        observed_generation: unsigned(row.observed_generation)?,
        failure: row.failure.as_deref().map(serde_json::from_str).transpose().map_err(not_understood)?,
        stopping_from: row.stopping_from,
        restarts: unsigned(row.restarts)?,
        deaths_at_start: unsigned(row.deaths_at_start)?,
        run: row.run_id,
        pid: row.pid.map(unsigned).transpose()?,
        confinement: row.confinement,
        placement: placement(row.provider, row.run_name, row.host).map(Box::new),
        is_degraded: row.degraded,
        events_dropped: unsigned(row.events_dropped)?,
        protocol_faults: unsigned(row.protocol_faults)?,
        last_protocol_fault: row.last_protocol_fault,
        proven_package: row.proven_package_digest,
        failed_package: row.failed_package_digest,
        serial: unsigned(row.serial)?,
    })
}

fn placement(provider: Option<String>, name: Option<String>, host: Option<String>) -> Option<Placement> {
    Some(Placement { provider: provider?, name: name?, host })
}

/// The commits of these rows of the journal.
pub(super) async fn commits(
    db: &impl ConnectionTrait,
    rows: Vec<journal::Model>,
) -> Result<Vec<Arc<Commit>>, StoreError> {
    let records = rows.iter().map(|row| serde_json::from_str(&row.record));
    let records = records.collect::<Result<Vec<plugin::Model>, _>>().map_err(not_understood)?;
    let references = References::load(db, &records).await?;
    rows.iter().zip(records).map(|(row, record)| Ok(Arc::new(commit(row, record, &references)?))).collect()
}

/// The commit of a row of the journal with nothing that is not in there: without a configuration, and with the names of a
/// manifest alone.
pub(super) fn commit_alone(row: &journal::Model) -> Result<Commit, StoreError> {
    let record: plugin::Model = serde_json::from_str(&row.record).map_err(not_understood)?;
    let references = References::none_of(&record);
    commit(row, record, &references)
}

fn commit(row: &journal::Model, record: plugin::Model, references: &References) -> Result<Commit, StoreError> {
    Ok(Commit {
        revision: unsigned(row.revision)?,
        time: from_column(row.time)?,
        before: row.state_before,
        is_removal: row.removal,
        plugin: references.record(record)?.plugin,
    })
}

/// The digest under which a manifest is stored, and its JSON.
pub(super) fn manifest_body(manifest: &Manifest) -> Result<(Digest, String), serde_json::Error> {
    let body = serde_json::to_string(manifest)?;
    Ok((Digest(Sha256::digest(&body).into()), body))
}

fn policy_body(policy: &Policy) -> Result<Option<String>, serde_json::Error> {
    (!policy.is_default()).then(|| serde_json::to_string(policy)).transpose()
}

/// A count as databases hold it. None of ours comes near the limit.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count from a column.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is negative or too large.
pub(super) fn unsigned<T: TryFrom<i64>>(column: i64) -> Result<T, StoreError> {
    T::try_from(column).map_err(|_| StoreError::Corrupt(format!("{column} where a count should be")))
}

/// A time as databases keep it: to the microsecond. What is not stored yet is made so too, so that it is the same later.
pub(super) fn stored(time: Timestamp) -> Timestamp {
    let nanoseconds = time.subsec_nanosecond();
    Timestamp::new(time.as_second(), nanoseconds - nanoseconds % 1000).unwrap_or(time)
}

/// A time for a column.
pub(super) fn to_column(time: Timestamp) -> DateTimeUtc {
    DateTimeUtc::from_timestamp_micros(time.as_microsecond()).unwrap_or(DateTimeUtc::MAX_UTC)
}

/// A time from a column.
pub(super) fn from_column(time: DateTimeUtc) -> Result<Timestamp, StoreError> {
    let nanoseconds = i32::try_from(time.timestamp_subsec_nanos()).map_err(not_understood)?;
    Timestamp::new(time.timestamp(), nanoseconds).map_err(not_understood)
}

/// A text for a column of which no database says no. Only what is for people goes in such columns: all else is JSON, in
/// which a zero byte is written as an escape.
pub(super) fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn not_understood(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}
