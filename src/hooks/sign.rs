//! Signatures as Standard Webhooks has them, so that receivers can check them with a library: an HMAC-SHA256 over the id, the time
//! and the body of a message.

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::Secret;

/// What every secret begins with.
const PREFIX: &str = "whsec_";

/// A new secret: 256 random bits.
pub(super) fn mint() -> Secret {
    let random: [u8; 32] = rand::random();
    format!("{PREFIX}{}", BASE64_STANDARD.encode(random)).into()
}

/// The signature of a message with this id that is sent at this time, in seconds since 1970; none if the secret is none.
pub(super) fn sign(secret: &Secret, id: &str, time: i64, body: &[u8]) -> Option<String> {
    let key = BASE64_STANDARD.decode(secret.expose().strip_prefix(PREFIX)?).ok()?;
    let mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    let signed = mac.chain_update(format!("{id}.{time}.")).chain_update(body).finalize();
    Some(format!("v1,{}", BASE64_STANDARD.encode(signed.into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's libraries.
    #[test]
    fn a_signature_is_that_of_standard_webhooks() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned().into();
        let signature = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn every_secret_is_another_and_signs() {
        let (one, other) = (mint(), mint());
        assert!(one != other && one.expose().len() == PREFIX.len() + 44);
        assert_ne!(sign(&one, "id", 1, b"body"), sign(&other, "id", 1, b"body"));
        assert_eq!(sign(&"no secret".to_owned().into(), "id", 1, b"body"), None);
    }
}
