//! The collection of plugins, and one of it: read, started and stopped, removed; of an external one its token and manifest (CONTRACT
//! 3.1 to 3.5, 3.7, 3.8).

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, TryStreamExt, future::ready, stream};
use serde_json::{Map, Value};
use tokio::time::timeout;
use tonic::Status;
use utoipa_axum::routes;

use super::{
    Routes,
    access::QUICK,
    body::{self, JSON, JsonObject},
    error::Problem,
    request::{self, Api, PluginId, RespondAsync},
    schemas::{Archive, PluginInitialProps, PluginManifest, PluginSetActiveStateProps, Prefer, Settled},
    upload::Upload,
    views::{Plugin, PluginList, PluginToken},
};
use crate::api::v1::{
    self, ActiveState, DeletePluginRequest, GetPluginRequest, InstallPluginRequest, ListPluginsRequest,
    ListPluginsResponse, PluginView, RegisterExternalPluginRequest, RestartPluginRequest, RotateTokenRequest,
    SetActiveStateRequest, UpdateManifestRequest,
    install_plugin_request::{Header, Part},
};

/// Plugins asked for at a time. The service bounds the size of a page, too.
const PAGE: i32 = 1000;

/// What the property `mode` should be.
const MODES: &str = "\"supervised\" or \"external\" is expected";

/// What the property `active` should be.
const STATES: &str = "\"active\" or \"inactive\" is expected";

pub(super) fn routes() -> Vec<Routes> {
    vec![
        routes!(list, add),
        routes!(get, delete),
        routes!(set),
        routes!(restart),
        routes!(rotate_token),
        routes!(update_manifest),
    ]
}

/// Lists all plugins.
#[utoipa::path(
    get,
    path = "/api/plugins",
    operation_id = "PluginList",
    tag = "Plugins",
    responses((status = 200, body = PluginList)),
)]
async fn list(api: Api) -> Result<Response, Problem> {
    let first = page(&api, String::new()).await?;
    let rest = stream::try_unfold((api, first.next_page_token.clone()), |(api, page_token)| async move {
        if page_token.is_empty() {
            return Ok(None);
        }
        let page = page(&api, page_token).await?;
        let next = page.next_page_token.clone();
        Ok(Some((page, (api, next))))
    });
    let pages = stream::once(ready(Ok(first))).chain(rest);
    let mut separator = "";
    let plugins = pages.and_then(move |page| ready(text_of(page.plugins, &mut separator)));
    let piece = |text: &str| stream::once(ready(Ok(text.to_owned())));
    let list = piece("{\"plugins\":[").chain(plugins).chain(piece("]}\n"));
    Ok(([(CONTENT_TYPE, JSON)], request::streamed(list)).into_response())
}

/// Plugins as a part of a list, with what stands before each.
fn text_of(plugins: Vec<v1::Plugin>, separator: &mut &'static str) -> Result<String, Status> {
    let mut list = String::new();
    for plugin in plugins {
        list.push_str(std::mem::replace(separator, ","));
        let text = serde_json::to_string(&Plugin::from(plugin));
        list.push_str(&text.map_err(|error| Status::internal(error.to_string()))?);
    }
    Ok(list)
}

async fn page(api: &Api, page_token: String) -> Result<ListPluginsResponse, Status> {
    let view = api.view().into();
    let request = ListPluginsRequest { page_size: PAGE, page_token, view, ..Default::default() };
    let answer = timeout(QUICK, api.call(request)).await;
    answer.map_err(|_| Status::deadline_exceeded("no page of plugins came"))?
}

/// Returns one plugin.
#[utoipa::path(
    get,
    path = "/api/plugins/{plugin_instance_id}",
    operation_id = "PluginGet",
    tag = "Plugins",
    responses((status = 200, body = Plugin)),
)]
async fn get(api: Api, PluginId(plugin_id): PluginId) -> Result<Response, Problem> {
    request::plugin(api.call(GetPluginRequest { plugin_id, view: api.view().into() }).await?.plugin)
}

/// Stops a plugin and removes it with its files.
#[utoipa::path(
    delete,
    path = "/api/plugins/{plugin_instance_id}",
    operation_id = "PluginDelete",
    tag = "Plugins",
    responses((status = 204), (status = 400), (status = 502)),
)]
async fn delete(api: Api, PluginId(plugin_id): PluginId) -> Result<StatusCode, Problem> {
    api.call(DeletePluginRequest { plugin_id, if_generation: None }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Installs a package, as bytes or from an address, or registers a plugin that somebody else runs.
#[utoipa::path(
    post,
    path = "/api/plugins",
    operation_id = "PluginAdd",
    tag = "Plugins",
    request_body(content((Archive = "application/zip"), (PluginInitialProps = "application/json"))),
    responses((status = 200, body = Plugin)),
)]
async fn add(api: Api, request: Request) -> Result<Response, Problem> {
    // It is an archive unless it says that it is JSON.
    if body::media_type(request.headers()).is_none_or(|media| media != JSON) {
        return match Upload::from_request(request, &api.app).await {
            Ok(upload) => request::plugin(install(&api, upload).await?),
            Err(problem) if problem.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Err(body::wrong_type("application/zip or application/json"))
            }
            Err(problem) => Err(problem),
        };
    }
    let JsonObject(mut props) = JsonObject::from_request(request, &api.app).await?;
    match body::string(&props, "mode", MODES)? {
        "supervised" => {
            let url = body::string(&props, "url", "the address of a package is expected")?;
            request::plugin(install_from_url(&api, url).await?)
        }
        "external" => {
            let manifest = body::take_object(&mut props, "manifest")?;
            request::plugin(register(&api, manifest).await?)
        }
        _ => Err(Problem::invalid("mode", format!("is unknown: {MODES}"))),
    }
}

/// Installs a package that is uploaded.
///
/// # Errors
/// What is wrong with the upload, or the service's.
pub(crate) async fn install(api: &Api, upload: Upload) -> Result<Option<v1::Plugin>, Problem> {
    let header = InstallPluginRequest { part: Some(Part::Header(Header::default())) };
    let chunk = |bytes: Bytes| InstallPluginRequest { part: Some(Part::Chunk(bytes.into())) };
    let mut client = api.app.backend.plugins_in_bulk();
    let call = |request| async move { client.install_plugin(request).await };
    let installed = upload.send(api, (header, chunk), call).await.map_err(Problem::about_a_package)?;
    Ok(installed.plugin)
}

/// Installs the package at an address, which the service gets.
///
/// # Errors
/// The service's.
pub(crate) async fn install_from_url(api: &Api, url: &str) -> Result<Option<v1::Plugin>, Problem> {
    let url = url.trim().to_owned();
    if url.is_empty() {
        return Err(Problem::invalid("url", "is empty"));
    }
    let header = Part::Header(Header { url: Some(url), ..Header::default() });
    let messages = stream::once(ready(InstallPluginRequest { part: Some(header) }));
    let installed = api.app.backend.plugins_in_bulk().install_plugin(api.request(messages)).await;
    Ok(installed.map_err(|status| Problem::from(status).about_a_package())?.into_inner().plugin)
}

/// Registers a plugin that somebody else runs.
///
/// # Errors
/// The service's.
pub(crate) async fn register(api: &Api, manifest: Map<String, Value>) -> Result<Option<v1::Plugin>, Problem> {
    let manifest = Some(body::to_struct(manifest).await?);
    Ok(api.call(RegisterExternalPluginRequest { manifest, request_id: None }).await?.plugin)
}

/// Starts or stops a supervised plugin and waits until that is settled.
#[utoipa::path(
    patch,
    path = "/api/plugins/{plugin_instance_id}/active",
    operation_id = "PluginSetActiveState",
    tag = "Lifecycle",
    params(Prefer),
    request_body = PluginSetActiveStateProps,
    responses(Settled),
)]
async fn set(
    api: Api,
    PluginId(plugin_id): PluginId,
    respond: RespondAsync,
    JsonObject(props): JsonObject,
) -> Result<Response, Problem> {
    let active_state = desired(body::string(&props, "active", STATES)?)?.into();
    let request = SetActiveStateRequest { plugin_id, active_state, wait: respond.wait(), if_generation: None };
    respond.plugin(api.call(request).await?.plugin)
}

/// The contract's enumeration has more values than one may ask for.
fn desired(word: &str) -> Result<ActiveState, Problem> {
    match word {
        "active" => Ok(ActiveState::Active),
        "inactive" => Ok(ActiveState::Inactive),
        "starting" | "connecting" | "error" | "restarting" => {
            let message = format!("{word:?} is a state that a plugin comes into by itself; {STATES}");
            Err(Problem::invalid("active", message))
        }
        _ => Err(Problem::invalid("active", format!("is unknown: {STATES}"))),
    }
}

/// Stops an active plugin and starts it anew.
#[utoipa::path(
    post,
    path = "/api/plugins/{plugin_instance_id}/restart",
    operation_id = "PluginRestart",
    tag = "Lifecycle",
    params(Prefer),
    responses(Settled)
)]
async fn restart(api: Api, PluginId(plugin_id): PluginId, respond: RespondAsync) -> Result<Response, Problem> {
    let request = RestartPluginRequest { plugin_id, wait: respond.wait(), if_generation: None };
    respond.plugin(api.call(request).await?.plugin)
}

/// Gives an external plugin a new token and drops the connection made with the old one.
#[utoipa::path(
    post,
    path = "/api/plugins/{plugin_instance_id}/token",
    operation_id = "PluginCycleToken",
    tag = "External plugins",
    responses((status = 200, body = PluginToken), (status = 400)),
)]
async fn rotate_token(api: Api, PluginId(plugin_id): PluginId) -> Result<Response, Problem> {
    let plugin = api.call(RotateTokenRequest { plugin_id, if_generation: None }).await?.plugin;
    let token = plugin.and_then(|plugin| plugin.token).ok_or_else(Problem::internal)?;
    Ok(request::json(&PluginToken { token }))
}

/// Replaces the manifest of an external plugin, which has to connect again.
#[utoipa::path(
    patch,
    path = "/api/plugins/{plugin_instance_id}/manifest",
    operation_id = "PluginUpdateManifest",
    tag = "External plugins",
    request_body = PluginManifest,
    responses((status = 200, body = Plugin)),
)]
async fn update_manifest(
    api: Api,
    PluginId(plugin_id): PluginId,
    JsonObject(manifest): JsonObject,
) -> Result<Response, Problem> {
    let manifest = Some(body::to_struct(manifest).await?);
    api.call(UpdateManifestRequest { plugin_id: plugin_id.clone(), manifest, if_generation: None }).await?;
    // Only a read shows the token (CONTRACT 2).
    request::plugin(api.call(GetPluginRequest { plugin_id, view: PluginView::Full.into() }).await?.plugin)
}
