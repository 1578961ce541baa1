//! plugd's own log: to standard error, for people or as JSON.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use super::{failure::Failure, usage};
use crate::config::LogFormat;

/// Starts logging what `filter` lets through.
///
/// # Errors
/// The filter is not one.
pub(super) fn install(filter: &str, format: LogFormat) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        usage(format!("log: {filter:?} is no filter: {error}")).hint("write it like \"info\" or \"warn,plugd=debug\"")
    })?;
    let layer = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    let installed = match format {
        LogFormat::Text => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json()).try_init(),
    };
    installed.map_err(|error| Failure::new(format!("can't start logging: {error}")))
}
