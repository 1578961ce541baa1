//! Settings that are changed while plugd runs: what takes them does, and for the others it is said that they wait for the
//! next start.

use tokio::{sync::mpsc, task::spawn_blocking};

use super::boot;
use crate::{
    config::{Config, EventCatalog as Setting, Knobs, RestConfig},
    domain::events::EventCatalog,
    tls::Files,
};

/// Settings that are taken at once; the log's filter has been taken before the settings come here.
const LIVE: [&str; 2] = ["log", "event_catalog"];

/// Settings that are taken at once where there is encryption before and after.
const OF_CERTIFICATES: [&str; 3] = ["tls_cert", "tls_key", "tls_client_ca"];

/// What takes new settings of `plugd serve`.
pub(super) struct Reload {
    /// Settings as they were read again.
    pub(super) renewed: mpsc::Receiver<Config>,
    /// Where the certificate's files are sent.
    pub(super) certificates: Option<mpsc::Sender<Files>>,
    pub(super) catalog: EventCatalog,
    /// The settings that plugd was started with.
    pub(super) running: Config,
}

impl Reload {
    /// Takes settings until `serving` ends.
    pub(super) async fn beside<T>(mut self, serving: impl Future<Output = T>) -> T {
        let taking = async {
            while let Some(config) = self.renewed.recv().await {
                let settings = config.clone();
                // One that plugd made itself may be made anew.
                let files = spawn_blocking(move || Ok(super::certificates(&settings)?.0)).await;
                renew_certificates(self.certificates.as_ref(), files.map_err(anyhow::Error::from).flatten()).await;
                renew_catalog(&self.catalog, config.event_catalog.clone()).await;
                tell_of_others(&self.running, &config, self.certificates.is_some() && config.tls_cert.is_some());
            }
        };
        until(serving, taking).await
    }
}

/// The same of `plugd rest`.
pub(super) struct RestReload {
    pub(super) renewed: mpsc::Receiver<RestConfig>,
    pub(super) certificates: Option<mpsc::Sender<Files>>,
    pub(super) running: RestConfig,
}

impl RestReload {
    /// Takes settings until `serving` ends.
    pub(super) async fn beside<T>(mut self, serving: impl Future<Output = T>) -> T {
        let taking = async {
            while let Some(config) = self.renewed.recv().await {
                let files = Files::of(config.tls_cert.clone(), config.tls_key.clone(), None);
                renew_certificates(self.certificates.as_ref(), files.map_err(anyhow::Error::from)).await;
                tell_of_others(&self.running, &config, self.certificates.is_some() && config.tls_cert.is_some());
            }
        };
        until(serving, taking).await
    }
}

/// What `serving` comes to, which may outlive the other.
async fn until<T>(serving: impl Future<Output = T>, taking: impl Future<Output = ()>) -> T {
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        served = &mut serving => served,
        () = taking => serving.await,
    }
}

async fn renew_certificates(certificates: Option<&mpsc::Sender<Files>>, files: anyhow::Result<Option<Files>>) {
    match (certificates, files) {
        // Fails only when nothing is served any more.
        (Some(certificates), Ok(Some(files))) => drop(certificates.send(files).await),
        (_, Err(error)) => tracing::warn!("{error:#}; the certificate stays as it is"),
        _ => {}
    }
}

async fn renew_catalog(catalog: &EventCatalog, setting: Setting) {
    let read = spawn_blocking(move || boot::catalog(&setting)).await;
    match read.map_err(anyhow::Error::from).flatten() {
        // No catalogue before and after is no news.
        Ok(renewed) if catalog.is_any() && renewed.is_any() => {}
        Ok(renewed) => {
            catalog.replace_with(&renewed);
            tracing::info!("the catalogue of events was read again");
        }
        Err(error) => tracing::warn!("{error:#}; the catalogue of events stays as it is"),
    }
}

/// Says which settings were changed and are not taken.
fn tell_of_others<C: Knobs>(running: &C, renewed: &C, is_encrypted: bool) {
    let is_live = |name: &&str| LIVE.contains(name) || is_encrypted && OF_CERTIFICATES.contains(name);
    let others: Vec<&str> = running.differing(renewed).into_iter().filter(|name| !is_live(name)).collect();
    if !others.is_empty() {
        tracing::warn!(settings = others.join(", "), "these settings are changed by a restart only");
    }
}
