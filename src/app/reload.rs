//! Settings that are taken while plugd runs.

use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
};

use super::boot;
use crate::{
    config::{self, Settings},
    domain::events::EventCatalog,
    tls::Files,
};

/// Settings that are taken at once; the log's filter has been taken before the settings come here.
const LIVE: [&str; 2] = ["log", "event_catalog"];

/// Settings that are taken at once where there is encryption before and after.
const OF_CERTIFICATES: [&str; 3] = ["tls_cert", "tls_key", "tls_client_ca"];

/// Takes settings that are read again.
pub(super) struct Reload<S> {
    /// Settings as they were read again.
    pub(super) renewed: mpsc::Receiver<S>,
    /// Where the certificate's files are sent, if connections are encrypted.
    pub(super) certificates: Option<watch::Sender<Files>>,
    /// The settings that plugd was started with.
    pub(super) running: S,
}

impl<S: Settings + Clone> Reload<S> {
    /// Takes settings until `serving` ends: `take` takes what is not the certificate's, and says where that is now.
    pub(super) async fn beside<T, F: Future<Output = anyhow::Result<Option<Files>>>>(
        mut self,
        serving: impl Future<Output = T>,
        take: impl Fn(S) -> F,
    ) -> T {
        let taking = async {
            while let Some(settings) = self.renewed.recv().await {
                let files = take(settings.clone()).await;
                tell_of_others(&self.running, &settings, self.certificates.is_some() && !matches!(files, Ok(None)));
                match (&self.certificates, files) {
                    (Some(certificates), Ok(Some(files))) => drop(certificates.send_replace(files)),
                    (_, Err(error)) => tracing::warn!("{error:#}; the certificate stays as it is"),
                    _ => {}
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            served = serving => served,
            never = taking => never,
        }
    }
}

/// Reads the catalogue of events again.
pub(super) async fn renew_catalog(catalog: &EventCatalog, setting: config::EventCatalog) {
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
fn tell_of_others<S: Settings>(running: &S, renewed: &S, is_encrypted: bool) {
    let is_live = |name: &&str| LIVE.contains(name) || is_encrypted && OF_CERTIFICATES.contains(name);
    let others: Vec<&str> = running.differing(renewed).into_iter().filter(|name| !is_live(name)).collect();
    if !others.is_empty() {
        tracing::warn!(settings = others.join(", "), "these settings are changed by a restart only");
    }
}
