//! Downloads a package from an address that somebody gave (CONTRACT 3.2 b); `outbound` has what is checked of that. Each redirect
//! passes the same checks as the first address.

#[cfg(test)]
mod tests;

use std::{fmt::Display, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Full, LengthLimitError, Limited};
use hyper::{
    Request, StatusCode,
    body::Body as _,
    header::{ACCEPT, ACCEPT_ENCODING, HeaderValue, LOCATION},
};
use tokio::time;

use crate::{
    domain::{Error, Reason, Result, error::Violation, package::MAX_ARCHIVE},
    outbound::{Answer, Client, Rules, Target, broken},
};

/// What a download may take. The defaults are those of CONTRACT 3.2.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long it may take in total, redirects included.
    pub timeout: Duration,
    pub max_bytes: u64,
    pub max_redirects: usize,
    /// Whether private addresses may be asked too: see [`Rules::allow_private`].
    pub allow_private: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), max_bytes: MAX_ARCHIVE, max_redirects: 5, allow_private: false }
    }
}

/// Downloads the package at `url`. Dropped, it closes its connection.
///
/// # Errors
/// `INVALID_ARGUMENT` with the field `url` if that is blank; `INVALID_PACKAGE` if there is too much of it;
/// `FETCH_FAILED` for everything else.
pub async fn fetch(url: &str, options: &Options) -> Result<Bytes> {
    let rules = Rules { allow_private: options.allow_private, allow_plain: true };
    let client = Client::new(rules).map_err(failure)?;
    fetch_with(&client, url, options).await
}

async fn fetch_with(client: &Client, url: &str, options: &Options) -> Result<Bytes> {
    if url.trim().is_empty() {
        return Err(Error::field("url", "must not be blank"));
    }
    let (target, timeout) = (Target::parse(url).map_err(failure)?, options.timeout);
    let followed = time::timeout(timeout, follow(client, target, options)).await;
    followed.unwrap_or_else(|_| Err(failure(format!("it took longer than {timeout:?}"))))
}

async fn follow(client: &Client, mut target: Target, options: &Options) -> Result<Bytes> {
    for _ in 0..=options.max_redirects {
        let answer = client.ask(&target, request()).await.map_err(failure)?;
        let Some(location) = location(&answer) else { return package(answer, options.max_bytes).await };
        target = target.redirected(location).map_err(failure)?;
    }
    Err(failure(format!("there are more than {} redirects", options.max_redirects)))
}

/// The bytes as they are: a package is compressed already.
fn request() -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    let accepted = HeaderValue::from_static("application/zip, application/octet-stream, */*");
    request.headers_mut().insert(ACCEPT, accepted);
    request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    request
}

/// Where else to ask, if that is the answer.
fn location(answer: &Answer) -> Option<&[u8]> {
    let location = answer.headers().get(LOCATION)?;
    matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308).then_some(location.as_bytes())
}

/// The body of a 200, of at most so many bytes. Any other answer's body is not read, nor one that says in advance that it is too
/// long.
async fn package(mut answer: Answer, max_bytes: u64) -> Result<Bytes> {
    if answer.status() != StatusCode::OK {
        return Err(failure(format!("the server answered {}", answer.status())));
    }
    let body = answer.body_mut();
    if body.size_hint().lower() > max_bytes {
        return Err(too_large(max_bytes));
    }
    let read = Limited::new(body, usize::try_from(max_bytes).unwrap_or(usize::MAX)).collect().await;
    read.map(Collected::to_bytes).map_err(|error| match error.is::<LengthLimitError>() {
        true => too_large(max_bytes),
        false => failure(broken(error)),
    })
}

/// The package could not be downloaded (CONTRACT 3.2: 400 whatever the cause).
fn failure(why: impl Display) -> Error {
    let description = why.to_string();
    let error = Error::new(Reason::FetchFailed, format!("the package could not be downloaded: {description}"));
    Error { violations: vec![Violation { field: "url".to_owned(), description }], ..error }
}

/// The package is larger than allowed, in the words for any other package that is.
fn too_large(max_bytes: u64) -> Error {
    let description = format!("it has more than {max_bytes} bytes");
    let error = Error::new(Reason::InvalidPackage, format!("The provided plugin file is invalid: {description}"));
    Error { violations: vec![Violation { field: "package".to_owned(), description }], ..error }
}
