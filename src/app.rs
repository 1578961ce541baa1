//! Scaffold: only the signatures that the command line calls.

use std::net::SocketAddr;

use tokio_util::sync::CancellationToken;

use crate::config::{Config, RestConfig};

/// What is known once the server listens.
#[derive(Debug)]
pub struct Ready {
    /// Where it listens.
    pub address: SocketAddr,
    /// The administrator's token, when this start made it.
    pub admin_token: Option<String>,
}

/// Serves until `shutdown`.
///
/// # Errors
/// It can't be started.
pub async fn serve(
    config: Config,
    shutdown: CancellationToken,
    on_ready: impl FnOnce(Ready) + Send,
) -> anyhow::Result<()> {
    on_ready(Ready { address: config.listen, admin_token: None });
    shutdown.cancelled().await;
    Ok(())
}

/// Serves REST in front of another plugd.
///
/// # Errors
/// It can't be started.
pub async fn serve_rest(_config: RestConfig, shutdown: CancellationToken) -> anyhow::Result<()> {
    shutdown.cancelled().await;
    Ok(())
}
