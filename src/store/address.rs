//! The address of the database: of which kind it is, and whether it can be used. It may hold a password, so no part of
//! it but the scheme enters an error or a log.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use sea_orm::{
    SqlxPostgresConnector, SqlxSqliteConnector,
    sqlx::{postgres::PgConnectOptions, sqlite::SqliteConnectOptions},
};
use url::Url;

use super::StoreError;

/// What an address of PostgreSQL may say after its `?`. A word that is not known is refused: `sslmod=verify-full` must
/// not connect without encryption, and what the driver does not know it would print, secrets too.
const POSTGRES: [&str; 8] = ["host", "port", "user", "password", "sslmode", "sslrootcert", "sslcert", "sslkey"];
/// What an address of a SQLite file may say after its `?`: what is done anyhow.
const SQLITE: [&str; 2] = ["mode=rwc", "mode=rw"];

/// Where a database is. Not printable but for a file: the address of a server may hold a password.
#[derive(Clone)]
pub struct Address(Kind);

#[derive(Clone)]
pub(super) enum Kind {
    /// This file of SQLite's.
    File(PathBuf),
    /// This address of a PostgreSQL server, as the driver wants it.
    Server(String),
}

impl Address {
    /// The SQLite database in this file, whatever characters its path has.
    ///
    /// # Errors
    /// [`StoreError::Unnamed`] when the path is not UTF-8, which SQLite's driver asks for.
    pub fn file(path: &Path) -> Result<Self, StoreError> {
        if path.to_str().is_none() {
            return Err(StoreError::Unnamed(path.to_owned()));
        }
        // SQLite reads a path that begins with `file:` as a URL.
        let path =
            if path.is_absolute() || path.starts_with(".") { path.to_owned() } else { Path::new(".").join(path) };
        Ok(Self(Kind::File(path)))
    }

    /// An address as the operator wrote it: a URL, so that what is special in a path of a `sqlite://` one is
    /// percent-encoded.
    ///
    /// # Errors
    /// [`StoreError::Url`].
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let scheme = text.split(':').next().unwrap_or_default();
        match scheme {
            "sqlite" => sqlite(text),
            "postgres" | "postgresql" => server(text),
            _ => Err(refused("it begins with none of these schemes")),
        }
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.0
    }

    /// The file, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Kind::File(path) => Some(path),
            Kind::Server(_) => None,
        }
    }
}

/// For messages: who the user is and what the password is stays out.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = match &self.0 {
            Kind::File(path) => return write!(f, "{}", path.display()),
            Kind::Server(url) => Url::parse(url).map_err(|_| fmt::Error)?,
        };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "postgres://{}{port}{}", url.host_str().unwrap_or_default(), url.path())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address of a SQLite file. A database in memory is refused: each connection would have one of its own.
fn sqlite(text: &str) -> Result<Address, StoreError> {
    let refuse = || refused("it is not that of a SQLite file");
    if let Some((_, says)) = text.split_once('?').filter(|(_, says)| !SQLITE.contains(says)) {
        return Err(refused(&format!(
            "it says {says:?}, and can say {} only; a ? in a path is %3F",
            SQLITE.join(", ")
        )));
    }
    if !SqlxSqliteConnector::accepts(text) || text.contains(":memory:") {
        return Err(refuse());
    }
    let options: SqliteConnectOptions = text.parse().map_err(|_| refuse())?;
    let path = options.get_filename();
    if path.file_name().is_some() { Address::file(path) } else { Err(refuse()) }
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
    if is_understood { Ok(Address(Kind::Server(url))) } else { Err(refused("a part of it is not understood")) }
}

/// The error for an address of which this is wrong.
pub(super) fn refused(problem: &str) -> StoreError {
    StoreError::Url(problem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_the_user_and_the_password() {
        let shown = |text: &str| Address::parse(text).unwrap().to_string();
        assert_eq!(shown("postgres://me:secret@127.0.0.1:1/plugd?sslmode=disable"), "postgres://127.0.0.1:1/plugd");
        assert_eq!(shown("postgresql://me:secret@db.example/plugd"), "postgres://db.example/plugd");
        assert_eq!(shown("sqlite:///var/lib/plugd.db"), "/var/lib/plugd.db");
    }

    fn problem(text: &str) -> String {
        let error = Address::parse(text).err().unwrap().to_string();
        assert!(!error.contains("secret"), "{error}");
        error
    }

    #[test]
    fn the_scheme_says_which_kind_it_is() {
        for text in [
            "postgres://me:secret@host/plugd?sslmode=verify-full",
            "postgresql://me@host:5433/plugd",
            "postgres:///plugd?host=/run/postgresql&user=me",
        ] {
            assert!(Address::parse(text).unwrap().path().is_none(), "{text}");
        }
    }

    #[test]
    fn a_path_in_a_url_is_percent_encoded_and_one_by_itself_is_not() {
        for (text, path) in [
            ("sqlite:///var/lib/plugd.db", "/var/lib/plugd.db"),
            ("sqlite://plugd.db?mode=rwc", "./plugd.db"),
            ("sqlite:///a%3Fb%20c%2541/plugd.db?mode=rwc", "/a?b c%41/plugd.db"),
        ] {
            assert_eq!(Address::parse(text).unwrap().path(), Some(Path::new(path)), "{text}");
        }
        for (path, found) in [("/a%41?#b/plugd.db", "/a%41?#b/plugd.db"), ("file:x/plugd.db", "./file:x/plugd.db")] {
            assert_eq!(Address::file(Path::new(path)).unwrap().path(), Some(Path::new(found)));
        }
        assert!(problem("sqlite:///plugd.db?mode=ro").contains("mode=ro"), "it would be written to");
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
