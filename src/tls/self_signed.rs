//! A certificate that plugd makes for itself, where nobody has one for it.

use std::{
    fs::DirBuilder,
    net::{IpAddr, SocketAddr},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::{
    client::danger::ServerCertVerifier,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{Error, Files, Result, certificates, client::Verifier};
use crate::files::Replace;

/// How long a certificate is good: the longest that Apple's clients take.
const DAYS: i64 = 825;
/// How long before its end it is replaced, at a start.
const RENEWED_BEFORE: Duration = Duration::from_secs(60 * 24 * 60 * 60);
/// The names of every machine for itself.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate in a data folder that plugd made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfSigned {
    /// Where it is, as PEM: what clients are given with `--cacert`.
    pub certificate: PathBuf,
    /// SHA-256 of it, as `AB:CD:…`.
    pub fingerprint: String,
    key: PathBuf,
}

impl SelfSigned {
    /// The certificate in this data folder for a server that listens there. One that an earlier start made stays, unless it
    /// is near its end, lacks a name, or lost its key.
    pub fn keep(data_dir: &Path, listen: SocketAddr) -> Result<Self> {
        let folder = data_dir.join("tls");
        let (certificate, key) = (folder.join("self-signed.pem"), folder.join("self-signed.key"));
        let names = names(listen.ip());
        if !is_good(&certificate, &key, &names) {
            make(&folder, &certificate, &key, names)?;
        }
        let fingerprint = fingerprint(&certificate)?;
        Ok(Self { certificate, fingerprint, key })
    }

    /// What a listener is served with.
    pub fn files(&self) -> Files {
        Files::new(self.certificate.clone(), self.key.clone())
    }
}

/// What clients may call this machine.
fn names(listen: IpAddr) -> Vec<String> {
    let mut names = LOCAL.map(str::to_owned).to_vec();
    let host = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let address = (!listen.is_unspecified()).then(|| listen.to_string());
    for name in address.into_iter().chain([host]) {
        if !names.contains(&name) && ServerName::try_from(name.as_str()).is_ok() {
            names.push(name);
        }
    }
    names
}

/// Whether a client that trusts it will still take it for all these names when it is to be renewed.
fn is_good(certificate: &Path, key: &Path, names: &[String]) -> bool {
    let Ok(listed) = certificates(certificate) else { return false };
    let (Some(own), Ok(verifier)) = (listed.first().cloned(), Verifier::new(listed.clone())) else { return false };
    let later = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + RENEWED_BEFORE);
    let is_taken = |name: &String| {
        let name = ServerName::try_from(name.as_str());
        name.is_ok_and(|name| verifier.verify_server_cert(&own, &[], &name, &[], later).is_ok())
    };
    names.iter().all(is_taken) && Files::new(certificate.to_owned(), key.to_owned()).load().is_ok()
}

/// Only its owner can read it.
const SECRET: Replace = Replace { mode: 0o600, is_durable: true };

fn make(folder: &Path, certificate: &Path, key: &Path, names: Vec<String>) -> Result<()> {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let made = signed(names, today).map_err(|error| Error::Unmade(error.to_string()))?;
    let unwritable = |path: &Path, error| Error::Unwritable { path: path.to_owned(), source: error };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| unwritable(folder, error))?;
    for (path, text) in [(key, made.1), (certificate, made.0)] {
        SECRET.file(path, text.as_bytes()).map_err(|error| unwritable(path, error))?;
    }
    Ok(())
}

/// A certificate from a day before `today` on (clocks differ), and its key, as PEM.
fn signed(names: Vec<String>, today: jiff::civil::Date) -> anyhow::Result<(String, String)> {
    let day = |distance: i64| -> anyhow::Result<_> {
        let date = today.checked_add(jiff::Span::new().try_days(distance)?)?;
        Ok(date_time_ymd(date.year().into(), date.month().try_into()?, date.day().try_into()?))
    };
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "plugd");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (params.not_before, params.not_after) = (day(-1)?, day(DAYS - 1)?);
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn fingerprint(path: &Path) -> Result<String> {
    let found: Vec<CertificateDer<'_>> = certificates(path)?;
    let digest = Sha256::digest(found.first().map(AsRef::as_ref).unwrap_or_default());
    Ok(digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":"))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn keep(folder: &Path) -> SelfSigned {
        SelfSigned::keep(folder, ([127, 0, 0, 1], 8000).into()).unwrap()
    }

    #[test]
    fn a_certificate_is_made_once_and_nobody_else_can_read_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let first = keep(folder.path());
        assert_eq!(keep(folder.path()), first);
        let mode = fs::metadata(&first.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(first.fingerprint.len(), 32 * 3 - 1);
    }

    #[test]
    fn one_that_lacks_a_name_or_its_key_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let first = keep(folder.path());
        let elsewhere = SelfSigned::keep(folder.path(), ([192, 0, 2, 1], 8000).into()).unwrap();
        assert_ne!(elsewhere.fingerprint, first.fingerprint);
        assert_eq!(keep(folder.path()), elsewhere, "what is for more names is for these too");
        fs::remove_file(&first.key).unwrap();
        assert_ne!(keep(folder.path()).fingerprint, elsewhere.fingerprint);
    }

    #[test]
    fn one_that_is_near_its_end_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let first = keep(folder.path());
        let (certificate, key) = (&first.certificate, &first.key);
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        for (days_left, is_kept) in [(70, true), (50, false), (-1, false)] {
            let begun = today.checked_sub(jiff::Span::new().days(DAYS - days_left)).unwrap();
            let made = signed(names(IpAddr::from([127, 0, 0, 1])), begun).unwrap();
            SECRET.file(certificate, made.0.as_bytes()).unwrap();
            SECRET.file(key, made.1.as_bytes()).unwrap();
            let before = fingerprint(certificate).unwrap();
            assert_eq!(keep(folder.path()).fingerprint == before, is_kept, "{days_left}");
        }
    }
}
