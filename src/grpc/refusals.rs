//! Which calls are told to the audit trail that were refused for their caller's role: of each token and method one within an hour.
//! The trail keeps a number of events, so without a limit whoever may do nothing could call until nothing else is in it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::domain::TokenId;

/// How long no further call of the same token and method is told of.
const WINDOW: Duration = Duration::from_secs(60 * 60);
/// Calls that are told of in that time, of all tokens together.
const MAX_TOLD: usize = 1000;

/// When a token was refused a method, of what was told within the window.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<(TokenId, &'static str), Instant>>);

impl Refusals {
    /// Whether a call that is refused now is to be told of. Then it counts as told.
    pub(super) fn is_told(&self, token: TokenId, method: &'static str) -> bool {
        let now = Instant::now();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, since| now.duration_since(*since) < WINDOW);
        if told.len() >= MAX_TOLD || told.contains_key(&(token, method)) {
            return false;
        }
        told.insert((token, method), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: usize) -> TokenId {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
        TokenId::from_bytes(bytes)
    }

    #[tokio::test(start_paused = true)]
    async fn of_each_token_and_method_one_call_an_hour_is_told() {
        let refusals = Refusals::default();
        assert!(refusals.is_told(token(1), "Delete"));
        assert!(!refusals.is_told(token(1), "Delete"));
        assert!(refusals.is_told(token(1), "Create") && refusals.is_told(token(2), "Delete"));
        tokio::time::advance(WINDOW - Duration::from_secs(1)).await;
        assert!(!refusals.is_told(token(1), "Delete"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(refusals.is_told(token(1), "Delete"));
    }

    #[tokio::test(start_paused = true)]
    async fn many_tokens_fill_neither_the_memory_nor_the_trail() {
        let refusals = Refusals::default();
        let told = |upto: usize| (0..upto).filter(|number| refusals.is_told(token(*number), "Delete")).count();
        assert_eq!(told(MAX_TOLD + 5), MAX_TOLD);
        tokio::time::advance(WINDOW).await;
        assert_eq!(told(5), 5);
    }
}
