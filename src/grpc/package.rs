//! `plugd.v1.PackageService`: packages, in and out. How they are installed is in `plugin`.

use bytes::Bytes;
use futures_util::stream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Answer, BoxStream, Services, convert, parent_of,
    streams::while_read,
    upload::{Upload, check_digest, expected_digest},
    wait::{Deadline, wait},
};
use crate::{
    api::v1::{
        DownloadPackageRequest, DownloadPackageResponse, RollbackPackageRequest, RollbackPackageResponse,
        UpdatePackageRequest, UpdatePackageResponse,
        download_package_response::{self as download, Header},
        package_service_server,
    },
    domain::{Plugin, package::digest_of},
    supervisor::MAX_WAIT,
};

/// Bytes of a package in one message.
const CHUNK: usize = 256 * 1024;

#[tonic::async_trait]
impl package_service_server::PackageService for Services {
    type DownloadPackageStream = BoxStream<DownloadPackageResponse>;

    async fn update_package(&self, request: Request<Streaming<UpdatePackageRequest>>) -> Answer<UpdatePackageResponse> {
        let (caller, deadline, parent) = (self.admit(&request)?, Deadline::of_call(&request), parent_of(&request));
        let received = async {
            let (header, upload) = Upload::begin(request.into_inner()).await?;
            let (id, change) = (convert::plugin_id(&header.plugin_id)?, caller.change(header.if_generation, parent));
            let expected = expected_digest(header.expected_digest.as_deref())?;
            wait(header.wait, deadline)?;
            self.parts.packages.check_update(id, &change)?;
            let place = self.uploads.begin(caller.token().id, deadline.bound(MAX_WAIT)).await?;
            let archive = upload.archive().await?;
            check_digest(expected, &archive)?;
            Ok::<_, Status>((place, archive, id, change, header.wait))
        };
        let (place, archive, id, change, asked) = caller.while_good(received).await?;
        let committed = self.parts.packages.update(id, archive, change).await?;
        // The package is stored; how long the plugin takes to settle must keep no other upload out.
        drop(place);
        let plugin = self.parts.packages.wait_settled(committed, wait(asked, deadline)?).await?;
        Ok(Response::new(UpdatePackageResponse { plugin: Some(convert::plugin(&plugin)) }))
    }

    async fn rollback_package(&self, request: Request<RollbackPackageRequest>) -> Answer<RollbackPackageResponse> {
        let caller = self.admit(&request)?;
        let (parent, deadline, asked) = (parent_of(&request), Deadline::of_call(&request), request.into_inner());
        let (id, wait) = (convert::plugin_id(&asked.plugin_id)?, wait(asked.wait, deadline)?);
        let plugin = self.parts.packages.roll_back(id, caller.change(asked.if_generation, parent), wait).await?;
        Ok(Response::new(RollbackPackageResponse { plugin: Some(convert::plugin(&plugin)) }))
    }

    async fn download_package(&self, request: Request<DownloadPackageRequest>) -> Answer<Self::DownloadPackageStream> {
        let caller = self.admit(&request)?;
        let id = convert::plugin_id(&request.get_ref().plugin_id)?;
        let turn = self.downloads.begin(caller.token().id, Deadline::of_call(&request).bound(MAX_WAIT));
        let place = caller.while_good(turn).await?;
        let (plugin, archive) = self.parts.packages.download(id).await?;
        let head = download::Part::Header(header(&plugin, &archive));
        let parts = std::iter::once(head).chain(chunks_of(archive).map(|chunk| download::Part::Chunk(chunk.to_vec())));
        let messages = parts.map(move |part| {
            // The place is taken for as long as there may be another part.
            let _ = &place;
            Ok(DownloadPackageResponse { part: Some(part) })
        });
        Ok(Response::new(while_read(self.until_ended(stream::iter(messages), caller), size)))
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
