//! The address of the database: of which kind it is, and whether it can be used. It may hold a password, so no part of
//! it but the scheme enters an error or a log.

use sea_orm::{SqlxPostgresConnector, sqlx::postgres::PgConnectOptions};
use url::Url;

use super::StoreError;

/// What an address of PostgreSQL may say after its `?`. A word that is not known is refused: `sslmod=verify-full` must
/// not connect without encryption, and what the driver does not know it would print, secrets too.
const POSTGRES: [&str; 8] = ["host", "port", "user", "password", "sslmode", "sslrootcert", "sslcert", "sslkey"];

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sqlite,
    Postgres,
}

/// An address that names a database. Not printable: it may hold a password.
#[derive(Clone)]
pub(super) struct Address {
    kind: Kind,
    url: String,
}

impl Address {
    /// An address as the operator wrote it.
    ///
    /// # Errors
    /// [`StoreError::Url`].
    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        let scheme = text.split(':').next().unwrap_or_default();
        match scheme {
            "sqlite" => Ok(Self { kind: Kind::Sqlite, url: text.to_owned() }),
            "postgres" | "postgresql" => server(text),
            _ => Err(refused("it begins with none of these schemes")),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// As the drivers want it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

/// An address of a server. The driver knows one scheme.
fn server(text: &str) -> Result<Address, StoreError> {
    let rest = text.split_once("://").map(|(_, rest)| rest).ok_or_else(|| refused("there is no :// in it"))?;
    let url = format!("postgres://{rest}");
    let parsed = Url::parse(&url).map_err(|error| refused(&error.to_string()))?;
    if parsed.path().trim_start_matches('/').is_empty() {
        return Err(refused("it names a server and no database of it"));
    }
    if let Some((key, _)) = parsed.query_pairs().find(|(key, _)| !POSTGRES.contains(&key.as_ref())) {
        return Err(refused(&format!("it says {key:?}, and can say {} only", POSTGRES.join(", "))));
    }
    let is_understood = SqlxPostgresConnector::accepts(&url) && url.parse::<PgConnectOptions>().is_ok();
    if is_understood {
        Ok(Address { kind: Kind::Postgres, url })
    } else {
        Err(refused("a part of it is not understood"))
    }
}

/// The error for an address of which this is wrong.
pub(super) fn refused(problem: &str) -> StoreError {
    StoreError::Url { problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        let error = Address::parse(text).err().unwrap().to_string();
        assert!(!error.contains("secret"), "{error}");
        error
    }

    #[test]
    fn the_scheme_says_which_kind_it_is() {
        for (text, kind) in [
            ("sqlite:///var/lib/plugd.db", Kind::Sqlite),
            ("postgres://me:secret@host/plugd?sslmode=verify-full", Kind::Postgres),
            ("postgresql://me@host:5433/plugd", Kind::Postgres),
            ("postgres:///plugd?host=/run/postgresql&user=me", Kind::Postgres),
        ] {
            assert_eq!(Address::parse(text).map(|address| address.kind()).ok(), Some(kind), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_and_not_repeated() {
        for scheme in ["mysql", "oracle"] {
            assert!(problem(&format!("{scheme}://me:secret@host/db")).contains("schemes"));
        }
        assert!(problem("postgres:secret").contains("://"));
        assert!(problem("postgres://me:secret@host").contains("no database"));
        assert!(problem("postgres://me:secret@host/").contains("no database"));
        assert!(problem("postgres://me:secret@host:port/db").contains("port"));
        assert!(problem("postgres://me:secret@host/db?sslmode=secretly").contains("not understood"));
    }

    #[test]
    fn a_misspelt_setting_is_not_passed_over() {
        assert!(problem("postgres://me@host/db?sslmod=verify-full").contains("\"sslmod\""));
        assert!(problem("postgres://me@host/db?sslpassword=secret").contains("\"sslpassword\""));
    }
}
