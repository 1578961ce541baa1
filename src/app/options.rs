//! What the settings mean to the parts.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::{
    config::{Config, RuntimeProvider},
    domain::policy::{Limits, Supervision},
    logs,
    runtime::process::{self, Sandbox},
    storyden::Credentials,
};

/// The program of this process, also where its file was replaced since.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// How plugins are run. It fails where a folder can't be found.
pub(crate) fn process_options(config: &Config) -> anyhow::Result<process::Options> {
    // As the kernel names it: the sandbox compares paths.
    let plugin_dir = fs::canonicalize(&config.plugin_dir).context("the folder of plugins can't be found")?;
    Ok(process::Options {
        sandbox: sandbox(config, &plugin_dir)?,
        env_allow: config.env_allow.clone(),
        limits: limits(config),
        user: config.plugin_user,
        uids: config.plugin_uids,
        stop_signal: config.stop_signal,
        max_concurrent_starts: usize::try_from(config.max_concurrent_starts).unwrap_or(usize::MAX),
        keeper: (config.runtime_provider == RuntimeProvider::Local).then(|| OWN_PROGRAM.into()),
        ..process::Options::new(plugin_dir, config.data_dir.join("keeper.lock"))
    })
}

/// # Errors
/// A folder can't be found.
fn sandbox(config: &Config, plugin_dir: &Path) -> anyhow::Result<Sandbox> {
    let data_dir = fs::canonicalize(&config.data_dir).context("the data folder can't be found")?;
    // One that is in the other is hidden with it.
    let hidden = match (plugin_dir.starts_with(&data_dir), data_dir.starts_with(plugin_dir)) {
        (true, _) => vec![data_dir.into()],
        (_, true) => vec![plugin_dir.into()],
        _ => vec![data_dir.into(), plugin_dir.into()],
    };
    let sandbox = Sandbox { level: config.sandbox, hidden, ..Sandbox::default() };
    let allowed = |paths: &[PathBuf]| paths.iter().map(|path| sandbox.allowed(path)).collect::<io::Result<_>>();
    let (read, write) = (allowed(&config.sandbox_read)?, allowed(&config.sandbox_write)?);
    Ok(Sandbox { read, write, ..sandbox })
}

pub(super) fn limits(config: &Config) -> Limits {
    Limits {
        memory_bytes: config.limit_memory.map(|bytes| bytes.0),
        open_files: config.limit_open_files,
        processes: config.limit_processes,
        file_bytes: config.limit_file_size.map(|bytes| bytes.0),
        // Zero would be no time at all, not even for the program to be found.
        cpu_seconds: config.limit_cpu_time.map(|time| time.as_secs().max(1)),
        cpu_millis: config.limit_cpus.map(|cpus| cpus.0),
    }
}

pub(super) fn supervision(config: &Config) -> Supervision {
    Supervision {
        prepare: config.prepare_timeout,
        connect: config.connect_timeout,
        reconnect: config.reconnect_timeout,
        ping_interval: config.ping_interval,
        ping: config.ping_timeout,
        stable: config.stable_after,
        grace: config.grace,
        kill: config.kill_timeout,
        backoff: config.backoff,
        max_backoff: config.max_backoff,
        stable_backoff: config.stable_crash_backoff,
        max_restarts: config.max_restart_attempts,
    }
}

pub(super) fn log_options(config: &Config) -> logs::Options {
    let keep = usize::try_from(config.log_keep).unwrap_or(usize::MAX);
    logs::Options { max_bytes: config.log_max_bytes.0, keep, ..logs::Options::default() }
}

pub(super) fn credentials(config: &Config) -> Option<Credentials> {
    let access_key = config.access_key.clone()?;
    Some(Credentials { access_key, api_base_url: config.public_api_address.0.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Environment, Flags};

    #[test]
    fn the_limits_of_plugins_are_those_of_the_settings() {
        let flags = [
            ("limit_memory", "1"),
            ("limit_open_files", "2"),
            ("limit_processes", "3"),
            ("limit_file_size", "4"),
            ("limit_cpu_time", "5s"),
            ("limit_cpus", "0.6"),
        ];
        let flags = flags.into_iter().fold(Flags::default(), |flags, (name, value)| flags.with(name, value));
        let config = config::load(&flags, &Environment::default(), None).unwrap();
        let expected = Limits {
            memory_bytes: Some(1),
            open_files: Some(2),
            processes: Some(3),
            file_bytes: Some(4),
            cpu_seconds: Some(5),
            cpu_millis: Some(600),
        };
        assert_eq!(limits(&config), expected);
    }
}
