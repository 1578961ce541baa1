//! The server itself: what it is, how each part of it is, and what its doctor says.

use axum::response::Response;
use maud::{Markup, html};

use super::{
    form::Fields,
    page::{Page, Section, Visit, may_write},
    text,
};
use crate::{
    api::{
        v1::{
            Finding, GetServerRequest, GetServerResponse, ListNodesRequest, Node, Part, RunDoctorRequest,
            WatchStateRequest,
            finding::{Outcome, Topic},
        },
        words,
    },
    domain::text::sanitize,
    rest::{Api, Problem},
};

/// The page of the server, live.
pub(super) async fn show(visit: Visit) -> Result<Response, Problem> {
    visit.show(WatchStateRequest::default(), (), |api, _| async move { page(&api).await }).await
}

async fn page(api: &Api) -> Result<Page, Problem> {
    let server = api.call(GetServerRequest {}).await?;
    let nodes = nodes(api).await;
    let page = Page::new(Section::Server, "Server").fixed("title", html! { h1 { "Server" } }).live(
        "server",
        html! {
            @match &nodes {
                Ok(nodes) if nodes.is_empty() => {}
                Ok(nodes) => { (table(nodes)) }
                Err(problem) => { p.notice.caution { "The nodes of its cluster can't be told just now: " (problem.message()) } }
            }
            div.grid {
                section.card aria-labelledby="about" { h2 #about { "About it" } (about(&server)) }
                section.card aria-labelledby="parts" { h2 #parts { "Its parts" } (parts(&server.parts)) }
            }
        },
    );
    Ok(if may_write(api) { page.fixed("doctor", asking()) } else { page })
}

/// The nodes of its cluster. What it is itself is known also while the database, which has them, is away.
async fn nodes(api: &Api) -> Result<Vec<Node>, Problem> {
    Ok(api.call(ListNodesRequest {}).await?.nodes)
}

fn table(nodes: &[Node]) -> Markup {
    html! {
        section aria-labelledby="nodes" {
            h2 #nodes { "Nodes of its cluster" }
            div.table {
                table.stack {
                    thead { tr {
                        th { "Node" } th { "Role" } th { "Lag" } th { "Version" } th { "Started" } th { "Heard of" }
                    } }
                    tbody { @for node in nodes { (row(node)) } }
                }
            }
        }
    }
}

fn row(node: &Node) -> Markup {
    let class = match (node.is_present, node.term) {
        (false, _) => "failure",
        (true, Some(_)) => "ok",
        (true, None) => "",
    };
    html! {
        tr {
            td.name { strong { (sanitize(&node.address)) } small.block { (sanitize(&node.host_name)) } }
            td data-label="Role" { span.pill.outcome.(class) { (words::node_role(node)) } }
            td data-label="Lag" { (words::node_lag(node).unwrap_or_else(|| "–".to_owned())) }
            td data-label="Version" { (sanitize(&node.version)) }
            td data-label="Started" { (text::time(node.start_time.as_ref())) }
            td data-label="Heard of" { @if node.is_present { "just now" } @else { (text::time(node.seen_time.as_ref())) } }
        }
    }
}

fn about(server: &GetServerResponse) -> Markup {
    html! {
        dl.facts {
            dt { "Version" } dd { (server.version) }
            dt { "Started" } dd { (text::time(server.start_time.as_ref())) }
            dt { "Host" } dd { (server.host_name) }
            dt { "Database" } dd { (server.database) }
            dt { "Data folder" } dd { code { (server.data_folder) } }
            dt { "Sandbox" } dd { (text::word(server.sandbox().as_str_name())) }
            dt { "API" } dd { a href="/api/docs" { "Reference" } }
            dt { "Webhooks" } dd { a href="/hooks" { "Who is told of what" } }
        }
    }
}

fn parts(parts: &[Part]) -> Markup {
    html! {
        ul.findings {
            @for part in parts {
                li {
                    (outcome(if part.is_healthy { Outcome::Ok } else { Outcome::Failure }))
                    div { strong { (part.name) } p { (part.found) } }
                }
            }
        }
    }
}

/// How something is, as a coloured word.
fn outcome(outcome: Outcome) -> Markup {
    let (class, word) = match outcome {
        Outcome::Ok => ("ok", "ok"),
        Outcome::Warning => ("warning", "warning"),
        Outcome::Failure | Outcome::Unspecified => ("failure", "failed"),
    };
    html! { span.pill.outcome.(class) { (word) } }
}

fn asking() -> Markup {
    html! {
        section.card aria-labelledby="doctor-title" {
            h2 #doctor-title { "Is this host good for it?" }
            p.soft {
                "It looks at the host and the settings, and tries with a plugin of its own whether plugins are shut in. It changes \
                 nothing, and takes some seconds."
            }
            form method="post" action="/server/doctor" data-background {
                button { "Look" }
                progress hidden aria-label="Looking" {}
            }
        }
    }
}

/// Has the server look, and shows what it found.
pub(super) async fn examine(visit: Visit, _: Fields) -> Result<Response, Problem> {
    let findings = visit.api.call(RunDoctorRequest {}).await?.findings;
    let page = page(&visit.api).await?.fixed("findings", found(&findings));
    Ok(visit.page(page))
}

fn found(findings: &[Finding]) -> Markup {
    let topics =
        [(Topic::Host, "The host"), (Topic::Settings, "The settings"), (Topic::Protections, "What plugins can't do")];
    html! {
        div.grid {
            @for (topic, title) in topics {
                section.card {
                    h2 { (title) }
                    ul.findings {
                        @for finding in findings.iter().filter(|finding| finding.topic() == topic) {
                            li {
                                (outcome(finding.outcome()))
                                div {
                                    strong { (finding.subject) }
                                    p { (finding.found) }
                                    @if let Some(remedy) = &finding.remedy { p.soft { (remedy) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
