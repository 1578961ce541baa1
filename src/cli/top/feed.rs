//! What the server tells `plugd top`: the states of plugins, what they use, and the lines of a log.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::interval};
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status, Streaming};

use super::state::{Connection, Top};
use crate::{
    api::v1::{ListPluginsRequest, Plugin, PluginEvent, StreamLogsRequest, StreamLogsResponse, plugin_event::Kind},
    cli::{
        client::{Api, all_plugins},
        failure::Failure,
        follow::{Resumable, Watcher, is_passing, resume},
    },
};

/// How often it is asked what plugins use.
const USAGE: Duration = Duration::from_secs(2);

/// How many lines of a log that were printed before are shown.
const TAIL: u32 = 200;

/// What is shown, and whether it has changed since it was drawn.
pub(super) struct Shared {
    top: Mutex<Top>,
    news: Notify,
}

impl Shared {
    pub(super) fn new(top: Top) -> Self {
        Self { top: Mutex::new(top), news: Notify::new() }
    }

    /// Looks at it, or changes it by what was typed.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Top) -> T) -> T {
        act(&mut self.top.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes it by what the server told.
    fn tell(&self, act: impl FnOnce(&mut Top)) {
        self.with(act);
        self.news.notify_one();
    }

    pub(super) fn note(&self, words: &str) {
        self.tell(|top| top.note(words));
    }

    pub(super) async fn changed(&self) {
        self.news.notified().await;
    }
}

impl Watcher for &Shared {
    fn snapshot(&mut self, plugins: BTreeMap<String, Plugin>, _: &str) -> Result<(), Failure> {
        self.tell(|top| top.replace(plugins));
        Ok(())
    }

    fn event(&mut self, event: PluginEvent) -> Result<(), Failure> {
        let is_removal = event.kind() == Kind::Removed;
        self.tell(|top| top.changed(event.plugin_id, event.plugin.filter(|_| !is_removal)));
        Ok(())
    }

    fn live(&mut self) {
        self.tell(|top| top.connection = Connection::Live);
    }

    fn broken(&mut self, why: &Status, _: bool) {
        self.tell(|top| top.connection = Connection::Broken(why.message().to_owned()));
    }
}

/// Asks again and again what plugins use. While the server does not answer, what it said last is shown.
pub(super) async fn follow_usage(api: &Api, shared: &Shared) {
    let mut ticks = interval(USAGE);
    loop {
        ticks.tick().await;
        if let Ok(plugins) = all_plugins(api, &ListPluginsRequest::default()).await {
            shared.tell(|top| top.sampled(plugins));
        }
    }
}

/// Follows the log of a plugin, for ever unless it can't be.
pub(super) async fn follow_log(api: Api, shared: Arc<Shared>, id: String) {
    let request = StreamLogsRequest {
        plugin_ids: vec![id],
        follow: true,
        tail_lines: Some(TAIL),
        ..StreamLogsRequest::default()
    };
    let mut lines = Lines { shared: &shared, request };
    if let Err(failure) = resume(&api, &mut lines, &CancellationToken::new()).await {
        shared.tell(|top| top.log_line(&format!("-- {}", failure.what)));
    }
}

struct Lines<'a> {
    shared: &'a Shared,
    request: StreamLogsRequest,
}

impl Resumable for Lines<'_> {
    type Message = StreamLogsResponse;

    async fn open(&mut self, api: &Api) -> Result<Response<Streaming<StreamLogsResponse>>, Status> {
        api.logs().stream_logs(self.request.clone()).await
    }

    fn take(&mut self, batch: StreamLogsResponse) -> Result<bool, Failure> {
        let is_new = !batch.lines.is_empty();
        self.shared.tell(|top| {
            if batch.lines_lost {
                top.log_line("-- lines are missing here: they are no longer kept");
            }
            batch.lines.iter().for_each(|line| top.log_line(&line.text));
        });
        if let Some(cursor) = batch.cursor {
            (self.request.cursors, self.request.tail_lines) = (vec![cursor], None);
        }
        Ok(is_new)
    }

    fn broken(&mut self, why: &Status) -> bool {
        is_passing(why)
    }
}
