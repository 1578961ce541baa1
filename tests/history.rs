//! What happened to plugins, as ListPluginEvents and `plugd history` tell it.

use plugd::api::v1::{
    ListPluginEventsRequest, ListPluginEventsResponse, PluginEvent,
    ReportedState::{self, Active, Connecting, Inactive, Starting, Stopping},
    Role,
    plugin_event::Kind,
};
use tonic::{Code, Status};

use crate::harness::{Api, Plugd, Run, cli, reason, state_of};

async fn page(api: &Api, request: &ListPluginEventsRequest) -> Result<ListPluginEventsResponse, Status> {
    Ok(api.plugins().list_plugin_events(request.clone()).await?.into_inner())
}

fn of(id: &str) -> ListPluginEventsRequest {
    ListPluginEventsRequest { plugin_id: Some(id.to_owned()), ..Default::default() }
}

/// The states that a plugin went through, the newest last.
fn transitions(events: &[PluginEvent]) -> Vec<(ReportedState, ReportedState)> {
    let of_event = |event: &PluginEvent| (event.state_before(), state_of(event.plugin.as_ref().unwrap()));
    events.iter().rev().map(of_event).filter(|(before, after)| before != after).collect()
}

#[tokio::test]
async fn the_past_of_a_plugin_is_told_after_its_deletion_and_a_restart() {
    let mut plugd = Plugd::start().await;
    let api = plugd.api();
    let (id, other) = (api.run(&["tame"]).await, api.install(&["tame"]).await);
    api.deactivate(&id).await.unwrap();
    api.delete(&id).await.unwrap();
    plugd.sigterm().await;
    plugd.restart().await;

    let api = plugd.api();
    let (_, viewer) = api.create_token("viewer", Role::Viewer).await;
    let past = page(&plugd.api_as(Some(&viewer)), &of(&id)).await.unwrap();
    assert_eq!(past.next_page_token, "");
    let expected = [
        (ReportedState::Unspecified, Inactive),
        (Inactive, Starting),
        (Starting, Connecting),
        (Connecting, Active),
        (Active, Stopping),
        (Stopping, Inactive),
    ];
    assert_eq!(transitions(&past.events), expected);
    let kinds: Vec<_> = past.events.iter().map(PluginEvent::kind).collect();
    assert_eq!((kinds[0], *kinds.last().unwrap()), (Kind::Removed, Kind::Added));
    assert_eq!(past.events.last().unwrap().state_before, None, "it was new");
    assert!(past.events.is_sorted_by(|one, next| one.revision > next.revision));
    let plugin = past.events[0].plugin.clone().unwrap();
    assert_eq!((plugin.name.as_str(), plugin.manifest.len(), plugin.token), ("Chaos", 0, None));

    // Two a page, of all plugins: nothing is told twice, and nothing left out.
    let whole = page(&api, &ListPluginEventsRequest::default()).await.unwrap().events;
    assert!(whole.iter().any(|event| event.plugin_id == other));
    let (mut paged, mut request) = (Vec::new(), ListPluginEventsRequest { page_size: 2, ..Default::default() });
    loop {
        let page = page(&api, &request).await.unwrap();
        assert!(page.events.len() <= 2);
        paged.extend(page.events);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, whole);

    let table = cli(&plugd, &["history", &id, "--limit", "3"]).run().await;
    assert!(table.text().lines().nth(1).unwrap().contains(" removed "), "{table:?}");
    assert_eq!(table.text().lines().count(), 4, "{table:?}");
    let told = cli(&plugd, &["history", &id, "-o", "json"]).run().await.json();
    assert_eq!(told.as_array().unwrap().len(), past.events.len());
    assert_eq!(told[0]["kind"], "removed");
}

#[tokio::test]
async fn a_page_of_other_filters_and_an_id_that_is_none_are_refused() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let (id, _) = (api.install(&["tame"]).await, api.install(&["tame"]).await);
    let all = page(&api, &ListPluginEventsRequest { page_size: 1, ..Default::default() }).await.unwrap();
    let foreign = ListPluginEventsRequest { page_token: all.next_page_token, ..of(&id) };
    assert_eq!(page(&api, &foreign).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(reason(&page(&api, &of("no id")).await.unwrap_err()), "PLUGIN_NOT_FOUND");
    assert_eq!(page(&api, &of("d0a1b2c3d4e5f6g7h8i0")).await.unwrap().events, []);
    let (_, host) = api.create_token("host", Role::Host).await;
    let refused = page(&plugd.api_as(Some(&host)), &of(&id)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}
