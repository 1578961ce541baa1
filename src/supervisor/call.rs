//! Calls of plugins, and what is said of those during which the plugin goes away.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use super::Slot;
use crate::{
    domain::{Mode, Plugin, State},
    link::{CallError, Session},
};

/// How long it may take until it is known how a run ended whose connection is lost.
const HOW_IT_ENDED: Duration = Duration::from_secs(2);

impl Slot {
    /// Calls the plugin over this connection. One that ends meanwhile says how it ended, as soon as that is known.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(
        &self,
        session: &Session,
        (method, params): (&str, Map<String, Value>),
        limit: Duration,
    ) -> Result<Map<String, Value>, CallError> {
        let deadline = Instant::now() + limit;
        match session.call(method, Some(Value::Object(params)), limit).await {
            Err(CallError::Lost(why)) => {
                let deadline = deadline.min(Instant::now() + HOW_IT_ENDED);
                Err(CallError::Lost(self.how_it_ended(deadline).await.unwrap_or(why)))
            }
            answer => answer,
        }
    }

    async fn how_it_ended(&self, deadline: Instant) -> Option<String> {
        let mut records = self.subscribe();
        let known = records.wait_for(|plugin| plugin.as_deref().is_none_or(is_known));
        let plugin = timeout_at(deadline, known).await.ok()?.ok()?.clone();
        plugin.and_then(|plugin: Arc<Plugin>| said(&plugin))
    }
}

/// Does the record tell how the run ended, or will none ever?
fn is_known(plugin: &Plugin) -> bool {
    plugin.desired.mode == Mode::External || said(plugin).is_some()
}

fn said(plugin: &Plugin) -> Option<String> {
    let reported = &plugin.reported;
    match reported.state {
        // Not heard of yet, or connected again.
        State::Active => None,
        State::Stopping | State::Inactive if reported.message.is_empty() => Some("it was stopped".to_owned()),
        _ => Some(reported.message.clone()).filter(|message| !message.is_empty()),
    }
}
