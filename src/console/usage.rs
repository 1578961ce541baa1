//! What a run uses of the host.

use std::fmt::Write;

use maud::{Markup, html};

use super::text;
use crate::api::{
    v1::{PluginStatus, Usage},
    words,
};

/// Width and height of a line of samples, in its own units.
const SPARK: (usize, usize) = (60, 16);

/// Thousandths of a processor.
pub(super) fn cpu(status: &PluginStatus) -> Option<u64> {
    status.usage.as_ref()?.cpu_millis.map(u64::from)
}

/// Bytes of memory.
pub(super) fn memory(status: &PluginStatus) -> Option<u64> {
    status.usage.as_ref().map(|usage| usage.memory_bytes)
}

/// The cells of a list.
pub(super) fn cells(status: &PluginStatus) -> Markup {
    html! {
        td.cpu data-label="CPU" { (share(status.usage.as_ref())) }
        td.memory data-label="Memory" {
            @match &status.usage {
                Some(usage) => { (text::bytes(usage.memory_bytes)) (spark(&usage.memory_history)) }
                None => { span.soft { "–" } }
            }
        }
    }
}

/// What is shown of one plugin.
pub(super) fn facts(status: &PluginStatus) -> Markup {
    let Some(usage) = &status.usage else {
        return html! { p.soft { @if status.pid.is_some() { "It was not sampled yet." } @else { "Nothing of it runs." } } };
    };
    let seconds = usage.cpu_time.map(|time| time.seconds).unwrap_or_default();
    html! {
        dl.facts {
            dt { "CPU" }
            dd { (share(Some(usage))) @if seconds > 0 { small { " " (seconds) " s since it was started" } } }
            dt { "Memory" }
            dd { (text::bytes(usage.memory_bytes)) }
            dt { "Processes" }
            dd { (usage.processes) }
            @if let Some(files) = usage.open_files { dt { "Open files" } dd { (files) } }
            dt { "Sampled" }
            dd { (text::time(usage.sample_time.as_ref())) }
        }
        div.history { (spark(&usage.memory_history)) }
        @if usage.memory_history.len() > 1 { p.soft { small { "Memory, the last " (usage.memory_history.len()) " samples" } } }
    }
}

fn share(usage: Option<&Usage>) -> Markup {
    html! { @match usage.and_then(words::cpu) { Some(share) => { (share) } None => { span.soft { "–" } } } }
}

/// Samples as a line. It says how they changed, not how large they are.
fn spark(samples: &[u64]) -> Markup {
    let (most, least) = (samples.iter().max().copied().unwrap_or(0), samples.iter().min().copied().unwrap_or(0));
    if samples.len() < 2 || most == 0 {
        return html! {};
    }
    let (width, height) = SPARK;
    // What hardly changes is to look so: a tenth of it is as high as the picture at least.
    let range = (most - least).max(most / 10).max(1);
    let points = samples.iter().enumerate().fold(String::new(), |mut points, (place, sample)| {
        let x = place * width / (samples.len() - 1);
        let share = u128::from(sample - least) * (height as u128 - 2) / u128::from(range);
        // Writing to a string can't fail.
        let _ = write!(points, "{}{x} {}", if place == 0 { "M" } else { "L" }, height as u128 - 1 - share);
        points
    });
    html! {
        svg.spark viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) preserveAspectRatio="none" aria-hidden="true" {
            path.area d={ (points) "L" (width) " " (height) "L0 " (height) "z" } {}
            path d=(points) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_samples_begins_and_ends_at_the_edges() {
        let drawn = spark(&[10, 20, 15]).into_string();
        assert!(drawn.contains("d=\"M0 15L30 1L60 8\""), "{drawn}");
        assert_eq!(spark(&[5]).into_string(), "");
        assert!(spark(&[1000, 1001]).into_string().contains("d=\"M0 15L60 15\""), "a thousandth is no mountain");
        assert!(spark(&[0, u64::MAX]).into_string().contains("d=\"M0 15L60 1\""));
    }
}
