use super::*;
use crate::{
    domain::{State, hook::tests::mk_commit},
    supervisor::ChangeKind,
};

fn mk_change(revision: u64, kind: ChangeKind) -> Change {
    let commit = mk_commit(Some(State::Starting), State::Active);
    Change { kind, commit: Arc::new(Commit { revision, ..commit }) }
}

fn read(event: &Bytes) -> PluginEvent {
    PluginEvent::decode(event.clone()).unwrap()
}

#[test]
fn each_watch_has_its_own_of_a_change_that_is_encoded_once() {
    let encoded = Encoded::default();
    let (changed, removed) = (mk_change(7, ChangeKind::Changed), mk_change(7, ChangeKind::Removed));
    let events = [(&changed, "one"), (&removed, "another")].map(|(change, cursor)| {
        let event = encoded.event(change, cursor.to_owned());
        assert_eq!(event.len(), read(&event).encoded_len(), "nothing is in it twice");
        read(&event)
    });
    let commit = &changed.commit;
    for (event, kind, cursor) in
        [(&events[0], plugin_event::Kind::Changed, "one"), (&events[1], plugin_event::Kind::Removed, "another")]
    {
        assert_eq!((event.kind(), event.cursor.as_str(), event.revision), (kind, cursor, 7));
        assert_eq!((event.plugin.as_ref(), event.state_before), (Some(&convert::plugin(&commit.plugin)), Some(2)));
    }
    assert_eq!(encoded.shared(commit).as_ptr(), encoded.shared(commit).as_ptr());
}

#[test]
fn what_is_kept_encoded_is_new_and_small() {
    let encoded = Encoded::default();
    let is_kept = |change: &Change| {
        let commit = &change.commit;
        encoded.shared(commit).as_ptr() == encoded.shared(commit).as_ptr()
    };
    // A watch may have a change before others have the one before it.
    for revision in (1..=50).flat_map(|pair| [2 * pair, 2 * pair - 1]) {
        assert!(is_kept(&mk_change(revision, ChangeKind::Changed)));
    }
    assert!(is_kept(&mk_change(90, ChangeKind::Changed)));
    assert!(!is_kept(&mk_change(10, ChangeKind::Changed)));
    let kept: Vec<u64> = encoded.0.lock().unwrap().iter().map(|(revision, _)| *revision).collect();
    assert_eq!(kept, Vec::from_iter(37..=100), "who is far behind takes no place from others");
    let mut large = mk_change(101, ChangeKind::Changed);
    let commit = Arc::make_mut(&mut large.commit);
    Arc::make_mut(&mut commit.plugin).reported.last_protocol_fault = "x".repeat(KEPT_BYTES);
    assert!(!is_kept(&large));
}
