//! Connects, and connects again where the token allows it (CONTRACT 10.5).

use std::{sync::Arc, time::Duration};

use anyhow::bail;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, protocol::frame::coding::CloseCode};
use tokio_util::sync::CancellationToken;

use super::{Address, Ended, Plugin, log, serve};

const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// The one policy violation that a later try may not meet: the host is still busy with an older connection.
const REJECTED: &str = "connection rejected";

/// Runs the plugin until it is told to stop. A supervised plugin ends with its connection: the host starts it again. An
/// external one dials again, after 0.25 s doubling to 10 s.
///
/// # Errors
/// The host is unknown, cannot be reached or refuses this plugin.
pub(crate) async fn run<P: Plugin>(plugin: Arc<P>, stop: CancellationToken) -> anyhow::Result<()> {
    let address = Address::from_env()?;
    let mut delay = FIRST_DELAY;
    while !stop.is_cancelled() {
        match connect(&address, &plugin, &stop).await {
            Ok(Ended::Stopped) => break,
            Ok(ended) if !address.is_external() => {
                log(format_args!("disconnected: {ended}"));
                break;
            }
            Ok(ended) if is_final(&ended) => bail!("the host closed the connection for good: {ended}"),
            Ok(ended) => {
                log(format_args!("disconnected: {ended}"));
                delay = FIRST_DELAY;
            }
            Err(error) if !address.is_external() || is_refusal(&error) => bail!("cannot connect: {error}"),
            Err(error) => log(format_args!("cannot connect: {error}")),
        }
        // Over as soon as the plugin is told to stop.
        let _ = timeout(delay, stop.cancelled()).await;
        delay = (delay * 2).min(LONGEST_DELAY);
    }
    Ok(())
}

async fn connect<P: Plugin>(address: &Address, plugin: &Arc<P>, stop: &CancellationToken) -> Result<Ended, Error> {
    let socket = tokio::select! {
        () = stop.cancelled() => return Ok(Ended::Stopped),
        dialled = address.dial() => dialled?,
    };
    log("connected");
    Ok(serve(socket, Arc::clone(plugin), stop).await)
}

fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Http(response) if response.status().is_client_error())
}

fn is_final(ended: &Ended) -> bool {
    let Ended::Closed { code, reason } = ended else { return false };
    match code {
        CloseCode::Normal | CloseCode::Away | CloseCode::Error | CloseCode::Restart | CloseCode::Again => false,
        CloseCode::Policy => reason != REJECTED,
        _ => true,
    }
}
