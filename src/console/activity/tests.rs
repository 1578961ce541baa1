use super::{super::tests::Console, *};
use crate::api::v1::{
    AuditEvent, Failure, ListAuditEventsResponse, ListPluginEventsResponse, Plugin, PluginEvent, PluginStatus,
    ReportedState, Role, audit_event::Principal, plugin_event::Kind,
};

fn plugin(name: &str, state: ReportedState) -> Plugin {
    let status = PluginStatus { state: state.into(), ..PluginStatus::default() };
    Plugin { id: "one".to_owned(), name: name.to_owned(), status: Some(status), ..Plugin::default() }
}

fn event(kind: Kind, before: Option<ReportedState>, plugin: Plugin) -> PluginEvent {
    PluginEvent {
        kind: kind.into(),
        plugin_id: plugin.id.clone(),
        state_before: before.map(i32::from),
        plugin: Some(plugin),
        ..PluginEvent::default()
    }
}

/// What each entry says, without its markup.
fn told(events: &[PluginEvent]) -> Vec<String> {
    let markup = changes::timeline(events, None).0;
    let entries = markup.split("<li").skip(1).map(|entry| {
        let texts = entry.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text);
        texts.filter(|text| !text.is_empty() && *text != "–").collect::<Vec<_>>().join(" ")
    });
    entries.collect()
}

#[test]
fn each_change_is_told_by_what_it_changed() {
    let (active, inactive) = (ReportedState::Active, ReportedState::Inactive);
    let was = Plugin { version: "1".to_owned(), generation: 1, ..plugin("A", inactive) };
    let wanted = Plugin { active_state: 2, ..was.clone() };
    let newer = Plugin { version: "2".to_owned(), name: "B".to_owned(), ..wanted.clone() };
    let configured = Plugin { configuration_revision: Some(4), ..newer.clone() };
    let mut restarted = configured.clone();
    restarted.status = Some(PluginStatus { state: active.into(), restart_count: 2, ..PluginStatus::default() });
    let rotated = Plugin { generation: 9, ..restarted.clone() };
    let events = [
        event(Kind::Removed, Some(active), rotated.clone()),
        event(Kind::Changed, Some(active), rotated.clone()),
        event(Kind::Changed, Some(active), rotated),
        event(Kind::Changed, Some(inactive), restarted),
        event(Kind::Changed, Some(inactive), configured),
        event(Kind::Changed, Some(inactive), newer),
        event(Kind::Changed, Some(inactive), wanted),
        event(Kind::Added, None, was),
    ];
    let expected = [
        "deleted",
        "reported anew",
        "a change was asked for",
        "inactive → active restart 2",
        "configured",
        "version 1 → 2 was called “A”",
        "shall be active",
        "installed, version 1",
    ];
    let told = told(&events);
    assert_eq!(
        told[6],
        format!("shall be {}", text::word(events[6].plugin.as_ref().unwrap().active_state().as_str_name()))
    );
    for (place, words) in expected.iter().enumerate().filter(|(place, _)| *place != 6) {
        assert_eq!(told[place].replace(" , version", ", version"), *words);
    }
}

#[test]
fn the_states_of_a_start_are_told_together() {
    let (inactive, starting) = (ReportedState::Inactive, ReportedState::Starting);
    let (connecting, active) = (ReportedState::Connecting, ReportedState::Active);
    let at = |seconds, id: &str, before, now| {
        let commit_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
        let plugin = Plugin { id: id.to_owned(), ..plugin("A", now) };
        PluginEvent { commit_time, ..event(Kind::Changed, Some(before), plugin) }
    };
    let events = [
        at(131, "two", active, starting),
        at(130, "two", connecting, active),
        at(130, "one", connecting, active),
        at(121, "one", starting, connecting),
        at(120, "two", starting, connecting),
        at(112, "one", inactive, starting),
        at(100, "one", active, inactive),
    ];
    let told = told(&events).into_iter().map(|told| told.split("UTC ").last().unwrap().to_owned());
    let expected = [
        "active → starting",
        "starting → connecting → active",
        "inactive → starting → connecting → active",
        "active → inactive",
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

#[test]
fn a_failure_is_told_where_it_is_new() {
    let failed = |message: &str| {
        let failure = Some(Failure { message: message.to_owned(), ..Failure::default() });
        let status = PluginStatus { state: ReportedState::Error.into(), failure, ..PluginStatus::default() };
        Plugin { status: Some(status), ..plugin("A", ReportedState::Error) }
    };
    let error = Some(ReportedState::Error);
    let events = [
        event(Kind::Removed, error, failed("<b>one")),
        event(Kind::Changed, error, failed("<b>one")),
        event(Kind::Changed, Some(ReportedState::Active), failed("<b>one")),
    ];
    assert_eq!(told(&events), ["deleted", "reported anew", "active → error &lt;b&gt;one"]);
}

#[tokio::test]
async fn changes_name_the_plugins_and_lead_to_those_that_are_there() {
    let console = Console::new();
    console.fake.lists(vec![vec![plugin("New <name>", ReportedState::Active)]]);
    let gone = Plugin { id: "gone".to_owned(), ..plugin("Gone <i>", ReportedState::Active) };
    let events =
        vec![event(Kind::Removed, None, gone), event(Kind::Added, None, plugin("Old", ReportedState::Inactive))];
    console.fake.has_past(Ok(ListPluginEventsResponse { events, next_page_token: "next page&".to_owned() }));
    let page = console.get("viewer", "/activity?plugin=one").await.text;
    assert!(page.contains("<a href=\"/plugins/one\">New &lt;name&gt;</a>"), "{page}");
    assert!(page.contains("<span title=\"gone\">Gone &lt;i&gt;</span>"), "{page}");
    assert!(page.contains("href=\"/activity?plugin=one&amp;page=next+page%26\""), "{page}");
    assert!(console.fake.seen().join("\n").contains("plugin_id: Some(\"one\")"));
}

#[tokio::test]
async fn the_audit_trail_tells_who_did_what_and_its_links_ask_for_less() {
    let console = Console::new();
    console.fake.lists(vec![vec![plugin("One", ReportedState::Active)]]);
    let principal = Principal { token_id: "t1".to_owned(), name: "<ci>".to_owned(), role: Role::Admin.into() };
    let called = AuditEvent {
        id: 3,
        principal: Some(principal),
        address: "192.0.2.1".to_owned(),
        method: "plugd.v1.PluginService/SetActiveState".to_owned(),
        plugin_id: Some("one".to_owned()),
        code: "PERMISSION_DENIED".to_owned(),
        reason: "LAST\"<".to_owned(),
        ..AuditEvent::default()
    };
    console.fake.has_audit(ListAuditEventsResponse { events: vec![called], next_page_token: "2".to_owned() });
    let page = console.get("admin", "/activity?tab=audit&token=t1&page=1").await.text;
    for part in [
        "<a href=\"/activity?tab=audit&amp;token=t1\" title=\"Only what was called with t1\">&lt;ci&gt;</a>",
        "<a href=\"/activity?tab=audit&amp;method=SetActiveState&amp;token=t1\" title=\"Only calls of SetActiveState\">",
        "<small class=\"block\">PluginService</small>",
        "<a href=\"/plugins/one\">One</a>",
        "192.0.2.1",
        "<span class=\"pill outcome failure\"",
        "LAST&quot;&lt;",
        "<option value=\"t1\" selected>t1</option>",
        "<a href=\"/activity?tab=audit&amp;token=t1\">Newest</a>",
        "<a href=\"/activity?tab=audit&amp;token=t1&amp;page=2\" rel=\"next\">",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    let seen = console.fake.seen().join("\n");
    assert!(
        seen.contains("page_token: \"1\", plugin_id: None, principal_token_id: Some(\"t1\"), method: None"),
        "{seen}"
    );
}

#[tokio::test]
async fn a_viewer_is_told_that_the_audit_trail_is_for_administrators() {
    let console = Console::new();
    let page = console.get("viewer", "/activity?tab=audit").await;
    assert_eq!(page.status, axum::http::StatusCode::OK);
    assert!(page.text.contains("The audit trail is for administrators."));
    assert!(!console.fake.seen().join("\n").contains("ListAuditEvents"));
}
