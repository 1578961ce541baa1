//! Parameters after the question mark.

use axum::{
    extract::{self, FromRequestParts},
    http::request::Parts,
};

use super::error::Problem;

/// The query's pairs in order; a name may come more than once.
pub(super) struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let pairs = extract::Query::from_request_parts(parts, state).await;
        pairs.map(|extract::Query(pairs)| Self(pairs)).map_err(|_| Problem::invalid("query", "can't be read"))
    }
}

impl Query {
    /// All values of a name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of a name that may come once.
    ///
    /// # Errors
    /// It comes more than once.
    pub(super) fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Problem> {
        let mut values = self.all(name);
        let value = values.next();
        if values.next().is_some() { Err(Problem::invalid(name, "is there more than once")) } else { Ok(value) }
    }

    /// A whole number.
    ///
    /// # Errors
    /// It is no number, or comes more than once.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let invalid = |_| Problem::invalid(name, "must be a whole number");
        self.one(name)?.map(|text| text.parse().map_err(invalid)).transpose()
    }

    /// Yes or no; no when it is missing.
    ///
    /// # Errors
    /// It is neither, or comes more than once.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.one(name)? {
            Some("true") => Ok(true),
            Some("false") | None => Ok(false),
            Some(_) => Err(Problem::invalid(name, "must be true or false")),
        }
    }
}
