//! WatchState over the wire: snapshot, live, resume, heartbeat, filter, epoch, compaction.

use plugd::api::v1::{
    ReportedState::{self, Active, Inactive, Stopping},
    WatchStateRequest,
    plugin_event::Kind,
    watch_state_request::Start,
    watch_state_response::Frame,
};
use prost_types::Duration;
use tonic::{Code, Status};

use crate::harness::{Api, Cursor, Plugd, QUICK, Watch, details, field_violations, reason, state_of, within};

/// The shortest heartbeat that may be asked for.
const SECOND: Option<Duration> = Some(Duration { seconds: 1, nanos: 0 });

fn after(cursor: &Cursor) -> WatchStateRequest {
    WatchStateRequest { start: Some(cursor.start()), ..Default::default() }
}

async fn refused(api: &Api, request: WatchStateRequest) -> Status {
    api.watch(request).await.err().expect("a refusal")
}

#[tokio::test]
async fn a_watch_begins_with_a_snapshot_even_an_empty_one_and_goes_on_with_every_change() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let mut empty = api.watch(WatchStateRequest::default()).await.unwrap();
    assert_eq!(empty.snapshot().await, []);
    let one = api.install(&["tame"]).await;
    let two = api.run(&["tame"]).await;

    let mut late = api.watch(WatchStateRequest::default()).await.unwrap();
    let snapshot = late.snapshot().await;

    assert_eq!(snapshot.iter().map(|plugin| &plugin.id).collect::<Vec<_>>(), [&one, &two]);
    let mut listed = api.list().await.unwrap();
    // What a run uses is no change.
    listed.iter_mut().filter_map(|plugin| plugin.status.as_mut()).for_each(|status| status.usage = None);
    assert_eq!(snapshot, listed);
    let added = empty.event().await.unwrap();
    assert_eq!((added.kind(), &added.plugin_id), (Kind::Added, &one));
    empty.until_state(&two, Active).await;
    api.deactivate(&two).await.unwrap();
    let (by_late, by_early) = (late.until_state(&two, Inactive).await, empty.until_state(&two, Inactive).await);
    assert_eq!(by_late, by_early);
}

#[tokio::test]
async fn a_live_watch_has_no_snapshot() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let old = api.install(&["tame"]).await;
    let mut watch = api.live().await;
    let new = api.install(&["tame"]).await;
    assert_eq!(watch.event().await.unwrap().plugin_id, new);
    assert_eq!(watch.opened.head_revision, api.get(&old).await.unwrap().revision);
}

#[tokio::test]
async fn a_cursor_resumes_with_exactly_what_came_after_it() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.install(&["tame"]).await;
    let mut watch = api.live().await;
    let start = watch.cursor.clone();
    for _ in 0..3 {
        api.activate(&id).await.unwrap();
        api.deactivate(&id).await.unwrap();
    }
    let last = api.get(&id).await.unwrap().revision;
    let all = watch.until(|event| event.revision == last).await;

    for event in &all[..all.len() - 1] {
        let cursor = Cursor { revision: event.revision, ..start.clone() };
        let mut resumed = api.watch(after(&cursor)).await.unwrap();
        let again = resumed.until(|event| event.revision == last).await;
        let expected: Vec<_> = all.iter().filter(|seen| seen.revision > event.revision).cloned().collect();
        assert_eq!(again, expected);
    }
}

#[tokio::test]
async fn heartbeats_move_the_cursor_past_what_the_filter_leaves_out() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let watched = api.install(&["tame"]).await;
    let request = WatchStateRequest { plugin_ids: vec![watched], heartbeat_interval: SECOND, ..Default::default() };
    let mut watch = api.watch(request).await.unwrap();
    assert_eq!(watch.snapshot().await.len(), 1);
    let other = api.run(&["tame"]).await;
    let head = api.get(&other).await.unwrap().revision;

    let caught_up = async {
        while watch.cursor.revision < head {
            assert!(matches!(watch.frame().await.unwrap(), Frame::Heartbeat(_)));
        }
    };
    within("the cursor's move", caught_up).await;

    assert!(matches!(watch.frame().await.unwrap(), Frame::Heartbeat(_)), "and it goes on");
    assert_eq!(watch.cursor.revision, head);
}

#[tokio::test]
async fn a_plugin_that_enters_a_filter_is_added_and_one_that_leaves_it_removed() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.install(&["tame"]).await;
    let states = |states: &[ReportedState]| states.iter().map(|state| (*state).into()).collect();
    let request = WatchStateRequest { states: states(&[Active]), ..Default::default() };
    let mut watch = api.watch(request).await.unwrap();
    assert_eq!(watch.snapshot().await, []);

    api.activate(&id).await.unwrap();
    let entered = watch.event().await.unwrap();
    assert_eq!((entered.kind(), state_of(entered.plugin.as_ref().unwrap())), (Kind::Added, Active));

    api.deactivate(&id).await.unwrap();
    let left = watch.until(|event| event.kind() == Kind::Removed).await.pop().unwrap();
    assert_eq!((left.plugin_id, state_of(left.plugin.as_ref().unwrap())), (id, Stopping));
}

#[tokio::test]
async fn filters_are_anded_across_fields() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let (one, two) = (api.run(&["tame"]).await, api.install(&["tame"]).await);
    let request = |plugin: &str| WatchStateRequest {
        plugin_ids: vec![plugin.to_owned()],
        states: vec![Active.into()],
        ..Default::default()
    };
    assert_eq!(api.watch(request(&one)).await.unwrap().snapshot().await.len(), 1);
    assert_eq!(api.watch(request(&two)).await.unwrap().snapshot().await, []);
}

#[tokio::test]
async fn cursors_of_another_history_or_of_the_future_are_out_of_range() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let head = api.live().await.cursor;

    let other = Cursor { epoch: "another".to_owned(), ..head.clone() };
    let status = refused(&api, after(&other)).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "EPOCH_UNKNOWN"));

    let future = Cursor { revision: head.revision + 1, ..head };
    let status = refused(&api, after(&future)).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "REVISION_UNKNOWN"));
}

#[tokio::test]
async fn a_cursor_is_good_for_the_filter_of_its_own_watch_only() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let through = |states: &[ReportedState], start| WatchStateRequest {
        states: states.iter().map(|state| (*state).into()).collect(),
        start: Some(start),
        ..Default::default()
    };
    let live = || Start::LiveOnly(true);
    let cursor = api.watch(through(&[Active, Inactive], live())).await.unwrap().cursor.start();
    let others = [api.live().await, api.watch(through(&[Active], live())).await.unwrap()];

    api.watch(through(&[Inactive, Active], cursor.clone())).await.unwrap();
    for start in others.map(|watch| watch.cursor.start()).into_iter().chain([Start::Cursor("another:1".to_owned())]) {
        let status = refused(&api, through(&[Active, Inactive], start)).await;
        assert_eq!((status.code(), field_violations(&status)), (Code::InvalidArgument, vec!["cursor".to_owned()]));
        assert!(status.message().contains("the same filters"), "{status}");
    }
}

#[tokio::test]
async fn a_compacted_cursor_is_out_of_range_and_says_which_revisions_are_kept() {
    let plugd = Plugd::with(&[QUICK, &[("PLUGD_JOURNAL_KEEP", "10")]].concat()).await;
    let api = plugd.api();
    let start = api.live().await.cursor;
    let id = api.install(&["tame"]).await;
    let compacted = compact(&api, &id).await;

    let status = refused(&api, after(&start)).await;

    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "REVISION_COMPACTED"));
    let told = details(&status);
    let kept: u64 = told["compact_revision"].parse().unwrap();
    assert!(kept >= compacted, "{told:?}");
    assert!(told.contains_key("head_revision"), "{told:?}");
    let oldest = Cursor { revision: kept, ..start.clone() };
    let mut resumed = api.watch(after(&oldest)).await.unwrap();
    assert_eq!(resumed.event().await.unwrap().revision, kept + 1);
    let mut anew = api.watch(WatchStateRequest::default()).await.unwrap();
    assert_eq!(anew.snapshot().await[0].id, id);
}

/// Changes a plugin until revisions are forgotten; returns the newest of those.
async fn compact(api: &Api, id: &str) -> u64 {
    for _ in 0..100 {
        api.activate(id).await.unwrap();
        api.deactivate(id).await.unwrap();
        let opened = api.live().await.opened;
        if opened.compact_revision > 0 {
            assert!(opened.compact_revision < opened.head_revision);
            return opened.compact_revision;
        }
    }
    panic!("nothing was ever forgotten");
}

#[tokio::test]
async fn a_new_data_folder_is_a_new_history() {
    let (one, two) = (Plugd::start().await, Plugd::start().await);
    assert_ne!(one.api().live().await.cursor.epoch, two.api().live().await.cursor.epoch);
}

#[tokio::test]
async fn a_watch_ends_at_its_maximum_age_and_can_be_resumed() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let request = WatchStateRequest { max_age: SECOND, start: Some(Start::LiveOnly(true)), ..Default::default() };
    let mut watch = api.watch(request).await.unwrap();

    let end = watch.end().await;

    assert_eq!((end.code(), reason(&end).as_str()), (Code::Unavailable, "MAX_AGE_REACHED"));
    let id = api.install(&["tame"]).await;
    assert_eq!(api.watch(after(&watch.cursor)).await.unwrap().event().await.unwrap().plugin_id, id);
}

#[tokio::test]
async fn what_a_watch_may_not_ask_for_is_refused_by_field() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let interval = |seconds, nanos| WatchStateRequest {
        heartbeat_interval: Some(Duration { seconds, nanos }),
        ..Default::default()
    };
    for request in [interval(0, 999_999_999), interval(301, 0), interval(-1, 0)] {
        let status = refused(&api, request).await;
        assert_eq!(
            (status.code(), field_violations(&status)),
            (Code::InvalidArgument, vec!["heartbeat_interval".to_owned()])
        );
    }
    let unknown = refused(&api, WatchStateRequest { states: vec![99], ..Default::default() }).await;
    assert_eq!((unknown.code(), field_violations(&unknown)), (Code::InvalidArgument, vec!["states[0]".to_owned()]));
}

#[tokio::test]
async fn many_watchers_see_the_same_order() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let mut watches: Vec<Watch> = Vec::new();
    for _ in 0..5 {
        watches.push(plugd.api().live().await);
    }
    let ids = [api.install(&["tame"]).await, api.install(&["tame"]).await];
    let (one, two) = tokio::join!(api.activate(&ids[0]), api.activate(&ids[1]));
    let last = one.unwrap().revision.max(two.unwrap().revision);

    let mut orders = Vec::new();
    for watch in &mut watches {
        orders.push(watch.until(|event| event.revision >= last).await);
    }

    assert!(orders.windows(2).all(|pair| pair[0] == pair[1]));
}
