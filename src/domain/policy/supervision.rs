//! How a plugin is supervised: its deadlines, and its budget of restarts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::MaxRestarts;
use crate::domain::backoff::doubled;

/// No time of a policy is longer: it would be meant as never, and a clock can't go on for ever.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The deadlines of a plugin, and its budget of restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervision {
    /// To have its package laid out, once it is its turn.
    pub prepare: Duration,
    /// To connect after the spawn.
    pub connect: Duration,
    /// To connect again, or exit, after a lost connection.
    pub reconnect: Duration,
    /// From one ping to the next.
    pub ping_interval: Duration,
    /// To answer a ping.
    pub ping: Duration,
    /// To be called stable.
    pub stable: Duration,
    /// From the stop signal to the kill.
    pub grace: Duration,
    /// From the kill to giving up.
    pub kill: Duration,
    /// Before the first restart; doubles with each.
    pub backoff: Duration,
    /// The longest wait before a restart.
    pub max_backoff: Duration,
    /// Before the restart of a plugin that had been stable.
    pub stable_backoff: Duration,
    /// Restarts before the plugin is given up.
    pub max_restarts: MaxRestarts,
}

impl Default for Supervision {
    fn default() -> Self {
        Self {
            prepare: Duration::from_secs(60),
            connect: Duration::from_secs(30),
            reconnect: Duration::from_secs(10),
            ping_interval: Duration::from_secs(15),
            ping: Duration::from_secs(10),
            stable: Duration::from_secs(30),
            grace: Duration::from_secs(5),
            kill: Duration::from_secs(5),
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
            stable_backoff: Duration::from_secs(5),
            max_restarts: MaxRestarts::Times(3),
        }
    }
}

impl Supervision {
    /// The wait before the restart after this many: 1, 2, 4 … seconds by default (CONTRACT 8.3).
    pub fn backoff_after(&self, restarts: u32) -> Duration {
        doubled(self.backoff, restarts, self.max_backoff)
    }
}

/// What a policy says of the supervision of its plugin; what is absent is as for all plugins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SupervisionPolicy {
    pub prepare: Option<Duration>,
    pub connect: Option<Duration>,
    pub reconnect: Option<Duration>,
    pub ping_interval: Option<Duration>,
    pub ping: Option<Duration>,
    pub stable: Option<Duration>,
    pub grace: Option<Duration>,
    pub kill: Option<Duration>,
    pub backoff: Option<Duration>,
    pub max_backoff: Option<Duration>,
    pub stable_backoff: Option<Duration>,
    pub max_restarts: Option<MaxRestarts>,
}

impl SupervisionPolicy {
    /// How the plugin is supervised, where this is how all are.
    pub fn over(&self, all: &Supervision) -> Supervision {
        Supervision {
            prepare: self.prepare.unwrap_or(all.prepare),
            connect: self.connect.unwrap_or(all.connect),
            reconnect: self.reconnect.unwrap_or(all.reconnect),
            ping_interval: self.ping_interval.unwrap_or(all.ping_interval),
            ping: self.ping.unwrap_or(all.ping),
            stable: self.stable.unwrap_or(all.stable),
            grace: self.grace.unwrap_or(all.grace),
            kill: self.kill.unwrap_or(all.kill),
            backoff: self.backoff.unwrap_or(all.backoff),
            max_backoff: self.max_backoff.unwrap_or(all.max_backoff),
            stable_backoff: self.stable_backoff.unwrap_or(all.stable_backoff),
            max_restarts: self.max_restarts.unwrap_or(all.max_restarts),
        }
    }

    /// The times that can't be, by their names in the API: longer than [`LONGEST`], or nothing where that would be the end of every
    /// run, or of plugd's rest.
    pub(super) fn unusable(&self) -> impl Iterator<Item = &'static str> {
        let (some, any) = (Duration::from_nanos(1), Duration::ZERO);
        let times = [
            ("prepare_timeout", self.prepare, some),
            ("connect_timeout", self.connect, some),
            ("reconnect_timeout", self.reconnect, any),
            ("ping_interval", self.ping_interval, some),
            ("ping_timeout", self.ping, some),
            ("stable_after", self.stable, any),
            ("grace", self.grace, any),
            ("kill_timeout", self.kill, any),
            ("backoff", self.backoff, some),
            ("max_backoff", self.max_backoff, some),
            ("stable_crash_backoff", self.stable_backoff, any),
        ];
        let is_bad = |(_, time, least): &(_, Option<Duration>, Duration)| {
            time.is_some_and(|time| !(*least..=LONGEST).contains(&time))
        };
        times.into_iter().filter(is_bad).map(|(name, ..)| name)
    }
}
