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
