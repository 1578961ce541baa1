//! What is wanted of a plugin and what it does, its failure, and what it has done.

use maud::{Markup, html};

use super::{
    super::{activity::timeline, logs, page::Page, text, usage},
    may_write,
};
use crate::{
    api::{
        v1::{
            Failure, GetPolicyRequest, Limits, ListPluginEventsRequest, Plugin, PluginEvent, PluginStatus, Policy,
            failure::Stage,
        },
        words,
    },
    domain::text::shorten,
    rest::{Api, Problem},
};

/// Letters of its description that are shown; its manifest has all.
const DESCRIPTION: usize = 500;

/// Changes that are told of it.
const CHANGES: i32 = 50;

/// Lines of the log that are shown beside a failure.
const LINES: u32 = 12;

pub(super) async fn add(page: Page, api: &Api, plugin: &Plugin) -> Result<Page, Problem> {
    let policy = if may_write(api) { policy(api, &plugin.id).await? } else { None };
    let status = plugin.status.clone().unwrap_or_default();
    let page = match &status.failure {
        Some(failure) => page.live("failure", shown(failure, &last_lines(api, plugin).await)),
        None => page.live("failure", html! {}),
    };
    let changes = past(api, &plugin.id).await;
    let page = page.live(
        "overview",
        html! {
            div.grid {
                section.card aria-labelledby="facts" { h2 #facts { "State" } (facts(plugin, &status, policy.as_ref())) }
                section.card aria-labelledby="usage-title" { h2 #usage-title { "What it uses" } (usage::facts(&status)) }
            }
        },
    );
    Ok(page.live(
        "past",
        html! {
            section.card aria-labelledby="past-title" {
                h2 #past-title { "What happened to it" }
                @match &changes {
                    Ok(changes) => { (timeline(changes, None)) }
                    Err(problem) => { p.notice.caution { "It can't be read just now: " (problem.message()) } }
                }
                @if changes.is_ok_and(|changes| changes.len() == CHANGES as usize) { p { a href={ "/activity?plugin=" (plugin.id) } { "All of it" } } }
            }
        },
    ))
}

/// What is decided about the plugin; only administrators see that.
async fn policy(api: &Api, id: &str) -> Result<Option<Policy>, Problem> {
    Ok(api.call(GetPolicyRequest { plugin_id: id.to_owned() }).await?.policy)
}

fn facts(plugin: &Plugin, status: &PluginStatus, policy: Option<&Policy>) -> Markup {
    let limits = policy.and_then(|policy| policy.limits.as_ref()).map(limits).unwrap_or_default();
    html! {
        dl.facts {
            dt { "Desired" }
            dd { (text::word(plugin.active_state().as_str_name())) (generation(plugin, status)) }
            dt { "Reported" }
            dd { (text::word(status.state().as_str_name())) ", since " (text::time(status.state_time.as_ref())) }
            @if let Some(pid) = status.pid { dt { "Process" } dd { (pid) } }
            @if let Some(placement) = &status.placement { dt { "Placement" } dd { code { (words::placement(placement)) } } }
            @if let Some(run) = &status.run_id { dt { "Run" } dd { code { (run) } } }
            dt { "Restarts" }
            dd { (status.restart_count) @if status.restart_time.is_some() { ", the next one " (text::due(status.restart_time.as_ref())) } }
            @if status.confinement.is_some() { dt { "Sandbox" } dd { (confinement(status)) } }
            @if !limits.is_empty() { dt { "Limits" } dd { (limits.join(", ")) } }
            @if status.degraded { dt { "Degraded" } dd { "It answers, but not as it should." } }
            @if status.events_dropped > 0 { dt { "Events dropped" } dd { (status.events_dropped) ": it was too slow for them" } }
            @if status.protocol_faults > 0 {
                dt { "Protocol faults" }
                dd { (status.protocol_faults) ", the last one: " (status.last_protocol_fault()) }
            }
            dt { "Installed" }
            dd { (text::time(plugin.create_time.as_ref())) }
            dt { "Id" }
            dd { code { (plugin.id) } }
            @if !plugin.description.is_empty() { dt { "Description" } dd { (shorten(&plugin.description, DESCRIPTION)) } }
        }
    }
}

/// Whether what was asked for last has come about.
fn generation(plugin: &Plugin, status: &PluginStatus) -> Markup {
    html! { @if status.observed_generation < plugin.generation { small { " (the last change is on its way)" } } }
}

/// What holds the processes, in words.
fn confinement(status: &PluginStatus) -> String {
    let name = status.confinement().as_str_name().trim_start_matches("CONFINEMENT_");
    match name.strip_suffix("_FILES_ONLY") {
        Some(level) => format!("{}, files only", level.to_lowercase()),
        None => name.to_lowercase(),
    }
}

/// The limits that are set, in words.
fn limits(limits: &Limits) -> Vec<String> {
    let all = [
        limits.memory_bytes.map(|bytes| format!("{} of memory", text::bytes(bytes))),
        limits.cpu_millis.map(|millis| format!("{} % of a processor", millis / 10)),
        limits.processes.map(|count| format!("{count} processes")),
        limits.open_files.map(|count| format!("{count} open files")),
        limits.file_bytes.map(|bytes| format!("files of {}", text::bytes(bytes))),
        limits.cpu_seconds.map(|seconds| format!("{seconds} s of processor time")),
    ];
    all.into_iter().flatten().collect()
}

/// What happened to it. What it does is known also while the database, which has its past, is away.
async fn past(api: &Api, id: &str) -> Result<Vec<PluginEvent>, Problem> {
    let request = ListPluginEventsRequest { plugin_id: Some(id.to_owned()), page_size: CHANGES, ..Default::default() };
    Ok(api.call(request).await?.events)
}

/// The last lines that the plugin printed. That there are none to be had is no reason to show nothing else.
async fn last_lines(api: &Api, plugin: &Plugin) -> Vec<Markup> {
    if text::is_external(plugin) {
        return Vec::new();
    }
    logs::last(api, &plugin.id, LINES).await.unwrap_or_default()
}

fn shown(failure: &Failure, lines: &[Markup]) -> Markup {
    let stage = match failure.stage() {
        Stage::Start => "It could not be started",
        Stage::Connect => "It did not connect",
        Stage::Link => "Its connection failed",
        Stage::Exit => "It ended",
        Stage::Stop => "It did not stop",
        Stage::Unspecified => "It failed",
    };
    html! {
        section.card.failed aria-labelledby="failed" {
            h2 #failed { (stage) ": " (failure.message) }
            p.soft {
                @if let Some(code) = failure.exit_code { "Exit code " (code) ". " }
                @if let Some(signal) = failure.signal { "Signal " (signal) ". " }
                @if let Some(placement) = &failure.placement { "It was at " (words::placement(placement)) ". " }
                @if failure.out_of_memory { "The kernel killed it because there was no memory left. " }
                @if !failure.survivors.is_empty() { "Processes that could not be killed: " (format!("{:?}", failure.survivors)) ". " }
                @if let Some(digest) = &failure.going_back_to { "plugd goes back to the package before it, " code { (digest) } "." }
            }
            @if !lines.is_empty() {
                h3 { "The last lines that it printed" }
                div.log.short tabindex="0" role="group" aria-label="The last lines" { @for line in lines { (line) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use tonic::Status;

    use crate::console::tests::Console;

    #[tokio::test]
    async fn what_a_plugin_does_is_shown_while_its_past_can_not_be_read() {
        let console = Console::new();
        console.fake.has_past(Err(Status::unavailable("away")));
        let page = console.get("viewer", "/plugins/9m4e2mr0ui3e8a215n4g").await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        assert!(page.text.contains("Reported") && page.text.contains("can't be read just now"), "{}", page.text);
    }
}
