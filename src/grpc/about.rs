//! `plugd.v1.ServerService`: what this server is, and how it is.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use tokio::{sync::watch, task::spawn_blocking};
use tonic::{Request, Response};

use super::{Answer, caller, convert};
use crate::{
    api::v1::{self, *},
    domain::{Error, Reason, Result, SandboxLevel, finding},
    store::{Seen, Store},
};

/// What a server is, for as long as it runs.
#[derive(Debug, Clone)]
pub struct Identity {
    pub version: &'static str,
    pub started: Timestamp,
    pub host_name: String,
    /// What keeps its records, without where that is.
    pub database: &'static str,
    pub data_folder: PathBuf,
    /// How much plugins are shut in, unless their policy decides.
    pub sandbox: SandboxLevel,
}

/// How a part of the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: &'static str,
    pub is_healthy: bool,
    /// For a person.
    pub found: String,
}

/// Looks at the host and the settings, in bounded time. Blocking. None where it was broken off.
pub type Examination = Arc<dyn Fn() -> Option<Vec<finding::Finding>> + Send + Sync>;

/// What was found, once it was.
type Found = watch::Receiver<Option<Arc<Vec<finding::Finding>>>>;

/// `ServerService`.
pub struct ServerService {
    identity: Identity,
    parts: Box<dyn Fn() -> Vec<Part> + Send + Sync>,
    examination: Examination,
    /// Has the nodes of the cluster; none where the server is alone.
    nodes: Option<Store>,
    /// The last examination, which may be under way.
    last: Mutex<Option<Found>>,
}

impl ServerService {
    /// The service of this server. `parts` tells how its parts are; it must not wait. `nodes` has those of its cluster, if it is
    /// of one.
    pub fn new(
        identity: Identity,
        parts: impl Fn() -> Vec<Part> + Send + Sync + 'static,
        examination: Examination,
        nodes: Option<Store>,
    ) -> Self {
        Self { identity, parts: Box::new(parts), examination, nodes, last: Mutex::default() }
    }

    /// What the examination finds that is under way; one is begun if none is. It goes on when nobody waits for it any more.
    fn examine(&self) -> Found {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_under_way = |found: &&Found| found.borrow().is_none() && found.has_changed().is_ok();
        if let Some(found) = last.as_ref().filter(is_under_way) {
            return found.clone();
        }
        let (tell, found) = watch::channel(None);
        let examination = Arc::clone(&self.examination);
        spawn_blocking(move || examination().map(|findings| tell.send_replace(Some(Arc::new(findings)))));
        last.insert(found).clone()
    }
}

#[tonic::async_trait]
impl server_service_server::ServerService for ServerService {
    async fn get_server(&self, request: Request<GetServerRequest>) -> Answer<GetServerResponse> {
        caller(&request)?;
        let identity = self.identity.clone();
        let part = |part: Part| v1::Part { name: part.name.to_owned(), is_healthy: part.is_healthy, found: part.found };
        Ok(Response::new(GetServerResponse {
            version: identity.version.to_owned(),
            start_time: Some(convert::timestamp(identity.started)),
            host_name: identity.host_name,
            database: identity.database.to_owned(),
            data_folder: identity.data_folder.display().to_string(),
            sandbox: v1::SandboxLevel::from(identity.sandbox).into(),
            parts: (self.parts)().into_iter().map(part).collect(),
        }))
    }

    async fn list_nodes(&self, request: Request<ListNodesRequest>) -> Answer<ListNodesResponse> {
        caller(&request)?;
        let nodes = match &self.nodes {
            Some(store) => store.nodes().await?,
            None => Vec::new(),
        };
        Ok(Response::new(ListNodesResponse { nodes: nodes.into_iter().map(node).collect() }))
    }

    async fn run_doctor(&self, request: Request<RunDoctorRequest>) -> Answer<RunDoctorResponse> {
        caller(&request)?;
        let findings = found(self.examine()).await?;
        let findings = findings.iter().cloned().map(shown).collect();
        Ok(Response::new(RunDoctorResponse { findings }))
    }
}

async fn found(mut found: Found) -> Result<Arc<Vec<finding::Finding>>> {
    let broken_off = || Error::new(Reason::Draining, "the examination was broken off");
    let findings = found.wait_for(Option::is_some).await.map_err(|_| broken_off())?;
    findings.clone().ok_or_else(broken_off)
}

fn node(seen: Seen) -> v1::Node {
    let Seen { node, time, is_present } = seen;
    v1::Node {
        address: node.address,
        host_name: node.host_name,
        version: node.version,
        start_time: Some(convert::timestamp(node.started)),
        is_present,
        seen_time: Some(convert::timestamp(time)),
        term: node.term,
        revision: node.reach.map(|reach| reach.revision),
        behind_revisions: node.reach.map_or(0, |reach| reach.behind),
        lag: node.reach.and_then(|reach| reach.lag.try_into().ok()),
    }
}

fn shown(found: finding::Finding) -> v1::Finding {
    v1::Finding {
        topic: v1::finding::Topic::from(found.topic).into(),
        subject: found.subject,
        outcome: v1::finding::Outcome::from(found.outcome).into(),
        found: found.found,
        remedy: found.remedy,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Duration,
    };

    use tokio::time::timeout;

    use super::*;
    use crate::domain::finding::{Outcome, Topic};

    const DEADLINE: Duration = Duration::from_secs(60);

    fn mk_service(examination: impl Fn() -> Option<Vec<finding::Finding>> + Send + Sync + 'static) -> ServerService {
        let identity = Identity {
            version: "1",
            started: Timestamp::UNIX_EPOCH,
            host_name: "here".to_owned(),
            database: "SQLite",
            data_folder: "/data".into(),
            sandbox: SandboxLevel::Protect,
        };
        ServerService::new(identity, Vec::new, Arc::new(examination), None)
    }

    fn mk_finding(number: usize) -> finding::Finding {
        let (topic, outcome) = (Topic::Host, Outcome::Ok);
        finding::Finding { topic, subject: number.to_string(), outcome, found: String::new(), remedy: None }
    }

    #[tokio::test]
    async fn who_calls_while_one_is_under_way_gets_what_that_finds() {
        let (begun, (go, going)) = (Arc::new(AtomicUsize::new(0)), mpsc::channel());
        let (count, going) = (Arc::clone(&begun), Mutex::new(going));
        let service = mk_service(move || {
            let number = count.fetch_add(1, Ordering::SeqCst);
            going.lock().unwrap().recv().unwrap();
            Some(vec![mk_finding(number)])
        });
        let gone = service.examine();
        drop(gone);
        let (one, other) = (service.examine(), service.examine());
        go.send(()).unwrap();
        let both = timeout(DEADLINE, async { (found(one).await.unwrap(), found(other).await.unwrap()) }).await.unwrap();
        assert_eq!(both, (Arc::new(vec![mk_finding(0)]), Arc::new(vec![mk_finding(0)])));
        go.send(()).unwrap();
        let next = timeout(DEADLINE, found(service.examine())).await.unwrap().unwrap();
        assert_eq!(*next, [mk_finding(1)], "what was found before is not told again");
    }

    #[tokio::test]
    async fn one_that_is_broken_off_is_told_as_such_and_followed_by_another() {
        let begun = AtomicUsize::new(0);
        let service = mk_service(move || (begun.fetch_add(1, Ordering::SeqCst) > 0).then(Vec::new));
        let first = timeout(DEADLINE, found(service.examine())).await.unwrap();
        assert_eq!(first.unwrap_err().reason, Reason::Draining);
        assert_eq!(*timeout(DEADLINE, found(service.examine())).await.unwrap().unwrap(), []);
    }
}
