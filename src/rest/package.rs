//! The package of a supervised plugin (CONTRACT 3.9, 3.10).

use std::io;

use axum::{
    body::{Body, Bytes},
    http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, ETAG},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, future::ready, stream};
use tonic::{Status, Streaming};
use tracing::Span;

use super::{
    answer::RespondAsync,
    api::Api,
    error::Problem,
    operation::{Operation, Success},
    path::PluginId,
    upload::{self, Upload, ZIP},
};
use crate::api::v1::{
    DownloadPackageRequest, DownloadPackageResponse, RollbackPackageRequest, UpdatePackageRequest,
    UpdatePackageResponse, download_package_response as download, update_package_request as update,
};

/// This resource's rows of the table.
pub(super) fn operations() -> Vec<Operation> {
    let headers = &["Content-Disposition", "Content-Length", "ETag"];
    vec![
        Operation::get("/api/plugins/{plugin_instance_id}/package", "PluginGetPackage", get)
            .summary("Returns the archive of a supervised plugin, byte for byte as it was uploaded.")
            // It may have to wait until others are through with theirs.
            .slow()
            .fails(400)
            .answers_with(Success { status: 200, content: Some((ZIP, "Archive")), headers }),
        Operation::patch("/api/plugins/{plugin_instance_id}/package", "PluginUpdatePackage", replace)
            .summary("Replaces the package of a supervised plugin; if it should be active, starts it with the new one.")
            .settles()
            .transfers()
            .takes(ZIP, "Archive")
            .answers(200, "Plugin")
            .answers_asynchronously(),
        Operation::post("/api/plugins/{plugin_instance_id}/rollback", "PluginRollbackPackage", rollback)
            .summary("Goes back to the package before this one.")
            .settles()
            .answers(200, "Plugin")
            .answers_asynchronously(),
    ]
}

async fn get(api: Api, PluginId(plugin_id): PluginId) -> Result<Response, Problem> {
    let request = api.request(DownloadPackageRequest { plugin_id });
    let mut parts = api.bulk().download_package(request).await?.into_inner();
    let Some(download::Part::Header(header)) = parts.message().await?.and_then(|message| message.part) else {
        return Err(Problem::internal());
    };
    let headers = [
        (CONTENT_TYPE, ZIP.to_owned()),
        (CONTENT_LENGTH, header.size.to_string()),
        (CONTENT_DISPOSITION, format!("attachment; filename={}", file_name(&header.file_name))),
        (ETAG, format!("\"{}\"", header.digest)),
    ];
    Ok((headers, chunks(parts)).into_response())
}

/// A download that fails on its way breaks the connection, so that nobody takes a part for the whole.
fn chunks(parts: Streaming<DownloadPackageResponse>) -> Body {
    // The body is sent when the request's handler has long returned.
    let span = Span::current();
    Body::from_stream(parts.map(move |message| message.map_err(|status| span.in_scope(|| broken(&status))).map(bytes)))
}

fn broken(status: &Status) -> io::Error {
    tracing::warn!(code = ?status.code(), message = status.message(), "a download failed on its way");
    io::Error::other("the download failed on its way")
}

fn bytes(message: DownloadPackageResponse) -> Bytes {
    match message.part {
        Some(download::Part::Chunk(chunk)) => chunk.into(),
        Some(download::Part::Header(_)) | None => Bytes::new(),
    }
}

/// A name that can stand without quotes; `plugin.zip` when nothing is left of it.
fn file_name(name: &str) -> String {
    let stem = name.strip_suffix(".zip").unwrap_or(name);
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let stem: String = stem.chars().filter(is_plain).collect();
    format!("{}.zip", if stem.is_empty() { "plugin" } else { &stem })
}

async fn replace(
    api: Api,
    PluginId(plugin_id): PluginId,
    respond: RespondAsync,
    upload: Result<Upload, Problem>,
) -> Result<Response, Problem> {
    let header = update::Header { plugin_id, return_immediately: respond.0, ..Default::default() };
    let header = UpdatePackageRequest { part: Some(update::Part::Header(header)) };
    match send(&api, header.clone(), upload).await {
        Ok(updated) => respond.plugin(updated.plugin),
        Err(problem) if problem.is_local() => Err(earlier_fault(&api, header).await.unwrap_or(problem)),
        Err(problem) => Err(problem.about_a_package()),
    }
}

async fn send(
    api: &Api,
    header: UpdatePackageRequest,
    upload: Result<Upload, Problem>,
) -> Result<UpdatePackageResponse, Problem> {
    let chunk = |bytes: Bytes| UpdatePackageRequest { part: Some(update::Part::Chunk(bytes.into())) };
    let mut client = api.bulk();
    let (request, cut) = upload?.into_request(api, header, chunk);
    let call = upload::begin(async move { client.update_package(request).await });
    upload::outcome(call, &cut).await
}

/// Whether there is such a plugin, and one that has packages, counts before what is wrong with the archive (CONTRACT
/// 3.10). The service says it of an empty archive too, which it takes for no plugin.
async fn earlier_fault(api: &Api, header: UpdatePackageRequest) -> Option<Problem> {
    let nothing = api.request(stream::once(ready(header)));
    let problem = Problem::from(api.bulk().update_package(nothing).await.err()?);
    problem.is_about_the_plugin().then_some(problem)
}

async fn rollback(api: Api, PluginId(plugin_id): PluginId, respond: RespondAsync) -> Result<Response, Problem> {
    let request = RollbackPackageRequest { plugin_id, return_immediately: respond.0, wait_timeout: None };
    let changed = api.unary().rollback_package(api.request(request)).await?;
    respond.plugin(changed.into_inner().plugin)
}
