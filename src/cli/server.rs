//! `plugd server` and `plugd health`: what the server is, what it finds when it looks at itself, and whether it works.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use super::{
    Context,
    client::{QUICK, within},
    doctor,
    failure::{Exit, Failure},
    show::{short_time, time, word},
    ui::{Cell, Style, Table},
};
use crate::{
    api::{
        v1::{self, GetServerRequest, GetServerResponse, ListNodesRequest, Node, RunDoctorRequest, finding},
        words::{node_lag, node_role},
    },
    domain::finding::{Finding, Outcome, Topic},
};

/// How long the server may look at itself: a little longer than it takes at the most.
const EXAMINATION: Duration = Duration::from_secs(130);

/// Show what the server is and how its parts are, and the nodes of its cluster
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd server\n  plugd server --doctor -o json")]
pub(super) struct Server {
    /// Have the server do what `plugd doctor` does on its host, and show what it finds; takes an administrator's token
    #[arg(long)]
    doctor: bool,
}

impl Server {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        if self.doctor { examine(context).await } else { show(context).await }
    }
}

async fn show(context: &Context) -> Result<(), Failure> {
    let (api, ui) = (&context.api, &context.ui);
    let server = api.call(QUICK, GetServerRequest {}).await?;
    // What the server is is known also while the database, which has the nodes, is away.
    let nodes = match api.call(QUICK, ListNodesRequest {}).await {
        Ok(found) => Some(found.nodes),
        Err(status) => {
            ui.warn(&format!("the nodes of its cluster can't be told: {}", status.message()));
            None
        }
    };
    if ui.is_json() {
        let mut told = server_json(&server);
        told["nodes"] = nodes.map(|nodes| nodes.iter().map(node_json).collect::<Vec<_>>()).into();
        return Ok(ui.json(&told)?);
    }
    table(&server).print(ui)?;
    if let Some(nodes) = nodes.filter(|nodes| !nodes.is_empty()) {
        ui.line("")?;
        nodes_table(&nodes).print(ui)?;
    }
    Ok(())
}

fn node_json(node: &Node) -> Value {
    let seconds = |lag: &prost_types::Duration| lag.seconds as f64 + f64::from(lag.nanos) / 1e9;
    json!({
        "address": node.address,
        "host_name": node.host_name,
        "version": node.version,
        "start_time": time(node.start_time.as_ref()),
        "is_present": node.is_present,
        "seen_time": time(node.seen_time.as_ref()),
        "term": node.term,
        "revision": node.revision,
        "behind_revisions": node.behind_revisions,
        "lag_seconds": node.lag.as_ref().map(seconds),
    })
}

fn nodes_table(nodes: &[Node]) -> Table {
    let mut table = Table::new(&["NODE", "HOST", "VERSION", "STARTED", "ROLE", "REVISION", "LAG", "SEEN"]);
    for node in nodes {
        let style = match (node.is_present, node.term) {
            (false, _) => Style::Red,
            (true, Some(_)) => Style::Green,
            (true, None) => Style::Plain,
        };
        table.row([
            node.address.as_str().into(),
            node.host_name.as_str().into(),
            node.version.as_str().into(),
            short_time(node.start_time.as_ref()).into(),
            Cell::styled(node_role(node), style),
            node.revision.map_or_else(|| "-".to_owned(), |revision| revision.to_string()).into(),
            node_lag(node).unwrap_or_else(|| "-".to_owned()).into(),
            short_time(node.seen_time.as_ref()).into(),
        ]);
    }
    table
}

async fn examine(context: &Context) -> Result<(), Failure> {
    let api = &context.api;
    let findings = api.call(EXAMINATION, RunDoctorRequest {}).await?.findings;
    doctor::report(&findings.into_iter().map(read).collect::<Vec<_>>(), &context.ui)
}

fn server_json(server: &GetServerResponse) -> Value {
    let part = |part: &v1::Part| json!({"name": part.name, "is_healthy": part.is_healthy, "found": part.found});
    json!({
        "version": server.version,
        "start_time": time(server.start_time.as_ref()),
        "host_name": server.host_name,
        "database": server.database,
        "data_folder": server.data_folder,
        "sandbox": word(server.sandbox().as_str_name()),
        "parts": server.parts.iter().map(part).collect::<Vec<_>>(),
    })
}

fn table(server: &GetServerResponse) -> Table {
    let mut table = Table::default();
    let rows = [
        ("version", server.version.clone()),
        ("started", short_time(server.start_time.as_ref())),
        ("host", server.host_name.clone()),
        ("database", server.database.clone()),
        ("data folder", server.data_folder.clone()),
        ("sandbox", word(server.sandbox().as_str_name())),
    ];
    rows.into_iter().for_each(|(name, value)| table.row([format!("{name}:").into(), value.into()]));
    for part in &server.parts {
        let style = if part.is_healthy { Style::Green } else { Style::Red };
        table.row([format!("{}:", part.name).into(), Cell::styled(&part.found, style)]);
    }
    table
}

/// A finding as the doctor has it. One of which this program does not know how bad it is is a failure.
fn read(found: v1::Finding) -> Finding {
    let topic = match found.topic() {
        finding::Topic::Settings => Topic::Settings,
        finding::Topic::Protections => Topic::Protections,
        finding::Topic::Host | finding::Topic::Unspecified => Topic::Host,
    };
    let outcome = match found.outcome() {
        finding::Outcome::Ok => Outcome::Ok,
        finding::Outcome::Warning => Outcome::Warning,
        finding::Outcome::Failure | finding::Outcome::Unspecified => Outcome::Failure,
    };
    Finding { topic, outcome, subject: found.subject, found: found.found, remedy: found.remedy }
}

/// Say whether a server can do its work
///
/// It needs no token. Exit code 8 says that the server can't, or does not answer.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd health\n  plugd health plugd.v1.PluginService")]
pub(super) struct Health {
    /// One of its services [default: the server as a whole]
    service: Option<String>,
}

impl Health {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let request = HealthCheckRequest { service: self.service.unwrap_or_default() };
        let answer = within(QUICK, request, async |request| context.api.health().check(request).await).await?;
        let is_serving = answer.status() == ServingStatus::Serving;
        context
            .ui
            .json_or(|| json!({"serving": is_serving}), || if is_serving { "serving" } else { "not serving" }.into())?;
        if is_serving {
            return Ok(());
        }
        Err(Failure::new("the server can't do its work now").hint("its log says why").exit(Exit::Unavailable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::v1::{Part, SandboxLevel},
        cli::{global::Output, ui::tests::mk_ui},
    };

    #[test]
    fn what_the_server_is_is_told_in_words_and_as_json() {
        let part =
            |name: &str, is_healthy| Part { name: name.to_owned(), is_healthy, found: "\x1b[2Jit is".to_owned() };
        let server = GetServerResponse {
            version: "0.1.0".to_owned(),
            host_name: "here".to_owned(),
            sandbox: SandboxLevel::Strict.into(),
            parts: vec![part("store", true), part("records", false)],
            ..GetServerResponse::default()
        };
        let (ui, screen) = mk_ui(Output::Table);
        table(&server).print(&ui).unwrap();
        let text = screen.text();
        assert!(text.contains("version:") && text.contains("strict") && text.contains("records:"), "{text}");
        assert!(!text.contains('\x1b'), "{text:?}");
        let told = server_json(&server);
        assert_eq!((&told["sandbox"], &told["start_time"]), (&json!("strict"), &Value::Null));
        assert_eq!(told["parts"][1]["is_healthy"], false);
    }

    #[test]
    fn nodes_are_told_in_words_and_as_json() {
        let follower = Node {
            address: "http://two:8000".to_owned(),
            is_present: true,
            revision: Some(7),
            behind_revisions: 2,
            lag: Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }),
            ..Node::default()
        };
        let nodes = [
            Node { term: Some(3), behind_revisions: 0, ..follower.clone() },
            follower.clone(),
            Node { revision: None, lag: None, ..follower.clone() },
            Node { is_present: false, ..follower.clone() },
        ];
        let (ui, screen) = mk_ui(Output::Table);
        nodes_table(&nodes).print(&ui).unwrap();
        let text = screen.text();
        let lines: Vec<_> = text.lines().skip(1).collect();
        for (line, told) in lines.iter().zip(["leads, term 3", "follows", "neither leads nor follows", "not heard of"])
        {
            assert!(line.contains(told), "{told} is not in {line}");
        }
        let lags: Vec<_> = lines.iter().map(|line| line.contains("2 revisions, 1 s")).collect();
        assert_eq!(lags, [false, true, false, false], "{text}");
        let told = node_json(&follower);
        assert_eq!((&told["lag_seconds"], &told["term"], &told["revision"]), (&json!(1.5), &Value::Null, &json!(7)));
    }

    #[test]
    fn a_finding_is_read_as_it_was_sent() {
        let sent = |outcome: finding::Outcome| v1::Finding {
            topic: finding::Topic::Protections.into(),
            subject: "sandbox".to_owned(),
            outcome: outcome.into(),
            found: "holds".to_owned(),
            remedy: Some("none".to_owned()),
        };
        let found = read(sent(finding::Outcome::Warning));
        assert_eq!((found.topic, found.outcome), (Topic::Protections, Outcome::Warning));
        assert_eq!((found.found.as_str(), found.remedy.as_deref()), ("holds", Some("none")));
        assert_eq!(read(sent(finding::Outcome::Unspecified)).outcome, Outcome::Failure);
    }
}
