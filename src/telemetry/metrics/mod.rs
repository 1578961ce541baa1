//! Metrics, in the text form of OpenMetrics.
//!
//! Who counts something has the counters and registers them; what plugd knows anyway, as the state of each plugin, is looked at when
//! somebody asks. So a plugin that is deleted leaves no series behind.
//!
//! - `changes`: what each commit tells: states that were entered, runs that ended, how long starts took.
//! - `plugins`: what is known of each plugin at the time.

mod changes;
mod plugins;

use std::{collections::HashSet, fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{
        MetricType,
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::Registry,
};

pub use changes::Changes;
pub use plugins::{Known, Plugins};

/// A form of the text, which whoever asks chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// What Prometheus asks for.
    OpenMetrics,
    /// What everybody else reads, its own tools among them.
    Prometheus,
}

impl Form {
    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What stands before the names of plugd's own metrics.
const PREFIX: &str = "plugd";

/// Seconds, from a tenth of a millisecond to a minute: calls, commits, pings, starts.
pub const SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

/// Collects what is registered, until it is made [`Metrics`] of.
pub struct Collection {
    registry: Registry,
}

impl Default for Collection {
    fn default() -> Self {
        let mut registry = Registry::default();
        let build = Family::<_, Gauge>::default();
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        registry.sub_registry_with_prefix(PREFIX).register("build_info", "Which program this is", build);
        Self { registry }
    }
}

impl Collection {
    /// Where metrics are registered that have plugd's prefix.
    pub fn own(&mut self) -> &mut Registry {
        self.registry.sub_registry_with_prefix(PREFIX)
    }

    /// Where metrics are registered whose names are others' convention.
    pub fn plain(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// All of it.
    #[must_use]
    pub fn finish(self) -> Metrics {
        Metrics(Arc::new(self.registry))
    }
}

struct Value {
    name: &'static str,
    help: &'static str,
    /// What it is now. Must not wait.
    now: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// Values that are asked for at each scrape.
#[derive(Default)]
pub struct Values(Vec<Value>);

impl Values {
    /// With a value that goes up and down.
    #[must_use]
    pub fn gauge(
        mut self,
        name: &'static str,
        help: &'static str,
        now: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        self.0.push(Value { name, help, now: Box::new(now) });
        self
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|value| value.name)).finish()
    }
}

impl Collector for Values {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for Value { name, help, now } in &self.0 {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(now()).unwrap_or(i64::MAX)).encode(gauge)?;
        }
        Ok(())
    }
}

/// Something that is open, as a connection: it is counted until this is dropped.
pub struct Held(Gauge);

impl Held {
    /// One more.
    #[must_use]
    pub fn one_of(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// All metrics of this process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Registry>);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// All metrics as text. It takes some milliseconds for each thousand plugins, and blocks.
    #[must_use]
    pub fn text(&self, form: Form) -> String {
        let mut text = String::new();
        // Writing to a string can't fail, and no collector here does.
        if encode(&mut text, &self.0).is_err() {
            tracing::error!("the metrics could not be written");
        }
        if form == Form::OpenMetrics { text } else { classic(&text) }
    }
}

/// OpenMetrics in Prometheus's older form: there a counter is described by the name that its samples have, and nothing says that
/// it is the end.
fn classic(text: &str) -> String {
    let counters: HashSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let described = |line: &str| -> Option<String> {
        let (kind, rest) = line.strip_prefix("# ")?.split_once(' ')?;
        let (name, words) = rest.split_once(' ')?;
        counters.contains(name).then(|| format!("# {kind} {name}_total {words}"))
    };
    let lines = text.lines().filter(|line| *line != "# EOF");
    lines.map(|line| described(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_form_describes_a_counter_by_the_name_of_its_samples() {
        let text =
            "# HELP a_b Two words.\n# TYPE a_b counter\na_b_total 1\n# HELP c One.\n# TYPE c gauge\nc 2\n# EOF\n";
        let wanted =
            "# HELP a_b_total Two words.\n# TYPE a_b_total counter\na_b_total 1\n# HELP c One.\n# TYPE c gauge\nc 2\n";
        assert_eq!(classic(text), wanted);
    }
}
