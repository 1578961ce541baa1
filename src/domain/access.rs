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
    /// To be exchanged, once, for an administrator's token: what a link to the console carries.
    Link,
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
    /// To exchange the token of a link.
    SignIn,
}

impl Role {
    pub fn may(self, permission: Permission) -> bool {
        match self {
            Self::Admin => permission != Permission::SignIn,
            Self::Viewer => matches!(permission, Permission::Any | Permission::Read),
            Self::Host => matches!(permission, Permission::Any | Permission::Bus),
            Self::Link => matches!(permission, Permission::Any | Permission::SignIn),
        }
    }
}

/// An access token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    pub id: TokenId,
    pub name: String,
    pub role: Role,
    /// SHA-256 of the secret. The secret is 256 random bits, so a plain hash is enough.
    pub hash: [u8; 32],
    pub created: Timestamp,
    pub expires: Option<Timestamp>,
}

impl AccessToken {
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// Whether this `Origin` is the one that `Host` names: then a page of this server made the request. The scheme can't be
/// compared, as a proxy may have spoken TLS for this server.
pub fn is_own_origin(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let without_default_port = |authority| str::strip_suffix(authority, port).unwrap_or(authority).to_ascii_lowercase();
    !authority.is_empty() && without_default_port(authority) == without_default_port(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_own_by_host_and_port_whatever_the_case() {
        for origin in
            ["http://plugd.example", "https://PLUGD.example", "http://plugd.example:80", "https://plugd.example:443"]
        {
            assert!(is_own_origin(origin, "plugd.example"), "{origin}");
        }
        assert!(is_own_origin("http://[::1]:8000", "[::1]:8000"));
        assert!(is_own_origin("http://plugd.example", "plugd.example:80"));
    }

    #[test]
    fn what_names_another_place_or_none_is_not_own() {
        for origin in [
            "null",
            "",
            "plugd.example",
            "http://",
            "http://plugd.example:81",
            "http://plugd.example.evil",
            "https://plugd.example:80",
        ] {
            assert!(!is_own_origin(origin, "plugd.example"), "{origin}");
        }
        assert!(!is_own_origin("http://", ""));
    }
}
