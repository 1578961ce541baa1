//! `plugd.v1.PackageService`: packages, in and out. How they are installed is in `plugin`.

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use super::{
    Answer, BoxStream, Caller, Services, convert, pace,
    streams::while_read,
    transfers::Place,
    upload::{Limits, Part, check_digest, collect},
    wait::{patience, patience_since, wait},
};
use crate::{
    api::v1::{
        DownloadPackageRequest, DownloadPackageResponse, RollbackPackageRequest, RollbackPackageResponse,
        UpdatePackageRequest, UpdatePackageResponse,
        download_package_response::{self as download, Header},
        package_service_server, update_package_request,
    },
    domain::{Plugin, package::digest_of},
};

/// Bytes of a package in one message.
const CHUNK: usize = 256 * 1024;

#[tonic::async_trait]
impl package_service_server::PackageService for Services {
    type DownloadPackageStream = BoxStream<DownloadPackageResponse>;

    async fn update_package(&self, request: Request<Streaming<UpdatePackageRequest>>) -> Answer<UpdatePackageResponse> {
        let caller = self.admit(&request)?;
        let (metadata, _, messages) = request.into_parts();
        let began = Instant::now();
        let parts = messages.map_ok(|message| message.part);
        let (place, header, archive) = self.receive(&caller, &metadata, parts).await?;
        let header: update_package_request::Header = header;
        check_digest(header.expected_digest.as_deref(), &archive)?;
        let left = patience_since(began, &metadata);
        let (id, wait) = (convert::plugin_id(&header.plugin_id)?, wait(header.wait, left)?);
        let committed = self.parts.packages.update(id, archive, caller.change(header.if_generation)).await?;
        // The package is stored; how long the plugin takes to settle must keep no other upload out.
        drop(place);
        let plugin = self.parts.packages.wait_settled(committed, wait).await?;
        Ok(Response::new(UpdatePackageResponse { plugin: Some(convert::plugin(&plugin)) }))
    }

    async fn rollback_package(&self, request: Request<RollbackPackageRequest>) -> Answer<RollbackPackageResponse> {
        let caller = self.admit(&request)?;
        let (metadata, _, asked) = request.into_parts();
        let (id, wait) = (convert::plugin_id(&asked.plugin_id)?, wait(asked.wait, patience(&metadata))?);
        let plugin = self.parts.packages.roll_back(id, caller.change(asked.if_generation), wait).await?;
        Ok(Response::new(RollbackPackageResponse { plugin: Some(convert::plugin(&plugin)) }))
    }

    async fn download_package(&self, request: Request<DownloadPackageRequest>) -> Answer<Self::DownloadPackageStream> {
        let caller = self.admit(&request)?;
        let id = convert::plugin_id(&request.get_ref().plugin_id)?;
        let turn = self.transfers.begin_download(&caller, patience(request.metadata()));
        let place = caller.while_good(turn).await?;
        let (plugin, archive) = self.parts.packages.download(id).await?;
        let head = download::Part::Header(header(&plugin, &archive));
        let parts = std::iter::once(head).chain(chunks_of(archive).map(|chunk| download::Part::Chunk(chunk.to_vec())));
        let messages = parts.map(move |part| {
            // The place is taken for as long as there may be another part.
            let _ = &place;
            Ok(DownloadPackageResponse { part: Some(part) })
        });
        Ok(Response::new(while_read(self.until_ended(stream::iter(messages), caller), pace::PACKAGES, size)))
    }
}

impl Services {
    /// Takes a package in, in its turn, for as long as the token is good.
    pub(super) async fn receive<P: Into<Part<H>>, H>(
        &self,
        caller: &Caller,
        metadata: &MetadataMap,
        parts: impl Stream<Item = Result<Option<P>, Status>> + Unpin,
    ) -> Result<(Place, H, Bytes), Status> {
        let received = async {
            let place = self.transfers.begin_upload(caller, patience(metadata)).await?;
            let (header, archive) = collect(parts, Limits::default()).await?;
            Ok((place, header, archive))
        };
        caller.while_good(received).await
    }
}

/// Bytes of the package in a message.
fn size(message: &DownloadPackageResponse) -> usize {
    match &message.part {
        Some(download::Part::Chunk(chunk)) => chunk.len(),
        Some(download::Part::Header(_)) | None => 0,
    }
}

fn header(plugin: &Plugin, archive: &Bytes) -> Header {
    Header {
        file_name: format!("{}.zip", plugin.desired.manifest.id),
        size: u64::try_from(archive.len()).unwrap_or(u64::MAX),
        digest: plugin.desired.package.unwrap_or_else(|| digest_of(archive)).to_string(),
    }
}

/// Slices that share the archive's memory.
fn chunks_of(archive: Bytes) -> impl Iterator<Item = Bytes> {
    let ends = (0..archive.len()).step_by(CHUNK);
    ends.map(move |start| archive.slice(start..archive.len().min(start + CHUNK)))
}
