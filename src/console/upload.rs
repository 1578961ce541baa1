//! A package in a form: the field that takes it, and what arrives of it.

use axum::extract::Request;
use futures_util::StreamExt;
use maud::{Markup, html};
use multer::Multipart;

use crate::rest::{App, Problem, Upload, body};

/// The name of the field.
const FIELD: &str = "package";

/// What a form of several parts has beside the package, in bytes at the most.
const FRAME: usize = 64 << 10;

/// The field for a package, which files may be dropped on, and how far it has been sent.
pub(super) fn field(label: &str) -> Markup {
    html! {
        label for="file" { (label) " " small { "A .zip of at most " (crate::api::MAX_PACKAGE >> 20) " MiB" } }
        input #file type="file" name=(FIELD) accept=".zip,.sdx,application/zip" required;
        progress hidden aria-label="Upload" {}
    }
}

/// The package of a form, of which the first bytes have arrived.
///
/// # Errors
/// There is none, or it can't be read.
pub(super) async fn archive(request: Request, app: &App) -> Result<Upload, Problem> {
    let (parts, body) = request.into_parts();
    let boundary = body::media_type_of(&parts.headers).and_then(|media| multer::parse_boundary(media).ok());
    let boundary = boundary.ok_or_else(|| body::wrong_type("multipart/form-data"))?;
    let limit = app.options.max_body;
    let body = body::bounded(&parts.headers, body, limit + FRAME)?.into_data_stream();
    let mut form = Multipart::new(body, boundary);
    while let Some(field) = form.next_field().await.map_err(|error| body::fault(&error, limit))? {
        if field.name() == Some(FIELD) && field.file_name().is_some_and(|name| !name.is_empty()) {
            return Upload::begin(field.boxed(), limit, 0).await;
        }
    }
    Err(Problem::invalid(FIELD, "no file was chosen"))
}
