//! Connections that are not treated as they should be.

use std::{sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    common::{Address, log, serve},
    plugin::Tame,
};

/// A masked text frame that announces 1000 bytes, its zero mask, and the little that follows.
const HALF_FRAME: &[u8] = b"\x81\xfe\x03\xe8\0\0\0\0{\"jsonrpc\":\"2.0\",";

/// Connects, sends half a frame and waits for the signal to stop.
///
/// # Errors
/// No connection.
pub(crate) async fn half_frame(stop: &CancellationToken) -> anyhow::Result<()> {
    let mut socket = Address::from_env()?.dial().await?;
    socket.get_mut().write_all(HALF_FRAME).await?;
    log("sent half a frame");
    stop.cancelled().await;
    Ok(())
}

/// Connects and drops the connection after a while, once with a token that is good for one connection, else for ever.
///
/// # Errors
/// No connection.
pub(crate) async fn reconnect(after: Duration, stop: &CancellationToken) -> anyhow::Result<()> {
    let address = Address::from_env()?;
    while !stop.is_cancelled() {
        let socket = address.dial().await?;
        log("connected");
        let _ = timeout(after, serve(socket, Arc::new(Tame::default()), stop)).await;
        log("dropped the connection");
        if !address.is_external() {
            stop.cancelled().await;
        }
    }
    Ok(())
}
