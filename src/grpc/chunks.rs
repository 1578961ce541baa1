//! Collects a package that a client streams: the header first, then chunks.

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use sha2::{Digest as _, Sha256};
use tonic::Status;

use super::{
    pace::{self, Pace, Travel},
    status::status,
};
use crate::{
    api::v1::{InstallPluginRequest, UpdatePackageRequest, install_plugin_request, update_package_request},
    domain::{Digest, Error, Reason, Result, package::MAX_ARCHIVE},
};

/// What an upload may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the archive.
    pub max_bytes: usize,
    /// How fast it has to come.
    pub pace: Pace,
}

impl Default for Limits {
    /// A package (CONTRACT 6), as fast as packages have to travel.
    fn default() -> Self {
        Self { max_bytes: MAX_ARCHIVE as usize, pace: pace::PACKAGES }
    }
}

/// What one message of an upload holds.
#[derive(Debug)]
pub enum Part<H> {
    /// The first message.
    Header(H),
    /// The next bytes.
    Chunk(Vec<u8>),
}

/// A request that streams a package.
pub trait PackageRequest {
    /// What its first message says.
    type Header;

    /// What it holds, if anything.
    fn into_part(self) -> Option<Part<Self::Header>>;

    /// The text form of the digest that the archive must have; empty if any will do.
    fn expected_digest(header: &Self::Header) -> &str;
}

macro_rules! package_request {
    ($request:ty, $module:ident) => {
        impl PackageRequest for $request {
            type Header = $module::Header;

            fn into_part(self) -> Option<Part<Self::Header>> {
                self.part.map(|part| match part {
                    $module::Part::Header(header) => Part::Header(header),
                    $module::Part::Chunk(bytes) => Part::Chunk(bytes),
                })
            }

            fn expected_digest(header: &Self::Header) -> &str {
                &header.expected_digest
            }
        }
    };
}

package_request!(InstallPluginRequest, install_plugin_request);
package_request!(UpdatePackageRequest, update_package_request);

/// A package that has arrived.
#[derive(Debug)]
pub struct Upload<H> {
    /// What the client said first.
    pub header: H,
    /// The archive.
    pub bytes: Bytes,
    /// Its digest.
    pub digest: Digest,
}

/// Reads an upload to its end.
///
/// # Errors
/// `INVALID_ARGUMENT` when the messages are not a header and then chunks, or have another digest than expected; `TOO_SLOW`;
/// `TOO_LARGE`; or what the connection failed with.
pub async fn collect<R: PackageRequest>(
    mut messages: impl Stream<Item = Result<R, Status>> + Unpin,
    limits: Limits,
) -> Result<Upload<R::Header>, Status> {
    let mut travel = limits.pace.begin();
    let header = match next(&mut messages, &travel).await? {
        Some(Part::Header(header)) => header,
        _ => return Err(status(Error::field("header", "must come first"))),
    };
    let expected = expected_digest(R::expected_digest(&header)).map_err(status)?;
    let (mut bytes, mut hash) = (BytesMut::new(), Sha256::new());
    while let Some(part) = next(&mut messages, &travel).await? {
        let chunk = chunk(part, limits.max_bytes - bytes.len())
            .map_err(|error| status(error.with("limit", limits.max_bytes)))?;
        travel.advance(chunk.len());
        hash.update(&chunk);
        bytes.extend_from_slice(&chunk);
    }
    let digest = Digest(hash.finalize().into());
    check(expected, digest).map_err(status)?;
    Ok(Upload { header, bytes: bytes.freeze(), digest })
}

async fn next<R: PackageRequest>(
    messages: &mut (impl Stream<Item = Result<R, Status>> + Unpin),
    travel: &Travel,
) -> Result<Option<Part<R::Header>>, Status> {
    let message = travel.step(messages.next()).await.map_err(status)?.transpose()?;
    let empty = || status(Error::field("part", "must be a header or a chunk"));
    message.map(|message| message.into_part().ok_or_else(empty)).transpose()
}

fn chunk<H>(part: Part<H>, room: usize) -> Result<Vec<u8>> {
    match part {
        Part::Chunk(chunk) if chunk.len() <= room => Ok(chunk),
        Part::Chunk(_) => Err(Error::new(Reason::TooLarge, "the package is larger than allowed")),
        Part::Header(_) => Err(Error::field("header", "must come once")),
    }
}

fn expected_digest(text: &str) -> Result<Option<Digest>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| Error::field("header.expected_digest", format!("{error}")))
}

fn check(expected: Option<Digest>, digest: Digest) -> Result<()> {
    match expected {
        Some(expected) if expected != digest => {
            Err(Error::field("header.expected_digest", format!("the archive that came has {digest}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tonic::Code;
    use tonic_types::StatusExt;

    use super::*;
    use install_plugin_request::{Header, Part as Proto};

    const LIMITS: Limits = Limits { max_bytes: 10, pace: pace::PACKAGES };

    fn header(expected_digest: &str) -> Option<Proto> {
        Some(Proto::Header(Header { expected_digest: expected_digest.to_owned() }))
    }

    fn chunk(bytes: &[u8]) -> Option<Proto> {
        Some(Proto::Chunk(bytes.to_vec()))
    }

    async fn upload(parts: Vec<Option<Proto>>) -> Result<Upload<Header>, Status> {
        let messages = parts.into_iter().map(|part| Ok(InstallPluginRequest { part }));
        collect(stream::iter(messages), LIMITS).await
    }

    fn reason(status: &Status) -> String {
        status.get_details_error_info().unwrap().reason
    }

    #[tokio::test]
    async fn chunks_are_put_together_and_hashed() {
        let whole = upload(vec![header(""), chunk(b"01234"), chunk(b""), chunk(b"56789")]).await.unwrap();
        assert_eq!(&whole.bytes[..], b"0123456789");
        assert_eq!(whole.digest, Digest(Sha256::digest(b"0123456789").into()));
        let again = upload(vec![header(&whole.digest.to_string()), chunk(b"0123456789")]).await.unwrap();
        assert_eq!(again.header.expected_digest, whole.digest.to_string());
    }

    #[tokio::test]
    async fn what_is_not_a_header_and_then_chunks_is_refused() {
        let uploads = [
            vec![],
            vec![chunk(b"0")],
            vec![header(""), header("")],
            vec![None],
            vec![header(""), None],
            vec![header("sha256:00")],
            vec![header(&Digest([0; 32]).to_string()), chunk(b"0")],
        ];
        for parts in uploads {
            let refusal = upload(parts.clone()).await.unwrap_err();
            assert_eq!(refusal.code(), Code::InvalidArgument, "{parts:?}");
            assert!(refusal.get_details_bad_request().is_some(), "{parts:?}");
        }
    }

    #[tokio::test]
    async fn one_byte_too_many_is_too_large() {
        let refusal = upload(vec![header(""), chunk(b"0123456789"), chunk(b"x")]).await.unwrap_err();
        assert_eq!((refusal.code(), reason(&refusal).as_str()), (Code::ResourceExhausted, "TOO_LARGE"));
    }

    #[tokio::test]
    async fn a_failed_connection_ends_the_upload_with_its_status() {
        let messages = [Ok(InstallPluginRequest { part: header("") }), Err(Status::cancelled("gone"))];
        let failure = collect(stream::iter(messages), LIMITS).await.unwrap_err();
        assert_eq!(failure.code(), Code::Cancelled);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_nothing_more_is_not_waited_for() {
        let first = stream::iter([Ok(InstallPluginRequest { part: header("") })]);
        let failure = collect(first.chain(stream::pending()), LIMITS).await.unwrap_err();
        assert_eq!(reason(&failure), "TOO_SLOW");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_chunks_of_nothing_is_not_waited_for() {
        let parts = stream::iter([header("")]).chain(stream::repeat(chunk(b"")));
        let slowly = parts.then(async |part| {
            tokio::time::advance(std::time::Duration::from_secs(5)).await;
            Ok(InstallPluginRequest { part })
        });
        let failure = collect(Box::pin(slowly), LIMITS).await.unwrap_err();
        assert_eq!((failure.code(), reason(&failure).as_str()), (Code::DeadlineExceeded, "TOO_SLOW"));
    }
}
