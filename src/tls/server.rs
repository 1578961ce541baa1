//! The certificate of a listener, its renewal, and one that plugd makes for itself where nobody has one for it.

use std::{
    fs::{self, DirBuilder},
    net::{IpAddr, SocketAddr},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use sha2::{Digest, Sha256};

use tokio::{sync::watch, task::spawn_blocking, time::timeout};
use tokio_rustls::rustls::{
    ServerConfig,
    client::danger::ServerCertVerifier,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::WebPkiClientVerifier,
};

use super::{Error, Result, authority, certificates, client::Verifier, private_key};
use crate::files::Replace;

/// How often the files are looked at. Certificates are renewed days before they expire.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The protocols that are served, the preferred one first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a certificate is good: the longest that Apple's clients take.
const LIFETIME: Duration = Duration::from_secs(825 * DAY.as_secs());
/// How long before its end it is replaced, at a start.
const RENEWED_BEFORE: Duration = Duration::from_secs(60 * DAY.as_secs());
/// The names of every machine for itself.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// How new connections are encrypted: always with the newest certificate.
pub type ServerTls = watch::Receiver<Arc<ServerConfig>>;

/// When each of some files last changed.
type Times = Vec<Option<SystemTime>>;

/// Where a listener's certificate is, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The authority whose certificates clients have to show; none: they need no certificate.
    pub client_authority: Option<PathBuf>,
}

impl Files {
    /// The files that the settings `tls_cert`, `tls_key` and `tls_client_ca` name; `None` where nothing is encrypted.
    pub fn of(
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
        client_authority: Option<PathBuf>,
    ) -> Result<Option<Self>> {
        let incomplete = |given, missing| Err(Error::Incomplete { given, missing });
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(Self { certificate, key, client_authority })),
            (Some(_), None) => incomplete("--tls-cert", "--tls-key"),
            (None, Some(_)) => incomplete("--tls-key", "--tls-cert"),
            (None, None) if client_authority.is_some() => incomplete("--tls-client-ca", "--tls-cert"),
            (None, None) => Ok(None),
        }
    }

    fn load(&self) -> Result<Arc<ServerConfig>> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = match &self.client_authority {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(authority(&certificates(path)?)?);
                builder.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(roots, provider).build()?)
            }
        };
        let key = private_key(&self.key)?;
        let mut config = builder.with_single_cert(certificates(&self.certificate)?, key)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Arc::new(config))
    }

    /// When each file last changed; one that is not there at the moment has no such time.
    fn changed_at(&self) -> Times {
        let paths = [Some(&self.certificate), Some(&self.key), self.client_authority.as_ref()];
        let changed = |path: &PathBuf| fs::metadata(path).and_then(|found| found.modified()).ok();
        paths.into_iter().flatten().map(changed).collect()
    }
}

/// A listener's certificate, which is renewed without a restart: new connections get what the files hold now.
#[derive(Debug)]
pub struct Certificates {
    /// Files that are sent here, others or the same once more, are read at once.
    files: watch::Sender<Files>,
    /// When the files that are used last changed; none once they could not be used.
    changed_at: Option<Times>,
    /// Why the files could not be used when they were last read.
    failure: Option<String>,
    current: watch::Sender<Arc<ServerConfig>>,
}

impl Certificates {
    /// Reads the files.
    pub fn open(files: Files) -> Result<Self> {
        // The times first: a change in between is seen at the first look.
        let changed_at = Some(files.changed_at());
        let current = watch::Sender::new(files.load()?);
        Ok(Self { files: watch::Sender::new(files), changed_at, failure: None, current })
    }

    /// Files that are sent here are read at once, changed or not, and are the ones to look at from then on.
    pub fn renewals(&self) -> watch::Sender<Files> {
        self.files.clone()
    }

    /// How connections are encrypted.
    pub fn server(&self) -> ServerTls {
        self.current.subscribe()
    }

    /// Looks at the files from time to time, for as long as this is polled.
    pub async fn keep_current(mut self) -> ! {
        let mut files = self.files.subscribe();
        loop {
            let is_asked = timeout(LOOK_EVERY, files.changed()).await.is_ok();
            match self.look(is_asked).await {
                Ok(false) => {}
                Ok(true) => tracing::info!("new connections get the renewed certificate"),
                Err(error) => tracing::warn!(%error, "the renewed certificate can't be used; the old one stays"),
            }
        }
    }

    /// Takes what the files hold if they changed since that was last done, or if somebody asks; says whether it was taken.
    /// What can't be used may be half written, or not readable for the moment: so it is tried at every look, but said once
    /// only, and to who asks.
    pub(super) async fn look(&mut self, is_asked: bool) -> Result<bool> {
        let (files, known) = (self.files.borrow().clone(), self.changed_at.clone());
        // Not in the task that takes connections: a file system may hang.
        let read = spawn_blocking(move || {
            let changed_at = Some(files.changed_at());
            (is_asked || changed_at != known).then(|| (files.load(), changed_at))
        });
        let Ok(Some((loaded, changed_at))) = read.await else { return Ok(false) };
        match loaded {
            Ok(config) => {
                (self.changed_at, self.failure) = (changed_at, None);
                self.current.send_replace(config);
                Ok(true)
            }
            Err(error) => {
                self.changed_at = None;
                let before = self.failure.replace(error.to_string());
                if !is_asked && before == self.failure { Ok(false) } else { Err(error) }
            }
        }
    }
}

/// A certificate in a data folder that plugd made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfSigned {
    /// Where it is, as PEM: what clients are given with `--cacert`.
    pub certificate: PathBuf,
    /// SHA-256 of it, as `AB:CD:…`.
    pub fingerprint: String,
    /// Where its key is.
    pub key: PathBuf,
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
    let files = Files { certificate: certificate.to_owned(), key: key.to_owned(), client_authority: None };
    names.iter().all(is_taken) && files.load().is_ok()
}

/// Only its owner can read it.
const SECRET: Replace = Replace { mode: 0o600, is_durable: true };

fn make(folder: &Path, certificate: &Path, key: &Path, names: Vec<String>) -> Result<()> {
    let (certificate_pem, key_pem) = signed(names, SystemTime::now())?;
    let unwritable = |path: &Path, error| Error::Unwritable { path: path.to_owned(), source: error };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| unwritable(folder, error))?;
    for (path, text) in [(key, key_pem), (certificate, certificate_pem)] {
        SECRET.file(path, text.as_bytes()).map_err(|error| unwritable(path, error))?;
    }
    Ok(())
}

/// A certificate from a day before `now` on (clocks differ), and its key, as PEM.
fn signed(names: Vec<String>, now: SystemTime) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "plugd");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (params.not_before, params.not_after) = ((now - DAY).into(), (now - DAY + LIFETIME).into());
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
        for (days_left, is_kept) in [(70, true), (50, false), (0, false)] {
            let begun = SystemTime::now() - LIFETIME + DAY * days_left;
            let made = signed(names(IpAddr::from([127, 0, 0, 1])), begun).unwrap();
            SECRET.file(certificate, made.0.as_bytes()).unwrap();
            SECRET.file(key, made.1.as_bytes()).unwrap();
            let before = fingerprint(certificate).unwrap();
            assert_eq!(keep(folder.path()).fingerprint == before, is_kept, "{days_left}");
        }
    }
}
