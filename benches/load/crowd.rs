//! A thousand plugins: started all at once, idle, and started again with plugd; against a loop that spawns as many, as many
//! at the same time.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use plugd::api::v1::{ActiveState, Plugin, ReportedState, WatchStateRequest, watch_state_response::Frame};
use tokio::time::sleep;

use crate::{
    figures::{Goal, ROUNDS, Report, Rounds, ms, to_f64},
    plugins::{AT_ONCE, install_many, set_many},
    processes,
    server::{Plugd, Plugins},
    spawn::{Spawned, spawn},
};

const PLUGINS: usize = 1000;
/// Fewer, to see how cost grows.
const FEWER: [usize; 2] = [10, 100];

/// As long as plugd takes to ping each plugin once.
const IDLE: Duration = Duration::from_secs(15);

pub(crate) async fn measure(report: &mut Report) {
    let mut plugd = Plugd::start();
    let client = plugd.client().await;
    let before = processes::memory(plugd.pid());
    let ids = install_many(&client, PLUGINS).await;
    for count in FEWER {
        let time = set_many(&client, &ids[..count], ActiveState::Active).await;
        report.grows("activating all", "ms", count, ms(time));
        set_many(&client, &ids, ActiveState::Inactive).await;
    }
    activate(&plugd, &ids, report).await;
    memory(&plugd, before, report);
    idle(&plugd, report).await;
    boot(&mut plugd, report).await;
}

/// Leaves them running.
async fn activate(plugd: &Plugd, ids: &[String], report: &mut Report) {
    let client = plugd.client().await;
    let (mut of_plugd, mut of_bare, mut cpu) = (Rounds::default(), Rounds::default(), Rounds::default());
    let mut times = Rounds::default();
    for _ in 0..ROUNDS {
        set_many(&client, ids, ActiveState::Inactive).await;
        of_bare.add(vec![bare_rate().await]);
        let used = plugd.cpu();
        let time = set_many(&client, ids, ActiveState::Active).await;
        cpu.add(vec![ms(plugd.cpu() - used) / to_f64(PLUGINS)]);
        of_plugd.add(vec![to_f64(PLUGINS) / time.as_secs_f64()]);
        times.add(vec![ms(time)]);
    }
    report.grows("activating all", "ms", PLUGINS, times.quantile(0.5).value);
    let limit = Some(("bare loop", &of_bare));
    report.median((format!("{PLUGINS} plugins: activations"), "/s"), &of_plugd, limit, Goal::Rate(0.7));
    report.median((format!("{PLUGINS} plugins: plugd's CPU each"), "ms"), &cpu, None, Goal::AtMost(1.0));
}

/// How many a second are spawned and connected, all of which run at the end.
async fn bare_rate() -> f64 {
    let began = Instant::now();
    let spawned: Vec<Spawned> =
        stream::iter(0..PLUGINS).map(|_| async { spawn().await.0 }).buffer_unordered(AT_ONCE).collect().await;
    let rate = to_f64(PLUGINS) / began.elapsed().as_secs_f64();
    stream::iter(spawned).map(Spawned::stop).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    rate
}

fn memory(plugd: &Plugd, before: f64, report: &mut Report) {
    let each = (processes::memory(plugd.pid()) - before) / to_f64(PLUGINS);
    report.once("plugd's memory a plugin, active", "KiB", each, Goal::AtMost(40.0));
    let keepers: f64 = keepers(plugd).into_iter().map(processes::memory).sum();
    report.once("keeper's and init's memory a plugin", "KiB", keepers / to_f64(PLUGINS), Goal::AtMost(64.0));
}

/// The keeper and the inits: all below plugd but the plugins themselves.
fn keepers(plugd: &Plugd) -> Vec<u32> {
    let descendants = processes::descendants(plugd.pid()).into_iter();
    descendants.filter(|pid| !processes::is_named(*pid, "greeter")).collect()
}

async fn idle(plugd: &Plugd, report: &mut Report) {
    let keepers = keepers(plugd);
    let used = || plugd.cpu() + keepers.iter().copied().map(processes::cpu).sum::<Duration>();
    // What the start still costs is over by then.
    sleep(IDLE / 5).await;
    let before = used();
    sleep(IDLE).await;
    let part = (used() - before).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    report.once(format!("idle CPU with {PLUGINS} plugins"), "%", part, Goal::AtMost(0.5));
}

/// Ends plugd and starts it again, with all plugins desired active.
async fn boot(plugd: &mut Plugd, report: &mut Report) {
    let (mut serving, mut of_plugd, mut of_bare) = (Rounds::default(), Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        let served = plugd.restart();
        let began = Instant::now();
        all_active(plugd.client().await).await;
        serving.add(vec![ms(served)]);
        of_plugd.add(vec![to_f64(PLUGINS) / (served + began.elapsed()).as_secs_f64()]);
        of_bare.add(vec![bare_rate().await]);
    }
    report.median((format!("boot with {PLUGINS} plugins: until it serves"), "ms"), &serving, None, Goal::AtMost(300.0));
    let limit = Some(("bare loop", &of_bare));
    report.median((format!("boot with {PLUGINS} plugins: until all active"), "/s"), &of_plugd, limit, Goal::Rate(0.7));
}

/// Watches until all are active.
async fn all_active(mut client: Plugins) {
    let mut frames = client.watch_state(WatchStateRequest::default()).await.unwrap().into_inner();
    let mut active = HashSet::new();
    while active.len() < PLUGINS {
        let plugins = match frames.message().await.unwrap().unwrap().frame {
            Some(Frame::Snapshot(chunk)) => chunk.plugins,
            Some(Frame::Events(batch)) => batch.read().unwrap().into_iter().filter_map(|event| event.plugin).collect(),
            _ => continue,
        };
        active.extend(plugins.into_iter().filter(is_active).map(|plugin| plugin.id));
    }
}

fn is_active(plugin: &Plugin) -> bool {
    plugin.status.as_ref().is_some_and(|status| status.state == i32::from(ReportedState::Active))
}
