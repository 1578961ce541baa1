use super::*;
use crate::domain::hook::{Hook, Progress, tests::mk_hook};

/// A webhook in which no field has its default.
fn mk_full(number: u8) -> Hook {
    let time = |second| Some(Timestamp::from_second(second).unwrap());
    let progress = Progress {
        epoch: "another".to_owned(),
        revision: 12,
        missed: 3,
        is_enabled: false,
        failures: u32::MAX,
        last_error: Some("refused\u{fffd}".to_owned()),
        last_attempt: time(1),
        next_attempt: time(2),
    };
    let (states, plugins) = (vec![State::Error, State::Restarting], vec![mk_id(1), mk_id(2)]);
    Hook { states, plugins, progress, ..mk_hook(number) }
}

#[tokio::test]
async fn webhooks_survive_a_restart_as_they_were_changed_last() {
    let fixture = Fixture::new().await;
    for number in [3, 1, 2] {
        fixture.store.create_hook(mk_hook(number)).await.unwrap();
    }
    fixture.store.update_hook(mk_full(1)).await.unwrap();
    fixture.store.note_progress(mk_full(3)).await.unwrap();
    fixture.store.delete_hook(mk_hook(2).id).await.unwrap();
    fixture.store.delete_hook(mk_hook(2).id).await.unwrap();
    let fixture = fixture.reopened(10).await;
    assert_eq!(fixture.loaded.hooks, [mk_full(1), mk_full(3)]);
}

#[tokio::test]
async fn what_is_noted_of_many_together_is_stored_and_answered_each_for_itself() {
    let fixture = Fixture::new().await;
    for number in [1, 3] {
        fixture.store.create_hook(mk_hook(number)).await.unwrap();
    }
    let noted =
        futures_util::future::join_all([1, 2, 3].map(|number| fixture.store.note_progress(mk_full(number)))).await;
    let refused: Vec<_> = noted.into_iter().map(|noted| noted.err().map(|error| error.reason)).collect();
    assert_eq!(refused, [None, Some(Reason::HookNotFound), None]);
    let fixture = fixture.reopened(10).await;
    assert_eq!(fixture.loaded.hooks, [mk_full(1), mk_full(3)]);
}

#[tokio::test]
async fn a_webhook_that_is_gone_is_not_made_by_a_change_of_it_and_is_no_outage() {
    let fixture = Fixture::new().await;
    for refused in [fixture.store.update_hook(mk_hook(1)).await, fixture.store.note_progress(mk_hook(1)).await] {
        assert_eq!(refused.unwrap_err().reason, Reason::HookNotFound);
    }
    assert!(*fixture.store.healthy().borrow());
    let fixture = fixture.reopened(10).await;
    assert_eq!(fixture.loaded.hooks, []);
}
