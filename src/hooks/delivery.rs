//! One attempt to deliver a message, with its signature, and what its answer means.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::Full;
use hyper::{
    HeaderMap, Request, StatusCode,
    header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use jiff::{Timestamp, fmt::rfc2822};
use sha2::Sha256;
use tokio::time::timeout;

use super::event::Message;
use crate::{
    domain::{
        Secret,
        hook::Hook,
        text::{sanitize_line, shorten},
    },
    outbound::{Client, Target, Unreachable},
};

/// How long a receiver may take, from its name's resolution to the head of its answer.
pub(super) const ATTEMPT: Duration = Duration::from_secs(15);

/// The longest that a receiver may ask to be left alone.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// Most characters of why an attempt failed: others choose some of them.
const MAX_WHY: usize = 200;

/// What every secret begins with.
const SECRET_PREFIX: &str = "whsec_";

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    /// The receiver is no more (410).
    Gone,
    Failed {
        /// For a person.
        why: String,
        /// How long the receiver wants to be left alone, if it says.
        retry_after: Option<Duration>,
    },
}

impl Outcome {
    fn failed(why: &str) -> Self {
        Self::Failed { why: shorten(&sanitize_line(why), MAX_WHY), retry_after: None }
    }

    pub(super) fn silent() -> Self {
        Self::failed(&format!("the receiver did not answer within {ATTEMPT:?}"))
    }

    /// Why nothing was delivered, for a person; none if it was.
    pub(super) fn error(&self) -> Option<&str> {
        match self {
            Self::Delivered => None,
            Self::Gone => Some("the receiver answered 410 Gone"),
            Self::Failed { why, .. } => Some(why),
        }
    }
}

/// Posts a message once. The body of the answer is not read.
pub(super) async fn deliver(client: &Client, hook: &Hook, message: &Message) -> Outcome {
    match timeout(ATTEMPT, send(client, hook, message)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Outcome::failed(&error.to_string()),
        Err(_) => Outcome::silent(),
    }
}

async fn send(client: &Client, hook: &Hook, message: &Message) -> Result<Outcome, Unreachable> {
    let target = Target::parse(hook.url.expose())?;
    let request = request(hook, message).ok_or_else(|| Unreachable::new("the message could not be signed"))?;
    let answer = client.ask(&target, request).await?;
    Ok(outcome(answer.status(), answer.headers()))
}

/// The request with its signature, none if it can't be signed. The time is that of this attempt, so that a receiver can tell an
/// old one that somebody sends again.
fn request(hook: &Hook, message: &Message) -> Option<Request<Full<Bytes>>> {
    let time = Timestamp::now().as_second();
    let signature = sign(&hook.secret, &message.id, time, &message.body)?;
    let mut request = Request::post("/").body(Full::new(message.body.clone())).ok()?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/cloudevents+json; charset=utf-8"));
    headers.insert("webhook-id", HeaderValue::from_str(&message.id).ok()?);
    headers.insert("webhook-timestamp", HeaderValue::from(time));
    headers.insert("webhook-signature", HeaderValue::from_str(&signature).ok()?);
    Some(request)
}

/// A new secret: 256 random bits.
pub(super) fn mint_secret() -> Secret {
    let random: [u8; 32] = rand::random();
    format!("{SECRET_PREFIX}{}", BASE64_STANDARD.encode(random)).into()
}

/// The signature of a message with this id that is sent at this time, in seconds since 1970; none if the secret is none. As
/// Standard Webhooks has it, so that receivers can check it with a library: an HMAC-SHA256 over the id, the time and the body.
pub(super) fn sign(secret: &Secret, id: &str, time: i64, body: &[u8]) -> Option<String> {
    let key = BASE64_STANDARD.decode(secret.expose().strip_prefix(SECRET_PREFIX)?).ok()?;
    let mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    let signed = mac.chain_update(format!("{id}.{time}.")).chain_update(body).finalize();
    Some(format!("v1,{}", BASE64_STANDARD.encode(signed.into_bytes())))
}

fn outcome(status: StatusCode, headers: &HeaderMap) -> Outcome {
    match status {
        _ if status.is_success() => Outcome::Delivered,
        StatusCode::GONE => Outcome::Gone,
        _ if status.is_redirection() => {
            Outcome::failed(&format!("the receiver answered {status}, and redirects are not followed"))
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let why = format!("the receiver answered {status}");
            Outcome::Failed { why, retry_after: retry_after(headers, Timestamp::now()) }
        }
        _ => Outcome::failed(&format!("the receiver answered {status}")),
    }
}

/// How long to wait: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            Duration::try_from(date.duration_since(now)).unwrap_or_default()
        }
    };
    Some(asked.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks_for(text: &'static str) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
        retry_after(&headers, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_receiver_may_ask_for_some_time_and_not_for_ever() {
        assert_eq!(asks_for("7"), Some(Duration::from_secs(7)));
        assert_eq!(asks_for("Thu, 01 Jan 1970 00:02:00 GMT"), Some(Duration::from_secs(120)));
        assert_eq!(asks_for("Wed, 31 Dec 1969 23:59:00 GMT"), Some(Duration::ZERO), "in the past");
        for endless in ["99999999", "Fri, 01 Jan 2100 00:00:00 GMT"] {
            assert_eq!(asks_for(endless), Some(MAX_RETRY_AFTER), "{endless}");
        }
        for nonsense in ["", "-1", "soon", "99999999999999999999999"] {
            assert_eq!(asks_for(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn only_a_success_is_a_delivery_and_only_gone_is_the_end() {
        let of = |code: u16| outcome(StatusCode::from_u16(code).unwrap(), &HeaderMap::new());
        for code in [200, 201, 202, 204, 299] {
            assert_eq!(of(code), Outcome::Delivered, "{code}");
        }
        assert_eq!(of(410), Outcome::Gone);
        for code in [100, 301, 302, 307, 400, 401, 404, 408, 429, 500, 503] {
            assert!(matches!(of(code), Outcome::Failed { .. }), "{code}");
        }
    }

    /// The example of the specification's libraries.
    #[test]
    fn a_signature_is_that_of_standard_webhooks() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned().into();
        let signature = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn every_secret_is_another_and_signs() {
        let (one, other) = (mint_secret(), mint_secret());
        assert!(one != other && one.expose().len() == SECRET_PREFIX.len() + 44);
        assert_ne!(sign(&one, "id", 1, b"body"), sign(&other, "id", 1, b"body"));
        assert_eq!(sign(&"no secret".to_owned().into(), "id", 1, b"body"), None);
    }
}
