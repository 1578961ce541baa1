//! What happened to plugins: the journal, newest first, live.

use super::*;
use crate::api::v1::{
    Failure, ListPluginEventsRequest, Plugin, PluginEvent, ReportedState, WatchStateRequest, plugin_event::Kind,
};

/// The tab of changes: of all plugins, or of one.
pub(super) async fn show(visit: Visit, query: &Query) -> Result<Response, Problem> {
    let of = |name| query.one(name).map(|value| value.unwrap_or_default().to_owned());
    let (id, page_token) = (of("plugin")?, of("page")?);
    let plugin_ids = Some(id.clone()).filter(|id| !id.is_empty()).into_iter().collect();
    let watched = WatchStateRequest { plugin_ids, ..WatchStateRequest::default() };
    visit.show(watched, (id, page_token), make).await
}

async fn make(api: Arc<Api>, wanted: Arc<(String, String)>) -> Result<Page, Problem> {
    let (id, page_token) = &*wanted;
    let names = names(&api).await?;
    let request = ListPluginEventsRequest {
        plugin_id: Some(id.clone()).filter(|id| !id.is_empty()),
        page_size: ROWS,
        page_token: page_token.clone(),
    };
    let answer = api.call(request).await?;
    let form = html! { form.filters method="get" action="/activity" { (plugin_field(&names, id)) button { "Show" } } };
    let page_at = |page: &str| address("/activity", [("plugin", id.as_str()), ("page", page)]);
    let markup = html! {
        @if answer.events.is_empty() { p.empty { "Nothing happened that is still kept." } }
        @else { div.card { (timeline(&answer.events, Some(&names))) } }
        (turning(PAGES, (page_token, &answer.next_page_token), page_at))
    };
    Ok(page("changes").fixed("filters", form).live("changes", markup))
}

/// Changes of state of one plugin that follow each other within so many seconds are told together.
const TOGETHER: i64 = 10;

/// What is told at once.
struct Entry<'a> {
    event: &'a PluginEvent,
    /// The states that the plugin went through, if it is another one now.
    states: Vec<ReportedState>,
    /// When the first change was.
    since: i64,
    words: Vec<String>,
    failure: Option<&'a Failure>,
}

/// What happened, newest first; each with its plugin's name where the names of those are given that are there now.
pub(in crate::console) fn timeline(events: &[PluginEvent], names: Option<&HashMap<String, String>>) -> Markup {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut last: HashMap<&str, usize> = HashMap::new();
    for (place, event) in events.iter().enumerate() {
        let older = events[place + 1..].iter().find(|older| older.plugin_id == event.plugin_id);
        let entry = Entry::of(event, older.and_then(|older| older.plugin.as_ref()));
        let newer = last.get(event.plugin_id.as_str()).and_then(|place| entries.get_mut(*place));
        match newer.filter(|newer| newer.takes(&entry)) {
            Some(newer) => newer.take(entry),
            None => {
                last.insert(&event.plugin_id, entries.len());
                entries.push(entry);
            }
        }
    }
    html! { ul.timeline { @for entry in &entries { (entry.show(names)) } } }
}

impl<'a> Entry<'a> {
    /// A change, by what its plugin was before it, if that is known.
    fn of(event: &'a PluginEvent, older: Option<&Plugin>) -> Self {
        let now = event.plugin.as_ref();
        let (state, before) =
            (now.map(text::state_of).unwrap_or_default(), event.state_before.map(|_| event.state_before()));
        let is_change = event.kind() == Kind::Changed;
        let is_other =
            is_change && before.is_some_and(|before| before != state && before != ReportedState::Unspecified);
        let states = before.filter(|_| is_other).map(|before| vec![before, state]).unwrap_or_default();
        let words = now.filter(|_| is_change).map(|now| words(now, older, states.is_empty())).unwrap_or_default();
        let failure =
            now.and_then(failure_of).filter(|failure| is_change && older.and_then(failure_of) != Some(*failure));
        Self { event, states, since: event.commit_time.map_or(0, |time| time.seconds), words, failure }
    }

    /// Whether an older one, of which there is nothing else to tell, led to the first state of this.
    fn takes(&self, older: &Self) -> bool {
        let is_plain = older.words.is_empty() && older.failure.is_none();
        // What comes after it was active is another story.
        let is_on_its_way = older.states.last().is_some_and(|state| *state != ReportedState::Active);
        let leads = is_on_its_way && older.states.last() == self.states.first();
        is_plain && leads && self.since - older.since <= TOGETHER
    }

    fn take(&mut self, older: Self) {
        self.states.splice(..1, older.states);
        self.since = older.since;
    }

    fn show(&self, names: Option<&HashMap<String, String>>) -> Markup {
        let now = self.event.plugin.clone().unwrap_or_default();
        html! {
            li id={ "r" (self.event.revision) } {
                (text::time(self.event.commit_time.as_ref()))
                span.row {
                    @if let Some(names) = names { strong { (plugin(&self.event.plugin_id, &name(&now), names)) } }
                    @match self.event.kind() {
                        Kind::Added if text::is_external(&now) => { "registered" (version(&now)) }
                        Kind::Added => { "installed" (version(&now)) }
                        Kind::Removed => { "deleted" }
                        _ => { (self.change()) }
                    }
                }
                @if let Some(failure) = self.failure { p { (failure.message) } }
            }
        }
    }

    fn change(&self) -> Markup {
        html! {
            @for (place, state) in self.states.iter().enumerate() {
                @if place > 0 { span.soft { "→" } }
                @if place + 1 < self.states.len() { span.soft { (text::word(state.as_str_name())) } } @else { (text::state(*state)) }
            }
            @for words in &self.words { span { (words) } }
        }
    }
}

fn failure_of(plugin: &Plugin) -> Option<&Failure> {
    plugin.status.as_ref()?.failure.as_ref()
}

fn version(plugin: &Plugin) -> Markup {
    html! { @if !plugin.version.is_empty() { ", version " (sanitize(&plugin.version)) } }
}

/// What else changed, as far as the change before tells; something is always told of one that left the state as it was.
fn words(now: &Plugin, older: Option<&Plugin>, is_same_state: bool) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(older) = older {
        if older.active_state != now.active_state {
            words.push(format!("shall be {}", text::word(now.active_state().as_str_name())));
        }
        if older.version != now.version {
            words.push(format!("version {} → {}", sanitize(&older.version), sanitize(&now.version)));
        } else if older.package_digest != now.package_digest {
            words.push("another package".to_owned());
        }
        if older.name != now.name {
            words.push(format!("was called “{}”", name(older)));
        }
        if older.configuration_revision != now.configuration_revision {
            words.push("configured".to_owned());
        }
        let restarts = |plugin: &Plugin| plugin.status.as_ref().map_or(0, |status| status.restart_count);
        if restarts(now) > restarts(older) {
            words.push(format!("restart {}", restarts(now)));
        }
        if words.is_empty() && older.generation != now.generation {
            words.push("a change was asked for".to_owned());
        }
    }
    if words.is_empty() && is_same_state {
        words.push("reported anew".to_owned());
    }
    words
}
