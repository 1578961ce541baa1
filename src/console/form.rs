//! The fields of a form that was posted.

use axum::{
    Form,
    extract::{FromRequest, Request},
};

use crate::rest::{App, Problem};

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
