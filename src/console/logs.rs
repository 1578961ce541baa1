//! What plugins print: of one, or of several merged, searched and followed.
//!
//! ```text
//! page:    the last lines ─► Lines ─► markup, with the place after them
//! stream:  what comes after a place ─► Lines ─► events, each with the place after it
//! ```
//!
//! What the address asks for is what is sent: lines without the text that it searches for are left out, of the page and of the
//! stream. What is written into the search box after that hides lines of what is there, in the browser.

use std::time::Duration;

use axum::response::Response;
use maud::{Markup, html};
use tokio::time::timeout;

use super::{
    list,
    page::{Page, Section, Visit, address},
    text::{is_external, name, word},
};
use crate::{
    api::v1::{LogStream, StreamLogsRequest},
    rest::{Api, Problem, Query},
};

mod ansi;
mod download;
mod follow;
mod lines;
mod place;
mod wanted;

pub(super) use download::download;
pub(super) use follow::follow;
use lines::Lines;
use place::Place;
pub(super) use wanted::Wanted;
use wanted::{MAX_PLUGINS, MAX_TAIL, Sources};

#[cfg(test)]
mod tests;

/// How long lines are read for a page. What was found until then is shown.
const READING: Duration = Duration::from_secs(10);

/// The page of all logs.
pub(super) async fn show(visit: Visit, query: Query) -> Result<Response, Problem> {
    let wanted = Wanted::read(&query);
    let sources = Sources::of(&visit.api, &wanted).await?;
    let fields = html! { (chooser(&sources)) };
    let markup = html! { (form("/logs", &fields, &wanted)) (log(&visit.api, &wanted, &sources, &visit.path).await?) };
    let page = Page::new(Section::Logs, "Logs").fixed("title", html! { h1 { "Logs" } }).fixed("logs", markup);
    Ok(visit.page(page))
}

/// The log of one plugin as a part of its page, which is at `path`, with its query. `fields` are what the page's address has
/// beside what the log's form asks for, as hidden fields.
///
/// # Errors
/// It has no log, or the service fails.
pub(super) async fn view(api: &Api, wanted: &Wanted, path: &str, fields: &Markup) -> Result<Markup, Problem> {
    let sources = Sources::of(api, wanted).await?;
    let action = path.split('?').next().unwrap_or_default();
    Ok(html! { (form(action, fields, wanted)) (log(api, wanted, &sources, path).await?) })
}

/// The last lines that a plugin printed, each rendered.
///
/// # Errors
/// The service's.
pub(super) async fn last(api: &Api, plugin: &str, count: u32) -> Result<Vec<Markup>, Problem> {
    let request = StreamLogsRequest {
        plugin_ids: vec![plugin.to_owned()],
        tail_lines: Some(count),
        ..StreamLogsRequest::default()
    };
    let mut lines = Lines::new(String::new(), usize::try_from(count).unwrap_or(usize::MAX / 4));
    read(api, request, &mut lines, &mut Place::default()).await?;
    Ok(lines.each())
}

/// Reads lines to the end of what there is.
async fn read(api: &Api, request: StreamLogsRequest, lines: &mut Lines, place: &mut Place) -> Result<(), Problem> {
    let mut batches = api.app.backend.logs().stream_logs(api.request(request)).await?.into_inner();
    let reading = async {
        while let Some(batch) = batches.message().await? {
            lines.take(batch, place);
        }
        Ok(())
    };
    timeout(READING, reading).await.unwrap_or(Ok(()))
}

/// The box with the lines, and what stands around it.
async fn log(api: &Api, wanted: &Wanted, sources: &Sources, path: &str) -> Result<Markup, Problem> {
    let limit = usize::try_from(wanted.tail).unwrap_or_default();
    let (mut lines, mut place) = (Lines::new(wanted.searched(), limit), Place::default());
    read(api, wanted.history(sources), &mut lines, &mut place).await?;
    let lines = lines.show(&mut place, sources.line_names().as_ref());
    let stream = address("/logs/stream", wanted.fields());
    Ok(html! {
        @if sources.chosen.is_empty() && sources.are_too_many() {
            p.notice.caution { "There are more than " (MAX_PLUGINS) " plugins: these are the lines of the first of them. Choose some." }
        }
        div.log-frame {
            div.row.apart {
                p.soft #log-state role="status" { "The last " (wanted.tail) " lines at the most." }
                span.row {
                    a.button.quiet.no-script href={ (path) "#log-end" } { "Load anew" }
                    @if let [id] = sources.chosen.as_slice() {
                        a.button.quiet href={ "/logs/download?plugin=" (id) } download { "Download" }
                    }
                }
            }
            div.log #log role="log" aria-live="off" aria-label="Log" tabindex="0" data-own data-stream=(stream)
                data-after=(place) data-text=(wanted.text) {
                (nothing(wanted))
                (lines)
                span #log-end {}
            }
            button.primary.follow hidden { "Follow" }
        }
    })
}

/// What stands where there are no lines.
fn nothing(wanted: &Wanted) -> Markup {
    html! {
        p.nothing {
            @if wanted.text.is_empty() { "Nothing was printed yet." }
            @else { "Of the last " (MAX_TAIL) " lines none has “" (wanted.text) "”." }
        }
    }
}

/// What the lines are chosen with. `fields` come first.
fn form(action: &str, fields: &Markup, wanted: &Wanted) -> Markup {
    let streams = [
        ("", "Both", LogStream::Unspecified),
        ("stdout", "stdout", LogStream::Stdout),
        ("stderr", "stderr", LogStream::Stderr),
    ];
    let mut tails = vec![100, 500, 2000, MAX_TAIL, wanted.tail];
    tails.sort_unstable();
    tails.dedup();
    html! {
        form.filters method="get" action=(action) {
            (fields)
            div {
                label for="log-stream" { "Printed to" }
                select #log-stream name="stream" {
                    @for (value, words, stream) in streams { option value=(value) selected[stream == wanted.stream] { (words) } }
                }
            }
            div {
                label for="log-tail" { "Lines" }
                select #log-tail name="tail" {
                    @for tail in tails { option selected[tail == wanted.tail] { (tail) } }
                }
            }
            div.wider {
                label for="log-search" { "Search" }
                input #log-search type="search" name="q" value=(wanted.text) maxlength="200" autocomplete="off"
                    placeholder="Text that a line has" aria-describedby="log-search-help" aria-keyshortcuts="/";
                span.hidden #log-search-help { "Hides other lines while you write. Enter searches the last " (MAX_TAIL) " lines of each plugin." }
            }
            button { "Show" }
        }
    }
}

/// Which plugins.
fn chooser(sources: &Sources) -> Markup {
    html! {
        div.wider {
            span.label #log-plugins { "Plugins" }
            details.choice {
                summary aria-describedby="log-plugins" { (sources.names()) }
                div.options {
                    p.soft { "None: all." }
                    @for (id, name) in &sources.all {
                        label { input type="checkbox" name="plugin" value=(id) checked[sources.chosen.contains(id)]; " " (name) }
                    }
                    button { "Show" }
                }
            }
        }
    }
}
