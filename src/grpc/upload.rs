//! A package that a client streams: the header first, which is checked before anything more is read, then chunks.

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tonic::Status;

use super::transfers::Transfer;
use crate::{
    api::v1::{InstallPluginRequest, UpdatePackageRequest, install_plugin_request, update_package_request},
    domain::{
        Digest, Error, Reason, Result,
        package::{MAX_ARCHIVE, digest_of},
    },
};

/// What one message of an upload holds.
pub(super) enum Part<H> {
    /// The first message.
    Header(H),
    /// The next bytes.
    Chunk(Vec<u8>),
}

/// A message of an upload.
pub(super) trait Message {
    /// What the client says first.
    type Header;

    /// What the message holds.
    fn part(self) -> Option<Part<Self::Header>>;
}

impl Message for InstallPluginRequest {
    type Header = install_plugin_request::Header;

    fn part(self) -> Option<Part<Self::Header>> {
        Some(match self.part? {
            install_plugin_request::Part::Header(header) => Part::Header(header),
            install_plugin_request::Part::Chunk(bytes) => Part::Chunk(bytes),
        })
    }
}

impl Message for UpdatePackageRequest {
    type Header = update_package_request::Header;

    fn part(self) -> Option<Part<Self::Header>> {
        Some(match self.part? {
            update_package_request::Part::Header(header) => Part::Header(header),
            update_package_request::Part::Chunk(bytes) => Part::Chunk(bytes),
        })
    }
}

/// An upload of which the header has come.
pub(super) struct Upload<S> {
    messages: S,
    max_bytes: usize,
}

impl<M: Message, S: Stream<Item = Result<M, Status>> + Unpin> Upload<S> {
    /// Reads the header, and nothing more.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when something else comes first; `TOO_SLOW`; or what the connection failed with.
    pub(super) async fn begin(mut messages: S) -> Result<(M::Header, Self), Status> {
        match next(&mut messages, &Transfer::begin()).await? {
            // The rest is a package (CONTRACT 6).
            Some(Part::Header(header)) => Ok((header, Self { messages, max_bytes: MAX_ARCHIVE as usize })),
            _ => Err(Error::field("header", "must come first").into()),
        }
    }

    /// Reads the archive to its end.
    ///
    /// # Errors
    /// As [`Upload::begin`], when what comes are not chunks; `TOO_LARGE`.
    pub(super) async fn archive(mut self) -> Result<Bytes, Status> {
        let mut transfer = Transfer::begin();
        let mut bytes = BytesMut::new();
        while let Some(part) = next(&mut self.messages, &transfer).await? {
            let Part::Chunk(chunk) = part else { return Err(Error::field("header", "must come once").into()) };
            if chunk.len() > self.max_bytes - bytes.len() {
                let error = Error::new(Reason::TooLarge, "the package is larger than allowed");
                return Err(error.with("limit", self.max_bytes).into());
            }
            transfer.advance(chunk.len());
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    /// Waits for the end of an upload that is its header alone.
    ///
    /// # Errors
    /// As [`Upload::begin`], when something more comes.
    pub(super) async fn end(mut self) -> Result<(), Status> {
        match next(&mut self.messages, &Transfer::begin()).await? {
            None => Ok(()),
            Some(_) => {
                let message = "can't be given together with chunks: the server downloads the archive from there";
                Err(Error::field("header.url", message).into())
            }
        }
    }
}

async fn next<M: Message>(
    messages: &mut (impl Stream<Item = Result<M, Status>> + Unpin),
    transfer: &Transfer,
) -> Result<Option<Part<M::Header>>, Status> {
    let Some(message) = transfer.step(messages.next()).await?.transpose()? else { return Ok(None) };
    Ok(Some(message.part().ok_or_else(|| Error::field("part", "must be a header or a chunk"))?))
}

/// The digest that a header expects of its archive, if it expects one.
///
/// # Errors
/// `INVALID_ARGUMENT` about `header.expected_digest`.
pub(super) fn expected_digest(text: Option<&str>) -> Result<Option<Digest>> {
    let digest = text.map(str::parse).transpose();
    digest.map_err(|error: <Digest as std::str::FromStr>::Err| Error::field(EXPECTED_DIGEST, error.to_string()))
}

/// Refuses an archive with another digest than is expected.
///
/// # Errors
/// `INVALID_ARGUMENT` about `header.expected_digest`.
pub(super) fn check_digest(expected: Option<Digest>, archive: &[u8]) -> Result<()> {
    let Some(expected) = expected else { return Ok(()) };
    match digest_of(archive) {
        digest if digest == expected => Ok(()),
        digest => Err(Error::field(EXPECTED_DIGEST, format!("the archive that came has {digest}"))),
    }
}

/// The field about the digest.
const EXPECTED_DIGEST: &str = "header.expected_digest";

#[cfg(test)]
mod tests;
