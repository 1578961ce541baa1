//! The certificate of a listener, and its renewal.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
    time,
};
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use super::{Error, Result, pem};

/// How often the files are looked at. Whoever renews certificates does so days before they expire.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The protocols that are served, the preferred one first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How new connections are encrypted: always with the newest certificate.
pub type ServerTls = watch::Receiver<Arc<ServerConfig>>;

/// When each of some files last changed.
type Times = Vec<Option<SystemTime>>;

/// Where a listener's certificate is, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_authority: Option<PathBuf>,
}

impl Files {
    /// The files that the settings `tls_cert`, `tls_key` and `tls_client_ca` name; `None` where nothing is encrypted.
    ///
    /// # Errors
    /// One of them lacks another.
    pub fn of(
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
        client_authority: Option<PathBuf>,
    ) -> Result<Option<Self>> {
        let incomplete = |given, missing| Err(Error::Incomplete { given, missing });
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(Self { certificate, key, client_authority })),
            (Some(_), None) => incomplete("tls_cert", "tls_key"),
            (None, Some(_)) => incomplete("tls_key", "tls_cert"),
            (None, None) if client_authority.is_some() => incomplete("tls_client_ca", "tls_cert"),
            (None, None) => Ok(None),
        }
    }

    /// A certificate and its key, for everybody.
    pub(super) fn new(certificate: PathBuf, key: PathBuf) -> Self {
        Self { certificate, key, client_authority: None }
    }

    /// The same, for clients that an authority vouches for only, if there is one.
    #[must_use]
    pub fn with_client_authority(self, client_authority: Option<PathBuf>) -> Self {
        Self { client_authority, ..self }
    }

    pub(super) fn load(&self) -> Result<Arc<ServerConfig>> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = match &self.client_authority {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let provider = Arc::new(ring::default_provider());
                let roots = Arc::new(authority(path)?);
                builder.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(roots, provider).build()?)
            }
        };
        let key = PrivateKeyDer::from_pem_slice(&pem("a private key", &self.key)?);
        let key = key.map_err(|error| Error::unreadable("a private key", &self.key, error))?;
        let mut config = builder.with_single_cert(certificates(&self.certificate)?, key)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Arc::new(config))
    }

    /// What the files hold and when they changed, unless that is known.
    fn load_if_changed(&self, known: &Times) -> Option<(Times, Result<Arc<ServerConfig>>)> {
        let changed_at = self.changed_at();
        (changed_at != *known).then(|| (changed_at, self.load()))
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
    files: Files,
    /// Of those that are used.
    changed_at: Times,
    /// Of those that were last found to be of no use.
    useless_at: Option<Times>,
    current: watch::Sender<Arc<ServerConfig>>,
    /// Whoever wants files to be read now, which may be others than before.
    asked: mpsc::Receiver<Files>,
    asks: mpsc::Sender<Files>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// They can't be read, or not be used together.
    pub fn open(files: Files) -> Result<Self> {
        // The times first: a change in between is seen at the first look.
        let changed_at = files.changed_at();
        let current = watch::Sender::new(files.load()?);
        let (asks, asked) = mpsc::channel(1);
        Ok(Self { files, changed_at, useless_at: None, current, asked, asks })
    }

    /// Files that are sent here are read at once, changed or not, and are the ones to look at from then on.
    #[must_use]
    pub fn asks(&self) -> mpsc::Sender<Files> {
        self.asks.clone()
    }

    /// How connections are encrypted.
    #[must_use]
    pub fn server(&self) -> ServerTls {
        self.current.subscribe()
    }

    /// Looks at the files from time to time, for as long as this is polled.
    pub async fn keep_current(mut self) -> ! {
        let mut looks = time::interval(LOOK_EVERY);
        loop {
            let taken = tokio::select! {
                _ = looks.tick() => self.look().await,
                Some(files) = self.asked.recv() => self.take(files).await.map(|()| true),
            };
            match taken {
                Ok(false) => {}
                Ok(true) => tracing::info!("new connections get the renewed certificate"),
                Err(error) => tracing::warn!(%error, "the renewed certificate can't be used; the old one stays"),
            }
        }
    }

    /// Uses these files from now on.
    ///
    /// # Errors
    /// They can't be used: those of before still are.
    async fn take(&mut self, files: Files) -> Result<()> {
        let loaded = spawn_blocking(move || (files.changed_at(), files.load(), files)).await;
        // The runtime is going down.
        let Ok((changed_at, loaded, files)) = loaded else { return Ok(()) };
        self.current.send_replace(loaded?);
        (self.files, self.changed_at, self.useless_at) = (files, changed_at, None);
        Ok(())
    }

    /// Takes the files' contents if they changed since they were last taken; says whether they did. What can't be used
    /// may be half written, or not readable for the moment: so it is tried at every look, but said once only.
    ///
    /// # Errors
    /// What has changed can't be used.
    pub(super) async fn look(&mut self) -> Result<bool> {
        let (files, known) = (self.files.clone(), self.changed_at.clone());
        // Not in the task that takes connections: a file system may hang.
        let looked = spawn_blocking(move || files.load_if_changed(&known)).await;
        let Ok(Some((changed_at, loaded))) = looked else { return Ok(false) };
        match loaded {
            Ok(config) => {
                (self.changed_at, self.useless_at) = (changed_at, None);
                self.current.send_replace(config);
                Ok(true)
            }
            Err(_) if self.useless_at.as_ref() == Some(&changed_at) => Ok(false),
            Err(error) => {
                self.useless_at = Some(changed_at);
                Err(error)
            }
        }
    }
}

/// The certificates of a PEM file.
///
/// # Errors
/// It can't be read, or there is none in it.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let unreadable = |error| Error::unreadable("certificates", path, error);
    let bytes = pem("certificates", path)?;
    let found = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| unreadable(Box::<dyn std::error::Error + Send + Sync>::from(error)))?;
    if found.is_empty() {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidData, "no certificate is in it").into()));
    }
    Ok(found)
}

/// Those whom the certificates of a PEM file vouch for.
///
/// # Errors
/// As [`certificates`].
fn authority(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}
