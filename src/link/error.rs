//! What can go wrong with a call, in either direction.

use std::time::Duration;

/// A JSON-RPC error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RpcError {
    /// JSON-RPC's code.
    pub code: i64,
    /// For a person.
    pub message: String,
}

impl RpcError {
    /// The call failed (CONTRACT 11.4).
    pub const FAILED: i64 = -32_000;
    /// The frame is not a request.
    pub const INVALID_REQUEST: i64 = -32_600;
    /// Nobody serves this method.
    pub const METHOD_NOT_FOUND: i64 = -32_601;
    /// The parameters are wrong.
    pub const INVALID_PARAMS: i64 = -32_602;

    /// A failure in these words.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { code: Self::FAILED, message: message.into() }
    }
}

/// Why a call of a plugin came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There is no connection.
    #[error("the plugin is not connected")]
    NotConnected,
    /// The connection ended before the answer came.
    #[error("the plugin went away before it answered: {0}")]
    Lost(String),
    /// No answer within this time. The plugin may still be at it.
    #[error("the plugin did not answer within {0:?}")]
    TimedOut(Duration),
    /// The plugin answered with an error.
    #[error("the plugin refused: {0}")]
    Refused(RpcError),
    /// The plugin's answer is not one.
    #[error("the plugin's answer can't be read: {0}")]
    Undecodable(String),
    /// Too many messages wait for the plugin.
    #[error("too many messages are waiting for the plugin")]
    QueueFull,
    /// The message is longer than what every SDK accepts (CONTRACT 10.4); in bytes.
    #[error("the message has {bytes} bytes, a plugin accepts {limit}")]
    TooLarge {
        /// Of this message.
        bytes: usize,
        /// At most.
        limit: usize,
    },
}
