//! Packages, in and out.

use bytes::Bytes;
use futures_util::stream;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use super::{Answer, BoxStream, PluginService, shown, streams::while_read, transfers::Place, wait::wait};
use crate::{
    api::v1::{
        DownloadPackageRequest, DownloadPackageResponse, InstallPluginFromUrlRequest, InstallPluginFromUrlResponse,
        InstallPluginRequest, InstallPluginResponse, RollbackPackageRequest, RollbackPackageResponse,
        UpdatePackageRequest, UpdatePackageResponse,
        download_package_response::{Header, Part},
    },
    domain::{Plugin, package::digest_of},
    fetch,
    grpc::{
        Caller,
        chunks::{self, PackageRequest, Upload},
        convert, pace,
        status::status,
    },
};

/// Bytes of a package in one message.
const CHUNK: usize = 256 * 1024;

impl PluginService {
    pub(super) async fn install(
        &self,
        request: Request<Streaming<InstallPluginRequest>>,
    ) -> Answer<InstallPluginResponse> {
        let caller = self.admit(&request)?;
        let (metadata, _, messages) = request.into_parts();
        let (_place, upload) = self.receive(&caller, &metadata, messages).await?;
        let plugin = self.0.packages.install(upload.bytes).await.map_err(status)?;
        Ok(Response::new(InstallPluginResponse { plugin: shown(&plugin, &caller) }))
    }

    /// Takes a package in, in its turn, for as long as the token is good.
    async fn receive<R: PackageRequest>(
        &self,
        caller: &Caller,
        metadata: &MetadataMap,
        messages: Streaming<R>,
    ) -> Result<(Place, Upload<R::Header>), Status> {
        let received = async {
            let place = self.1.begin_upload(caller, metadata).await?;
            Ok((place, chunks::collect(messages, chunks::Limits::default()).await?))
        };
        caller.while_good(received).await
    }

    pub(super) async fn install_from_url(
        &self,
        request: Request<InstallPluginFromUrlRequest>,
    ) -> Answer<InstallPluginFromUrlResponse> {
        let caller = self.admit(&request)?;
        let fetched = async {
            let place = self.1.begin_upload(&caller, request.metadata()).await?;
            Ok((place, fetch::fetch(&request.get_ref().url, &self.0.fetch).await.map_err(status)?))
        };
        let (_place, archive) = caller.while_good(fetched).await?;
        let plugin = self.0.packages.install(archive).await.map_err(status)?;
        Ok(Response::new(InstallPluginFromUrlResponse { plugin: shown(&plugin, &caller) }))
    }

    pub(super) async fn update(
        &self,
        request: Request<Streaming<UpdatePackageRequest>>,
    ) -> Answer<UpdatePackageResponse> {
        let caller = self.admit(&request)?;
        let (metadata, _, messages) = request.into_parts();
        let (place, upload) = self.receive(&caller, &metadata, messages).await?;
        let header = upload.header;
        let id = convert::plugin_id(&header.plugin_id).map_err(status)?;
        let wait = wait(header.return_immediately, header.wait_timeout, &metadata).map_err(status)?;
        let by = caller.token().name.as_str();
        let committed = self.0.packages.update(id, upload.bytes, by).await.map_err(status)?;
        // The package is stored; how long the plugin takes to settle must keep no other upload out.
        drop(place);
        let plugin = self.0.packages.wait_settled(committed, wait).await.map_err(status)?;
        Ok(Response::new(UpdatePackageResponse { plugin: shown(&plugin, &caller) }))
    }

    pub(super) async fn roll_back(&self, request: Request<RollbackPackageRequest>) -> Answer<RollbackPackageResponse> {
        let caller = self.admit(&request)?;
        let (metadata, _, asked) = request.into_parts();
        let id = convert::plugin_id(&asked.plugin_id).map_err(status)?;
        let wait = wait(asked.return_immediately, asked.wait_timeout, &metadata).map_err(status)?;
        let plugin = self.0.packages.roll_back(id, &*caller.token().name, wait).await.map_err(status)?;
        Ok(Response::new(RollbackPackageResponse { plugin: shown(&plugin, &caller) }))
    }

    pub(super) async fn download(
        &self,
        request: Request<DownloadPackageRequest>,
    ) -> Answer<BoxStream<DownloadPackageResponse>> {
        let caller = self.admit(&request)?;
        let id = convert::plugin_id(&request.get_ref().plugin_id).map_err(status)?;
        let place = caller.while_good(self.1.begin_download(&caller, request.metadata())).await?;
        let (plugin, archive) = self.0.packages.download(id).await.map_err(status)?;
        let head = Part::Header(header(&plugin, &archive));
        let parts = std::iter::once(head).chain(chunks_of(archive).map(|chunk| Part::Chunk(chunk.to_vec())));
        let messages = parts.map(move |part| {
            // The place is taken for as long as there may be another part.
            let _ = &place;
            Ok(DownloadPackageResponse { part: Some(part) })
        });
        Ok(Response::new(while_read(self.until_ended(stream::iter(messages), caller), pace::PACKAGES, size)))
    }
}

/// Bytes of the package in a message.
fn size(message: &DownloadPackageResponse) -> usize {
    match &message.part {
        Some(Part::Chunk(chunk)) => chunk.len(),
        Some(Part::Header(_)) | None => 0,
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
