//! Liveness, readiness, who this is, and the documentation.

use axum::{
    body::Bytes,
    extract::State,
    http::{
        StatusCode,
        header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    App, Routes,
    access::ASKING,
    body::JSON,
    docs,
    error::Problem,
    request,
    schemas::{JsonObject, Text},
};
use crate::api::v1::plugin_service_server::SERVICE_NAME;

const HTML: &str = "text/html; charset=utf-8";

/// The page of documentation has styles of its own and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Pages that never change while the server runs.
pub(super) struct Pages {
    openapi: Bytes,
    docs: Bytes,
}

impl Pages {
    /// The pages that show this OpenAPI document.
    pub(super) fn of(document: &Value) -> Self {
        Self { openapi: format!("{document:#}\n").into(), docs: docs::page(document).into() }
    }
}

pub(super) fn routes() -> Vec<Routes> {
    vec![routes!(healthz), routes!(readyz), routes!(info), routes!(openapi), routes!(documentation)]
}

/// Says that the process lives.
#[utoipa::path(get, path = "/healthz", operation_id = "Liveness", tag = "Server", responses((status = 200)))]
async fn healthz() -> StatusCode {
    StatusCode::OK
}

/// Says whether calls are served.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "Readiness",
    tag = "Server",
    responses((status = 200), (status = 503)),
)]
async fn readyz(State(app): State<App>) -> Result<StatusCode, Problem> {
    let is_serving = health(&app, "").await.is_ok_and(|health| health == ServingStatus::Serving);
    if is_serving { Ok(StatusCode::OK) } else { Err(Problem::of(StatusCode::SERVICE_UNAVAILABLE)) }
}

/// Says what this server is and what it can do.
#[utoipa::path(
    get,
    path = "/api/info",
    operation_id = "InfoGet",
    tag = "Server",
    responses((status = 200, body = Info)),
)]
async fn info(State(app): State<App>) -> Response {
    let capabilities = if has_plugins(&app).await { vec!["plugins"] } else { Vec::new() };
    request::json(&Info {
        name: env!("CARGO_PKG_NAME"),
        title: env!("CARGO_PKG_NAME"),
        description: env!("CARGO_PKG_DESCRIPTION"),
        version: env!("CARGO_PKG_VERSION"),
        capabilities,
    })
}

/// What this server is.
#[derive(Serialize, ToSchema)]
struct Info {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    version: &'static str,
    /// What it can do beside the basics: "plugins" unless they are disabled.
    capabilities: Vec<&'static str>,
}

/// Whether plugins are run at all. Calls would say so, but only to somebody with a credential. The health service answers
/// everybody, and does not know the name of a service that is disabled; any other answer, or none, means not now rather
/// than never.
pub(super) async fn has_plugins(app: &App) -> bool {
    health(app, SERVICE_NAME).await.map_or_else(|status| status.code() != Code::NotFound, |_| true)
}

/// What the health service says of a service; the empty name stands for all.
async fn health(app: &App, service: &str) -> Result<ServingStatus, Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = timeout(ASKING, app.backend.health().check(request)).await;
    answer
        .unwrap_or_else(|_| Err(Status::deadline_exceeded("no word of the health service")))
        .map(|answer| answer.into_inner().status())
}

/// This document.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    operation_id = "OpenApiGet",
    tag = "Server",
    responses((status = 200, body = JsonObject)),
)]
async fn openapi(State(app): State<App>) -> Response {
    ([(CONTENT_TYPE, JSON)], app.pages.openapi.clone()).into_response()
}

/// This document as a page for people.
#[utoipa::path(
    get,
    path = "/api/docs",
    operation_id = "DocsGet",
    tag = "Server",
    responses((status = 200, body = Text, content_type = "text/html")),
)]
async fn documentation(State(app): State<App>) -> Response {
    ([(CONTENT_TYPE, HTML), (CONTENT_SECURITY_POLICY, POLICY)], app.pages.docs.clone()).into_response()
}
