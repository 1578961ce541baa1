//! What is measured of webhooks.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::Counter, family::Family, gauge::ConstGauge},
    registry::Registry,
};

use super::{Hooks, delivery::Outcome};
use crate::domain::hook::Hook;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

/// Counts of all webhooks together.
#[derive(Default)]
pub(super) struct Metrics {
    attempts: Family<Labels, Counter>,
    missed: Counter,
}

impl Metrics {
    pub(super) fn attempted(&self, outcome: &Outcome) {
        let outcome = match outcome {
            Outcome::Delivered => "delivered",
            Outcome::Gone => "gone",
            Outcome::Failed { .. } => "failed",
        };
        self.attempts.get_or_create(&Labels { outcome }).inc();
    }

    pub(super) fn missed(&self, revisions: u64) {
        self.missed.inc_by(revisions);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("hook_deliveries", "Attempts to deliver to webhooks, by outcome", self.attempts.clone());
        let help = "Revisions that webhooks missed, since the journal no longer had them";
        registry.register("hook_missed_revisions", help, self.missed.clone());
    }
}

/// A value of a webhook, with the newest revision.
type Read = fn(&Hook, u64) -> u64;

#[rustfmt::skip]
const GAUGES: [(&str, &str, Read); 3] = [
    ("hook_enabled", "Whether the webhook delivers", |hook, _| u64::from(hook.progress.is_enabled)),
    ("hook_failures", "Attempts of the webhook that failed since the last that did not", |hook, _| hook.progress.failures.into()),
    ("hook_behind_revisions", "Revisions that the webhook has yet to deliver or to leave", |hook, head| head.saturating_sub(hook.progress.revision)),
];

/// Looks at all webhooks at each scrape.
pub(super) struct Present(pub(super) Hooks);

impl fmt::Debug for Present {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Present").finish_non_exhaustive()
    }
}

impl Collector for Present {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let (hooks, head) = (self.0.list(), self.0.head());
        for (name, help, read) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for hook in &hooks {
                let value = i64::try_from(read(hook, head)).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(family.encode_family(&[("hook_id", hook.id.to_string())])?)?;
            }
        }
        Ok(())
    }
}
