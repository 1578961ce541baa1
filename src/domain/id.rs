//! Ids and digests. All ids are xids: 12 bytes, written as 20 characters of lower-case base32hex.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

const XID_LEN: usize = 20;

macro_rules! xid_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name([u8; 12]);

        impl $name {
            pub const fn as_bytes(&self) -> &[u8; 12] {
                &self.0
            }

            pub const fn from_bytes(bytes: [u8; 12]) -> Self {
                Self(bytes)
            }
        }

        impl From<xid::Id> for $name {
            fn from(id: xid::Id) -> Self {
                Self(id.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", xid::Id(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAnXid;

            fn try_from(text: String) -> Result<Self, NotAnXid> {
                text.parse()
            }
        }

        impl FromStr for $name {
            type Err = NotAnXid;

            fn from_str(text: &str) -> Result<Self, NotAnXid> {
                parse_canonical(text).map(Self)
            }
        }
    };
}

xid_newtype! {
    /// One installation of a plugin; not the manifest's id.
    PluginId
}
xid_newtype! {
    /// One run of a supervised plugin, from the spawn of its process until nothing of it is left.
    RunId
}
xid_newtype! {
    /// One access token.
    TokenId
}

xid_newtype! {
    /// One webhook.
    HookId
}

impl PluginId {
    /// Reads an id from a path or a request: only the first 20 characters count, so `<xid>-any-suffix` names the same
    /// plugin (CONTRACT 1.5).
    pub fn from_path(text: &str) -> Result<Self, NotAnXid> {
        text.get(..XID_LEN).ok_or(NotAnXid)?.parse()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an xid: 20 characters of 0-9 and a-v are expected")]
pub struct NotAnXid;

/// Whether this text is a canonical xid, as Go reads them.
pub fn is_xid(text: &str) -> bool {
    parse_canonical(text).is_ok()
}

fn parse_canonical(text: &str) -> Result<[u8; 12], NotAnXid> {
    let id = xid::Id::from_str(text).map_err(|_| NotAnXid)?;
    // The last character carries one bit of payload; any other spelling of the same bytes is not canonical.
    if id.to_string() == text { Ok(id.0) } else { Err(NotAnXid) }
}

/// SHA-256 of a package's bytes. Its text form is `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(pub [u8; 32]);

const DIGEST_PREFIX: &str = "sha256:";

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DIGEST_PREFIX)?;
        // In two numbers: digests are in every answer about a plugin that has a package.
        let (first, second) = self.0.split_at(size_of::<u128>());
        let number = |half: &[u8]| half.iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
        write!(f, "{:032x}{:032x}", number(first), number(second))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a digest: \"sha256:\" and 64 hexadecimal digits are expected")]
pub struct NotADigest;

impl TryFrom<String> for Digest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Self, NotADigest> {
        text.parse()
    }
}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let hex = text.strip_prefix(DIGEST_PREFIX).filter(|hex| hex.len() == 64).ok_or(NotADigest)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let pair = str::from_utf8(pair).map_err(|_| NotADigest)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NotADigest)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "9m4e2mr0ui3e8a215n4g";

    #[test]
    fn a_suffix_after_twenty_characters_is_ignored() {
        assert_eq!(PluginId::from_path(&format!("{ID}-greeter")).unwrap().to_string(), ID);
    }

    #[test]
    fn what_is_not_a_canonical_xid_is_refused() {
        for text in
            ["", "short", "9m4e2mr0ui3e8a215n4h", "9M4E2MR0UI3E8A215N4G", "zzzzzzzzzzzzzzzzzzzz", "ééééééééééééééé"]
        {
            assert_eq!(PluginId::from_path(text), Err(NotAnXid), "{text}");
        }
    }

    #[test]
    fn a_digest_survives_its_text_form() {
        let digest = Digest([0xa5; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!("sha256:00".parse::<Digest>(), Err(NotADigest));
        assert_eq!(format!("sha256:{}", "é".repeat(32)).parse::<Digest>(), Err(NotADigest));
    }
}
