//! The gRPC API as one caller has it.

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};
use tonic::Request;

use super::{
    App,
    backend::{Client, Transport},
    caller::Caller,
};

/// What a handler calls: the backend's clients, with the caller's credential.
pub(super) struct Api {
    app: App,
    caller: Caller,
}

impl Api {
    /// A client for calls with one short answer.
    pub(super) fn unary(&self) -> Client<Transport> {
        self.app.backend.unary()
    }

    /// A client for streams, uploads and downloads.
    pub(super) fn bulk(&self) -> Client<Transport> {
        self.app.backend.bulk()
    }

    /// A call with the caller's credential and trace.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        self.caller.request(message)
    }

    /// What every handler may use.
    pub(super) fn app(&self) -> &App {
        &self.app
    }
}

impl FromRequestParts<App> for Api {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        Ok(Self { app: app.clone(), caller: Caller::of(&parts.headers) })
    }
}
