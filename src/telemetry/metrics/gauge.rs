//! Single values that somebody knows at the time.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};

/// One value.
struct Value {
    /// Its name, without the prefix.
    name: &'static str,
    /// What it is, for people.
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
