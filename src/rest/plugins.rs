//! The collection of plugins, and one of it (CONTRACT 3.1 to 3.4).

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::StatusCode,
    response::Response,
};
use serde_json::{Map, Value};

use super::{
    answer,
    api::Api,
    body::{self, JSON, JsonObject},
    error::Problem,
    operation::{Operation, Success},
    path::PluginId,
    upload::{self, Upload, ZIP},
    view,
};
use crate::api::v1::{
    DeletePluginRequest, GetPluginRequest, InstallPluginFromUrlRequest, InstallPluginRequest, ListPluginsRequest,
    RegisterExternalPluginRequest,
    install_plugin_request::{Header, Part},
};

/// Plugins asked for at a time.
const PAGE: i32 = 1000;

/// What the property `mode` should be.
const MODES: &str = "\"supervised\" or \"external\" is expected";

/// This resource's rows of the table.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/api/plugins", "PluginList", list).summary("Lists all plugins.").answers(200, "PluginList"),
        Operation::post("/api/plugins", "PluginAdd", add)
            .summary("Installs a package, as bytes or from an address, or registers a plugin that somebody else runs.")
            .transfers()
            .takes(ZIP, "Archive")
            .takes(JSON, "PluginInitialProps")
            .answers(200, "Plugin"),
        Operation::get("/api/plugins/{plugin_instance_id}", "PluginGet", get)
            .summary("Returns one plugin.")
            .answers(200, "Plugin"),
        Operation::delete("/api/plugins/{plugin_instance_id}", "PluginDelete", delete)
            .summary("Stops a plugin and removes it with its files.")
            .settles()
            .answers_with(Success { status: 204, content: None, headers: &[] }),
    ]
}

async fn list(api: Api) -> Result<Response, Problem> {
    let mut client = api.unary();
    let mut plugins = String::new();
    let mut page_token = String::new();
    loop {
        let request = ListPluginsRequest { page_size: PAGE, page_token, ..Default::default() };
        let page = client.list_plugins(api.request(request)).await?.into_inner();
        view::push_plugins(&mut plugins, &page.plugins);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(answer::text(StatusCode::OK, format!("{{\"plugins\":[{plugins}]}}")));
        }
    }
}

async fn get(api: Api, PluginId(plugin_id): PluginId) -> Result<Response, Problem> {
    let request = api.request(GetPluginRequest { plugin_id });
    answer::plugin(api.unary().get_plugin(request).await?.into_inner().plugin)
}

async fn delete(api: Api, PluginId(plugin_id): PluginId) -> Result<StatusCode, Problem> {
    api.unary().delete_plugin(api.request(DeletePluginRequest { plugin_id })).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An archive unless the body says that it is JSON.
async fn add(api: Api, request: Request) -> Result<Response, Problem> {
    if body::media_type(request.headers()).is_none_or(|media| media != JSON) {
        let upload = Upload::from_request(request, api.app()).await;
        return install(api, upload.map_err(Problem::naming_json_too)?).await;
    }
    let JsonObject(mut props) = JsonObject::from_request(request, api.app()).await?;
    match body::string(&props, "mode", MODES)? {
        "supervised" => install_from_url(api, &props).await,
        "external" => register(api, &mut props).await,
        _ => Err(Problem::invalid("mode", format!("is unknown: {MODES}"))),
    }
}

async fn install(api: Api, upload: Upload) -> Result<Response, Problem> {
    let header = InstallPluginRequest { part: Some(Part::Header(Header::default())) };
    let chunk = |bytes: Bytes| InstallPluginRequest { part: Some(Part::Chunk(bytes.into())) };
    let mut client = api.bulk();
    let (request, cut) = upload.into_request(&api, header, chunk);
    let call = upload::begin(async move { client.install_plugin(request).await });
    let installed = upload::outcome(call, &cut).await.map_err(Problem::about_a_package)?;
    answer::plugin(installed.plugin)
}

async fn install_from_url(api: Api, props: &Map<String, Value>) -> Result<Response, Problem> {
    let url = body::string(props, "url", "the address of a package is expected")?.trim().to_owned();
    if url.is_empty() {
        return Err(Problem::invalid("url", "is empty"));
    }
    let request = api.request(InstallPluginFromUrlRequest { url });
    let installed = api.unary().install_plugin_from_url(request).await;
    let installed = installed.map_err(|status| Problem::from(status).about_a_package())?;
    answer::plugin(installed.into_inner().plugin)
}

async fn register(api: Api, props: &mut Map<String, Value>) -> Result<Response, Problem> {
    let manifest = Some(body::to_struct(body::take_object(props, "manifest")?).await?);
    let request = api.request(RegisterExternalPluginRequest { manifest });
    let registered = api.unary().register_external_plugin(request).await?;
    answer::plugin(registered.into_inner().plugin)
}
