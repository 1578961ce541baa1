//! Forms that were posted: their fields, and the package in one.

use axum::{
    Form,
    extract::{FromRequest, Request},
};
use futures_util::StreamExt;
use maud::{Markup, html};
use multer::Multipart;

use crate::rest::{App, Problem, Upload, body};

/// The fields in order; a name may come more than once.
#[derive(Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl FromRequest<App> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let fields = Form::from_request(request, app).await;
        fields.map(|Form(fields)| Self(fields)).map_err(|error| Problem::invalid("form", error.body_text()))
    }
}

impl Fields {
    /// The fields of a form.
    #[cfg(test)]
    pub(super) fn of(fields: &[(&str, &str)]) -> Self {
        Self(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// The first value of a name, without white space around it; empty if there is none.
    pub(super) fn text<'a>(&'a self, name: &'a str) -> &'a str {
        self.all(name).next().unwrap_or_default()
    }

    /// All values of a name, without white space around them.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.trim())
    }

    /// The first value of a name, as it was written.
    pub(super) fn written<'a>(&'a self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a name is there: a box that is checked, a button that was pressed.
    pub(super) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }
}

/// The name of the field for a package.
const PACKAGE: &str = "package";

/// What a form of several parts has beside the package, in bytes at the most.
const FRAME: usize = 64 << 10;

/// The field for a package, which files may be dropped on, and how far it has been sent.
pub(super) fn package_field(label: &str) -> Markup {
    html! {
        label for="file" { (label) " " small { "A .zip of at most " (crate::api::MAX_PACKAGE >> 20) " MiB" } }
        input #file type="file" name=(PACKAGE) accept=".zip,.sdx,application/zip" required;
        progress hidden aria-label="Upload" {}
    }
}

/// The package of a form, of which the first bytes have arrived.
///
/// # Errors
/// There is none, or it can't be read.
pub(super) async fn package(request: Request, app: &App) -> Result<Upload, Problem> {
    let (parts, body) = request.into_parts();
    let boundary = body::media_type_of(&parts.headers).and_then(|media| multer::parse_boundary(media).ok());
    let boundary = boundary.ok_or_else(|| body::wrong_type("multipart/form-data"))?;
    let limit = app.options.max_body;
    let body = body::bounded(&parts.headers, body, limit + FRAME)?.into_data_stream();
    let mut form = Multipart::new(body, boundary);
    while let Some(field) = form.next_field().await.map_err(|error| body::fault(&error, limit))? {
        if field.name() == Some(PACKAGE) && field.file_name().is_some_and(|name| !name.is_empty()) {
            return Upload::begin(field.boxed(), limit, 0).await;
        }
    }
    Err(Problem::invalid(PACKAGE, "no file was chosen"))
}
