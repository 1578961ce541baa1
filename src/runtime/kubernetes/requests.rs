//! What is asked of the API server, each with its deadline, and what its answers mean.

use std::{
    fmt::Debug,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
    core::Status,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep, timeout};

use super::{Inner, StartSpec, pod, status::outside};
use crate::{
    boot_time::since_boot,
    domain::{Failure, Stage},
};

/// How long a request may take.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// How long after a request without an answer the next one follows.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// Codes of answers that another try may change.
const BUSY: [u16; 5] = [429, 500, 502, 503, 504];

/// Until when this plugd may change pods, in milliseconds since the host's boot. After that another may lead, whose pods they are.
pub(super) struct Term(AtomicU64);

impl Default for Term {
    /// For ever.
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Term {
    pub(super) fn go_on_until(&self, time: Duration) {
        self.0.store(time.as_millis().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Looked at right before each request.
    pub(super) fn is_over(&self) -> bool {
        since_boot().as_millis() >= self.0.load(Ordering::Relaxed).into()
    }
}

/// Makes the pod of a run.
///
/// # Errors
/// The cluster refuses it, or has not answered by the deadline.
pub(super) async fn create(inner: &Inner, spec: &StartSpec, deadline: Instant) -> Result<Pod, Failure> {
    let wanted = pod::mk_pod(&inner.options, spec)?;
    match make((&inner.api, &inner.term), &wanted, ("pod", deadline)).await? {
        Some(made) => Ok(made),
        None => there_already(inner, spec).await,
    }
}

/// Makes something; none if there is something of its name already. While nobody answers it is tried again, under the same name:
/// so there is one at the most.
///
/// # Errors
/// The cluster refuses it, or has not answered by the deadline.
pub(super) async fn make<K>(
    (api, term): (&Api<K>, &Term),
    wanted: &K,
    (what, deadline): (&str, Instant),
) -> Result<Option<K>, Failure>
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    loop {
        if term.is_over() {
            return Err(outside(Stage::Start, "another plugd may lead by now"));
        }
        let asked = timeout(LIMIT, api.create(&PostParams::default(), wanted)).await;
        let why = match asked {
            Ok(Ok(made)) => return Ok(Some(made)),
            Ok(Err(kube::Error::Api(refusal))) if refusal.code == 409 => return Ok(None),
            Ok(Err(kube::Error::Api(refusal))) if !is_busy(&refusal) => {
                let failure = outside(Stage::Start, &format!("the cluster refuses its {what}: {}", refusal.message));
                // What is wrong with it is wrong with the next one; a quota may have room by then.
                return Err(if matches!(refusal.code, 400 | 422) { failure.permanent() } else { failure });
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {LIMIT:?}"),
        };
        if Instant::now() + AGAIN >= deadline {
            return Err(outside(Stage::Start, &format!("the cluster does not take its {what}: {why}")));
        }
        sleep(AGAIN).await;
    }
}

/// Whether another try may change this answer.
pub(super) fn is_busy(refusal: &Status) -> bool {
    BUSY.contains(&refusal.code)
}

/// There is a pod of this name: made by a request whose answer got lost, or somebody else's.
async fn there_already(inner: &Inner, spec: &StartSpec) -> Result<Pod, Failure> {
    let name = pod::name(spec.plugin, spec.run);
    match timeout(LIMIT, inner.api.get(&name)).await {
        Ok(Ok(found)) if pod::is_of(&found, &inner.options.instance, spec.run) => Ok(found),
        Ok(Ok(_)) => Err(outside(Stage::Start, &format!("the cluster has a pod {name} that is not this plugd's"))),
        _ => Err(outside(Stage::Start, &format!("the cluster does not tell whose pod {name} is"))),
    }
}

/// Deletes something, a pod with its grace, however often that has to be asked for. False if it is left to another plugd that may lead by
/// now.
pub(super) async fn delete<K>((api, term): (Api<K>, &Term), name: String, grace: Option<Duration>) -> bool
where
    K: Clone + Debug + DeserializeOwned,
{
    let how = DeleteParams { grace_period_seconds: grace.map(pod::seconds), ..DeleteParams::default() };
    while !term.is_over() {
        let why = match timeout(LIMIT, api.delete(&name, &how)).await {
            Ok(Ok(_)) => return true,
            Ok(Err(kube::Error::Api(refusal))) if refusal.code == 404 => return true,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {LIMIT:?}"),
        };
        tracing::warn!(name, why, "what the cluster has of a plugin can't be deleted yet");
        sleep(AGAIN).await;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_for_ever_until_an_end_is_told_and_over_from_then_on() {
        let term = Term::default();
        assert!(!term.is_over());
        term.go_on_until(since_boot() + Duration::from_secs(60));
        assert!(!term.is_over());
        term.go_on_until(since_boot());
        assert!(term.is_over());
    }
}
