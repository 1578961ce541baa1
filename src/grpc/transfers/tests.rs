use futures_util::{FutureExt, future::join_all};
use tokio::time::sleep;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

fn token(number: u8) -> TokenId {
    TokenId::from_bytes([number; 12])
}

/// So many places for this token, which are to be had at once.
async fn take(places: &Places, number: u8, count: usize) -> Vec<Place> {
    let taken = join_all((0..count).map(|_| places.begin(token(number), PATIENCE))).now_or_never();
    taken.expect("they would wait").into_iter().map(Result::unwrap).collect()
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_its_share_waits_and_leaves_the_rest_to_others() {
    let places = Places::new("uploads");
    let mut first = take(&places, 1, SHARE).await;
    let mut waiting = Box::pin(places.begin(token(1), PATIENCE));
    assert!(waiting.as_mut().now_or_never().is_none(), "it waits");
    let _others = take(&places, 2, AT_ONCE - SHARE).await;
    first.pop();
    assert!(waiting.await.is_ok(), "its turn has come");
}

#[tokio::test(start_paused = true)]
async fn the_ninth_waits_its_turn_until_its_time_is_over() {
    let places = Places::new("uploads");
    let mut first = take(&places, 1, SHARE).await;
    let _second = take(&places, 2, AT_ONCE - SHARE).await;
    let refused = places.begin(token(3), PATIENCE).await.unwrap_err();
    assert_eq!(refused.reason, Reason::DeadlineExceeded);
    assert_eq!(refused.message, "it was not this call's turn in 60s: other uploads were running");
    let mut ninth = Box::pin(places.begin(token(3), PATIENCE));
    assert!(ninth.as_mut().now_or_never().is_none(), "it waits");
    first.pop();
    assert!(ninth.await.is_ok(), "its turn has come");
}

#[tokio::test(start_paused = true)]
async fn only_so_many_calls_of_a_token_wait() {
    let places = Places::new("downloads");
    let _first = take(&places, 1, SHARE).await;
    let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| Box::pin(places.begin(token(1), PATIENCE))).collect();
    assert!(waiting.iter_mut().all(|call| call.now_or_never().is_none()));
    let refused = places.begin(token(1), PATIENCE).await.unwrap_err();
    assert!(refused.message.starts_with("32 downloads of this token wait"), "{}", refused.message);
    waiting.pop();
    assert!(places.begin(token(1), PATIENCE).now_or_never().is_none(), "who gives up leaves its place in the queue");
}

#[tokio::test]
async fn a_token_without_calls_is_forgotten() {
    let places = Places::new("uploads");
    drop(take(&places, 1, SHARE).await);
    let _place = take(&places, 2, 1).await;
    assert_eq!(places.shares.lock().unwrap().len(), 1);
}

/// Seconds until a transfer is ended that moves so many KiB every so many seconds; none: it goes on.
async fn ended_after(kibibytes: usize, every: u64) -> Option<u64> {
    let begun = Instant::now();
    let mut transfer = Transfer::begin();
    for _ in 0..1000 {
        if transfer.step(sleep(Duration::from_secs(every))).await.is_err() {
            return Some(begun.elapsed().as_secs());
        }
        transfer.advance(kibibytes * 1024);
    }
    None
}

#[tokio::test(start_paused = true)]
async fn a_transfer_ends_when_it_is_idle_behind_its_rate_or_too_long() {
    assert_eq!(ended_after(100_000, 35).await, Some(30), "idle");
    assert_eq!(ended_after(0, 5).await, Some(30), "messages without a byte");
    assert_eq!(ended_after(80, 5).await, Some(57), "16 KiB a second: 30 s and a second for each 32 KiB");
    assert_eq!(ended_after(200, 5).await, Some(600), "as fast as it must be, but without an end");
}

#[tokio::test(start_paused = true)]
async fn who_is_too_slow_is_told_what_is_needed() {
    let error = Transfer::begin().step(std::future::pending::<()>()).await.unwrap_err();
    assert_eq!(error.reason, Reason::TooSlow);
    assert!(error.message.contains("0 bytes in 30 s; at least 32768 a second"), "{}", error.message);
}
