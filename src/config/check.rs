//! Rules about more than one setting.

use super::{Config, Error};

/// Refuses settings that don't go together.
pub(super) fn check(config: &Config) -> Result<(), Error> {
    let is_locked_in = config.plugin_user.is_some() && config.plugin_dir.starts_with(&config.data_dir);
    let rules = [
        (
            is_locked_in,
            "plugin_user can't enter data_dir, which is plugd's alone: set plugin_dir to a folder outside of it",
        ),
        (config.ping_interval.is_zero(), "ping_interval is zero: give it at least 1s"),
        (config.heartbeat.is_zero(), "heartbeat is zero: give it at least 1s"),
        (config.max_concurrent_starts == 0, "max_concurrent_starts is 0: nothing would ever start"),
        (config.max_connections == 0, "max_connections is 0: nobody could connect"),
    ];
    match rules.iter().find(|(is_broken, _)| *is_broken) {
        Some((_, message)) => Err(Error::Inconsistent(message)),
        None => Ok(()),
    }
}
