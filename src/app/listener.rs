//! Where plugd listens: one port for everybody. When that is encrypted, plugins of this host get a loopback port of their
//! own, which serves them and nothing else: no certificate vouches for a loopback address, and SDKs take no client
//! certificates.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use tokio::{net::TcpListener, sync::mpsc};

use crate::{
    server::Listener,
    tls::{Certificates, Files},
};

/// A listener that takes connections.
pub(super) struct Open {
    pub(super) listener: Listener,
    pub(super) address: SocketAddr,
    /// What clients write.
    pub(super) url: String,
    /// What has to go on beside the serving.
    pub(super) renewal: Renewal,
}

/// Opens a listener; encrypted, if there are files for it.
///
/// # Errors
/// The address is taken or not this machine's, or the files can't be used.
pub(super) async fn open(listen: SocketAddr, files: Option<Files>) -> anyhow::Result<Open> {
    let certificates = files.map(Certificates::open).transpose()?;
    let socket = TcpListener::bind(listen).await.with_context(|| format!("can't listen on {listen}"))?;
    let address = socket.local_addr().context("can't find out where it listens")?;
    let scheme = if certificates.is_some() { "https" } else { "http" };
    let listener = Listener::new(socket, certificates.as_ref().map(Certificates::server));
    Ok(Open { listener, address, url: format!("{scheme}://{address}"), renewal: Renewal(certificates) })
}

/// A listener for the plugins of this host.
///
/// # Errors
/// The loopback has no port left.
pub(super) async fn open_for_plugins() -> anyhow::Result<Open> {
    open((Ipv4Addr::LOCALHOST, 0).into(), None).await.context("no port for plugins")
}

/// The renewal of a listener's certificate.
pub(super) struct Renewal(Option<Certificates>);

impl Renewal {
    /// Where files are sent that are to be read at once; nowhere if nothing is encrypted.
    pub(super) fn asks(&self) -> Option<mpsc::Sender<Files>> {
        self.0.as_ref().map(Certificates::asks)
    }

    /// Goes on until `serving` ends.
    pub(super) async fn beside<T>(self, serving: impl Future<Output = T>) -> T {
        let Some(certificates) = self.0 else { return serving.await };
        tokio::select! {
            served = serving => served,
            never = certificates.keep_current() => never,
        }
    }
}
