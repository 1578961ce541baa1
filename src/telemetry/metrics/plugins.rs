//! What is known of each plugin at the time.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        MetricType::{self, Counter, Gauge},
        counter::ConstCounter,
        gauge::ConstGauge,
    },
};

use crate::domain::{Mode, Plugin, State, Usage};

/// A plugin, and what its run uses.
pub struct Known {
    pub plugin: Arc<Plugin>,
    pub usage: Option<Usage>,
    /// Bytes of memory that it may use.
    pub memory_limit: Option<u64>,
}

/// Looks at all plugins at each scrape.
pub struct Plugins(Box<dyn Fn() -> Vec<Known> + Send + Sync>);

impl Plugins {
    /// Those that this returns. It must not wait.
    pub fn new(known: impl Fn() -> Vec<Known> + Send + Sync + 'static) -> Self {
        Self(Box::new(known))
    }
}

impl fmt::Debug for Plugins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugins").finish_non_exhaustive()
    }
}

/// A value that a plugin may have.
type Read = fn(&Known) -> Option<f64>;

const STATES: [(State, &str); 7] = [
    (State::Inactive, "inactive"),
    (State::Starting, "starting"),
    (State::Connecting, "connecting"),
    (State::Active, "active"),
    (State::Restarting, "restarting"),
    (State::Stopping, "stopping"),
    (State::Error, "error"),
];

#[rustfmt::skip]
const METRICS: [(MetricType, &str, &str, Read); 14] = [
    (Gauge, "plugin_desired_active", "Whether the plugin should run", |known| Some(flag(known.plugin.desired.active.is_active()))),
    (Gauge, "plugin_generation", "Counts the changes of what is desired of the plugin", |known| Some(number(known.plugin.desired.generation))),
    (Gauge, "plugin_observed_generation", "The generation that the plugin's status answers to", |known| Some(number(known.plugin.reported.observed_generation))),
    (Gauge, "plugin_state_since_seconds", "When the plugin came into its state, as Unix time", |known| Some(known.plugin.reported.since.as_duration().as_secs_f64())),
    (Gauge, "plugin_restarts", "Restarts since the plugin was last stable", |known| Some(f64::from(known.plugin.reported.restarts))),
    (Gauge, "plugin_degraded", "Whether the plugin misses proofs of life", |known| Some(flag(known.plugin.reported.is_degraded))),
    (Gauge, "plugin_memory_bytes", "Memory of the plugin's processes", |known| known.usage.as_ref().map(|usage| number(usage.sample.memory_bytes))),
    (Gauge, "plugin_memory_limit_bytes", "The most memory that the plugin may use, where there is a limit", |known| known.memory_limit.map(number)),
    (Gauge, "plugin_open_files", "Files that the plugin's processes have open", |known| known.usage.as_ref()?.sample.open_files.map(f64::from)),
    (Gauge, "plugin_processes", "Processes of the plugin", |known| known.usage.as_ref().map(|usage| f64::from(usage.sample.processes))),
    (Gauge, "plugin_configuration_revision", "Counts the changes of the plugin's configuration", |known| Some(number(known.plugin.desired.configuration_revision))),
    (Counter, "plugin_cpu_seconds", "Processor time of the plugin's run", |known| known.usage.as_ref().map(|usage| usage.sample.cpu_time.as_secs_f64())),
    (Counter, "plugin_events_dropped", "Events that the plugin was too slow for", |known| Some(number(known.plugin.reported.events_dropped))),
    (Counter, "plugin_protocol_faults", "What the plugin sent that the protocol does not have", |known| Some(number(known.plugin.reported.protocol_faults))),
];

fn flag(is_set: bool) -> f64 {
    f64::from(u8::from(is_set))
}

#[allow(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

impl Collector for Plugins {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let known = (self.0)();
        let ids: Vec<String> = known.iter().map(|known| known.plugin.id.to_string()).collect();
        infos(&known, &ids, &mut encoder)?;
        states(&known, &ids, &mut encoder)?;
        for (kind, name, help, read) in METRICS {
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (known, id) in known.iter().zip(&ids) {
                let Some(value) = read(known) else { continue };
                let labels = [("plugin_id", id.as_str())];
                let encoder = family.encode_family(&labels)?;
                match kind {
                    Counter => ConstCounter::new(value).encode(encoder)?,
                    _ => ConstGauge::new(value).encode(encoder)?,
                }
            }
        }
        Ok(())
    }
}

/// What a plugin is called, to be joined by its id: names may change, and only this series changes with them.
fn infos(known: &[Known], ids: &[String], encoder: &mut DescriptorEncoder) -> fmt::Result {
    let mut family = encoder.encode_descriptor("plugin_info", "What the plugin is called", None, Gauge)?;
    for (Known { plugin, .. }, id) in known.iter().zip(ids) {
        let manifest = &plugin.desired.manifest;
        let mode = if plugin.desired.mode == Mode::External { "external" } else { "supervised" };
        let labels = [
            ("plugin_id", id.as_str()),
            ("manifest_id", manifest.id.as_str()),
            ("name", manifest.name.as_str()),
            ("version", manifest.version.as_str()),
            ("mode", mode),
        ];
        ConstGauge::new(1_i64).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// One series a state, of which one is 1.
fn states(known: &[Known], ids: &[String], encoder: &mut DescriptorEncoder) -> fmt::Result {
    let mut family = encoder.encode_descriptor("plugin_state", "Whether the plugin is in the state", None, Gauge)?;
    for (known, id) in known.iter().zip(ids) {
        for (state, word) in STATES {
            let is_in = i64::from(known.plugin.reported.state == state);
            ConstGauge::new(is_in).encode(family.encode_family(&[("plugin_id", id.as_str()), ("state", word)])?)?;
        }
    }
    Ok(())
}
