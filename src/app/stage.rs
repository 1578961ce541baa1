//! What answers at a node of a cluster: its present part; or, while it has none as between two of them, that this is so.

use std::sync::{Arc, PoisonError, RwLock};

use axum::{
    body::Body,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tokio::sync::watch;
use tonic::codegen::Service;

use super::{
    metrics::{Measures, Scrapes},
    ports::Answers,
    role::Role,
    routes,
};
use crate::{
    cluster::{ClusterToken, Nodes, unavailable},
    link,
    listener::App,
    telemetry::trace,
};

/// Where anybody is told that the process lives, as `rest` has it.
const LIVENESS: &str = "/healthz";

/// Where health is asked for.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// What answers now.
#[derive(Clone)]
pub(super) struct Stage(Arc<Shared>);

struct Shared {
    token: ClusterToken,
    listener: Measures,
    has_plugins: bool,
    on: RwLock<Answers>,
    role: watch::Sender<Role>,
}

impl Stage {
    /// Nobody answers yet, but for other nodes with this token and for whoever looks how the node is.
    pub(super) async fn empty(token: ClusterToken, listener: Measures, has_plugins: bool) -> Self {
        let nothing = App::new(|_| async { StatusCode::SERVICE_UNAVAILABLE.into_response() });
        let on = Answers { clients: nothing.clone(), plugins: nothing.clone(), scrapes: nothing };
        let (on, role) = (RwLock::new(on), watch::Sender::new(Role::none_yet()));
        let stage = Self(Arc::new(Shared { token, listener, has_plugins, on, role }));
        stage.leave().await;
        stage
    }

    /// What answers as whatever is on the stage when a request comes.
    pub(super) fn answers(&self) -> Answers {
        let app = |of: fn(&Answers) -> &App| {
            let stage = self.clone();
            App::new(move |request| of(&stage.present()).answer(request))
        };
        Answers { clients: app(|on| &on.clients), plugins: app(|on| &on.plugins), scrapes: app(|on| &on.scrapes) }
    }

    /// What the node is.
    pub(super) fn role(&self) -> watch::Receiver<Role> {
        self.0.role.subscribe()
    }

    /// Has the part with this role answer plugins from now on, and nobody else yet.
    pub(super) fn enter_for_plugins(&self, role: Role, answers: &Answers) {
        self.enter(role, for_plugins(answers, self.present()));
    }

    /// Has nobody answer until the node plays its next part.
    pub(super) async fn leave(&self) {
        let role = self.role();
        let left = role.borrow().left();
        let scrapes = Scrapes::of_node(move || role.borrow().clone(), &self.0.listener);
        let absent = absent(self.0.has_plugins, scrapes).await;
        self.enter(left, absent);
    }

    fn present(&self) -> Answers {
        self.0.on.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has the part with this role answer from now on.
    pub(super) fn enter(&self, role: Role, answers: Answers) {
        let answers = self.known_to_nodes(role.clone(), answers);
        *self.0.on.write().unwrap_or_else(PoisonError::into_inner) = answers;
        self.0.role.send_replace(role);
    }

    /// The same for clients and for the other nodes, which are told the revision that a leader has.
    fn known_to_nodes(&self, role: Role, answers: Answers) -> Answers {
        let revision = move || if role.is_leader() { role.revision().unwrap_or_default() } else { 0 };
        let nodes = Arc::new(Nodes::new(self.0.token.clone(), revision));
        let app = answers.clients;
        let clients = App::new(move |request| {
            let (nodes, app) = (nodes.clone(), app.clone());
            async move { nodes.answer(request, |request| app.answer(request)).await }
        });
        Answers { clients, ..answers }
    }
}

/// What is answered by a node that neither leads nor follows: that it lives and can't do its work, and what is measured of it. Who
/// may read what needs a token is not known.
async fn absent(has_plugins: bool, scrapes: Scrapes) -> Answers {
    let health = routes::not_serving(has_plugins).await;
    let clients = App::new(move |request: Request| {
        let mut health = health.clone();
        async move {
            if !(trace::is_grpc(request.headers()) && request.uri().path().starts_with(HEALTH)) {
                return not_yet(&request);
            }
            let Ok(answer) = health.call(request).await;
            answer.map(Body::new)
        }
    });
    let plugins = App::new(|request: Request| async move { not_yet(&request) });
    Answers { clients, plugins, scrapes: scrapes.router().into() }
}

/// Says that the process lives, and of all else that nobody leads.
fn not_yet(request: &Request) -> Response {
    if request.uri().path() == LIVENESS { StatusCode::OK.into_response() } else { unavailable(request) }
}

/// These for plugins, and for all others what answered before.
fn for_plugins(answers: &Answers, before: Answers) -> Answers {
    let dialled = answers.plugins.clone();
    let others = before.clients;
    let clients = App::new(move |request: Request| match request.uri().path() {
        link::DIALLED | link::PACKAGE => dialled.answer(request),
        _ => others.answer(request),
    });
    Answers { clients, plugins: answers.plugins.clone(), scrapes: before.scrapes }
}

#[cfg(test)]
mod tests {
    use axum::http::header::CONTENT_TYPE;
    use http_body_util::BodyExt;
    use prost::Message;
    use tonic_health::pb::{HealthCheckResponse, health_check_response::ServingStatus};

    use super::*;

    fn mk_measures() -> Measures {
        Measures { open: prometheus_client::metrics::gauge::Gauge::default(), certificate: None }
    }

    async fn mk_stage() -> Stage {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "0123456789".repeat(4)).unwrap();
        let token = ClusterToken::read(&folder.path().join("token")).unwrap();
        Stage::empty(token, mk_measures(), true).await
    }

    async fn answer(app: &App, path: &str, content_type: &str) -> Response {
        let request = Request::builder().uri(path).header(CONTENT_TYPE, content_type);
        // A message without fields.
        app.answer(request.body(Body::from(vec![0; 5])).unwrap()).await
    }

    async fn status(stage: &Stage, path: &str) -> StatusCode {
        answer(&stage.answers().clients, path, "text/plain").await.status()
    }

    /// A role that a node may have, of which only that matters.
    fn mk_role() -> Role {
        let projection = crate::supervisor::Projection::following(Vec::new(), 7);
        Role::Leads { term: 3, projection }
    }

    #[tokio::test]
    async fn a_node_between_two_parts_lives_and_answers_no_calls() {
        let stage = mk_stage().await;
        assert_eq!(status(&stage, "/healthz").await, StatusCode::OK);
        for path in ["/readyz", "/rpc", "/api/plugins", "/metrics", "/grpc.health.v1.Health/Check"] {
            assert_eq!(status(&stage, path).await, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        }
    }

    #[tokio::test]
    async fn a_node_between_two_parts_is_known_not_to_serve() {
        let stage = mk_stage().await;
        let answer = answer(&stage.answers().clients, "/grpc.health.v1.Health/Check", "application/grpc").await;
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let told = HealthCheckResponse::decode(bytes.slice(5..)).unwrap();
        assert_eq!(told.status(), ServingStatus::NotServing);
    }

    #[tokio::test]
    async fn a_node_between_two_parts_is_measured() {
        let stage = mk_stage().await;
        let text = async || {
            let answer = answer(&stage.answers().scrapes, "/metrics", "text/plain").await;
            String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
        };
        let told = text().await;
        for line in ["plugd_cluster_leads 0\n", "plugd_cluster_term 0\n", "plugd_connections 0\n"] {
            assert!(told.contains(line), "{line} is not in\n{told}");
        }
        let app = App::new(|_| async { StatusCode::ACCEPTED.into_response() });
        stage.enter_for_plugins(mk_role(), &Answers { clients: app.clone(), plugins: app.clone(), scrapes: app });
        let told = text().await;
        assert!(told.contains("plugd_cluster_leads 1\n") && told.contains("plugd_cluster_term 3\n"), "{told}");
    }

    #[tokio::test]
    async fn plugins_are_answered_before_clients_are() {
        let stage = mk_stage().await;
        let app = App::new(|_| async { StatusCode::ACCEPTED.into_response() });
        let answers = Answers { clients: app.clone(), plugins: app.clone(), scrapes: app };
        stage.enter_for_plugins(mk_role(), &answers);
        assert_eq!(status(&stage, "/rpc").await, StatusCode::ACCEPTED);
        assert_eq!(status(&stage, "/healthz").await, StatusCode::OK);
        assert_eq!(status(&stage, "/api/plugins").await, StatusCode::SERVICE_UNAVAILABLE);
        stage.enter(mk_role(), answers);
        assert_eq!(status(&stage, "/api/plugins").await, StatusCode::ACCEPTED);
        stage.leave().await;
        assert_eq!(status(&stage, "/api/plugins").await, StatusCode::SERVICE_UNAVAILABLE);
        assert!(!stage.role().borrow().is_leader());
    }
}
