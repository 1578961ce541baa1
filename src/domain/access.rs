//! Who may do what.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::TokenId;

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Reads, watches and logs.
    Viewer,
    /// The bus: publish, call, serve.
    Host,
}

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// None but a good token.
    Any,
    /// To read, watch and follow logs.
    Read,
    /// To change plugins or tokens.
    Write,
    /// To use the bus.
    Bus,
}

impl Role {
    /// Whether somebody of this role may do that.
    #[must_use]
    pub fn may(self, permission: Permission) -> bool {
        match self {
            Self::Admin => true,
            Self::Viewer => matches!(permission, Permission::Any | Permission::Read),
            Self::Host => matches!(permission, Permission::Any | Permission::Bus),
        }
    }
}

/// An access token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// Its id.
    pub id: TokenId,
    /// A name for people.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// SHA-256 of the secret. The secret is 256 random bits, so a plain hash is enough.
    pub hash: [u8; 32],
    /// When it was made.
    pub created: Timestamp,
    /// When it stops working.
    pub expires: Option<Timestamp>,
}

impl AccessToken {
    /// Whether it still works at that time.
    #[must_use]
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}
