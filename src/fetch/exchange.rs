//! One request and its answer.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::{Body as _, Incoming},
    client::conn::http1,
    header::{ACCEPT, ACCEPT_ENCODING, HOST, LOCATION, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio_util::task::AbortOnDropHandle;

use super::{
    dial::Connection,
    failure::{failure, too_large},
    target::Target,
};
use crate::domain::Result;

/// How plugd introduces itself.
const AGENT: &str = concat!("plugd/", env!("CARGO_PKG_VERSION"));

/// Bytes that the headers of an answer may have, and that are read at once.
const BUFFER: usize = 64 * 1024;

/// An answer whose body is not read yet. Dropped, it closes the connection.
pub(super) struct Answer {
    response: Response<Incoming>,
    _connection: AbortOnDropHandle<()>,
}

/// Asks for the target over this connection.
///
/// # Errors
/// `FETCH_FAILED`: what comes back is no HTTP.
pub(super) async fn get(connection: Box<dyn Connection>, target: &Target) -> Result<Answer> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER);
    let (mut sender, connection) = builder.handshake(TokioIo::new(connection)).await.map_err(broken)?;
    let driver = tokio::spawn(async move {
        // What goes wrong here, whoever waits for the answer is told.
        let _ = connection.await;
    });
    let driver = AbortOnDropHandle::new(driver);
    let response = sender.send_request(request(target)?).await.map_err(broken)?;
    Ok(Answer { response, _connection: driver })
}

/// No cookies, no credentials, and the bytes as they are: a package is compressed already.
fn request(target: &Target) -> Result<Request<Empty<Bytes>>> {
    Request::get(target.path())
        .header(HOST, target.authority())
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "application/zip, application/octet-stream, */*")
        .header(ACCEPT_ENCODING, "identity")
        .body(Empty::new())
        .map_err(|error| failure(format!("the address cannot be asked for: {error}")))
}

impl Answer {
    /// Where else to ask, if that is the answer.
    pub(super) fn location(&self) -> Option<&[u8]> {
        let redirects = [
            StatusCode::MOVED_PERMANENTLY,
            StatusCode::FOUND,
            StatusCode::SEE_OTHER,
            StatusCode::TEMPORARY_REDIRECT,
            StatusCode::PERMANENT_REDIRECT,
        ];
        let location = self.response.headers().get(LOCATION)?;
        redirects.contains(&self.response.status()).then_some(location.as_bytes())
    }

    /// The body of a 200, of at most so many bytes. Any other answer's body is not read, nor one that says in advance
    /// that it is too long.
    ///
    /// # Errors
    /// `FETCH_FAILED`: another status, or the body ends early. `INVALID_PACKAGE`: it is too long.
    pub(super) async fn package(mut self, max_bytes: u64) -> Result<Bytes> {
        if self.response.status() != StatusCode::OK {
            return Err(failure(format!("the server answered {}", self.response.status())));
        }
        let mut read = BytesMut::new();
        let body = self.response.body_mut();
        let is_too_long = |more: u64, read: &BytesMut| more > max_bytes.saturating_sub(read.len() as u64);
        if is_too_long(body.size_hint().lower(), &read) {
            return Err(too_large(max_bytes));
        }
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            if is_too_long(data.len() as u64, &read) {
                return Err(too_large(max_bytes));
            }
            read.extend_from_slice(&data);
        }
        Ok(read.freeze())
    }
}

fn broken(error: hyper::Error) -> crate::domain::Error {
    failure(format!("the server's answer is broken: {error}"))
}
