//! The certificate of a listener, and its renewal.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
    time,
};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use super::{Error, Result, authority, certificates, pem};

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
    pub fn with_client_authority(self, client_authority: Option<PathBuf>) -> Self {
        Self { client_authority, ..self }
    }

    pub(super) fn load(&self) -> Result<Arc<ServerConfig>> {
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
        let key = PrivateKeyDer::from_pem_slice(&pem("a private key", &self.key)?);
        let key = key.map_err(|error| Error::unreadable("a private key", &self.key, error))?;
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
    files: Files,
    /// Of those that are used.
    changed_at: Times,
    /// What was last found to be of no use.
    useless_at: Option<(Files, Times)>,
    current: watch::Sender<Arc<ServerConfig>>,
    /// Whoever wants files to be read now, which may be others than before.
    asked: mpsc::Receiver<Files>,
    asks: mpsc::Sender<Files>,
}

impl Certificates {
    /// Reads the files.
    pub fn open(files: Files) -> Result<Self> {
        // The times first: a change in between is seen at the first look.
        let changed_at = files.changed_at();
        let current = watch::Sender::new(files.load()?);
        let (asks, asked) = mpsc::channel(1);
        Ok(Self { files, changed_at, useless_at: None, current, asked, asks })
    }

    /// Files that are sent here are read at once, changed or not, and are the ones to look at from then on.
    pub fn asks(&self) -> mpsc::Sender<Files> {
        self.asks.clone()
    }

    /// How connections are encrypted.
    pub fn server(&self) -> ServerTls {
        self.current.subscribe()
    }

    /// Looks at the files from time to time, for as long as this is polled.
    pub async fn keep_current(mut self) -> ! {
        let mut looks = time::interval(LOOK_EVERY);
        loop {
            let taken = tokio::select! {
                _ = looks.tick() => self.look().await,
                Some(files) = self.asked.recv() => {
                    // Who asks is told again.
                    self.useless_at = None;
                    self.read(files, Times::new()).await
                }
            };
            match taken {
                Ok(false) => {}
                Ok(true) => tracing::info!("new connections get the renewed certificate"),
                Err(error) => tracing::warn!(%error, "the renewed certificate can't be used; the old one stays"),
            }
        }
    }

    /// Takes the files' contents if they changed since they were last taken; says whether they did. What can't be used
    /// may be half written, or not readable for the moment: so it is tried at every look, but said once only.
    pub(super) async fn look(&mut self) -> Result<bool> {
        self.read(self.files.clone(), self.changed_at.clone()).await
    }

    /// Uses these files from now on if they changed since the times that are known; says whether they did.
    async fn read(&mut self, files: Files, known: Times) -> Result<bool> {
        // Not in the task that takes connections: a file system may hang.
        let read = spawn_blocking(move || {
            let changed_at = files.changed_at();
            (changed_at != known).then(|| (files.load(), changed_at, files))
        });
        let Ok(Some((loaded, changed_at, files))) = read.await else { return Ok(false) };
        match loaded {
            Ok(config) => {
                (self.files, self.changed_at, self.useless_at) = (files, changed_at, None);
                self.current.send_replace(config);
                Ok(true)
            }
            Err(error) => {
                let useless = Some((files, changed_at));
                let is_known = self.useless_at == useless;
                self.useless_at = useless;
                if is_known { Ok(false) } else { Err(error) }
            }
        }
    }
}
