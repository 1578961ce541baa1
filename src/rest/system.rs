//! Liveness, readiness, who this is, and the documentation.

use axum::{
    body::Bytes,
    extract::State,
    http::{
        HeaderMap, StatusCode, Uri,
        header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    response::{IntoResponse, Redirect, Response},
};
use serde_json::{Value, json};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use super::{
    App, answer,
    body::JSON,
    docs,
    error::Problem,
    operation::{Operation, Success},
    site,
};
use crate::api::v1::plugin_service_server::SERVICE_NAME;

const HTML: &str = "text/html; charset=utf-8";

/// The page of documentation has styles of its own and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Pages that never change while the server runs.
pub(super) struct Pages {
    openapi: Bytes,
    docs: docs::Page,
}

impl Pages {
    /// The pages that show this OpenAPI document.
    pub(super) fn of(document: &Value) -> Self {
        Self { openapi: format!("{document:#}\n").into(), docs: docs::Page::of(document) }
    }
}

/// This resource's rows of the table.
pub(super) fn operations() -> Vec<Operation> {
    let empty = |status| Success { status, content: None, headers: &[] };
    let page = |media, schema| Success { status: 200, content: Some((media, schema)), headers: &[] };
    vec![
        Operation::get("/healthz", "Liveness", healthz)
            .public()
            .summary("Says that the process lives.")
            .answers_with(empty(200)),
        Operation::get("/readyz", "Readiness", readyz)
            .public()
            .summary("Says whether calls are served.")
            .answers_with(empty(200))
            .fails(503)
            .fails(504),
        Operation::get("/api/info", "InfoGet", info)
            .public()
            .summary("Says what this server is and what it can do.")
            .answers(200, "Info")
            .fails(504),
        Operation::get("/api/openapi.json", "OpenApiGet", openapi)
            .public()
            .summary("This document.")
            .answers_with(page(JSON, "JsonObject")),
        Operation::get("/api/docs", "DocsGet", documentation)
            .public()
            .summary("This document as a page for people.")
            .answers_with(page(HTML, "Text")),
    ]
}

async fn healthz() -> StatusCode {
    StatusCode::OK
}

async fn readyz(State(app): State<App>) -> Result<StatusCode, Problem> {
    let answer = app.backend.health().check(HealthCheckRequest::default()).await;
    let is_serving = answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving);
    if is_serving { Ok(StatusCode::OK) } else { Err(Problem::not_ready()) }
}

async fn info(State(app): State<App>) -> Response {
    let capabilities = if has_plugins(&app).await { vec!["plugins"] } else { Vec::new() };
    let info = json!({
        "name": env!("CARGO_PKG_NAME"),
        "title": env!("CARGO_PKG_NAME"),
        "description": env!("CARGO_PKG_DESCRIPTION"),
        "version": env!("CARGO_PKG_VERSION"),
        "capabilities": capabilities,
    });
    answer::json(StatusCode::OK, &info)
}

/// Are plugins run at all? Calls would say so, but only to somebody with a credential. The health service answers
/// everybody, and does not know the name of a service that is disabled; any other answer, or none, means not now rather
/// than never.
async fn has_plugins(app: &App) -> bool {
    let request = HealthCheckRequest { service: SERVICE_NAME.to_owned() };
    app.backend.health().check(request).await.map_or_else(|status| status.code() != Code::NotFound, |_| true)
}

async fn openapi(State(app): State<App>) -> Response {
    ([(CONTENT_TYPE, JSON)], app.pages.openapi.clone()).into_response()
}

async fn documentation(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    let page = app.pages.docs.at(&site::own(&app.options, &headers, &uri));
    ([(CONTENT_TYPE, HTML), (CONTENT_SECURITY_POLICY, POLICY)], page).into_response()
}

/// Whoever opens the bare address in a browser wants to know what this is. It is no operation of the API.
pub(super) async fn root() -> Redirect {
    Redirect::to("/api/docs")
}
