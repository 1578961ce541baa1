//! Watches: from a plugin that dials in to the last of many watchers that hears of it, against a broadcast that stores nothing.

use std::time::Instant;

use plugd::api::v1::{
    PluginEvent, ReportedState, WatchStateRequest, WatchStateResponse, watch_state_request::Start,
    watch_state_response::Frame,
};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tonic::Streaming;

use crate::{
    external,
    figures::{Goal, ROUNDS, Report, Rounds, ms, to_f64},
    plugins::register,
    processes,
    server::{Bare, Plugd, Plugins},
};

/// Watchers at once, ten a connection.
const WATCHERS: [usize; 4] = [10, 100, 1000, 5000];
const WATCHERS_OF_A_CONNECTION: usize = 10;
/// So many that the slowest of a hundred is not the slowest of all.
const REPORTS_A_ROUND: usize = 40;

/// States as watchers have them.
pub(crate) const ACTIVE: i32 = ReportedState::Active as i32;
/// What the bare server's events have.
pub(crate) const UNSPECIFIED: i32 = ReportedState::Unspecified as i32;

pub(crate) async fn measure(report: &mut Report) {
    let (plugd, bare) = (Plugd::start(), Bare::start());
    let plugin = register(plugd.client().await).await;
    let (url, bare_url) = (external::url(&plugd, &plugin), format!("ws://{}/connect", bare.address()));
    let (mut watchers, mut bare_watchers) = (Watchers::new(), Watchers::new());
    for count in WATCHERS {
        let (memory, bare_memory) = (processes::memory(plugd.pid()), processes::memory(bare.pid()));
        let more = count - watchers.count;
        watchers.watch(&plugd, more).await;
        bare_watchers.listen(&bare, more).await;
        if count == WATCHERS[WATCHERS.len() - 1] {
            let each = |pid, before| vec![(processes::memory(pid) - before) / to_f64(more)];
            let (mut of_plugd, mut of_bare) = (Rounds::default(), Rounds::default());
            of_plugd.add(each(plugd.pid(), memory));
            of_bare.add(each(bare.pid(), bare_memory));
            let what = ("memory of an idle watcher", "KiB");
            report.median(what, &of_plugd, Some(("bare stream", &of_bare)), Goal::AtMost(12.0));
        }
        let (mut of_plugd, mut of_bare) = (Rounds::default(), Rounds::default());
        for _ in 0..ROUNDS {
            of_plugd.add(watchers.reports(&url, ACTIVE).await);
            of_bare.add(bare_watchers.reports(&bare_url, UNSPECIFIED).await);
        }
        let goals = [Goal::Seen, if count < 100 { Goal::Seen } else { Goal::Times(1.5) }];
        report.times(
            &format!("a report until {count} watchers have it"),
            &of_plugd,
            ("bare broadcast", &of_bare),
            goals,
        );
        report.grows("a report to all watchers", "ms", count, of_plugd.quantile(0.5).value);
    }
}

/// Those of one side, and the states that they hear of.
pub(crate) struct Watchers {
    count: usize,
    heard: UnboundedSender<i32>,
    hears: UnboundedReceiver<i32>,
}

impl Watchers {
    /// None yet.
    pub(crate) fn new() -> Self {
        let (heard, hears) = mpsc::unbounded_channel();
        Self { count: 0, heard, hears }
    }

    /// Opens more watches.
    pub(crate) async fn watch(&mut self, plugd: &Plugd, more: usize) {
        for _ in 0..more / WATCHERS_OF_A_CONNECTION {
            let client = plugd.client().await;
            for _ in 0..WATCHERS_OF_A_CONNECTION {
                tokio::spawn(tell(open(client.clone()).await, self.heard.clone()));
            }
        }
        self.count += more;
    }

    /// Opens more streams of the bare server.
    pub(crate) async fn listen(&mut self, bare: &Bare, more: usize) {
        for _ in 0..more / WATCHERS_OF_A_CONNECTION {
            let client = bare.client().await;
            for _ in 0..WATCHERS_OF_A_CONNECTION {
                let mut events = client.clone().listen().await;
                let heard = self.heard.clone();
                tokio::spawn(async move {
                    while let Ok(Some(_)) = events.message().await {
                        let _ = heard.send(UNSPECIFIED);
                    }
                });
            }
        }
        self.count += more;
    }

    /// Dials and hangs up a few times: how long it took from the first until all had heard that it is there.
    pub(crate) async fn reports(&mut self, url: &str, state: i32) -> Vec<f64> {
        let mut times = Vec::new();
        for _ in 0..REPORTS_A_ROUND {
            let (ignored, _ignored) = mpsc::unbounded_channel();
            let began = Instant::now();
            let connection = external::dial(url, ignored).await;
            self.all_heard(|heard| heard == state).await;
            times.push(ms(began.elapsed()));
            drop(connection);
            if state == ACTIVE {
                self.all_heard(|heard| heard != state).await;
            }
        }
        times
    }

    async fn all_heard(&mut self, is_meant: impl Fn(i32) -> bool) {
        let mut missing = self.count;
        while missing > 0 {
            if is_meant(self.hears.recv().await.unwrap()) {
                missing -= 1;
            }
        }
    }
}

/// A watch of what comes from now on.
pub(crate) async fn open(mut client: Plugins) -> Streaming<WatchStateResponse> {
    let request = WatchStateRequest { start: Some(Start::LiveOnly(true)), ..WatchStateRequest::default() };
    let mut frames = client.watch_state(request).await.unwrap().into_inner();
    let opened = frames.message().await.unwrap().unwrap();
    assert!(matches!(opened.frame, Some(Frame::Opened(_))));
    frames
}

/// Tells of each change the state that the plugin is in.
async fn tell(mut frames: Streaming<WatchStateResponse>, heard: UnboundedSender<i32>) {
    while let Some(events) = events(&mut frames).await {
        for state in events.into_iter().filter_map(|event| Some(event.plugin?.status?.state)) {
            let _ = heard.send(state);
        }
    }
}

/// The next changes; None when the watch has ended.
pub(crate) async fn events(frames: &mut Streaming<WatchStateResponse>) -> Option<Vec<PluginEvent>> {
    loop {
        match frames.message().await.ok()??.frame {
            Some(Frame::Events(batch)) => return batch.read().ok(),
            _ => continue,
        }
    }
}
