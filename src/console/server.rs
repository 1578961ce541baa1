//! The server itself: what it is, how each part of it is, and what its doctor says.

use axum::response::Response;
use maud::{Markup, html};

use super::{
    form::Fields,
    page::{Page, Section, Visit, may_write},
    text,
};
use crate::{
    api::v1::{
        Finding, GetServerRequest, GetServerResponse, Part, RunDoctorRequest, WatchStateRequest,
        finding::{Outcome, Topic},
    },
    rest::{Api, Problem},
};

/// The page of the server, live.
pub(super) async fn show(visit: Visit) -> Result<Response, Problem> {
    visit.show(WatchStateRequest::default(), |api| async move { page(&api).await }).await
}

async fn page(api: &Api) -> Result<Page, Problem> {
    let server = api.call(GetServerRequest {}).await?;
    let page = Page::new(Section::Server, "Server").fixed("title", html! { h1 { "Server" } }).live(
        "server",
        html! {
            div.grid {
                section.card aria-labelledby="about" { h2 #about { "About it" } (about(&server)) }
                section.card aria-labelledby="parts" { h2 #parts { "Its parts" } (parts(&server.parts)) }
            }
        },
    );
    Ok(if may_write(api) { page.fixed("doctor", asking()) } else { page })
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
