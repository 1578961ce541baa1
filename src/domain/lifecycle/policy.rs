//! How long a plugin may take for what, and how often it is tried again.

use std::time::Duration;

/// The deadlines of a plugin, and its budget of restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// To connect after the spawn.
    pub connect: Duration,
    /// To connect again, or exit, after a lost connection.
    pub reconnect: Duration,
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
    pub max_restarts: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            reconnect: Duration::from_secs(10),
            ping: Duration::from_secs(10),
            stable: Duration::from_secs(30),
            grace: Duration::from_secs(5),
            kill: Duration::from_secs(5),
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
            stable_backoff: Duration::from_secs(5),
            max_restarts: 3,
        }
    }
}

impl Policy {
    /// The wait before the restart after this many: 1, 2, 4 … seconds by default (CONTRACT 8.3).
    #[must_use]
    pub fn backoff_after(&self, restarts: u32) -> Duration {
        let factor = 1_u32.checked_shl(restarts).unwrap_or(u32::MAX);
        self.backoff.saturating_mul(factor).min(self.max_backoff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_doubles_up_to_its_maximum_and_never_overflows() {
        let policy = Policy::default();
        let seconds = |restarts| policy.backoff_after(restarts).as_secs();
        assert_eq!([seconds(0), seconds(1), seconds(2), seconds(5), seconds(6)], [1, 2, 4, 32, 60]);
        assert_eq!(seconds(u32::MAX), 60);
    }
}
