//! A crash: from the kill of a plugin's process until a watcher hears that it is to be started again, against a poll of its pidfd.

use std::{collections::VecDeque, time::Instant};

use plugd::api::v1::{
    ActiveState, PluginStatus, ReportedState, WatchStateRequest, WatchStateResponse, watch_state_request::Start,
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};
use tonic::Streaming;

use crate::{
    figures::{Goal, ROUNDS, Report, Rounds, ms},
    plugins::{desire, install_many},
    server::Plugd,
    spawn::spawn,
    watch::events,
};

const CRASHES_A_ROUND: usize = 10;

/// It is started again soon, however often.
const OPTIONS: [&str; 6] = ["--backoff", "10ms", "--max-backoff", "10ms", "--max-restart-attempts", "unlimited"];

pub(crate) async fn measure(report: &mut Report) {
    let plugd = Plugd::start_with(&OPTIONS);
    let mut client = plugd.client().await;
    let id = install_many(&client, 1).await.remove(0);
    let request = WatchStateRequest { start: Some(Start::LiveOnly(true)), ..WatchStateRequest::default() };
    let frames = client.watch_state(request).await.unwrap().into_inner();
    let mut reports = Reports { frames, unread: VecDeque::new() };
    client.set_active_state(desire(&id, ActiveState::Active)).await.unwrap();
    let (mut of_plugd, mut of_bare) = (Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        let (mut times, mut bare_times) = (Vec::new(), Vec::new());
        for _ in 0..CRASHES_A_ROUND {
            let active = reports.until(ReportedState::Active).await;
            let pid = Pid::from_raw(active.pid.unwrap().cast_signed()).unwrap();
            let began = Instant::now();
            kill_process(pid, Signal::KILL).unwrap();
            reports.until(ReportedState::Restarting).await;
            times.push(ms(began.elapsed()));
            bare_times.push(bare_crash().await);
        }
        of_plugd.add(times);
        of_bare.add(bare_times);
    }
    let goals = [Goal::Seen, Goal::AtMost(5.0)];
    report.times("crash until restarting is watched", &of_plugd, ("pidfd poll", &of_bare), goals);
}

/// What is reported, in its order.
struct Reports {
    frames: Streaming<WatchStateResponse>,
    unread: VecDeque<PluginStatus>,
}

impl Reports {
    /// Waits for this state.
    async fn until(&mut self, state: ReportedState) -> PluginStatus {
        loop {
            while let Some(status) = self.unread.pop_front() {
                if status.state == i32::from(state) {
                    return status;
                }
            }
            let events = events(&mut self.frames).await.unwrap();
            self.unread.extend(events.into_iter().filter_map(|event| event.plugin?.status));
        }
    }
}

async fn bare_crash() -> f64 {
    let (spawned, _) = spawn().await;
    let ends = pidfd_open(spawned.pid(), PidfdFlags::empty()).unwrap();
    let ended = tokio::task::spawn_blocking(move || {
        poll(&mut [PollFd::new(&ends, PollFlags::IN)], None).unwrap();
        Instant::now()
    });
    let began = Instant::now();
    kill_process(spawned.pid(), Signal::KILL).unwrap();
    ms(ended.await.unwrap() - began)
}
