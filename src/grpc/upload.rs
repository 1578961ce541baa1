//! A package that a client streams: the header first, which is checked before anything more is read, then chunks.

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tonic::Status;

use super::pace::Transfer;
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
mod tests {
    use futures_util::stream;
    use tonic::Code;
    use tonic_types::StatusExt;

    use super::*;
    use install_plugin_request::{Header, Part as Proto};

    fn header(expected_digest: &str) -> InstallPluginRequest {
        let expected_digest = Some(expected_digest.to_owned()).filter(|digest| !digest.is_empty());
        InstallPluginRequest { part: Some(Proto::Header(Header { expected_digest, ..Header::default() })) }
    }

    fn chunk(bytes: &[u8]) -> InstallPluginRequest {
        InstallPluginRequest { part: Some(Proto::Chunk(bytes.to_vec())) }
    }

    fn nothing() -> InstallPluginRequest {
        InstallPluginRequest { part: None }
    }

    type Message = Result<InstallPluginRequest, Status>;

    async fn collect(messages: impl Stream<Item = Message> + Unpin) -> Result<(Header, Bytes), Status> {
        let (header, mut upload) = Upload::begin(messages).await?;
        upload.max_bytes = 10;
        Ok((header, upload.archive().await?))
    }

    async fn upload(messages: Vec<InstallPluginRequest>) -> Result<Bytes, Status> {
        let (header, bytes) = collect(stream::iter(messages.into_iter().map(Ok))).await?;
        check_digest(expected_digest(header.expected_digest.as_deref())?, &bytes)?;
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
            vec![nothing()],
            vec![header(""), nothing()],
            vec![header("sha256:00")],
            vec![header(&Digest([0; 32]).to_string()), chunk(b"0")],
        ];
        for messages in uploads {
            let refusal = upload(messages.clone()).await.unwrap_err();
            assert_eq!(refusal.code(), Code::InvalidArgument, "{messages:?}");
            assert!(refusal.get_details_bad_request().is_some(), "{messages:?}");
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
        let failure = collect(stream::iter(parts)).await.unwrap_err();
        assert_eq!(failure.code(), Code::Cancelled);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_nothing_more_is_not_waited_for() {
        let first = stream::iter([Ok(header(""))]);
        let failure = collect(first.chain(stream::pending())).await.unwrap_err();
        assert_eq!(reason(&failure), "TOO_SLOW");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_chunks_of_nothing_is_not_waited_for() {
        let parts = stream::iter([header("")]).chain(stream::repeat(chunk(b"")));
        let slowly = parts.then(async |part| {
            tokio::time::advance(std::time::Duration::from_secs(5)).await;
            Ok(part)
        });
        let failure = collect(Box::pin(slowly)).await.unwrap_err();
        assert_eq!((failure.code(), reason(&failure).as_str()), (Code::DeadlineExceeded, "TOO_SLOW"));
    }

    #[tokio::test]
    async fn nothing_but_the_header_is_read_before_it_is_checked() {
        let first = stream::iter([Ok(header("sha256:00"))]);
        let (header, _upload) = Upload::begin(first.chain(stream::pending())).await.unwrap();
        assert!(expected_digest(header.expected_digest.as_deref()).is_err());
    }

    #[tokio::test]
    async fn an_upload_that_should_be_a_header_alone_ends_with_it() {
        let (_, alone) = Upload::begin(stream::iter([Ok(header(""))])).await.unwrap();
        alone.end().await.unwrap();
        let more = stream::iter([Ok(header("")), Ok(chunk(b"0"))]).chain(stream::pending());
        let refusal = Upload::begin(more).await.unwrap().1.end().await.unwrap_err();
        assert!(refusal.message().starts_with("header.url"), "{refusal:?}");
    }
}
