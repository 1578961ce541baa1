use std::time::Duration;

use super::*;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn event() -> Map<String, Value> {
    Map::from_iter([("method".to_owned(), Value::from("event"))])
}

#[tokio::test]
async fn an_answer_that_names_another_method_or_none_ends_its_call_with_what_is_wrong_11_1() {
    let pending = Pending::default();
    for (result, words) in [
        (Map::from_iter([("method".to_owned(), Value::from("configure"))]), "is \"configure\" and must be \"event\""),
        (Map::new(), "has no \"method\""),
        (Map::from_iter([("method".to_owned(), Value::from(7))]), "has no \"method\""),
    ] {
        let (id, answer) = pending.open("event", soon()).unwrap();
        let fault = pending.resolve(&id, Ok(result)).unwrap_err();
        assert!(fault.contains(words), "{fault}");
        let Err(CallError::Undecodable(why)) = answer.await.unwrap() else { panic!("it was an answer") };
        assert!(why.contains(words), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_to_a_ping_is_no_fault() {
    let pending = Pending::default();
    let id = pending.open_ping("ping", Instant::now()).unwrap();
    pending.open_ping("ping", soon()).unwrap();
    assert_eq!(pending.resolve(&id, Ok(Map::new())), Ok(()));
}

#[tokio::test]
async fn what_was_given_up_is_remembered_within_bounds() {
    let pending = Pending::default();
    for _ in 0..2 * MAX_REMEMBERED {
        let (id, _answer) = pending.open("event", soon()).unwrap();
        pending.abandon(&id);
    }
    assert_eq!(pending.lock().given_up.len(), MAX_REMEMBERED);
}

#[tokio::test]
async fn an_answer_reaches_its_call_once() {
    let pending = Pending::default();
    let (id, answer) = pending.open("event", soon()).unwrap();
    assert_eq!(pending.resolve(&id, Ok(event())), Ok(()));
    assert!(pending.resolve(&id, Ok(event())).is_err(), "a second answer is nobody's");
    assert_eq!(answer.await.unwrap(), Ok(event()));
}

#[tokio::test]
async fn ids_are_canonical_xids_as_11_2_demands() {
    let (id, _answer) = Pending::default().open("event", soon()).unwrap();
    assert!(id.parse::<crate::domain::RunId>().is_ok(), "{id}");
}

#[tokio::test]
async fn a_closed_table_fails_what_waits_and_what_comes() {
    let pending = Pending::default();
    let (_, answer) = pending.open("event", soon()).unwrap();
    pending.close();
    assert!(answer.await.is_err());
    assert_eq!(pending.open_ping("ping", soon()), Err(CallError::NotConnected));
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_call_keeps_the_plugin_busy_until_its_deadline() {
    let pending = Pending::default();
    let until = soon();
    let (id, _answer) = pending.open("event", until).unwrap();
    let (sooner, _answer) = pending.open("event", Instant::now()).unwrap();
    pending.abandon(&id);
    pending.abandon(&sooner);
    assert_eq!(pending.busy_until(Instant::now()), Some(until));
    assert_eq!(pending.busy_until(until), None);
    assert_eq!(pending.resolve(&id, Ok(event())), Ok(()), "an answer that comes late is no fault");
    assert!(pending.resolve(&id, Ok(event())).is_err(), "but a second one is");
}

#[tokio::test]
async fn a_call_that_was_answered_is_not_abandoned_any_more() {
    let pending = Pending::default();
    let (id, _answer) = pending.open("event", soon()).unwrap();
    assert_eq!(pending.resolve(&id, Ok(event())), Ok(()));
    pending.abandon(&id);
    assert_eq!(pending.busy_until(Instant::now()), None);
}

#[tokio::test]
async fn a_ping_keeps_nobody_busy() {
    let pending = Pending::default();
    pending.open_ping("ping", soon()).unwrap();
    assert_eq!(pending.busy_until(Instant::now()), None);
}

#[tokio::test]
async fn calls_are_bounded_and_leave_room_for_pings() {
    let pending = Pending::default();
    let calls: Vec<_> = (0..MAX_PENDING).map(|_| pending.open("event", soon()).unwrap()).collect();
    assert_eq!(pending.open("event", soon()).err(), Some(CallError::QueueFull));
    pending.abandon(&calls[0].0);
    let _again = pending.open("event", soon()).unwrap();
    assert!(pending.open_ping("ping", soon()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn pings_are_bounded_and_those_whose_time_is_up_make_room() {
    let pending = Pending::default();
    for _ in 0..MAX_PENDING + ROOM_FOR_PINGS {
        pending.open_ping("ping", soon()).unwrap();
    }
    assert_eq!(pending.open_ping("ping", soon()), Err(CallError::QueueFull));
    tokio::time::advance(Duration::from_secs(31)).await;
    assert!(pending.open_ping("ping", soon()).is_ok());
}
