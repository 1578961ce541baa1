//! From vetted addresses to a connection, encrypted for https.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
use url::Host;

use super::{failure::failure, target::Target};
use crate::domain::{Error, Reason, Result};

/// How long one address may take to answer before the next is tried.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection, encrypted or not.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// How https is spoken: with whoever has a certificate that browsers believe too.
///
/// # Errors
/// A defect: the protocol versions don't fit the cryptography.
pub(super) fn browsers_tls() -> Result<Arc<ClientConfig>> {
    tls(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
}

/// How https is spoken with those whom `roots` vouch for.
pub(super) fn tls(roots: RootCertStore) -> Result<Arc<ClientConfig>> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(Reason::Internal, error.to_string()))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Connects to one of these addresses, which are those of the target's host; nothing else is asked for others.
///
/// # Errors
/// `FETCH_FAILED`: nobody answers, or not with a certificate of this host.
pub(super) async fn dial(
    target: &Target,
    addresses: &[SocketAddr],
    tls: Arc<ClientConfig>,
) -> Result<Box<dyn Connection>> {
    let host = target.shown_host();
    let plain = first(addresses).await.map_err(|error| failure(format!("no connection to {host}: {error}")))?;
    if !target.is_tls() {
        return Ok(Box::new(plain));
    }
    let name = server_name(target)?;
    let encrypted = TlsConnector::from(tls).connect(name, plain).await;
    Ok(Box::new(encrypted.map_err(|error| failure(format!("no encrypted connection to {host}: {error}")))?))
}

async fn first(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match time::timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

fn server_name(target: &Target) -> Result<ServerName<'static>> {
    let unfit = || failure(format!("the host {} has no name that a certificate could have", target.shown_host()));
    match target.host() {
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).map_err(|_| unfit()),
        Some(Host::Ipv4(address)) => Ok(ServerName::IpAddress(std::net::IpAddr::V4(address).into())),
        Some(Host::Ipv6(address)) => Ok(ServerName::IpAddress(std::net::IpAddr::V6(address).into())),
        None => Err(unfit()),
    }
}
