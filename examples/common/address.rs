//! Where the host is.

use std::{env, time::Duration};

use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, error::UrlError},
};

/// Variables that hold the address, in order of preference.
const VARIABLES: [&str; 2] = ["PLUGD_RPC_URL", "STORYDEN_RPC_URL"];
/// Tokens of external plugins start like this; any other is good for one connection only (CONTRACT 10.2).
const EXTERNAL_TOKEN: &str = "token=sdprt_";
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to the host.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The address of the host, with the token that lets this plugin in.
pub(crate) struct Address(String);

impl Address {
    /// Reads the address from the environment.
    ///
    /// # Errors
    /// No variable holds one.
    pub(crate) fn from_env() -> anyhow::Result<Self> {
        let found = VARIABLES.iter().find_map(|name| env::var(name).ok());
        found.map(Self).ok_or_else(|| anyhow::anyhow!("{} is not set: start this plugin with plugd", VARIABLES[0]))
    }

    /// Whether somebody else started this plugin: its token then serves again after a lost connection.
    pub(crate) fn is_external(&self) -> bool {
        self.0.split(['?', '&']).any(|part| part.starts_with(EXTERNAL_TOKEN))
    }

    /// Connects.
    ///
    /// # Errors
    /// The host cannot be reached, refuses the token, or does not answer within 10 s.
    pub(crate) async fn dial(&self) -> Result<Socket, Error> {
        match timeout(DIAL_TIMEOUT, connect_async(self.0.as_str())).await {
            Ok(dialled) => dialled.map(|(socket, _)| socket),
            Err(_) => Err(Error::Url(UrlError::UnableToConnect("no answer within 10 s".into()))),
        }
    }
}
