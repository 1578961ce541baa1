//! Collects a package that a client streams: the header first, then chunks.

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tonic::Status;

use super::pace::{self, Pace, Travel};
use crate::{
    api::v1::{install_plugin_request, update_package_request},
    domain::{
        Digest, Error, Reason, Result,
        package::{MAX_ARCHIVE, digest_of},
    },
};

/// What an upload may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of the archive.
    pub(super) max_bytes: usize,
    /// How fast it has to come.
    pub(super) pace: Pace,
}

impl Default for Limits {
    /// A package (CONTRACT 6), as fast as packages have to travel.
    fn default() -> Self {
        Self { max_bytes: MAX_ARCHIVE as usize, pace: pace::PACKAGES }
    }
}

/// What one message of an upload holds.
#[derive(Debug)]
pub(super) enum Part<H> {
    /// The first message.
    Header(H),
    /// The next bytes.
    Chunk(Vec<u8>),
}

impl From<install_plugin_request::Part> for Part<install_plugin_request::Header> {
    fn from(part: install_plugin_request::Part) -> Self {
        match part {
            install_plugin_request::Part::Header(header) => Self::Header(header),
            install_plugin_request::Part::Chunk(bytes) => Self::Chunk(bytes),
        }
    }
}

impl From<update_package_request::Part> for Part<update_package_request::Header> {
    fn from(part: update_package_request::Part) -> Self {
        match part {
            update_package_request::Part::Header(header) => Self::Header(header),
            update_package_request::Part::Chunk(bytes) => Self::Chunk(bytes),
        }
    }
}

/// Reads an upload to its end: what the client said first, and the archive.
///
/// # Errors
/// `INVALID_ARGUMENT` when the messages are not a header and then chunks; `TOO_SLOW`; `TOO_LARGE`; or what the connection
/// failed with.
pub(super) async fn collect<P: Into<Part<H>>, H>(
    mut parts: impl Stream<Item = Result<Option<P>, Status>> + Unpin,
    limits: Limits,
) -> Result<(H, Bytes), Status> {
    let mut travel = limits.pace.begin();
    let header = match next(&mut parts, &travel).await? {
        Some(Part::Header(header)) => header,
        _ => return Err(Error::field("header", "must come first").into()),
    };
    let mut bytes = BytesMut::new();
    while let Some(part) = next(&mut parts, &travel).await? {
        let chunk =
            chunk(part, limits.max_bytes - bytes.len()).map_err(|error| error.with("limit", limits.max_bytes))?;
        travel.advance(chunk.len());
        bytes.extend_from_slice(&chunk);
    }
    Ok((header, bytes.freeze()))
}

async fn next<P: Into<Part<H>>, H>(
    parts: &mut (impl Stream<Item = Result<Option<P>, Status>> + Unpin),
    travel: &Travel,
) -> Result<Option<Part<H>>, Status> {
    let part = travel.step(parts.next()).await?.transpose()?;
    let empty = || Error::field("part", "must be a header or a chunk").into();
    part.map(|part| part.map(P::into).ok_or_else(empty)).transpose()
}

fn chunk<H>(part: Part<H>, room: usize) -> Result<Vec<u8>> {
    match part {
        Part::Chunk(chunk) if chunk.len() <= room => Ok(chunk),
        Part::Chunk(_) => Err(Error::new(Reason::TooLarge, "the package is larger than allowed")),
        Part::Header(_) => Err(Error::field("header", "must come once")),
    }
}

/// Refuses an archive with another digest than its header expects, if that expects one.
///
/// # Errors
/// `INVALID_ARGUMENT` about `header.expected_digest`.
pub(super) fn check_digest(expected: Option<&str>, archive: &[u8]) -> Result<()> {
    let wrong = |description| Err(Error::field("header.expected_digest", description));
    let Some(expected) = expected else { return Ok(()) };
    match expected.parse::<Digest>() {
        Err(error) => wrong(error.to_string()),
        Ok(expected) => match digest_of(archive) {
            digest if digest == expected => Ok(()),
            digest => wrong(format!("the archive that came has {digest}")),
        },
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
        let expected_digest = Some(expected_digest.to_owned()).filter(|digest| !digest.is_empty());
        Some(Proto::Header(Header { expected_digest, ..Header::default() }))
    }

    fn chunk(bytes: &[u8]) -> Option<Proto> {
        Some(Proto::Chunk(bytes.to_vec()))
    }

    async fn upload(parts: Vec<Option<Proto>>) -> Result<Bytes, Status> {
        let (header, bytes): (Header, Bytes) = collect(stream::iter(parts.into_iter().map(Ok)), LIMITS).await?;
        check_digest(header.expected_digest.as_deref(), &bytes)?;
        Ok(bytes)
    }

    fn reason(status: &Status) -> String {
        status.get_details_error_info().unwrap().reason
    }

    #[tokio::test]
    async fn chunks_are_put_together_and_hashed() {
        let whole = upload(vec![header(""), chunk(b"01234"), chunk(b""), chunk(b"56789")]).await.unwrap();
        assert_eq!(&whole[..], b"0123456789");
        let digest = digest_of(&whole).to_string();
        assert_eq!(upload(vec![header(&digest), chunk(b"0123456789")]).await.unwrap(), whole);
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
        let parts = [Ok(header("")), Err(Status::cancelled("gone"))];
        let failure = collect(stream::iter(parts), LIMITS).await.unwrap_err();
        assert_eq!(failure.code(), Code::Cancelled);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_nothing_more_is_not_waited_for() {
        let first = stream::iter([Ok(header(""))]);
        let failure = collect(first.chain(stream::pending()), LIMITS).await.unwrap_err();
        assert_eq!(reason(&failure), "TOO_SLOW");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_chunks_of_nothing_is_not_waited_for() {
        let parts = stream::iter([header("")]).chain(stream::repeat(chunk(b"")));
        let slowly = parts.then(async |part| {
            tokio::time::advance(std::time::Duration::from_secs(5)).await;
            Ok(part)
        });
        let failure = collect(Box::pin(slowly), LIMITS).await.unwrap_err();
        assert_eq!((failure.code(), reason(&failure).as_str()), (Code::DeadlineExceeded, "TOO_SLOW"));
    }
}
