//! The package of a supervised plugin (CONTRACT 3.9, 3.10).

use axum::{
    body::Bytes,
    http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, ETAG},
    response::{IntoResponse, Response},
};
use futures_util::{TryStreamExt, future::ready, stream};
use utoipa_axum::routes;

use super::{
    Routes,
    error::Problem,
    request::{self, Api, PluginId, RespondAsync},
    schemas::{Archive, Prefer, Settled},
    upload::{Upload, ZIP},
};
use crate::api::v1::{
    DownloadPackageRequest, DownloadPackageResponse, Plugin, RollbackPackageRequest, UpdatePackageRequest,
    download_package_response as part, update_package_request as update,
};

pub(super) fn routes() -> Vec<Routes> {
    vec![routes!(get, replace), routes!(rollback)]
}

/// Returns the archive of a supervised plugin, byte for byte as it was uploaded.
#[utoipa::path(
    get,
    path = "/api/plugins/{plugin_instance_id}/package",
    operation_id = "PluginGetPackage",
    tag = "Packages",
    responses(
        (
            status = 200,
            body = Archive,
            content_type = "application/zip",
            headers(("Content-Disposition"), ("Content-Length"), ("ETag")),
        ),
        (status = 400),
    ),
)]
async fn get(api: Api, PluginId(plugin_id): PluginId) -> Result<Response, Problem> {
    download(&api, plugin_id).await
}

/// The package of a plugin as a file.
///
/// # Errors
/// The service's.
pub(crate) async fn download(api: &Api, plugin_id: String) -> Result<Response, Problem> {
    let request = api.request(DownloadPackageRequest { plugin_id });
    let mut parts = api.app.backend.packages_in_bulk().download_package(request).await?.into_inner();
    let Some(part::Part::Header(header)) = parts.message().await?.and_then(|message| message.part) else {
        return Err(Problem::internal());
    };
    let headers = [
        (CONTENT_TYPE, ZIP.to_owned()),
        (CONTENT_LENGTH, header.size.to_string()),
        (CONTENT_DISPOSITION, format!("attachment; filename={}", file_name(&header.file_name))),
        (ETAG, format!("\"{}\"", header.digest)),
    ];
    Ok((headers, request::streamed(parts.map_ok(bytes))).into_response())
}

fn bytes(message: DownloadPackageResponse) -> Bytes {
    match message.part {
        Some(part::Part::Chunk(chunk)) => chunk.into(),
        Some(part::Part::Header(_)) | None => Bytes::new(),
    }
}

/// A name that can stand without quotes; `plugin.zip` when nothing is left of it.
fn file_name(name: &str) -> String {
    let stem = name.strip_suffix(".zip").unwrap_or(name);
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let stem: String = stem.chars().filter(is_plain).collect();
    format!("{}.zip", if stem.is_empty() { "plugin" } else { &stem })
}

/// Replaces the package of a supervised plugin; if it should be active, starts it with the new one.
#[utoipa::path(
    patch,
    path = "/api/plugins/{plugin_instance_id}/package",
    operation_id = "PluginUpdatePackage",
    tag = "Packages",
    params(Prefer),
    request_body(content = Archive, content_type = "application/zip"),
    responses(Settled),
)]
async fn replace(
    api: Api,
    PluginId(plugin_id): PluginId,
    respond: RespondAsync,
    upload: Result<Upload, Problem>,
) -> Result<Response, Problem> {
    let header = update::Header { plugin_id, wait: respond.wait(), ..Default::default() };
    respond.plugin(update(&api, header, upload).await?)
}

/// Replaces a plugin's package, and returns the plugin with the new one.
///
/// # Errors
/// What is wrong with the upload, or the service's.
pub(crate) async fn update(
    api: &Api,
    header: update::Header,
    upload: Result<Upload, Problem>,
) -> Result<Option<Plugin>, Problem> {
    let header = UpdatePackageRequest { part: Some(update::Part::Header(header)) };
    let chunk = |bytes: Bytes| UpdatePackageRequest { part: Some(update::Part::Chunk(bytes.into())) };
    let mut client = api.app.backend.packages_in_bulk();
    let sent = match upload {
        Ok(upload) => {
            let call = |request| async move { client.update_package(request).await };
            upload.send(api, (header.clone(), chunk), call).await
        }
        Err(problem) => Err(problem),
    };
    match sent {
        Ok(updated) => Ok(updated.plugin),
        Err(problem) if problem.is_about_the_body() => Err(earlier_fault(api, header).await.unwrap_or(problem)),
        Err(problem) => Err(problem.about_a_package()),
    }
}

/// Whether there is such a plugin, and one that has packages, counts before what is wrong with the archive (CONTRACT
/// 3.10). The service says it of an empty archive too, which it takes for no plugin.
async fn earlier_fault(api: &Api, header: UpdatePackageRequest) -> Option<Problem> {
    let nothing = api.request(stream::once(ready(header)));
    let problem = Problem::from(api.app.backend.packages_in_bulk().update_package(nothing).await.err()?);
    matches!(problem.reason(), "PLUGIN_NOT_FOUND" | "EXTERNAL_PLUGIN").then_some(problem)
}

/// Goes back to the package before this one.
#[utoipa::path(
    post,
    path = "/api/plugins/{plugin_instance_id}/rollback",
    operation_id = "PluginRollbackPackage",
    tag = "Packages",
    params(Prefer),
    responses(Settled)
)]
async fn rollback(api: Api, PluginId(plugin_id): PluginId, respond: RespondAsync) -> Result<Response, Problem> {
    let request = RollbackPackageRequest { plugin_id, wait: respond.wait(), if_generation: None };
    respond.plugin(api.call(request).await?.plugin)
}
